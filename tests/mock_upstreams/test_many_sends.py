"""Many writes in one system call: the same bytes as one by one, and as many segments."""

from __future__ import annotations

import re
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import pytest

from mock_upstreams import SimulatorConfig, many_sends
from mock_upstreams.many_sends import send_each

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.mock_upstreams.conftest import Client

    Token = Callable[..., str]

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has sendmmsg")
_DATA_SEGMENTS_IN = 152
"""Where `struct tcp_info` counts the segments with data that have come in."""


class Transport:
    """What `send_each` asks a transport for."""

    def __init__(self, sock: socket.socket, *, waiting: int = 0, tls: object = None) -> None:
        self.sock = sock
        self.waiting = waiting
        self.tls = tls

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def get_extra_info(self, name: str) -> object:
        return {"socket": self.sock, "sslcontext": self.tls}[name]

    def send(self, data: bytes, lengths: list[int]) -> int:
        return send_each(cast("asyncio.Transport", self), data, lengths)


@contextmanager
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    with near, far:
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        near.setblocking(False)
        far.settimeout(10)
        yield near, far


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with connection() as found:
        yield found


def frames(count: int, size: int = 40) -> tuple[bytes, list[int]]:
    parts = [b"%05d;" % number * (size + number % 7) for number in range(count)]
    return b"".join(parts), [len(part) for part in parts]


def received(sock: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size and (data := sock.recv(1 << 20)):
        found += data
    return found


def one_by_one(sock: socket.socket, data: bytes, lengths: list[int]) -> int:
    at = 0
    for length in lengths:
        at += sock.send(data[at : at + length])
    return at


def together(sock: socket.socket, data: bytes, lengths: list[int]) -> int:
    return Transport(sock).send(data, lengths)


@linux
@pytest.mark.parametrize("count", [2, 3, 10, 64])
def test_there_are_as_many_segments_as_if_written_one_by_one(count: int) -> None:
    """The kernel may itself join some of many small writes; it does so in either case."""
    data, lengths = frames(count)
    segments: list[int] = []
    for send in (together, one_by_one):
        with connection() as (near, far):
            assert send(near, data, lengths) == len(data)
            assert received(far, len(data)) == data
            info = far.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
            segments.append(struct.unpack_from("I", info, _DATA_SEGMENTS_IN)[0])
    assert min(segments) >= min(count, 10)
    assert abs(segments[0] - segments[1]) <= count // 10


@linux
def test_the_most_writes_of_one_call_arrive_whole(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    data, lengths = frames(many_sends.MOST)
    assert Transport(near).send(data, lengths) == len(data)
    assert received(far, len(data)) == data


@linux
def test_what_a_slow_reader_has_no_room_for_is_left_over(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    data, lengths = frames(200, 10_000)
    sent = Transport(near).send(data, lengths)
    assert 0 < sent < len(data)
    assert Transport(near).send(data, lengths) == 0
    assert received(far, sent) == data[:sent]


@linux
def test_it_keeps_out_of_the_way_of_what_is_not_plain(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    data, lengths = frames(4)
    assert Transport(near, waiting=1).send(data, lengths) == 0
    assert Transport(near, tls=object()).send(data, lengths) == 0
    assert Transport(near).send(*frames(many_sends.MOST + 1)) == 0
    far.close()
    near.close()
    assert Transport(near).send(data, lengths) == 0


@linux
def test_threads_do_not_mix_their_writes() -> None:
    """Each simulator may run in a thread of its own."""
    wrong: list[int] = []

    def work(number: int) -> None:
        near, far = socket.socketpair()
        with near, far:
            for _ in range(300):
                parts = [b"%d" % number * (20 + k) for k in range(30)]
                data = b"".join(parts)
                if Transport(near).send(data, [len(part) for part in parts]) != len(data):
                    wrong.append(number)
                if received(far, len(data)) != data:
                    wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []


def plain(raw: bytes) -> bytes:
    """An answer without what is its own: the date."""
    return re.sub(rb"date: [^\r]*", b"", raw)


@pytest.mark.parametrize("size", [62 * 4, 62 * 5_000])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
def test_the_bytes_are_the_same_with_and_without_it(
    start: Callable[[SimulatorConfig], AbstractContextManager[Client]],
    token: Token,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    size: int,
) -> None:
    content = token("same", text="é" * size, chunks=62)
    body = {"model": "m", "stream": True, "max_tokens": 9, "messages": [{"role": "user", "content": content}]}
    if path == "/v1/responses":
        body = {"model": "m", "stream": True, "input": content}
    found = []
    for possible in (True, False):
        if not possible:
            monkeypatch.setattr(many_sends, "_IS_POSSIBLE", False)
        with start(SimulatorConfig(clock=1_800_000_000)) as client, client.open(path, body) as sock:
            time.sleep(0.05)  # the reader is slow at first: the rest has to go the usual way
            raw = b""
            while not raw.endswith(b"0\r\n\r\n"):
                raw += sock.recv(1 << 20)
            entry = client.entry("same")
            found.append((plain(raw), entry["events_sent"], entry["ending"], entry["status"]))
    assert found[0] == found[1]
    assert found[0][1:] == (62, "complete", 200) or path == "/v1/responses"


def test_a_stream_over_tls_goes_the_usual_way(
    start: Callable[[SimulatorConfig], AbstractContextManager[Client]], token: Token, tmp_path: Path
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
            "-keyout", key, "-out", certificate,
        ],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    context = ssl.create_default_context(cafile=str(certificate))
    with start(SimulatorConfig(tls_cert=str(certificate), tls_key=str(key))) as client:
        content = token("tls", text="abcdef", chunks=6)
        body = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"%b"}]}' % content.encode()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\nconnection: close\r\n"
        raw = b""
        with context.wrap_socket(client.connect(), server_hostname="127.0.0.1") as sock:
            sock.sendall(head + b"content-length: %d\r\n\r\n%b" % (len(body), body))
            while data := sock.recv(65536):
                raw += data
    assert raw.count(b"data: ") == 9
    assert raw.endswith(b"0\r\n\r\n")
