"""The short way from a request to its answer: taken when it can be, left when it must be, and never visible outside."""

from __future__ import annotations

import json
import re
import socket
import struct
import time
from typing import TYPE_CHECKING, Any

import pytest

from mock_upstreams import Simulator, SimulatorConfig
from mock_upstreams import direct as direct_module

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.mock_upstreams.conftest import Client

    Start = Callable[[SimulatorConfig], AbstractContextManager[Client]]
    Token = Callable[..., str]

PATH = "/v1/chat/completions"


def call(content: str, *, stream: bool = False) -> bytes:
    body = {"model": "m", "stream": stream, "messages": [{"role": "user", "content": content}]}
    return json.dumps(body).encode()


def request(body: bytes, *headers: str, method: str = "POST") -> bytes:
    lines = [f"{method} {PATH} HTTP/1.1", "host: a", "authorization: Bearer k", *headers]
    lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def texts(sock: socket.socket, count: int) -> list[str]:
    """The contents of `count` unstreamed answers, in order."""
    received = b""
    while received.count(b'"system_fingerprint"') < count or not received.endswith(b"}"):
        data = sock.recv(65536)
        assert data, f"the connection ended after {received!r}"
        received += data
    return re.findall(r'"content":"([^"]*)"', received.decode())


def taken_the_long_way(simulator: Simulator) -> int:
    assert simulator._runner is not None
    server = simulator._runner.server
    assert server is not None
    return server.requests_count


def settle(sock: socket.socket, token: Token) -> None:
    """One answered call: the connection is at rest after it."""
    sock.sendall(request(call(token("first", text="first"))))
    assert texts(sock, 1) == ["first"]


def test_a_plain_call_takes_the_short_way(direct: Client, token: Token) -> None:
    with direct.connect() as sock:
        settle(sock, token)
        before = taken_the_long_way(direct.simulator)
        for word in ("one", "two", "three"):
            sock.sendall(request(call(token(word, text=word))))
            assert texts(sock, 1) == [word]
        assert taken_the_long_way(direct.simulator) == before


@pytest.mark.parametrize("step", [1, 7, 120])
def test_a_call_may_arrive_in_pieces(direct: Client, token: Token, step: int) -> None:
    data = request(call(token("pieces", text="whole")))
    with direct.connect() as sock:
        settle(sock, token)
        before = taken_the_long_way(direct.simulator)
        for start in range(0, len(data), step):
            sock.sendall(data[start : start + step])
            time.sleep(0.0005)
        assert texts(sock, 1) == ["whole"]
        assert taken_the_long_way(direct.simulator) == before


def test_a_chunked_body_is_read_as_well(direct: Client, token: Token) -> None:
    body = call(token("chunked", text="whole"))
    head = f"POST {PATH} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer k\r\ntransfer-encoding: chunked\r\n\r\n"
    with direct.connect() as sock:
        settle(sock, token)
        sock.sendall(head.encode() + b"%x\r\n%b\r\n" % (len(body), body))
        time.sleep(0.01)
        sock.sendall(b"0\r\n\r\n")
        assert texts(sock, 1) == ["whole"]
    assert direct.entry("chunked")["body"] == body.decode()


@pytest.mark.parametrize("size", [100_000, 1_000_000])
def test_a_long_body_takes_the_long_way(direct: Client, token: Token, size: int) -> None:
    with direct.connect() as sock:
        settle(sock, token)
        sock.sendall(request(call("x" * size + token("long", text="whole"))))
        assert texts(sock, 1) == ["whole"]
        sock.sendall(request(call(token("after", text="after"))))
        assert texts(sock, 1) == ["after"]


def test_requests_sent_together_are_answered_in_order(direct: Client, token: Token) -> None:
    words = [f"w{i}" for i in range(40)]
    with direct.connect() as sock:
        settle(sock, token)
        sock.sendall(b"".join(request(call(token(word, text=word))) for word in words))
        assert texts(sock, len(words)) == words
        sock.sendall(request(call(token("after", text="after"))))
        assert texts(sock, 1) == ["after"]


def test_a_request_during_a_stream_waits_for_its_end(direct: Client, token: Token) -> None:
    stream = call(token("stream", text="abc", chunks=3, gap_ms=40), stream=True)
    with direct.connect() as sock:
        settle(sock, token)
        sock.sendall(request(stream))
        received = sock.recv(65536)
        sock.sendall(request(call(token("waits", text="waited"))))
        while not received.endswith(b"}"):
            received += sock.recv(65536)
    first, _, second = received.partition(b"0\r\n\r\n")
    assert b"[DONE]" in first
    assert b'"content":"waited"' in second
    assert direct.entry("stream")["finished_ns"] <= direct.entry("waits")["head_sent_ns"]


@pytest.mark.parametrize("header", ["expect: 100-continue", "upgrade: websocket\r\nconnection: upgrade"])
def test_what_is_out_of_the_ordinary_is_answered_too(direct: Client, token: Token, header: str) -> None:
    with direct.connect() as sock:
        settle(sock, token)
        before = taken_the_long_way(direct.simulator)
        sock.sendall(request(call(token("odd", text="odd")), header))
        assert texts(sock, 1) == ["odd"]
        assert taken_the_long_way(direct.simulator) == before + 1


def test_a_caller_who_leaves_within_the_body_is_noticed(direct: Client, token: Token) -> None:
    seq = direct.cursor()
    with direct.connect() as sock:
        settle(sock, token)
        sock.sendall(request(call("x"))[:-5])
        time.sleep(0.02)
    deadline = time.monotonic() + 10
    while len(found := direct.send(f"/_wb/journal?since={seq}").json()["entries"]) < 2:
        assert time.monotonic() < deadline
    assert [entry["ending"] for entry in found] == ["complete", "caller_left"]
    assert found[1]["status"] is None


@pytest.mark.parametrize(("linger", "by"), [(False, "fin"), (True, "rst")])
def test_the_journal_tells_a_caller_who_closed_from_one_who_reset(
    direct: Client, token: Token, name: str, by: str, *, linger: bool
) -> None:
    content = token(name, chunks=1000, gap_ms=20)
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": content}]}
    with direct.open("/v1/chat/completions", body) as sock:
        assert b"200 OK" in sock.recv(65536)
        if linger:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            sock.shutdown(socket.SHUT_RDWR)
    entry = direct.entry(name)
    assert (entry["ending"], entry["caller_left_by"]) == ("caller_left", by)


def test_broken_http_is_refused_and_the_connection_closed(direct: Client, token: Token) -> None:
    with direct.connect() as sock:
        settle(sock, token)
        sock.sendall(b"POST / HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n")
        received = b""
        while data := sock.recv(65536):
            received += data
    assert received.startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))


def test_a_body_over_the_limit_is_refused_on_the_short_way_too(start: Start) -> None:
    with start(SimulatorConfig(max_body_bytes=1000)) as client:
        assert client.chat("x" * 2000).status == 413


def without_changing_parts(raw: bytes) -> bytes:
    return re.sub(rb'date: [^\r]*|"created":\d+', b"", raw)


@pytest.mark.parametrize(
    "scenario",
    ["x", "x;fault=status;status=503", "x;fault=html", "x;fault=reset", "x;fault=bad_json", "x;nonsense=1"],
)
@pytest.mark.parametrize("stream", [False, True])
def test_both_ways_give_the_same_bytes(start: Start, scenario: str, *, stream: bool) -> None:
    found: list[Any] = []
    for config in (SimulatorConfig(seed=5), SimulatorConfig(seed=5, direct=False)):
        with start(config) as client:
            answers = [client.chat(f"[[wb:{scenario}]]", stream=stream) for _ in range(2)]
            found.append([(without_changing_parts(a.raw).replace(b" ", b""), a.ended) for a in answers])
            ways = taken_the_long_way(client.simulator)
            assert ways == (0 if config.direct else 2)
    assert found[0] == found[1]


def test_without_the_members_it_needs_it_is_not_taken(
    start: Start, monkeypatch: pytest.MonkeyPatch, token: Token
) -> None:
    monkeypatch.setattr(direct_module, "_OF_CONNECTION", frozenset({"_no_such_member"}))
    with start(SimulatorConfig()) as client:
        assert client.chat(token("x", text="abc")).json()["choices"][0]["message"]["content"] == "abc"
        assert taken_the_long_way(client.simulator) == 1


def test_requests_with_a_head_seen_before_and_with_a_new_one_take_turns(direct: Client, token: Token) -> None:
    words = [("aa", "k"), ("bb", "k"), ("ccc", "k"), ("dd", "other"), ("ee", "k"), ("fff", "k")]
    with direct.connect() as sock:
        for word, key in words:
            data = request(call(token("same", text=word))).replace(b"Bearer k", b"Bearer " + key.encode())
            sock.sendall(data)
            assert texts(sock, 1) == [word]
    kept = direct.simulator.journal.since(0)[-len(words) :]
    assert [entry.credential for entry in kept] == [key for _, key in words]
    assert all(word.encode() in entry.body for entry, (word, _) in zip(kept, words, strict=True))


def test_a_known_head_may_still_arrive_in_pieces_and_its_request_be_followed_by_more(
    direct: Client, token: Token
) -> None:
    data = request(call(token("same", text="same")))
    with direct.connect() as sock:
        settle(sock, token)
        for _ in range(2):
            sock.sendall(data)
            assert texts(sock, 1) == ["same"]
            sock.sendall(data * 2 + data[:50])
            sock.sendall(data[50:])
            assert texts(sock, 3) == ["same"] * 3
    with direct.connect() as sock:
        sock.sendall(data[:-1])
        time.sleep(0.01)
        sock.sendall(data[-1:])
        assert texts(sock, 1) == ["same"]
        sock.sendall(data)
        assert texts(sock, 1) == ["same"]
