"""The load-test package by its name, and a hostile server whose every byte a test decides."""

import importlib.util
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import pytest

from weighbridge.locate import folder

if "loadtests" not in sys.modules:
    _here = folder("loadtests")
    _spec = importlib.util.spec_from_file_location(
        "loadtests", _here / "__init__.py", submodule_search_locations=[str(_here)]
    )
    assert _spec is not None
    assert _spec.loader is not None
    sys.modules["loadtests"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["loadtests"])

#: Answers one request; true keeps the connection for another one.
Script = Callable[[socket.socket], bool]


def reset(peer: socket.socket) -> bool:
    """Close with RST."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def read_request(peer: socket.socket) -> bytes:
    """One whole request; empty bytes when the caller left."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = peer.recv(65536)
        if not piece:
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = int((head.lower().partition(b"\r\ncontent-length: ")[2] or b"0").split(b"\r\n")[0])
    while len(body) < length:
        body += peer.recv(65536)
    return head + b"\r\n\r\n" + body


class Hostile:
    """Listens on a free port; runs a script for each request of each connection."""

    def __init__(self) -> None:
        self.script: Script = reset
        self.requests: list[bytes] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._peers: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._peers.append(peer)
            thread = threading.Thread(target=self._serve, args=(peer,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, peer: socket.socket) -> None:
        with closing(peer):
            try:
                while request := read_request(peer):
                    self.requests.append(request)
                    if not self.script(peer):
                        return
            except OSError:
                return  # the client left, or a test is over

    def close(self) -> None:
        if self._listener.fileno() < 0:
            return
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(5)
        for peer in self._peers:
            with suppress(OSError), closing(peer):
                peer.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)


@pytest.fixture
def hostile() -> Iterator[Hostile]:
    server = Hostile()
    try:
        yield server
    finally:
        server.close()
