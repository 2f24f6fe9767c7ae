"""Streams that the provider broke: three facts that a gateway can get wrong one by one, and may choose within its rights.

The facts are whether an error was signalled, whether a finish was made up, and whether the end mark was sent.
"""

# ruff: noqa: ARG002 - a defect ignores what it ought to look at

from abc import ABC, abstractmethod

from aiohttp import web

from defects.definition import Defect, Variant
from reference_gateway import Components
from reference_gateway.errors import ErrorRenderer
from reference_gateway.failures import Failure
from reference_gateway.jsonwire import encode
from reference_gateway.payment import Payment
from reference_gateway.relay import EventSink, StreamRelay
from reference_gateway.sse import DONE, frame
from reference_gateway.translation.streams import ChatStream, Progress, StreamTranslator


class _EndsChatBreaks(StreamRelay, ABC):
    """Ends a broken chat stream in a way of its own; everything else as documented."""

    async def on_upstream_broken(
        self,
        translator: StreamTranslator,
        payment: Payment,
        sink: EventSink,
        errors: ErrorRenderer,
        failure: Failure,
    ) -> web.StreamResponse:
        plain = not sink.started or translator.progress is not Progress.OPEN
        if plain or not isinstance(translator, ChatStream):
            return await super().on_upstream_broken(translator, payment, sink, errors, failure)
        await payment.release()
        await self.emit(sink, self.last_words(translator, errors, failure))
        return await sink.finish()

    @abstractmethod
    def last_words(self, translator: ChatStream, errors: ErrorRenderer, failure: Failure) -> bytes:
        """What comes behind the last piece."""


class DoneAlone(_EndsChatBreaks):
    """Ends every stream with the marker, in a `finally`."""

    def last_words(self, translator: ChatStream, errors: ErrorRenderer, failure: Failure) -> bytes:
        return DONE


class FinishAlone(_EndsChatBreaks):
    """Has a default finish_reason for streams that brought none, and no marker for want of the provider's."""

    def last_words(self, translator: ChatStream, errors: ErrorRenderer, failure: Failure) -> bytes:
        return translator.delta({}, "stop")


class WholeEndingAfterError(_EndsChatBreaks):
    """Tells of the break, and lets the code that closes every stream run all the same."""

    def last_words(self, translator: ChatStream, errors: ErrorRenderer, failure: Failure) -> bytes:
        return errors.stream_frame(failure) + translator.delta({}, "stop") + DONE


class SaysNothing(_EndsChatBreaks):
    """Ends without an error, a finish or the marker; that all three lack is the sign."""

    def last_words(self, translator: ChatStream, errors: ErrorRenderer, failure: Failure) -> bytes:
        return b""


class ErrorInChunk(_EndsChatBreaks):
    """Puts the error into a last chunk, whose finish_reason is error."""

    def last_words(self, translator: ChatStream, errors: ErrorRenderer, failure: Failure) -> bytes:
        error = {"code": "server_error", "message": failure.message}
        chunk = translator.chunk([{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}])
        return frame(encode({**chunk, "error": error}))


class DoneAfterError(_EndsChatBreaks):
    """Tells of a broken wire and closes the list of events; a provider that stops early gets no marker."""

    async def on_upstream_ended(
        self, translator: StreamTranslator, payment: Payment, sink: EventSink, errors: ErrorRenderer
    ) -> web.StreamResponse:
        return await StreamRelay().on_upstream_ended(translator, payment, sink, errors)

    def last_words(self, translator: ChatStream, errors: ErrorRenderer, failure: Failure) -> bytes:
        return errors.stream_frame(failure) + DONE


class CutsConnection(StreamRelay):
    """Passes a break on as one: the connection of the caller is cut."""

    async def on_upstream_broken(
        self,
        translator: StreamTranslator,
        payment: Payment,
        sink: EventSink,
        errors: ErrorRenderer,
        failure: Failure,
    ) -> web.StreamResponse:
        if not sink.started or translator.progress is not Progress.OPEN:
            return await super().on_upstream_broken(translator, payment, sink, errors, failure)
        await payment.release()
        sink.abort()
        return sink.response


class MessagesInSilence(StreamRelay):
    """Ends a broken message without an error event, on a connection that closes cleanly."""

    async def on_upstream_broken(
        self,
        translator: StreamTranslator,
        payment: Payment,
        sink: EventSink,
        errors: ErrorRenderer,
        failure: Failure,
    ) -> web.StreamResponse:
        plain = not sink.started or translator.progress is not Progress.OPEN
        if plain or isinstance(translator, ChatStream):
            return await super().on_upstream_broken(translator, payment, sink, errors, failure)
        await payment.release()
        return await sink.finish()


DEFECTS = (
    Defect(
        "break-ends-in-done",
        "A chat stream that the provider broke ends with [DONE] and no error",
        ("CSTR-21", "PRAC-01"),
        lambda: Components(relay=DoneAlone),
    ),
    Defect(
        "break-ends-in-finish",
        "A chat stream that the provider broke ends with finish_reason stop and no error",
        ("CSTR-21", "PRAC-01"),
        lambda: Components(relay=FinishAlone),
    ),
    Defect(
        "whole-ending-after-error",
        "An ordinary ending follows the error event of a broken chat stream",
        ("CSTR-21", "PRAC-01"),
        lambda: Components(relay=WholeEndingAfterError),
    ),
    Defect(
        "message-break-in-silence",
        "A broken stream of /v1/messages just ends, without an error event",
        ("MSTR-10",),
        lambda: Components(relay=MessagesInSilence),
    ),
)
VARIANTS = (
    Variant(
        "break-in-silence",
        "A chat stream that the provider broke has neither error nor ending",
        lambda: Components(relay=SaysNothing),
    ),
    Variant(
        "break-told-in-chunk",
        "The error of a broken chat stream is a member of its last chunk",
        lambda: Components(relay=ErrorInChunk),
    ),
    Variant(
        "done-after-told-break",
        "[DONE] follows the error event where the provider's connection broke",
        lambda: Components(relay=DoneAfterError),
    ),
    Variant(
        "break-cuts-connection",
        "A stream that the provider broke is cut off",
        lambda: Components(relay=CutsConnection),
    ),
)
