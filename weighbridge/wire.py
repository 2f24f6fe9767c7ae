"""The wire probe: one HTTP/1.1 exchange over a socket of its own, every byte and its time kept.

No client library tells a reset from a clean close, keeps the valid part of a body before junk, or gives
the arrival time of each read, and those are what verdicts about streams rest on. So this is a small
client on asyncio's protocol layer: one connection per exchange, no redirects, no decompression, no
retries, bounded in time and size.

Framing follows RFC 9112 sections 6 and 7: chunked first, then Content-Length, else until close.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import cast
from urllib.parse import urlsplit

from weighbridge.evidence import Chunk, Ending, Exchange, Headers, Request, Response

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})(?: [^\r\n]*)?\Z")
_MAX_HEAD = 256 * 1024


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Bounds of one exchange, in seconds; the reasons are in `tolerances`."""

    connect: float = 10.0
    first_byte: float = 120.0
    total: float = 300.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds, so that no target can fill our memory.

    Attributes:
        body: bytes of one body.
        reads: pieces of one body; each costs more than its bytes.
        kept: bytes that are kept of a body that went past a bound, or that had no end in time.
    """

    body: int = 24 * 1024 * 1024
    reads: int = 100_000
    kept: int = 128 * 1024


@dataclass(frozen=True, slots=True)
class Leave:
    """When to hang up on purpose.

    Attributes:
        after_chunks: after so many reads that carried body bytes; 0 leaves as soon as the head is there.
        after_s: so many seconds after the request was sent, whatever has come by then.
        at: once these bytes stand in the body.
    """

    after_chunks: int | None = None
    after_s: float | None = None
    at: bytes | None = None

    def now(self, reader: ResponseReader) -> bool:
        """Whether what was read so far is what was waited for."""
        if self.after_chunks is not None and reader.status is not None:
            return len(reader.chunks) >= self.after_chunks
        return self.at is not None and self.at in b"".join(chunk.data for chunk in reader.chunks)


class _Framing(Enum):
    HEAD = auto()
    LENGTH = auto()
    CHUNK_SIZE = auto()
    CHUNK_DATA = auto()
    CHUNK_END = auto()
    TRAILER = auto()
    UNTIL_CLOSE = auto()
    DONE = auto()


class _InvalidHTTPError(Exception):
    """The peer's bytes are no HTTP/1.1 response."""


class ResponseReader:
    """Incremental reader of one response; pure, fed with bytes and the time of their arrival."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.status: int | None = None
        self.headers: Headers = ()
        self.chunks: list[Chunk] = []
        #: Whether the body went past a limit.
        self.too_large = False
        self.head_at: float | None = None
        self._limits = limits or Limits()
        self._buffer = bytearray()
        self._framing = _Framing.HEAD
        self._left = 0
        self._received = 0
        self._body = bytearray()

    @property
    def done(self) -> bool:
        """Whether the message is whole by its own framing."""
        return self._framing is _Framing.DONE

    def feed(self, at: float, data: bytes) -> None:
        """Take bytes from the socket.

        Raises:
            _InvalidHTTPError: they are not HTTP.
        """
        self._buffer += data
        steps: dict[_Framing, Callable[[float], bool]] = {
            _Framing.HEAD: self._read_head,
            _Framing.LENGTH: self._read_length,
            _Framing.CHUNK_SIZE: self._read_chunk_size,
            _Framing.CHUNK_DATA: self._read_length,
            _Framing.CHUNK_END: self._read_chunk_end,
            _Framing.TRAILER: self._read_trailer,
            _Framing.UNTIL_CLOSE: self._read_all,
        }
        while (step := steps.get(self._framing)) is not None and step(at):
            pass
        if self._body:
            self.chunks.append(Chunk(at, bytes(self._body)))
            self._body.clear()
        if self.too_large or len(self.chunks) > self._limits.reads:
            self.too_large = True
            self.forget()
        if self.done and self._buffer:
            self._buffer.clear()  # what comes after a whole message is no part of it

    def forget(self) -> None:
        """Keep the beginning of a body that is too large to be evidence."""
        left = self._limits.kept
        kept: list[Chunk] = []
        for chunk in self.chunks:
            if left <= 0:
                break
            kept.append(Chunk(chunk.at, chunk.data[:left]))
            left -= len(chunk.data)
        self.chunks[:] = kept
        self._buffer.clear()

    def eof(self) -> bool:
        """The peer closed its side; returns whether the message is whole."""
        if self._framing is _Framing.UNTIL_CLOSE:
            self._framing = _Framing.DONE
        return self.done

    def _read_head(self, at: float) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _MAX_HEAD:
                raise _InvalidHTTPError("a response head of more than 256 KiB")
            start = bytes(self._buffer[:5])
            if not b"HTTP/".startswith(start) and start != b"HTTP/":
                raise _InvalidHTTPError(f"the reply begins with {bytes(self._buffer[:24])!r}, not HTTP/")
            return False
        lines = bytes(self._buffer[:end]).split(b"\r\n")
        del self._buffer[: end + 4]
        match = _STATUS_LINE.match(lines[0])
        if match is None:
            raise _InvalidHTTPError(f"the status line is {lines[0][:80]!r}")
        status = int(match[1])
        if 100 <= status < 200:
            return True
        self.status = status
        self.headers = tuple(self._header(line) for line in lines[1:])
        self.head_at = at
        self._choose_framing()
        return True

    @staticmethod
    def _header(line: bytes) -> tuple[str, str]:
        name, colon, value = line.partition(b":")
        if not colon or not name or name != name.strip():
            raise _InvalidHTTPError(f"a header line is {line[:80]!r}")
        return name.decode("latin-1"), value.strip().decode("latin-1")

    def _choose_framing(self) -> None:
        values = {name.lower(): value for name, value in self.headers}
        if self.status in {204, 304}:
            self._framing = _Framing.DONE
        elif values.get("transfer-encoding", "").lower().endswith("chunked"):
            self._framing = _Framing.CHUNK_SIZE
        elif "content-length" in values:
            if not values["content-length"].isdigit():
                raise _InvalidHTTPError(f"Content-Length is {values['content-length']!r}")
            self._left = int(values["content-length"])
            self._framing = _Framing.LENGTH if self._left else _Framing.DONE
        else:
            self._framing = _Framing.UNTIL_CLOSE

    def _take(self, count: int) -> None:
        self._received += count
        self.too_large = self.too_large or self._received > self._limits.body
        if not self.too_large:
            self._body += self._buffer[:count]
        del self._buffer[:count]

    def _read_length(self, _at: float) -> bool:
        count = min(self._left, len(self._buffer))
        self._take(count)
        self._left -= count
        if self._left:
            return False
        self._framing = _Framing.DONE if self._framing is _Framing.LENGTH else _Framing.CHUNK_END
        return True

    def _read_chunk_size(self, _at: float) -> bool:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > 4096:
                raise _InvalidHTTPError("a chunk size line of more than 4 KiB")
            return False
        text = bytes(self._buffer[:end]).partition(b";")[0].strip()
        del self._buffer[: end + 2]
        try:
            self._left = int(text, 16)
        except ValueError:
            raise _InvalidHTTPError(f"a chunk size is {text[:40]!r}") from None
        self._framing = _Framing.CHUNK_DATA if self._left else _Framing.TRAILER
        return True

    def _read_chunk_end(self, _at: float) -> bool:
        if len(self._buffer) < 2:
            return False
        if self._buffer[:2] != b"\r\n":
            raise _InvalidHTTPError(f"a chunk is followed by {bytes(self._buffer[:8])!r}")
        del self._buffer[:2]
        self._framing = _Framing.CHUNK_SIZE
        return True

    def _read_trailer(self, _at: float) -> bool:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return False
        del self._buffer[: end + 2]
        if end == 0:
            self._framing = _Framing.DONE
        return True

    def _read_all(self, _at: float) -> bool:
        self._take(len(self._buffer))
        return False


class _Connection(asyncio.Protocol):
    """Feeds the reader and resolves `over` with how it ended."""

    def __init__(self, reader: ResponseReader, epoch: float, leave: Leave | None) -> None:
        self.reader = reader
        self.over: asyncio.Future[tuple[Ending, str]] = asyncio.get_running_loop().create_future()
        self.first_byte = asyncio.Event()
        self.transport: asyncio.Transport | None = None
        self._epoch = epoch
        self._leave = leave

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # create_connection gives no other

    def data_received(self, data: bytes) -> None:
        self.first_byte.set()
        try:
            self.reader.feed(time.perf_counter() - self._epoch, data)
        except _InvalidHTTPError as error:
            self._end(Ending.INVALID, str(error))
            return
        if self.reader.too_large:
            self._end(Ending.TOO_LARGE, "the body went past the size limit")
        elif self.reader.done:
            self._end(Ending.COMPLETE, "")
        elif self._leave is not None and self._leave.now(self.reader):
            self.leave()

    def leave(self) -> None:
        """Hang up on purpose."""
        self._end(Ending.LEFT, "we hung up")

    def eof_received(self) -> None:
        whole = self.reader.eof()
        self._end(
            Ending.COMPLETE if whole else Ending.CLOSED,
            "" if whole else "closed before the message was whole",
        )

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._end(Ending.RESET, f"{type(exc).__name__}: {exc}")
        else:
            self.eof_received()

    def _end(self, ending: Ending, detail: str) -> None:
        self.first_byte.set()
        if not self.over.done():
            self.over.set_result((ending, detail))


def render(request: Request) -> bytes:
    """The request's bytes: head and body, with Host and Content-Length."""
    parts = urlsplit(request.url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    names = {name.lower() for name, _ in request.headers}
    lines = [f"{request.method} {path} HTTP/1.1", f"Host: {parts.netloc.rpartition('@')[2]}"]
    lines += [f"{name}: {value}" for name, value in request.headers]
    if "content-length" not in names and (request.body or request.method in {"POST", "PUT", "PATCH"}):
        lines.append(f"Content-Length: {len(request.body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + request.body


async def exchange(
    request: Request,
    *,
    id: str,  # noqa: A002 - the field's name in the evidence
    epoch: float,
    timeouts: Timeouts,
    limits: Limits | None = None,
    leave: Leave | None = None,
    tls: ssl.SSLContext | None = None,
) -> Exchange:
    """Send one request and record everything that comes back. Never raises for what a peer does.

    Args:
        request: what to send, secrets included (the caller redacts before it stores).
        id: correlation id of the exchange.
        epoch: `time.perf_counter()` at the start of the run.
        timeouts: bounds in seconds.
        limits: bounds in bytes.
        leave: when to hang up on purpose.
        tls: context for https URLs; the system's default one if None.
    """
    parts = urlsplit(request.url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    started = time.perf_counter()
    reader = ResponseReader(limits)
    loop = asyncio.get_running_loop()
    connection: _Connection | None = None
    ending, detail = Ending.REFUSED, ""
    clock: asyncio.TimerHandle | None = None
    try:
        async with asyncio.timeout(timeouts.connect):
            _, connection = await loop.create_connection(
                lambda: _Connection(reader, started, leave),
                parts.hostname or "",
                port,
                ssl=(tls or ssl.create_default_context()) if secure else None,
            )
    except TimeoutError:
        detail = f"no connection to {parts.hostname}:{port} within {timeouts.connect:g} s"
    except OSError as error:
        detail = f"no connection to {parts.hostname}:{port}: {error.strerror or error}"
    except UnicodeError as error:  # a URL out of a reply, whose host no resolver takes
        detail = f"no connection to {parts.hostname}:{port}: no host name ({error})"
    if connection is not None and connection.transport is not None:
        try:
            started = time.perf_counter()
            connection._epoch = started  # noqa: SLF001 - same module; times count from the first byte sent
            connection.transport.write(render(request))
            if leave is not None and leave.after_s is not None:
                clock = loop.call_later(leave.after_s, connection.leave)
            try:
                async with asyncio.timeout(timeouts.first_byte):
                    await connection.first_byte.wait()
                async with asyncio.timeout(timeouts.total):
                    ending, detail = await connection.over
            except TimeoutError:
                kind = "no first byte" if not connection.first_byte.is_set() else "not finished"
                bound = timeouts.first_byte if not connection.first_byte.is_set() else timeouts.total
                ending, detail = Ending.TIMEOUT, f"{kind} within {bound:g} s"
                reader.forget()
        finally:
            if clock is not None:
                clock.cancel()
            connection.transport.abort() if ending is Ending.LEFT else connection.transport.close()
            if not connection.over.done():
                connection.over.cancel()
    return Exchange(
        id=id,
        request=request,
        response=None
        if reader.status is None
        else Response(reader.status, reader.headers, tuple(reader.chunks)),
        ending=ending,
        started=started - epoch,
        ended_at=time.perf_counter() - started,
        head_at=reader.head_at,
        detail=detail,
    )
