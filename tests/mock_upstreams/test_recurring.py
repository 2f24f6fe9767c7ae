"""What is kept from earlier calls never shows: an answer made from it is the answer that would have been made anew."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.http import HttpVersion10, HttpVersion11
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from mock_upstreams import openai_replies, openai_requests, recurring
from mock_upstreams.calls import Call, Identity
from mock_upstreams.faults import CHAT
from mock_upstreams.heads import Head
from mock_upstreams.plans import Script, chunk
from mock_upstreams.recurring import KnownHeads
from mock_upstreams.refusals import Refusal
from mock_upstreams.replies import Reply, Usage
from mock_upstreams.scenario import NO_SCENARIO, find_token, read_scenario
from mock_upstreams.stencils import Stamped

IDENTITIES = (
    Identity("0" * 32, "req_1", 0),
    Identity("f" * 32, "req_2", 1_767_225_600),
    Identity("0123456789abcdef" * 2, "req_3", 1_767_225_601),
)


def reply(text: str, pieces: int, finish: str = "stop") -> Reply:
    usage = Usage(input=12, output=7, cached=3)
    return Reply(text, pieces, (), None, redacted=False, finish=finish, stop_sequence=None, usage=usage)


@pytest.mark.parametrize("include_usage", [False, True])
@pytest.mark.parametrize(
    "made",
    [
        reply("", 0),
        reply("one", 1),
        reply('qu"ote \\ and \x00\x01 東京 🙂' * 9, 40),
        reply("x" * 99, 33, "length"),
    ],
)
def test_a_stamped_stream_is_the_stream_rendered_anew(made: Reply, include_usage: bool) -> None:
    call = Call('mo"del', stream=True, prompt="p", input_tokens=1, include_usage=include_usage)
    for identity in (*IDENTITIES, *IDENTITIES):
        found = recurring.chunk_stream(call, made, identity, NO_SCENARIO)
        expected = openai_replies.chunk_stream(call, made, identity, NO_SCENARIO)
        assert isinstance(found.events, Stamped)
        assert isinstance(expected.events, Script)
        assert found.headers == expected.headers
        assert found.spoilers() == expected.spoilers()
        assert list(found.events) == list(expected.events)
        assert len(found.events) == len(expected.events)
        assert found.events.pieces == expected.events.pieces
        assert list(found.events.chunked()) == list(expected.events.chunked())
        assert found.events.lengths() == [len(chunk(data)) for _, data in expected.events]
        assert expected.events.lengths() == found.events.lengths()
        assert found.events.joined(b"<", b">") == expected.events.joined(b"<", b">")


def test_what_a_stencil_cannot_hold_is_rendered_anew() -> None:
    plain = Call("m", stream=True, prompt="p", input_tokens=1)
    for call, made in (
        (plain._replace(n=2), reply("text", 2)),
        (plain._replace(logprobs=1), reply("text", 2)),
        (plain, reply("long" * 2000, 10)),
        (plain, reply("pieces" * 100, 300)),
    ):
        found = recurring.chunk_stream(call, made, IDENTITIES[0], NO_SCENARIO)
        expected = openai_replies.chunk_stream(call, made, IDENTITIES[0], NO_SCENARIO)
        assert isinstance(found.events, Script)
        assert list(found.events) == list(expected.events)


@pytest.mark.parametrize(
    "keys", ["", ";chunks=3", ";text=a%3Bb;out=5;gap_ms=uniform:1:2", ";status=429;retry_after=2"]
)
def test_calls_with_the_same_keys_share_a_scenario(keys: str) -> None:
    first, second = find_token(f"[[wb:one{keys}]]".encode()), find_token(f"[[wb:another{keys}]]".encode())
    assert first is not None
    assert second is not None
    found = recurring.scenario_of(first, CHAT, streamed=True)
    assert found == read_scenario(first, CHAT, streamed=True)
    assert recurring.scenario_of(second, CHAT, streamed=True) is found


@pytest.mark.parametrize("keys", [";scenario=x", ";status=500;times=1", ";fault=reset;window_ms=0:5"])
def test_a_scenario_that_changes_from_call_to_call_is_not_shared(keys: str) -> None:
    token = find_token(f"[[wb:one{keys}]]".encode())
    assert token is not None
    assert recurring.scenario_of(token, CHAT, streamed=True) is None


@pytest.mark.parametrize(
    "keys", [";chunk=3", ";chunks=0", ";status=429;chunks", ";duration_ms=5", ";after=3"]
)
def test_wrong_keys_are_refused_each_time(keys: str) -> None:
    token = find_token(f"[[wb:one{keys}]]".encode())
    assert token is not None
    told = []
    for read in (recurring.scenario_of, recurring.scenario_of, read_scenario):
        with pytest.raises(Refusal) as refused:
            read(token, CHAT, streamed=True)
        told.append(refused.value.message)
    assert len(set(told)) == 1


def user(content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **more}


@pytest.mark.parametrize(
    "body",
    [
        {"model": "m", "messages": [user("hello")]},
        {"model": "m", "messages": [user("")], "stream": True},
        {"model": "m", "messages": [{"role": "system", "content": "s"}, user("one"), user(""), user("two")]},
        {"model": "m", "messages": [user("one"), {"role": "assistant", "content": "東京"}], "stream": False},
    ],
)
def test_a_plain_call_is_read_as_any_other(body: dict[str, Any]) -> None:
    found = openai_requests._plain_call(body)
    assert found is not None
    assert found == openai_requests._any_call(body)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"model": "", "messages": [user("a")]},
        {"model": "m", "messages": []},
        {"model": "m", "messages": [user("a")], "stream": None},
        {"model": "m", "messages": [user("a")], "stream": 1},
        {"model": "m", "messages": [user("a")], "n": 2},
        {"model": "m", "messages": [user("a", name="x")]},
        {"model": "m", "messages": [user(None)]},
        {"model": "m", "messages": [user([{"type": "text", "text": "a"}])]},
        {"model": "m", "messages": [{"role": "tool", "content": "a"}]},
        {"model": "m", "messages": ["a"]},
    ],
)
def test_any_other_call_and_every_wrong_one_is_read_in_full(body: dict[str, Any]) -> None:
    assert openai_requests._plain_call(body) is None


def head(*headers: tuple[str, str], version: Any = HttpVersion11, keep_alive: bool = True) -> Head:
    named = CIMultiDictProxy(CIMultiDict(headers))
    return Head.read("POST", URL("/v1/chat/completions"), named, (), version, keep_alive=keep_alive)


LINES = b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 4"


def test_a_known_head_is_found_with_a_whole_body_of_its_length_only() -> None:
    heads, known = KnownHeads(), head(("content-length", "4"))
    assert heads.whole(LINES + b"\r\n\r\nbody") is None
    assert heads.learn(LINES + b"\r\n\r\nbody", known)
    assert heads.whole(LINES + b"\r\n\r\nelse") is None, "it has come once only"
    assert heads.learn(LINES + b"\r\n\r\nbody", known)
    assert heads.whole(LINES + b"\r\n\r\nelse") == (known, b"else")
    for other in (b"\r\n\r\nbod", b"\r\n\r\nbodyPOST", b"\r\n\r\n", b"\r\n", b" \r\n\r\nbody"):
        assert heads.whole(LINES + other) is None


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (LINES + b"\r\n\r\nbodyP", head(("content-length", "4"))),
        (LINES + b"\r\n\r\nbod", head(("content-length", "4"))),
        (b"\r\n\r\n" + LINES + b"\r\n\r\nbody", head(("content-length", "4"))),
        (LINES + b"\nx: y\r\n\r\nbody", head(("content-length", "4"))),
        (LINES + b"\r\n\r\nbody", head(("content-length", "4"), ("content-length", "4"))),
        (LINES + b"\r\n\r\nbody", head(("content-length", "4"), ("content-encoding", "gzip"))),
        (LINES + b"\r\n\r\nbody", head(("content-length", "4"), ("transfer-encoding", "chunked"))),
        (LINES + b"\r\n\r\nbody", head(("content-length", "4"), version=HttpVersion10)),
        (LINES + b"\r\n\r\nbody", head(("content-length", "4"), keep_alive=False)),
        (LINES + b"x" * 5000 + b"\r\n\r\nbody", head(("content-length", "4"))),
    ],
)
def test_a_head_that_is_not_plain_is_parsed_each_time(data: bytes, read: Head) -> None:
    heads = KnownHeads()
    assert not heads.learn(data, read)
    assert heads.whole(data) is None


def test_known_heads_are_bounded() -> None:
    heads = KnownHeads()
    for i in range(2000):
        for _ in range(2):
            assert heads.learn(b"POST /%d HTTP/1.1\r\n\r\n" % i, head())
    assert heads.whole(b"POST /1999 HTTP/1.1\r\n\r\n") is not None
    assert heads.whole(b"POST /0 HTTP/1.1\r\n\r\n") is None
    assert len(heads._known) == 1024


def test_heads_that_come_once_crowd_out_no_other_and_are_bounded() -> None:
    heads = KnownHeads()
    for _ in range(2):
        heads.learn(b"POST /often HTTP/1.1\r\n\r\n", head())
    for i in range(20_000):
        heads.learn(b"POST /%d HTTP/1.1\r\n\r\n" % i, head())
    assert heads.whole(b"POST /often HTTP/1.1\r\n\r\n") is not None
    assert len(heads._known) == 1
    assert len(heads._once) <= 8192
