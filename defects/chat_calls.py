"""Chat calls that are mended, refused or multiplied, and money that moves beside them."""

from dataclasses import replace
from typing import Any, Self

from aiohttp import web

from defects.acceptance import refused
from defects.chat_requests import without
from defects.definition import Defect
from reference_gateway import Components
from reference_gateway.calls import CallPlan, CallService
from reference_gateway.config import ChatModel
from reference_gateway.database import Connection
from reference_gateway.failures import GatewayError
from reference_gateway.identifiers import random_hex
from reference_gateway.jsonwire import JsonObject, encode
from reference_gateway.ledger import InsufficientError, Ledger, Reason
from reference_gateway.payment import Payment
from reference_gateway.pricing import Charge
from reference_gateway.relay import EventSink, StreamRelay
from reference_gateway.translation.replies import Reply
from reference_gateway.translation.streams import Progress, StreamTranslator
from reference_gateway.translation.to_anthropic import RequestToAnthropic
from reference_gateway.validation.chat import ChatRequest, OpenAIChatValidator
from reference_gateway.validation.fields import invalid

_MANY_TOKENS = 1000
_CENT = 10**10
_THUMBNAIL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="


class BeginsByItself(OpenAIChatValidator):
    """Without messages the model is asked to begin."""

    def validate(self, body: JsonObject, model: ChatModel) -> ChatRequest:
        body.setdefault("messages", [{"role": "user", "content": "Hello"}])
        return super().validate(body, model)


class CoercesTypes(OpenAIChatValidator):
    """Makes fields of the wrong type fit, as lax parsers do."""

    def validate(self, body: JsonObject, model: ChatModel) -> ChatRequest:
        if isinstance(body.get("messages"), str):
            body["messages"] = [{"role": "user", "content": body["messages"]}]
        if isinstance(body.get("max_tokens"), str):
            body["max_tokens"] = 16
        return super().validate(body, model)


class TextContentOnly(OpenAIChatValidator):
    """Knows content as a string only."""

    def check_part(self, part: Any, place: str) -> None:
        raise invalid(place, f"`{place}` must be a string, found a part {str(part)[:20]!r}.")


def _as_event(reply: Reply) -> web.Response:
    """A whole reply as the one event of a stream."""
    return web.Response(body=b"data: " + encode(reply.body) + b"\n\n", content_type="text/event-stream")


def _is_long(reply: Reply) -> bool:
    return reply.usage is not None and reply.usage.input + reply.usage.output > _MANY_TOKENS


class NamedStreamAsEvent(CallService):
    """Sends one whole event to a caller who said `stream: false`, as the route for streams is taken."""

    async def serve(self, request: web.Request, plan: CallPlan) -> web.StreamResponse:
        if b'"stream":false' in plan.upstream_body:
            plan = replace(plan, respond=lambda reply, _charge: _as_event(reply))
        return await super().serve(request, plan)


class LongAnswersAsEvents(CallService):
    """Sends the answer of a long call as an event, asked or not, so that no proxy loses patience."""

    async def serve(self, request: web.Request, plan: CallPlan) -> web.StreamResponse:
        def respond(reply: Reply, charge: Charge | None) -> web.Response:
            return _as_event(reply) if _is_long(reply) else plan.respond(reply, charge)

        return await super().serve(request, replace(plan, respond=respond))


class ScreensEveryCall(CallService):
    """Asks the provider first whether the call is allowed, on the operator's bill."""

    async def serve(self, request: web.Request, plan: CallPlan) -> web.StreamResponse:
        screened = {"role": "user", "content": f"Is this allowed? {plan.upstream_body.decode()}"}
        question = encode({"model": plan.model.id, "max_tokens": 1, "messages": [screened]})
        try:
            async with self._upstream.post(plan.channel, question, plan.extra_headers) as reply:
                await reply.drain()
        except GatewayError:
            return await super().serve(request, plan)
        return await super().serve(request, plan)


class KeepsTheHold(Payment):
    """Takes the hold although there is no money, and does not give it back with the refusal."""

    async def __aenter__(self) -> Self:
        try:
            return await super().__aenter__()
        except GatewayError as refusal:
            if isinstance(refusal.__cause__, InsufficientError):
                await self._ledger.top_up(f"hold_{self.call}", self.account.id, -self._reservation)
            raise


class PaysTasksInDollars(Ledger):
    """Takes a cent of the first chat account along with every debit of a task."""

    async def post_debit(
        self, connection: Connection, call: str, account: str, amount: int, detail: JsonObject
    ) -> int:
        after = await super().post_debit(connection, call, account, amount, detail)
        rows = await connection.fetch("SELECT account FROM accounts WHERE workspace = ?", "chat")
        for row in rows:
            await self.post(connection, Reason.TOPUP, f"purse_{random_hex()}", row[0], -_CENT)
        return after


class ChargesLostEndTwice(StreamRelay):
    """Counts a stream without its end mark as broken and as complete, and charges both."""

    async def on_complete(
        self, translator: StreamTranslator, payment: Payment, sink: EventSink
    ) -> web.StreamResponse:
        usage = translator.usage
        if translator.progress is not Progress.TERMINATED and usage is not None:
            translator.usage = replace(usage, input=2 * usage.input, output=2 * usage.output)
        return await super().on_complete(translator, payment, sink)


class Thumbnails(RequestToAnthropic):
    """Scales every picture down to one size."""

    def block(self, part: JsonObject, place: str) -> JsonObject:
        block = super().block(part, place)
        if block["type"] != "image":
            return block
        return {**block, "source": {"type": "base64", "media_type": "image/png", "data": _THUMBNAIL}}


DEFECTS = (
    Defect(
        "missing-messages-filled-in",
        "A gpt-5.5 call without messages is served",
        ("CREQ-03",),
        lambda: Components(openai_validator=BeginsByItself),
    ),
    Defect(
        "types-coerced",
        "Fields of the wrong type are made to fit and served on gpt-5.5",
        ("CREQ-20",),
        lambda: Components(openai_validator=CoercesTypes),
    ),
    Defect(
        "content-parts-refused-on-gpt",
        "Content parts are refused on gpt-5.5",
        ("CREQ-06",),
        lambda: Components(openai_validator=TextContentOnly),
    ),
    Defect(
        "stream-false-as-event",
        "A call with `stream: false` is answered with one event that holds the body",
        ("CREQ-09",),
        lambda: Components(calls=NamedStreamAsEvent),
    ),
    Defect(
        "long-call-as-event",
        "The answer of a long call is sent as an event to callers who asked for no stream",
        ("CREQ-08", "CRES-01"),
        lambda: Components(calls=LongAnswersAsEvents),
    ),
    Defect(
        "effort-refused",
        "`reasoning_effort` is refused",
        ("GPT-19",),
        lambda: Components(openai_validator=refused("reasoning_effort")),
    ),
    Defect(
        "effort-dropped",
        "`reasoning_effort` does not reach the provider",
        ("GPT-20",),
        lambda: without("reasoning_effort"),
    ),
    Defect(
        "screens-every-call",
        "The provider is asked first whether a call is allowed, with a call of its own",
        ("CERR-NR-1", "CERR-NR-7", "PRAC-11", "MERR-04"),
        lambda: Components(calls=ScreensEveryCall),
    ),
    Defect(
        "hold-kept-after-402",
        "A call answered with 402 leaves its hold on the account",
        ("CERR-402-3",),
        lambda: Components(payment=KeepsTheHold),
    ),
    Defect(
        "tasks-cost-dollars",
        "A task takes a cent of the chat balance as well",
        ("AUTH-07",),
        lambda: Components(ledger=PaysTasksInDollars),
    ),
    Defect(
        "lost-end-mark-charged-twice",
        "A stream that lacks its end mark only is charged as broken and as complete",
        ("CERR-DB-1",),
        lambda: Components(relay=ChargesLostEndTwice),
    ),
    Defect(
        "images-scaled-to-one-size",
        "Every image reaches the provider as a thumbnail",
        ("VIS-08",),
        lambda: Components(request_to_anthropic=Thumbnails),
    ),
)
