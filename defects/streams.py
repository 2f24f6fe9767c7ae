"""Streamed chat completions: how they begin, how they are relayed, and how they end, whole or broken."""

# ruff: noqa: ARG002 - a defect ignores what it ought to look at

from aiohttp import web
from aiohttp.web_response import ContentCoding

from defects.definition import Defect, chat_with
from reference_gateway import Components
from reference_gateway.errors import ErrorRenderer
from reference_gateway.failures import Failure
from reference_gateway.payment import Payment
from reference_gateway.relay import EventSink, StreamRelay
from reference_gateway.sse import DONE
from reference_gateway.translation.anthropic_streams import ChatStreamFromAnthropic
from reference_gateway.translation.streams import ChatStreamFromOpenAI, StreamTranslator
from reference_gateway.upstream import UpstreamReply


class NoDone(ChatStreamFromOpenAI):
    """The stream just stops, since the HTTP body ends anyway."""

    def terminator(self) -> bytes:
        return b""


class DoneTwice(ChatStreamFromOpenAI):
    """Relays the provider's [DONE] and adds its own."""

    def terminator(self) -> bytes:
        return DONE + DONE


class ChunkAfterDone(ChatStreamFromAnthropic):
    """Accounting comes last, behind the terminator."""

    def closing(self) -> bytes:
        return super().closing() + self.delta({})


class FinishTwice(ChatStreamFromAnthropic):
    """The final chunk is sent by the translation and once more by the closing code."""

    def closing(self) -> bytes:
        return self.delta({}, "stop") + super().closing()


class NoFinish(ChatStreamFromOpenAI):
    """The chunk with the empty delta looks superfluous and is dropped."""

    def closing(self) -> bytes:
        return self.usage_chunk() + self.terminator()


class UsageUnasked(ChatStreamFromOpenAI):
    """Relays the usage chunk that the gateway asked the provider for on its own account."""

    def closing(self) -> bytes:
        self.include_usage = True
        return super().closing()


class WrongContentType(StreamRelay):
    """Event streams as application/json, the type of every other answer."""

    async def relay(
        self,
        upstream: UpstreamReply,
        translator: StreamTranslator,
        payment: Payment,
        sink: EventSink,
        errors: ErrorRenderer,
    ) -> web.StreamResponse:
        sink.response.headers["Content-Type"] = "application/json"
        return await super().relay(upstream, translator, payment, sink, errors)


class Compresses(StreamRelay):
    """Compresses every answer, asked or not, as a proxy's default setting may."""

    async def relay(
        self,
        upstream: UpstreamReply,
        translator: StreamTranslator,
        payment: Payment,
        sink: EventSink,
        errors: ErrorRenderer,
    ) -> web.StreamResponse:
        sink.response.enable_compression(ContentCoding.gzip)
        return await super().relay(upstream, translator, payment, sink, errors)


class CollectsFirst(StreamRelay):
    """Reads the whole stream and sends it at the end; a buffering proxy does the same."""

    async def pump(self, upstream: UpstreamReply, translator: StreamTranslator, sink: EventSink) -> None:
        collected = _Collected(sink)
        try:
            await super().pump(upstream, translator, collected)
        finally:
            await self.emit(sink, bytes(collected.data))


class _Collected(EventSink):
    """A sink that keeps what it is given."""

    def __init__(self, sink: EventSink) -> None:
        super().__init__(sink._request)  # noqa: SLF001 - stands in for that sink
        self.data = bytearray()

    async def write(self, data: bytes) -> None:
        self.data += data


class DressesUpEarlyEnd(StreamRelay):
    """A clean end of the upstream is an end, finished or not."""

    async def on_upstream_ended(
        self, translator: StreamTranslator, payment: Payment, sink: EventSink, errors: ErrorRenderer
    ) -> web.StreamResponse:
        return await self.on_complete(translator, payment, sink)


class DressesUpBreak(StreamRelay):
    """The end of the stream is written by a `finally`, whatever came before."""

    async def on_upstream_broken(
        self,
        translator: StreamTranslator,
        payment: Payment,
        sink: EventSink,
        errors: ErrorRenderer,
        failure: Failure,
    ) -> web.StreamResponse:
        await payment.release()
        await self.emit(sink, translator.closing())
        return await sink.finish()


class DoneAfterBreak(StreamRelay):
    """Tells of the break and then ends as if nothing had been."""

    async def on_upstream_broken(
        self,
        translator: StreamTranslator,
        payment: Payment,
        sink: EventSink,
        errors: ErrorRenderer,
        failure: Failure,
    ) -> web.StreamResponse:
        await payment.release()
        await self.emit(sink, errors.stream_frame(failure) + DONE)
        return await sink.finish()


DEFECTS = (
    Defect(
        "done-missing",
        "A stream does not end with [DONE]",
        ("CSTR-03",),
        lambda: chat_with(openai_stream=NoDone),
    ),
    Defect("done-twice", "[DONE] comes twice", ("CSTR-04",), lambda: chat_with(openai_stream=DoneTwice)),
    Defect(
        "chunk-after-done",
        "A chunk follows [DONE]",
        ("CSTR-04",),
        lambda: chat_with(anthropic_stream=ChunkAfterDone),
    ),
    Defect(
        "finish-twice",
        "The final chunk is sent twice",
        ("CSTR-11",),
        lambda: chat_with(anthropic_stream=FinishTwice),
    ),
    Defect(
        "finish-missing",
        "No chunk has a finish_reason",
        ("CSTR-10", "CSTR-22"),
        lambda: chat_with(openai_stream=NoFinish),
    ),
    Defect(
        "usage-in-gpt-stream",
        "A gpt-5.5 stream has usage unasked",
        ("CSTR-13",),
        lambda: chat_with(openai_stream=UsageUnasked),
    ),
    Defect(
        "stream-as-json",
        "A stream has the Content-Type application/json",
        ("CSTR-01",),
        lambda: Components(relay=WrongContentType),
    ),
    Defect(
        "stream-compressed-unasked",
        "Streams are compressed for clients that did not ask",
        ("PRAC-07",),
        lambda: Components(relay=Compresses),
    ),
    Defect(
        "stream-collected",
        "A stream is collected and sent at the end",
        ("CSTR-16", "PRAC-08"),
        lambda: Components(relay=CollectsFirst),
    ),
    Defect(
        "early-end-dressed-up",
        "A stream that the provider ended early gets an ordinary ending",
        ("PRAC-01",),
        lambda: Components(relay=DressesUpEarlyEnd),
    ),
    Defect(
        "break-dressed-up",
        "A stream that the provider broke gets an ordinary ending",
        ("CSTR-21", "MSTR-10"),
        lambda: Components(relay=DressesUpBreak),
    ),
    Defect(
        "done-after-break",
        "[DONE] follows the error event of a broken stream",
        ("PRAC-01", "MSTR-10"),
        lambda: Components(relay=DoneAfterBreak),
    ),
)
