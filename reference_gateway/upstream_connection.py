"""Connections to providers that pass the chunks of a stream on as they are read, without waking a task for each.

The client library parses a body into a buffer and wakes whoever reads it, which for an event of a stream takes longer than
all that is done with the event. A connection of this module lets the library connect, send, and parse the head, and from
there on reads the chunks of a chunked body itself. Each goes to the function that waits for it, or into the library's
buffer, with the library's back-pressure, when nobody waits or the function has no room. From the last chunk on, and from
anything that is no plain chunk, the library's parser reads again: it has seen nothing since the chunk before, so it judges
the end of the body and everything odd. The two ways differ in speed only; tests run on both.

`connector` says whether the installed library can be given such connections; if it cannot, the gateway does without.
"""

import asyncio
import functools
import re
from collections.abc import Callable
from typing import Any, Final, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler

Take = Callable[[bytes], bool]

_HEAD_END: Final = b"\r\n\r\n"
_CHUNK_END: Final = b"\r\n"
_MOST_SIZE_BYTES: Final = 10
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,7})\r\n")
# A longer first read is more than a head and an event or two; it is not kept to be looked at.
_MOST_FIRST_BYTES: Final = 16 * 1024


class BrokenChunkError(ValueError):
    """A chunk is longer than it said."""


class ChunkReader:
    """Takes the chunks of a body out of their frames, however the bytes were cut."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        # Of the chunk that has begun, with the line end behind it.
        self._left = 0

    @property
    def between(self) -> bool:
        """Whether the next byte begins a chunk."""
        return self._left == 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Content, and from where it stops being plain chunks the rest as it came; raises `BrokenChunkError`."""
        if not self._left:
            # The usual case: what one write of the provider sent, in one read.
            at = data.find(_CHUNK_END, 0, _MOST_SIZE_BYTES)
            size = len(data) - at - 2 * len(_CHUNK_END)
            if size > 0 and data.startswith(b"%x\r\n" % size) and data.endswith(_CHUNK_END):
                return data[at + len(_CHUNK_END) : -len(_CHUNK_END)], b""
        return self._feed_pieces(data)

    def _feed_pieces(self, data: bytes) -> tuple[bytes, bytes]:
        parts: list[bytes] = []
        at = 0
        while at < len(data):
            if not self._left:
                size = _SIZE.match(data, at)
                length = 0 if size is None else int(size[1], 16)
                if size is None or not length:
                    return b"".join(parts), data[at:]
                at, self._left = size.end(), length + len(_CHUNK_END)
            end = min(at + self._left, len(data))
            content = min(max(self._left - len(_CHUNK_END), 0), end - at)
            parts.append(data[at : at + content])
            self._left -= end - at
            line_end = data[at + content : end]
            begun = len(_CHUNK_END) - self._left - len(line_end)
            if line_end and line_end != _CHUNK_END[begun : begun + len(line_end)]:
                raise BrokenChunkError
            at = end
        return b"".join(parts), b""


class DirectConnection(ResponseHandler):
    """One connection to a provider."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        # All that was read of a reply while that was one read: empty before it, None after a second.
        self._seen: bytes | None = None
        self._chunks: ChunkReader | None = None
        self._content: aiohttp.StreamReader | None = None
        self._take: Take | None = None
        self._passing: asyncio.Future[None] | None = None

    def set_response_params(self, **settings: Any) -> None:
        """Make ready for the next reply."""
        self._seen, self._chunks, self._content = b"", None, None
        super().set_response_params(**settings)

    def take_over(self, response: aiohttp.ClientResponse) -> bool:
        """Read the body from here on, if it comes in chunks and it is known that the next byte begins one."""
        seen, self._seen = self._seen, None
        _, found, body = (seen or b"").partition(_HEAD_END)
        if not found or response.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return False
        chunks = ChunkReader()
        try:
            content, rest = chunks.feed(body)
        except BrokenChunkError:
            return False
        if rest or not chunks.between or len(content) != response.content.total_bytes:
            return False
        self._chunks, self._content = chunks, response.content
        return True

    async def pass_on(self, take: Take) -> None:
        """Give what is read to `take` until it returns False or raises, the reply ends, or `stop` is called.

        What `take` did not want is in the library's buffer, which must be empty when this is called.
        """
        if self._chunks is None or self.transport is None:
            return
        self._passing = passing = self._loop.create_future()
        self._take = take
        try:
            await passing
        finally:
            self._take = self._passing = None

    def stop(self) -> None:
        """Let `pass_on` return."""
        self._take = None
        if self._passing is not None and not self._passing.done():
            self._passing.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Read."""
        if self._chunks is None or not data:
            if data:
                is_first = self._seen == b"" and len(data) <= _MOST_FIRST_BYTES
                self._seen = data if is_first else None
            super().data_received(data)
            return
        try:
            content, rest = self._chunks.feed(data)
            if content and self._take is not None and self._take(content):
                content = b""
        except Exception as error:  # noqa: BLE001 - whoever waits for the stream is told
            self._fail(error)
            return
        if content and self._content is not None:
            self._content.feed_data(content)
            self.stop()
        if rest:
            self._chunks = None
            super().data_received(rest)
            self.stop()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let the library tell how the reply ended."""
        self._chunks = None
        super().connection_lost(exc)
        self.stop()

    def _fail(self, error: Exception) -> None:
        """Read no more of this reply; a broken chunk breaks the body, anything else is of `take`."""
        passing, self._take = self._passing, None
        if isinstance(error, BrokenChunkError):
            self._chunks = None
            self.force_close()
            if self._content is not None:
                self._content.set_exception(
                    aiohttp.ClientPayloadError("a chunk is longer than it said"), error
                )
            self.stop()
        elif passing is not None and not passing.done():
            passing.set_exception(error)


def connector(most_connections: int) -> aiohttp.TCPConnector:
    """A pool of such connections, or of the library's own if the library is not built as this module expects."""
    pool = aiohttp.TCPConnector(limit=most_connections)
    if is_possible(pool):
        make = functools.partial(DirectConnection, loop=asyncio.get_running_loop())
        pool._factory = cast("functools.partial[ResponseHandler]", make)  # noqa: SLF001 - see above
    return pool


def is_possible(pool: aiohttp.TCPConnector) -> bool:
    """Whether connections are made, and told of each request, in the way that this module knows."""
    factory = getattr(pool, "_factory", None)
    return getattr(factory, "func", None) is ResponseHandler and hasattr(
        ResponseHandler, "set_response_params"
    )
