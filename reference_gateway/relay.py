"""Relays a stream: events go out as they come in, and one place decides how the stream ends.

The endings: complete (settle, then finish and terminator), broken (release, then an error event and no terminator; an
ordinary HTTP error if nothing was sent yet), and the caller leaving (drop the upstream at once, release).
A clean end of the upstream before the finish is a broken one; trouble after the finish no longer matters.
Source: public docs, Streaming and Errors of the chat pages.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from aiohttp import HttpVersion11, web

from reference_gateway.errors import ErrorRenderer
from reference_gateway.failures import Failure, GatewayError, Kind
from reference_gateway.payment import Payment
from reference_gateway.sse import EventTooLargeError, SseReader
from reference_gateway.translation.streams import BrokenStreamError, Progress, StreamTranslator
from reference_gateway.upstream import UpstreamReply

STREAM_HEADERS: Final[Mapping[str, str]] = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}
# Usage and end mark follow the finish at once; an upstream that keeps the line open shall not delay the caller.
TRAILER_GRACE_S: Final = 5.0
# How a stream ended, for those who watch.
COMPLETE: Final = "ok"
BROKEN: Final = Kind.UPSTREAM_FAILED.value
LEFT: Final = "client_left"


class EventSink:
    """The caller's side of a stream; the response begins with the first bytes."""

    outcome = COMPLETE
    #: Whether all of it has been sent.
    finished = False

    def __init__(
        self,
        request: web.Request,
        headers: Mapping[str, str] | None = None,
        on_start: Callable[[], None] | None = None,
    ) -> None:
        self._request = request
        self._on_start = on_start
        self._direct: asyncio.WriteTransport | None = None
        self.response = web.StreamResponse(headers={**STREAM_HEADERS, **(headers or {})})
        if request.version >= HttpVersion11:
            self.response.enable_chunked_encoding()

    @property
    def started(self) -> bool:
        """Whether a status has been sent already."""
        return self.response.prepared

    async def write(self, data: bytes) -> None:
        """Send bytes; raises `ConnectionResetError` when the caller has left."""
        if not self.response.prepared:
            if self._on_start is not None:
                self._on_start()
            await self.response.prepare(self._request)
        await self.response.write(data)
        if self.response.chunked and not self.response.compression:
            self._direct = self._request.transport

    @property
    def is_clear(self) -> bool:
        """Whether the head and everything behind it has left already."""
        direct = self._direct
        return direct is not None and not direct.is_closing() and not direct.get_write_buffer_size()

    def write_now(self, data: bytes) -> bool:
        """Send bytes at once, if everything before them has left already; whether it was done.

        The same bytes as `write` sends, in a third of the time. While anything is left to send, `write` takes care of
        a caller who reads slowly.
        """
        if not self.is_clear:
            return False
        self.push(data)
        return True

    def push(self, data: bytes) -> None:
        """Send bytes at once; for whoever has seen that the way is clear."""
        if data and self._direct is not None:
            self._direct.write(b"%x\r\n%b\r\n" % (len(data), data))

    async def finish(self) -> web.StreamResponse:
        """End the response cleanly."""
        await self.response.write_eof()
        self.finished = True
        return self.response

    def abort(self) -> None:
        """Cut the connection: the caller must see that this is no ending."""
        if self._request.transport is not None:
            self._request.transport.abort()


class StreamRelay:
    """Relays one stream after the other; holds no state of its own."""

    async def relay(
        self,
        upstream: UpstreamReply,
        translator: StreamTranslator,
        payment: Payment,
        sink: EventSink,
        errors: ErrorRenderer,
    ) -> web.StreamResponse:
        """Relay to the end; raises `GatewayError` for a failure before the first byte."""
        try:
            try:
                await self.pump(upstream, translator, sink)
            except (BrokenStreamError, EventTooLargeError) as error:
                failure = Failure(
                    Kind.UPSTREAM_FAILED,
                    f"The reply broke off: {error}. It is safe to retry, nothing was charged.",
                )
                return await self.on_upstream_broken(translator, payment, sink, errors, failure)
            except GatewayError as error:
                return await self.on_upstream_broken(translator, payment, sink, errors, error.failure)
            response = await self.on_upstream_ended(translator, payment, sink, errors)
            await upstream.drain()
            return response  # noqa: TRY300 - the endings belong together
        except ConnectionResetError:
            sink.outcome = LEFT
            self.on_client_left(upstream, payment)
            return sink.response
        except asyncio.CancelledError:
            if not sink.finished:
                sink.outcome = LEFT
            self.on_client_left(upstream, payment)
            raise
        except Exception:
            if sink.started:
                sink.abort()
            raise

    async def pump(self, upstream: UpstreamReply, translator: StreamTranslator, sink: EventSink) -> None:
        """Move events until the upstream ends or says that it has ended; raises `BrokenStreamError`."""
        if upstream.content_type != "text/event-stream":
            raise BrokenStreamError("the upstream did not send an event stream")
        reader, still = SseReader(), Progress.OPEN
        patience: float | None = None

        def take(data: bytes) -> bool:
            """The same as below, there and then, for a caller who keeps up."""
            if not sink.is_clear:
                return False
            for event in reader.feed(data):
                sink.push(translator.feed(event))
            if translator.progress is not still:
                upstream.stop_passing()
            return True

        # Whoever sends in a way of its own is given all there is to send.
        at_once = type(self).emit is StreamRelay.emit
        while True:
            if at_once and translator.progress is Progress.OPEN and sink.is_clear:
                await upstream.pass_on(take)
            if translator.progress is Progress.TERMINATED:
                return
            if translator.progress is Progress.OPEN:
                chunk = await upstream.read_some()
            else:
                if patience is None:
                    patience = asyncio.get_running_loop().time() + TRAILER_GRACE_S
                chunk = await self.read_trailer(upstream, patience)
            if not chunk:
                return
            out = bytearray()
            try:
                for event in reader.feed(chunk):
                    out += translator.feed(event)
            finally:
                # What came before a break is still the caller's.
                await self.emit(sink, bytes(out))

    async def read_trailer(self, upstream: UpstreamReply, until: float) -> bytes:
        """What follows the finish, waited for only for a short while in all: `until` by the loop's clock."""
        try:
            async with asyncio.timeout_at(until):
                return await upstream.read_some()
        except TimeoutError:
            return b""

    async def emit(self, sink: EventSink, data: bytes) -> None:
        """Send what one read of the upstream gave, at once."""
        if data and not sink.write_now(data):
            await sink.write(data)

    async def on_upstream_ended(
        self, translator: StreamTranslator, payment: Payment, sink: EventSink, errors: ErrorRenderer
    ) -> web.StreamResponse:
        """The upstream has closed cleanly: complete if everything was finished, broken otherwise."""
        if translator.progress is Progress.OPEN:
            failure = Failure(
                Kind.UPSTREAM_FAILED,
                "The reply broke off before its end. It is safe to retry, nothing was charged.",
            )
            return await self.on_upstream_broken(translator, payment, sink, errors, failure)
        return await self.on_complete(translator, payment, sink)

    async def on_complete(
        self, translator: StreamTranslator, payment: Payment, sink: EventSink
    ) -> web.StreamResponse:
        """Charge first, then send the ending."""
        await payment.complete(translator.usage)
        translator.charge = payment.charge
        await self.emit(sink, translator.closing())
        return await sink.finish()

    async def on_upstream_broken(
        self,
        translator: StreamTranslator,
        payment: Payment,
        sink: EventSink,
        errors: ErrorRenderer,
        failure: Failure,
    ) -> web.StreamResponse:
        """Give the hold back, then tell the caller: no finish, no terminator, no normal ending."""
        if translator.progress is not Progress.OPEN:
            return await self.on_complete(translator, payment, sink)
        sink.outcome = BROKEN
        await payment.release()
        if not sink.started:
            raise GatewayError(failure)
        await self.emit(sink, errors.stream_frame(failure))
        return await sink.finish()

    def on_client_left(self, upstream: UpstreamReply, payment: Payment) -> None:
        """Stop the upstream at once; nothing was delivered in full, so nothing is charged."""
        upstream.abort()
        payment.abandon()
