"""Streams that their client leaves, or that the provider cuts before the first event or behind the last: who pays for them."""

# ruff: noqa: ARG002 - a defect ignores what it ought to look at
# ruff: noqa: SLF001 - what such a gateway would own

import asyncio
from types import TracebackType
from typing import Any, ClassVar

from aiohttp import web

from defects.definition import Defect, Variant
from reference_gateway import Components
from reference_gateway import usage as wire_usage
from reference_gateway.accounts import Workspace
from reference_gateway.aimlapi.replies import AimlapiStream
from reference_gateway.calls import CallPlan, CallService
from reference_gateway.errors import ErrorRenderer
from reference_gateway.failures import Failure, Kind
from reference_gateway.jsonwire import JsonObject, encode
from reference_gateway.payment import Payment
from reference_gateway.pricing import Usage
from reference_gateway.relay import LEFT, EventSink, StreamRelay
from reference_gateway.sse import named_frame
from reference_gateway.translation.anthropic_streams import MessagesStreamFromAnthropic
from reference_gateway.translation.streams import Progress, StreamTranslator
from reference_gateway.upstream import UpstreamReply

_BOOKING_S = 0.1


class ChargesToldBreak(StreamRelay):
    """Knows all counters when the provider stops before its end mark: tells of a break, and charges in full."""

    dialect: ClassVar[type[StreamTranslator]] = MessagesStreamFromAnthropic

    async def on_upstream_ended(
        self, translator: StreamTranslator, payment: Payment, sink: EventSink, errors: ErrorRenderer
    ) -> web.StreamResponse:
        if not isinstance(translator, self.dialect) or translator.progress is not Progress.FINISHED:
            return await super().on_upstream_ended(translator, payment, sink, errors)
        await payment.complete(translator.usage)
        failure = Failure(Kind.UPSTREAM_FAILED, "The reply broke off before its end mark.")
        await self.emit(sink, errors.stream_frame(failure))
        return await sink.finish()


class AimlapiChargesToldBreak(ChargesToldBreak):
    """The same for AI/ML API."""

    dialect = AimlapiStream


class KeepsHoldOfWaiters(Payment):
    """Gives a hold back when a stream ends; a client of /v1/messages who leaves before it has begun ends none."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, asyncio.CancelledError) and self.has_the_mistake():
            return
        await super().__aexit__(kind, error, trace)

    def has_the_mistake(self) -> bool:
        """On which surface."""
        return self.call.startswith("msg_")


class AimlapiKeepsHoldOfWaiters(KeepsHoldOfWaiters):
    """The same for AI/ML API."""

    def has_the_mistake(self) -> bool:
        return self.account.workspace is Workspace.AIMLAPI


class ChargesLeavers(StreamRelay):
    """Charges a client who left for what had been counted so far; this often."""

    times: ClassVar[int] = 1
    dialects: ClassVar[tuple[type[StreamTranslator], ...]] = (MessagesStreamFromAnthropic, AimlapiStream)

    async def relay(
        self,
        upstream: UpstreamReply,
        translator: StreamTranslator,
        payment: Payment,
        sink: EventSink,
        errors: ErrorRenderer,
    ) -> web.StreamResponse:
        try:
            return await super().relay(upstream, translator, payment, sink, errors)
        finally:
            if sink.outcome == LEFT and isinstance(translator, self.dialects):
                self._charge(_counted(translator), payment)

    def _charge(self, usage: Usage | None, payment: Payment) -> None:
        if usage is not None:
            charge = payment._pricing.charge(payment.model, usage).total
            payment._ledger.top_up(f"left_{payment.call}", payment.account.id, -self.times * charge)


def _counted(translator: StreamTranslator) -> Usage | None:
    reader = getattr(translator, "_reader", None)
    return None if reader is None else wire_usage.from_anthropic(reader.counters())


class ChargesMessageLeaversTwice(ChargesLeavers):
    """Once where the stream is given up, and once more where the call is."""

    times = 2
    dialects = (MessagesStreamFromAnthropic,)


class ChargesAimlapiLeaversTwice(ChargesLeavers):
    """The same for AI/ML API."""

    times = 2
    dialects = (AimlapiStream,)


class BooksBehindTheEnd(StreamRelay):
    """Sends the end of a message first and books it afterwards; who hangs up at message_stop is never billed."""

    async def on_complete(
        self, translator: StreamTranslator, payment: Payment, sink: EventSink
    ) -> web.StreamResponse:
        if not isinstance(translator, MessagesStreamFromAnthropic):
            return await super().on_complete(translator, payment, sink)
        await self.emit(sink, translator.closing())
        await asyncio.sleep(_BOOKING_S)
        await payment.complete(translator.usage)
        return await sink.finish()


class _BreaksBeforeTheFirstEvent(StreamRelay):
    """Answers a provider that sent its headers and nothing more with a stream of its own."""

    dialect: ClassVar[type[StreamTranslator]]

    async def on_upstream_broken(
        self,
        translator: StreamTranslator,
        payment: Payment,
        sink: EventSink,
        errors: ErrorRenderer,
        failure: Failure,
    ) -> web.StreamResponse:
        if sink.started or not isinstance(translator, self.dialect):
            return await super().on_upstream_broken(translator, payment, sink, errors, failure)
        await payment.release()
        await self.emit(sink, self.words(translator, errors.stream_frame(failure)))
        return await sink.finish()

    def words(self, translator: StreamTranslator, error: bytes) -> bytes:
        """What the stream says."""
        return error


class EmptyMessage(_BreaksBeforeTheFirstEvent):
    """Takes silence for an empty answer."""

    dialect = MessagesStreamFromAnthropic

    def words(self, translator: StreamTranslator, error: bytes) -> bytes:
        message: JsonObject = {
            "id": translator.identity.id,
            "type": "message",
            "role": "assistant",
            "model": translator.identity.model,
            "content": [],
            "stop_reason": None,
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }
        stop = {"stop_reason": "end_turn", "stop_sequence": None}
        events: tuple[JsonObject, ...] = (
            {"type": "message_start", "message": message},
            {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 0}},
            {"type": "message_stop"},
        )
        return b"".join(named_frame(str(event["type"]), encode(event)) for event in events)


class AimlapiErrorInStream(_BreaksBeforeTheFirstEvent):
    """Answers 200 as soon as the provider does, and has only the stream left to tell of the break."""

    dialect = AimlapiStream


class PassesLateCutsOn(StreamRelay):
    """Relays message_delta, which was whole, and ends where the provider ended; the answer is charged."""

    async def on_upstream_ended(
        self, translator: StreamTranslator, payment: Payment, sink: EventSink, errors: ErrorRenderer
    ) -> web.StreamResponse:
        late = translator.progress is Progress.FINISHED
        if not late or not isinstance(translator, MessagesStreamFromAnthropic):
            return await super().on_upstream_ended(translator, payment, sink, errors)
        await payment.complete(translator.usage)
        await self.emit(sink, b"".join(translator._held))
        return await sink.finish()


class ServesToTheEnd(CallService):
    """Goes on with a stream whose client has left."""

    def __init__(self, *parts: Any, **options: Any) -> None:
        super().__init__(*parts, **options)
        self._going: set[asyncio.Task[web.StreamResponse]] = set()

    async def serve(self, request: web.Request, plan: CallPlan) -> web.StreamResponse:
        if not plan.stream:
            return await super().serve(request, plan)
        task = asyncio.create_task(super().serve(request, plan))
        self._going.add(task)
        task.add_done_callback(self._over)
        return await asyncio.shield(task)

    def _over(self, task: asyncio.Task[web.StreamResponse]) -> None:
        self._going.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits is told of it; where nobody does, nobody is


class ReadsToTheEnd(StreamRelay):
    """Reads its provider to the end whoever has left by then, and gives the hold back only there."""

    async def emit(self, sink: EventSink, data: bytes) -> None:
        if sink.outcome == LEFT:
            return
        try:
            await super().emit(sink, data)
        except ConnectionResetError:
            sink.outcome = LEFT

    async def on_complete(
        self, translator: StreamTranslator, payment: Payment, sink: EventSink
    ) -> web.StreamResponse:
        if sink.outcome == LEFT:
            await payment.release()
            return sink.response
        return await super().on_complete(translator, payment, sink)


DEFECTS = (
    Defect(
        "message-told-break-charged",
        "A message cut behind message_delta is told as failed and charged in full",
        ("MERR-05",),
        lambda: Components(relay=ChargesToldBreak),
    ),
    Defect(
        "aimlapi-told-break-charged",
        "A stream of AI/ML API cut behind its finish is told as failed and charged in full",
        ("AIML-BIL-01",),
        lambda: Components(relay=AimlapiChargesToldBreak),
    ),
    Defect(
        "message-waiter-hold-kept",
        "A client of /v1/messages who leaves before the first event never gets the hold back",
        ("MERR-05",),
        lambda: Components(payment=KeepsHoldOfWaiters),
    ),
    Defect(
        "aimlapi-waiter-hold-kept",
        "A client of AI/ML API who leaves before the first chunk never gets the hold back",
        ("AIML-BIL-01",),
        lambda: Components(payment=AimlapiKeepsHoldOfWaiters),
    ),
    Defect(
        "message-leaver-charged-twice",
        "A client who leaves a stream of /v1/messages pays its input twice",
        ("MERR-05",),
        lambda: Components(relay=ChargesMessageLeaversTwice),
    ),
    Defect(
        "aimlapi-leaver-charged-twice",
        "A client who leaves a stream of AI/ML API pays its input twice",
        ("AIML-BIL-01",),
        lambda: Components(relay=ChargesAimlapiLeaversTwice),
    ),
    Defect(
        "message-booked-behind-end",
        "A client who hangs up at message_stop is not charged",
        ("MBIL-01",),
        lambda: Components(relay=BooksBehindTheEnd),
    ),
    Defect(
        "empty-stream-becomes-message",
        "A provider's stream without any event becomes an empty message of /v1/messages",
        ("MSTR-10", "PRAC-09"),
        lambda: Components(relay=EmptyMessage),
    ),
    Defect(
        "aimlapi-early-break-in-stream",
        "AI/ML API answers 200 and an error event where the provider sent nothing but its headers",
        ("PRAC-09",),
        lambda: Components(relay=AimlapiErrorInStream),
    ),
)
VARIANTS = (
    Variant(
        "leaver-pays-once",
        "A client who leaves a stream pays what had been counted by then",
        lambda: Components(relay=ChargesLeavers),
    ),
    Variant(
        "late-cut-passed-on",
        "A message that the provider cut behind message_delta ends there, and is charged",
        lambda: Components(relay=PassesLateCutsOn),
    ),
    Variant(
        "provider-read-to-the-end",
        "A provider whose caller has left is read to its end, and the hold given back there",
        lambda: Components(calls=ServesToTheEnd, relay=ReadsToTheEnd),
    ),
)
