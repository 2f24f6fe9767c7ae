"""Every trick with the transport, in one place.

Bytes go straight to the transport as this module frames them: that is faster than the server library's own
writer, and it is the only way to break a response on purpose in a known manner. The library is handed a response
that has already been sent (`Sent`), through methods that it offers for overriding.

Nothing here waits: what has to wait (for a slow reader, for bytes to be delivered) is asked again later.
"""

import asyncio
import fcntl
import functools
import http
import itertools
import socket
import struct
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from typing import Final

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from mock_upstreams.many_sends import send_each
from mock_upstreams.plans import Event, Script, chunk
from mock_upstreams.stencils import Stamped

_RST_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_SIOCOUTQNSD: Final = 0x894B
HIGH_WATER: Final = 256 * 1024
"""Bytes waiting in a transport at which a stream is parked until its reader catches up."""

BODILESS: Final = frozenset({204, 304})
"""Statuses whose answers have neither a body nor its length."""

_REASONS: Final = {status.value: status.phrase for status in http.HTTPStatus}


class CallerLeft(Exception):  # noqa: N818 - an event of the exchange, not a failure of the program
    """The connection is gone, so nothing can be written any more."""


class Sent(web.StreamResponse):
    """Tells the server library that the response is on the wire already."""

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._persistent = keep_alive

    @property
    def keep_alive(self) -> bool:
        return self._persistent

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        del request
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        del data


class _Clock:
    """The Date header, formatted once a second."""

    __slots__ = ("line", "second")

    def __init__(self) -> None:
        self.second = 0
        self.line = b""

    def date_line(self) -> bytes:
        now = int(time.time())
        if now != self.second:
            self.second = now
            self.line = b"date: %b\r\n" % formatdate(now, usegmt=True).encode()
        return self.line


_CLOCK: Final = _Clock()


@dataclass(frozen=True, slots=True)
class Writes:
    """Bytes to be sent at once, in writes of these lengths."""

    data: bytes
    lengths: Sequence[int]


@functools.lru_cache(maxsize=256)
def _opening(status: int, headers: tuple[tuple[str, str], ...]) -> bytes:
    """The status line and these headers."""
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}\r\n"]
    lines += [f"{name}: {value}\r\n" for name, value in headers]
    return "".join(lines).encode("utf-8", "replace")


class Wire:
    """The response side of one request; `is_11` says whether the caller understands HTTP/1.1."""

    __slots__ = ("_is_11", "_transport", "chunked", "keep_alive")

    def __init__(self, transport: asyncio.Transport, *, is_11: bool, keep_alive: bool) -> None:
        self._transport = transport
        self._is_11 = is_11
        self.chunked = False
        self.keep_alive = keep_alive

    def head(self, status: int, headers: tuple[tuple[str, str], ...], length: int | None) -> bytes:
        """The status line and headers; chunked framing if `length` is None and the caller can read it."""
        self.chunked = length is None and self._is_11
        if status in BODILESS:
            length = None
        framing = ""
        if self.chunked:
            framing = "transfer-encoding: chunked\r\n"
        elif length is not None:
            framing = f"content-length: {length}\r\n"
        elif status not in BODILESS:
            self.keep_alive = False
        if not self.keep_alive:
            framing += "connection: close\r\n"
        elif not self._is_11:
            framing += "connection: keep-alive\r\n"
        # All but the last header, which is the request's own id, recur from call to call.
        own = f"{headers[-1][0]}: {headers[-1][1]}\r\n{framing}" if headers else framing
        return b"%b%b%b\r\n" % (
            _opening(status, headers[:-1]),
            own.encode("utf-8", "replace"),
            _CLOCK.date_line(),
        )

    def framed(self, events: Collection[Event]) -> Iterator[Event]:
        """The events as they go out; known once the head is."""
        if not self.chunked:
            return iter(events)
        if isinstance(events, Script | Stamped):
            return events.chunked()
        return ((kind, chunk(data)) for kind, data in events)

    def framed_whole(self, head: bytes, events: Collection[Event], *, merge: bool) -> Writes:
        """A whole answer and the writes that it takes: one if merged, else one an event; its head goes with the first."""
        end = self.terminator
        if self.chunked and isinstance(events, Script | Stamped):
            data = events.joined(head, end)
            lengths = None if merge or len(events) < 2 else events.lengths()
        else:
            parts = [part for _, part in self.framed(events)]
            data = b"".join([head, *parts, end])
            lengths = None if merge or len(parts) < 2 else list(map(len, parts))
        if lengths is None:
            return Writes(data, (len(data),))
        lengths[0] += len(head)
        lengths[-1] += len(end)
        return Writes(data, lengths)

    @property
    def terminator(self) -> bytes:
        return b"0\r\n\r\n" if self.chunked else b""

    @property
    def is_gone(self) -> bool:
        return self._transport.is_closing()

    def write(self, data: bytes) -> None:
        if self._transport.is_closing():
            raise CallerLeft
        self._transport.write(data)

    def writer(self) -> Callable[[bytes], None] | None:
        """What writes, for use in this turn of the loop; None if the reader is too slow."""
        transport = self._transport
        if transport.is_closing():
            raise CallerLeft
        return transport.write if transport.get_write_buffer_size() <= HIGH_WATER else None

    def write_all(self, writes: Writes) -> None:
        """All of them, each on its own: with one system call where that is possible."""
        transport, data, lengths = self._transport, writes.data, writes.lengths
        is_closing, write = transport.is_closing, transport.write
        if is_closing():
            raise CallerLeft
        if len(lengths) == 1:
            write(data)
            return
        sent = send_each(transport, data, lengths)
        if sent == len(data):
            return
        for start, end in itertools.pairwise(itertools.accumulate(lengths, initial=0)):
            if end > sent:
                if is_closing():
                    raise CallerLeft
                write(data[max(start, sent) : end])

    def is_clogged(self) -> bool:
        return self._transport.get_write_buffer_size() > HIGH_WATER

    def is_delivered(self) -> bool:
        """Whether the kernel has sent all that was written, or nothing can be sent any more."""
        transport = self._transport
        return transport.is_closing() or (transport.get_write_buffer_size() == 0 and self._unsent() == 0)

    def _unsent(self) -> int:
        sock: socket.socket | None = self._transport.get_extra_info("socket")
        if sock is None or sys.platform != "linux":
            return 0
        return int(struct.unpack("i", fcntl.ioctl(sock.fileno(), _SIOCOUTQNSD, b"\0\0\0\0"))[0])

    def reset(self) -> None:
        """End with RST: linger 0 makes the kernel drop the connection instead of closing it."""
        sock: socket.socket | None = self._transport.get_extra_info("socket")
        if sock is not None and not self._transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
        self.keep_alive = False
        self._transport.abort()

    def close(self) -> None:
        """End with FIN, after what was written."""
        self.keep_alive = False
        self._transport.close()

    def abort(self) -> None:
        self.keep_alive = False
        self._transport.abort()

    def sent(self) -> Sent:
        return _SENT_KEEP if self.keep_alive else NOTHING_SENT


_SENT_KEEP: Final = Sent(keep_alive=True)
NOTHING_SENT: Final = Sent(keep_alive=False)
"""Ends the connection without another word."""
