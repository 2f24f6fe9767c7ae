"""One chat call from the checked request to the delivered reply, the same way for both surfaces.

Order: group limit, hold, the one upstream POST, settlement, delivery. Failures cost nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from aiohttp import web

from reference_gateway.accounts import Account
from reference_gateway.config import Channel, ChatModel, Group
from reference_gateway.errors import ErrorRenderer
from reference_gateway.jsonwire import encode
from reference_gateway.ledger import Ledger
from reference_gateway.limits import GroupLimiter
from reference_gateway.observation.watch import CallRecord, Watch
from reference_gateway.payment import Payment
from reference_gateway.pricing import Charge, Pricing
from reference_gateway.relay import COMPLETE, EventSink, StreamRelay
from reference_gateway.translation.replies import Reply, ReplyTranslator
from reference_gateway.translation.streams import StreamTranslator
from reference_gateway.upstream import UpstreamClient, UpstreamReply


def plain_response(reply: Reply, charge: Charge | None) -> web.Response:  # noqa: ARG001 - other surfaces tell the cost
    """A whole reply as it goes to the caller of a surface that keeps the cost to itself."""
    return web.Response(body=encode(reply.body), content_type="application/json")


@dataclass(frozen=True, slots=True)
class CallPlan:
    """Everything that is decided about a call before money or the upstream are touched."""

    call: str
    account: Account
    group: Group
    channel: Channel
    model: ChatModel
    upstream_body: bytes
    max_output: int | None
    stream: bool
    reply_translator: Callable[[], ReplyTranslator]
    stream_translator: Callable[[], StreamTranslator]
    errors: ErrorRenderer
    surface: str = "chat"
    extra_headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    respond: Callable[[Reply, Charge | None], web.Response] = plain_response
    stream_headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


class CallService:
    """Carries out plans."""

    def __init__(
        self,
        limiter: GroupLimiter,
        ledger: Ledger,
        pricing: Pricing,
        upstream: UpstreamClient,
        relay: StreamRelay,
        payment: type[Payment] = Payment,
        watch: Watch | None = None,
    ) -> None:
        self._limiter = limiter
        self._ledger = ledger
        self._pricing = pricing
        self._upstream = upstream
        self._relay = relay
        self._payment = payment
        self._watch = watch or Watch()

    async def serve(self, request: web.Request, plan: CallPlan) -> web.StreamResponse:
        """Carry out one call; raises `GatewayError` for every failure before the first byte of the reply."""
        await self._limiter.admit(plan.account, plan.group)
        with self._watch.call(plan) as record:
            async with self.payment(plan) as payment:
                with self._watch.upstream(plan):
                    headers = {**plan.extra_headers, **self._watch.trace_headers()}
                    async with self._upstream.post(plan.channel, plan.upstream_body, headers) as upstream:
                        if plan.stream:
                            return await self._streamed(request, plan, upstream, payment, record)
                        body = await upstream.read_object()
                reply = plan.reply_translator().translate(body)
                await payment.complete(reply.usage)
                record.complete, record.priced = True, reply.usage is not None
                record.charge = payment.charge
                response = plan.respond(reply, payment.charge)
                record.first(upstream.waited_s)
                return response

    async def _streamed(
        self,
        request: web.Request,
        plan: CallPlan,
        upstream: UpstreamReply,
        payment: Payment,
        record: CallRecord,
    ) -> web.StreamResponse:
        sink = EventSink(request, plan.stream_headers, lambda: record.first(upstream.waited_s))
        translator = plan.stream_translator()
        try:
            return await self._relay.relay(upstream, translator, payment, sink, plan.errors)
        finally:
            record.outcome = sink.outcome
            record.complete, record.priced = sink.outcome == COMPLETE, translator.usage is not None
            record.charge = payment.charge

    def payment(self, plan: CallPlan) -> Payment:
        """The money side of a plan."""
        reservation = self._pricing.reservation(plan.model, len(plan.upstream_body), plan.max_output)
        return self._payment(self._ledger, self._pricing, plan.call, plan.account, plan.model, reservation)
