"""The wire probe: one HTTP/1.1 exchange over a socket of its own, every byte and its time kept.

No client library tells a reset from a clean close, keeps the valid part of a body before junk, or gives
the arrival time of each read, and those are what verdicts about streams rest on. So this is a small
client on asyncio's protocol layer: one connection per exchange, no redirects, no decompression, no
retries, bounded in time and size. What the bytes mean is in `response_reader`.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

from weighbridge.evidence import Ending, Exchange, Request, Response
from weighbridge.response_reader import InvalidHTTPError, Limits, ResponseReader


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Bounds of one exchange, in seconds; the reasons are in `tolerances`."""

    connect: float = 10.0
    first_byte: float = 120.0
    total: float = 300.0


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
        except InvalidHTTPError as error:
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
