"""Two clients that cost next to nothing: a blocking one for latencies, an event-driven one for load and streams.

A client library would add more time than the gateway under measurement. Both know just enough HTTP/1.1 for the replies
of a benchmark: a status line, Content-Length or chunked, a connection that stays open.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, cast
from urllib.parse import urlsplit

_HEAD_END: Final = b"\r\n\r\n"
_LAST_CHUNK: Final = b"0\r\n\r\n"
_TIMEOUT_S: Final = 30.0
_READ: Final = 256 * 1024


class BadReplyError(RuntimeError):
    """An answer that is no success; measuring it would measure something else."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where chat calls go: base URL ending in /v1, the key, further headers."""

    name: str
    url: str
    key: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "127.0.0.1", parts.port or 80

    def request(self, *, stream: bool, prompt: str, model: str = "gpt-5.5") -> bytes:
        """A whole chat call as bytes."""
        body = json.dumps(
            {"model": model, "messages": [{"role": "user", "content": prompt}], "stream": stream}
        ).encode()
        host, port = self.address
        head = [
            f"POST {urlsplit(self.url).path}/chat/completions HTTP/1.1",
            f"Host: {host}:{port}",
            f"Authorization: Bearer {self.key}",
            "Content-Type: application/json",
            "Accept: */*",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        return ("\r\n".join(head) + "\r\n\r\n").encode() + body


def _status_of(head: bytes) -> int:
    return int(head[9:12])


def _complete(head: bytes, body: bytes) -> bool:
    lowered = head.lower()
    if b"transfer-encoding: chunked" in lowered:
        return body.endswith(_LAST_CHUNK)
    _, _, rest = lowered.partition(b"content-length:")
    return bool(rest) and len(body) >= int(rest.split(b"\r\n", 1)[0])


class BlockingCaller:
    """One connection, one call at a time: the least noise that a client in Python can have."""

    def __init__(self, endpoint: Endpoint, request: bytes) -> None:
        self._endpoint = endpoint
        self._request = request
        self._socket = socket.create_connection(endpoint.address, timeout=_TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        self._socket.close()

    def call(self) -> tuple[float, float]:
        """Seconds until the first byte of the body and until its last one; raises `BadReplyError`."""
        read = self._socket.recv
        data = b""
        first = 0.0
        began = time.perf_counter()
        self._socket.sendall(self._request)
        while True:
            part = read(_READ)
            now = time.perf_counter()
            if not part:
                raise BadReplyError(f"{self._endpoint.name} closed the connection: {data[:200]!r}")
            data += part
            head, found, body = data.partition(_HEAD_END)
            if not found:
                continue
            if not first and body:
                first = now - began
            if _complete(head, body):
                if _status_of(head) != 200:
                    raise BadReplyError(f"{self._endpoint.name} answered {data[:300]!r}")
                return first, now - began


class Connection(asyncio.Protocol):
    """One open connection for load and for streams: calls `on_data(self, bytes, now)` and `on_done(self)`."""

    def __init__(
        self,
        request: bytes,
        on_done: Callable[[Connection], bool],
        on_data: Callable[[Connection, bytes, float], None] | None = None,
    ) -> None:
        self.request = request
        self.failure: str | None = None
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._on_done = on_done
        self._on_data = on_data
        self._head = b""
        self._tail = b""
        self._left = -1
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._begin()

    def _begin(self) -> None:
        self._head, self._tail, self._left = b"", b"", -1
        assert self._transport is not None  # noqa: S101 - set before the first call
        self._transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        if self._left == -1:
            self._head += data
            head, found, data = self._head.partition(_HEAD_END)
            if not found:
                return
            if _status_of(head) != 200:
                self.stop(f"answered {self._head[:300]!r}")
                return
            lowered = head.lower()
            _, _, rest = lowered.partition(b"content-length:")
            self._left = -2 if b"transfer-encoding: chunked" in lowered else int(rest.split(b"\r\n", 1)[0])
        if data and self._on_data is not None:
            self._on_data(self, data, now)
        if self._left == -2:
            self._tail = (self._tail + data)[-len(_LAST_CHUNK) :]
            done = self._tail == _LAST_CHUNK
        else:
            self._left -= len(data)
            done = self._left <= 0
        if done:
            if self._on_done(self):
                self._begin()
            else:
                self.stop(None)

    def stop(self, failure: str | None) -> None:
        """Close; a failure is reported to whoever waits for `closed`."""
        self.failure = self.failure or failure
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - what counts is that it is closed
        if not self.closed.done():
            self.closed.set_result(None)
