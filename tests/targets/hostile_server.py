"""Servers that answer a first plain call and are hostile from then on, one way each."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MODEL = "hostile-1"

#: A gigabyte of zeros in one megabyte: as many gzip members, one after the other. A client that unpacks it is lost.
_BOMB = gzip.compress(b"\0" * (16 * 1024 * 1024)) * 64


def _plain() -> bytes:
    body = json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": MODEL,
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
            ],
            "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
        }
    ).encode()
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )


def _endless_stream(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    events = b'10\r\ndata: {"a": 1}\n\n\r\n' * 500
    while True:
        peer.sendall(events)


def _gigabyte(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8589934592\r\n\r\n")
    block = b"0" * 1_000_000
    for _ in range(8590):
        peer.sendall(block)


def _slow_headers(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        peer.sendall(b"X-Padding: 1\r\n")
        time.sleep(0.2)


def _endless_headers(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        peer.sendall(b"X-Padding: " + b"p" * 60_000 + b"\r\n")


def _not_http(peer: socket.socket) -> None:
    peer.sendall(b"220 mail.example ESMTP ready\r\n" * 40)


def _bad_framing(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nno chunk\r\n")


def _redirect(peer: socket.socket) -> None:
    peer.sendall(
        b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:9/v1/chat/completions\r\n"
        b"Content-Length: 0\r\n\r\n"
    )


def _bomb(peer: socket.socket) -> None:
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
        f"Content-Length: {len(_BOMB)}\r\n\r\n"
    )
    peer.sendall(head.encode() + _BOMB)


def _reset(peer: socket.socket) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def _silence(peer: socket.socket) -> None:
    while peer.recv(65536):
        pass


MODES: dict[str, Callable[[socket.socket], None]] = {
    "endless-stream": _endless_stream,
    "gigabyte-body": _gigabyte,
    "slow-headers": _slow_headers,
    "endless-headers": _endless_headers,
    "not-http": _not_http,
    "bad-framing": _bad_framing,
    "redirect": _redirect,
    "compressed-bomb": _bomb,
    "reset": _reset,
    "silence": _silence,
}


class HostileServer:
    """A raw server; `dies_after` closes its door for good after so many calls."""

    def __init__(
        self, mode: str | None, *, healthy: int = 1, dies_after: int | None = None, broken_tls: bool = False
    ) -> None:
        self._answer = MODES[mode] if mode else None
        self._healthy, self._dies_after, self._broken_tls = healthy, dies_after, broken_tls
        self._lock = threading.Lock()
        self.calls = 0
        self.door = socket.create_server(("127.0.0.1", 0))
        self.port = self.door.getsockname()[1]
        self.closing = False
        self.on_call: Callable[[int], None] = lambda _number: None

    @property
    def url(self) -> str:
        """Base URL of chat completions."""
        return f"{'https' if self._broken_tls else 'http'}://127.0.0.1:{self.port}/v1"

    def serve(self) -> None:
        """Accept until closed."""
        while not self.closing:
            try:
                peer, _ = self.door.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(peer,), daemon=True).start()

    def close(self) -> None:
        """Close the door: further connections are refused."""
        self.closing = True
        with contextlib.suppress(OSError):
            self.door.shutdown(socket.SHUT_RDWR)
        self.door.close()

    def _one(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError), peer:
            peer.settimeout(30)
            if self._broken_tls:
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                return
            if not self._request(peer):
                return
            with self._lock:
                self.calls += 1
                number = self.calls
            self.on_call(number)
            if self._dies_after is not None and number > self._dies_after:
                self.close()
                return
            if number <= self._healthy or self._answer is None:
                peer.sendall(_plain())
            else:
                self._answer(peer)

    @staticmethod
    def _request(peer: socket.socket) -> bool:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = peer.recv(65536)
            if not piece:
                return False
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        wanted = int(lengths[0].split(b":")[1]) if lengths else 0
        while len(body) < wanted:
            body += peer.recv(65536)
        return True


@contextmanager
def hostile_server(
    mode: str | None = None,
    *,
    healthy: int = 1,
    dies_after: int | None = None,
    broken_tls: bool = False,
) -> Iterator[HostileServer]:
    """A running hostile server."""
    server = HostileServer(mode, healthy=healthy, dies_after=dies_after, broken_tls=broken_tls)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join(10)
