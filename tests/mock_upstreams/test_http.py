"""HTTP itself: old versions, methods, large and odd bodies, persistent connections, malformed requests."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest

from mock_upstreams import SimulatorConfig

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.mock_upstreams.conftest import Client

    Token = Callable[..., str]

BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
RAW = json.dumps(BODY).encode()
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\n"


def test_an_http_1_0_caller_gets_a_stream_that_ends_with_the_connection(
    client: Client, token: Token, name: str
) -> None:
    body = {**BODY, "stream": True, "messages": [{"role": "user", "content": token(name, text="old")}]}
    answer = client.send("/v1/chat/completions", body, version="1.0")
    assert (answer.text(), answer.ended) == ("old", "complete")
    assert "transfer-encoding" not in answer.headers
    assert answer.headers["connection"] == "close"


def test_an_http_1_0_caller_gets_whole_answers(client: Client) -> None:
    assert client.send("/v1/chat/completions", BODY, version="1.0").json()["object"] == "chat.completion"


def test_a_connection_serves_one_request_after_the_other(client: Client, token: Token, name: str) -> None:
    stream = {**BODY, "stream": True, "messages": [{"role": "user", "content": token(name, text="ab")}]}
    with client.connect() as sock:
        for body in (BODY, stream, BODY, stream):
            raw = json.dumps(body).encode()
            sock.sendall(HEAD + b"content-length: %d\r\n\r\n%b" % (len(raw), raw))
            received = b""
            ends = (b"0\r\n\r\n",) if body is stream else (b"}",)
            while not received.endswith(ends):
                received += sock.recv(65536)
            assert received.startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_caller_may_ask_for_the_connection_to_be_closed(client: Client) -> None:
    data = HEAD + b"connection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(RAW), RAW)
    with client.connect() as sock:
        sock.sendall(data)
        received = b""
        while part := sock.recv(65536):
            received += part
    assert b"connection: close\r\n" in received


def test_expect_100_continue_is_answered(client: Client) -> None:
    with client.connect() as sock:
        sock.sendall(HEAD + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(RAW))
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(RAW)
        assert sock.recv(20).startswith(b"HTTP/1.1 200 OK")


def test_bodies_may_be_chunked_or_compressed(client: Client) -> None:
    chunked = b"".join(b"%x\r\n%b\r\n" % (1, RAW[i : i + 1]) for i in range(len(RAW))) + b"0\r\n\r\n"
    assert client.raw(HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunked).status == 200
    packed = gzip.compress(RAW)
    head = HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    assert client.raw(head + packed).status == 200


def test_a_body_in_a_false_encoding_is_refused(client: Client) -> None:
    answer = client.raw(HEAD + b"content-encoding: gzip\r\ncontent-length: 5\r\n\r\nplain")
    assert answer.status == 400
    assert "not framed or encoded" in answer.json()["error"]["message"]


def test_a_head_request_has_no_body(client: Client) -> None:
    answer = client.send("/v1/models", method="HEAD")
    assert (answer.status, answer.headers["allow"]) == (405, "GET")
    assert answer.raw.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/v1/chat/completions", 405, "openai"),
        ("DELETE", "/v1/messages", 405, "anthropic"),
        ("POST", "/v1/embeddings", 404, "openai"),
        ("POST", "/v1/messages/batches", 404, "anthropic"),
        ("GET", "/media/v1/nothing", 404, "media"),
        ("GET", "/", 404, "openai"),
        ("GET", "/u/only", 404, "openai"),
        ("GET", "/u/bad%20name/v1/models", 404, "openai"),
    ],
)
def test_other_places_are_refused_in_the_dialect_of_the_neighbourhood(
    client: Client, method: str, path: str, status: int, kind: str
) -> None:
    answer = client.send(path, method=method)
    keys = {"openai": {"error"}, "media": {"error"}, "anthropic": {"type", "error", "request_id"}}[kind]
    assert (answer.status, set(answer.json())) == (status, keys)


def test_an_oversized_body_is_refused_and_the_connection_closed(
    start: Callable[[SimulatorConfig], AbstractContextManager[Client]],
) -> None:
    with start(SimulatorConfig(max_body_bytes=1000)) as client:
        answer = client.chat("x" * 2000)
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        assert client.chat("x").status == 200


def test_a_prompt_of_a_million_tokens_is_accepted(client: Client) -> None:
    usage = client.chat("word " * 800_000).json()["usage"]
    assert usage["prompt_tokens"] == 1_000_000


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nx: " + b"a" * 20_000 + b"\r\n\r\n",
    ],
)
def test_malformed_http_is_refused_and_the_server_lives_on(client: Client, data: bytes) -> None:
    answer = client.raw(data)
    assert answer.status in {400, 404, None}
    assert client.send("/_wb/health").status == 200


def test_a_caller_who_leaves_before_the_body_is_whole_is_noticed(client: Client) -> None:
    seq = client.cursor()
    with client.connect() as sock:
        sock.sendall(HEAD + b"content-length: 100\r\n\r\nonly this")
    deadline = 200
    entries: list[dict[str, object]] = []
    while not entries and deadline:
        entries = client.send("/_wb/journal/query", {"without_id_since": seq}).json()["entries"]
        deadline -= 1
    assert [(item["ending"], item["status"]) for item in entries] == [("caller_left", None)]
