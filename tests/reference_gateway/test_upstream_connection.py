"""Streams read on the connection itself and in the library's way: the same to the caller, however the bytes are framed."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_gateway import relay, upstream, upstream_connection
from reference_gateway.relay import EventSink
from reference_gateway.upstream import UpstreamReply
from reference_gateway.upstream_connection import BrokenChunkError, ChunkReader

SQLITE = pytest.mark.parametrize("storage", ["sqlite"], indirect=True)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
WORDS = [f" word{n}" for n in range(30)]


def lined(event: bytes) -> bytes:
    """The same event with its JSON over several lines of data."""
    _, _, text = event.partition(b": ")
    lines = text.strip() if text.startswith(b"[DONE]") else json.dumps(json.loads(text), indent=1).encode()
    return b"data: " + lines.replace(b"\n", b"\r\ndata: ") + b"\r\n\r\n"


def framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    value = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(value).encode() + b"\n\n"


USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":30,"total_tokens":34}}\n\n'
EVENTS = [*(event({"content": word}) for word in WORDS), event({}, "stop"), USAGE, b"data: [DONE]\n\n"]
BODY = b"".join(map(framed, EVENTS)) + END


# ---------------------------------------------------------------- frames
@given(st.lists(st.binary(min_size=1, max_size=300), max_size=8), st.data())
def test_chunks_are_read_however_they_are_cut(contents: list[bytes], data: st.DataObject) -> None:
    wire = b"".join(map(framed, contents))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6)))
    reader, found = ChunkReader(), b""
    for begin, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        content, rest = reader.feed(wire[begin:end])
        found += content
        if rest:
            # A size line that is cut is left to the parser, whole, and all that follows with it.
            content, after = ChunkReader().feed(rest + wire[end:])
            assert (found + content, after) == (b"".join(contents), b"")
            return
    assert found == b"".join(contents)
    assert reader.between


@pytest.mark.parametrize(
    "rest", [END, b"5;name=value\r\nhello\r\n", b"+5\r\nhello\r\n", b"x", b"\r\n", b"5\nhello"]
)
def test_what_is_no_plain_chunk_is_left_as_it_came(rest: bytes) -> None:
    for before in (b"", framed(b"one"), framed(b"one") + framed(b"two")):
        content, left = ChunkReader().feed(before + rest)
        assert (content, left) == ((b"one" * before.count(b"one")) + b"two" * before.count(b"two"), rest)


@pytest.mark.parametrize("cut", range(3, 12))
def test_a_chunk_that_is_longer_than_it_said_is_broken(cut: int) -> None:
    wire = b"3\r\none!\r\n" + framed(b"two")
    with pytest.raises(BrokenChunkError):
        list(map(ChunkReader().feed, (wire[:cut], wire[cut:])))


# ---------------------------------------------------------------- both ways
@pytest.fixture(params=["direct", "library"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How streams are read."""
    if request.param == "library":
        monkeypatch.setattr(upstream_connection, "is_possible", lambda _: False)
    return str(request.param)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The sizes of what was read in the library's way."""
    sizes: list[int] = []
    usual = UpstreamReply.read_some

    async def counted(self: UpstreamReply) -> bytes:
        part = await usual(self)
        sizes.append(len(part))
        return part

    monkeypatch.setattr(UpstreamReply, "read_some", counted)
    return iter([sizes])


Play = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def provider(play: Play) -> Any:
    """A provider that answers each call by hand; the channels that lead to it."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = re.search(rb"content-length: (\d+)", head.lower())
                await reader.readexactly(int(length[1]) if length else 0)
                await play(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        yield {"openai": {"dialect": "openai", "url": url, "key": "k"}}
    finally:
        server.close()


def sending(*parts: bytes, close: bool = False) -> Play:
    """Sends parts, each in a read of its own."""

    async def play(writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.003)
        if close:
            writer.close()

    return play


def call() -> dict[str, Any]:
    return {"model": "gpt-5.5", "stream": True, "messages": [{"role": "user", "content": "hi"}]}


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


COMPLETE = {
    "one write each": [HEAD, *map(framed, EVENTS), END],
    "the first with the head": [HEAD + framed(EVENTS[0]), *map(framed, EVENTS[1:]), END],
    "two at a time": [
        HEAD,
        *(b"".join(map(framed, EVENTS[n : n + 2])) for n in range(0, len(EVENTS), 2)),
        END,
    ],
    "the end with the last": [HEAD, *map(framed, EVENTS[:-1]), framed(EVENTS[-1]) + END],
    "cut anywhere": [HEAD, *pieces(BODY, 97)],
    "events over chunks": [HEAD, *map(framed, pieces(b"".join(EVENTS), 61)), END],
    "all at once": [HEAD + BODY],
    "head in two": [HEAD[:20], HEAD[20:], *map(framed, EVENTS), END],
    "chunk extensions": [HEAD, *(b"%x;a=b\r\n%b\r\n" % (len(one), one) for one in EVENTS), END],
    "trailers": [HEAD, *map(framed, EVENTS), b"0\r\nX-Sum: 1\r\n\r\n"],
    "data of several lines": [HEAD, *(framed(lined(one)) for one in EVENTS), END],
    "with a length": [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n"
        % len(b"".join(EVENTS)),
        *EVENTS,
    ],
}


@SQLITE
@pytest.mark.parametrize("form", COMPLETE)
def test_a_complete_stream_is_complete_in_every_framing(deploy: Any, way: str, form: str) -> None:
    async def main() -> None:
        async with provider(sending(*COMPLETE[form])) as channels, deploy(channels=channels) as d:
            customer = await d.customer()
            for _ in range(2):
                answer = await d.chat(customer, call())
                assert answer.status == 200, answer.text
                assert answer.content == "".join(WORDS), way
                assert answer.data[-1] == "[DONE]"
                assert not any("usage" in chunk for chunk in answer.chunks)
            assert len(await d.rows(customer, "settle")) == 2

    asyncio.run(main())


BROKEN = {
    "chunk longer than it said": [HEAD, *map(framed, EVENTS[:3]), b"3\r\n" + EVENTS[3] + b"\r\n", framed(EVENTS[4])],
    "no size": [HEAD, *map(framed, EVENTS[:3]), b"what\r\n", framed(EVENTS[4])],
    "gone between chunks": [HEAD, *map(framed, EVENTS[:5])],
    "gone inside of a chunk": [HEAD, *map(framed, EVENTS[:5]), framed(EVENTS[5])[:-9]],
    "ended early": [HEAD, *map(framed, EVENTS[:5]), END],
    "no JSON": [HEAD, *map(framed, EVENTS[:5]), framed(b"data: {nonsense\n\n"), *map(framed, EVENTS[5:]), END],
    "an error behind a word": [
        HEAD, *map(framed, EVENTS[:5]), framed(EVENTS[5] + b'data: {"error":{"message":"no"}}\n\n'), END,
    ],
}  # fmt: skip


@SQLITE
@pytest.mark.parametrize("form", BROKEN)
def test_a_broken_stream_is_an_error_in_every_framing(deploy: Any, way: str, form: str) -> None:
    async def main() -> None:
        play = sending(*BROKEN[form], close=True)
        async with provider(play) as channels, deploy(channels=channels, upstream_timeout_s=3.0) as d:
            customer = await d.customer()
            answer = await d.chat(customer, call())
            assert answer.status == 200, answer.text
            assert answer.content == "".join(WORDS[: len(answer.chunks) - 1]), way
            assert len(answer.chunks) > 2
            assert "error" in answer.chunks[-1]
            assert "[DONE]" not in answer.data
            assert await d.rows(customer, "settle") == []
            if form == "an error behind a word":
                assert answer.content == "".join(WORDS[:6])

    asyncio.run(main())


@SQLITE
def test_a_provider_that_falls_silent_between_chunks_is_given_up(deploy: Any, way: str) -> None:
    async def main() -> None:
        async def play(writer: asyncio.StreamWriter) -> None:
            await sending(HEAD, *map(framed, EVENTS[:5]))(writer)
            await asyncio.Event().wait()

        async with provider(play) as channels, deploy(channels=channels, upstream_timeout_s=0.3) as d:
            customer = await d.customer()
            async with asyncio.timeout(5):
                answer = await d.chat(customer, call())
            assert answer.content == "".join(WORDS[:5]), way
            assert "error" in answer.chunks[-1]
            assert await d.rows(customer, "settle") == []

    asyncio.run(main())


@SQLITE
def test_the_chunks_of_a_stream_are_passed_on_without_waking_its_task(
    deploy: Any, way: str, reads: Iterator[list[int]]
) -> None:
    sizes = next(reads)

    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer()
            content = f"[[wb:s;text={' word' * 30};chunks=30;gap_ms=3;in=5;out=30]]"
            answer = await d.chat(customer, {**call(), "messages": [{"role": "user", "content": content}]})
            assert answer.content == " word" * 30
            assert answer.data[-1] == "[DONE]"
            # Begin and end take the usual way.
            assert (len(sizes) <= 6) == (way == "direct"), sizes

    asyncio.run(main())


@SQLITE
def test_a_caller_who_is_slow_for_a_moment_is_served_at_once_afterwards(
    deploy: Any, reads: Iterator[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes, usual, asked = next(reads), cast("property", EventSink.is_clear).fget, count()
    assert usual is not None
    slow: list[int] = []

    def clear(sink: EventSink) -> bool:
        turn = next(asked)
        if turn % 10 == 5:
            slow.append(turn)
            return False
        return bool(usual(sink))

    monkeypatch.setattr(EventSink, "is_clear", property(clear))

    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer()
            content = f"[[wb:s;text={' word' * 30};chunks=30;gap_ms=10;in=5;out=30]]"
            answer = await d.chat(customer, {**call(), "messages": [{"role": "user", "content": content}]})
            assert answer.content == " word" * 30
            assert answer.data[-1] == "[DONE]"
            # How many chunks one read brings depends on the machine; that there were slow moments does not.
            assert slow
            assert len(sizes) < 15, sizes

    asyncio.run(main())


@SQLITE
def test_a_provider_that_only_beats_after_the_finish_does_not_keep_the_caller(
    deploy: Any, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "TRAILER_GRACE_S", 0.3)

    async def main() -> None:
        async def play(writer: asyncio.StreamWriter) -> None:
            await sending(HEAD, *map(framed, EVENTS[:-1]))(writer)
            while True:
                await sending(framed(b": still here\n\n"))(writer)
                await asyncio.sleep(0.05)

        async with provider(play) as channels, deploy(channels=channels) as d:
            customer = await d.customer()
            async with asyncio.timeout(5):
                answer = await d.chat(customer, call())
            assert (answer.content, answer.data[-1]) == ("".join(WORDS), "[DONE]"), way
            assert len(await d.rows(customer, "settle")) == 1

    asyncio.run(main())


@SQLITE
def test_a_failure_is_told_although_its_body_does_not_come(
    deploy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "_ERROR_BODY_S", 0.2)

    async def main() -> None:
        async def play(writer: asyncio.StreamWriter) -> None:
            await sending(b"HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\n{")(writer)
            await asyncio.Event().wait()

        async with provider(play) as channels, deploy(channels=channels, upstream_timeout_s=60.0) as d:
            customer = await d.customer()
            async with asyncio.timeout(5):
                answer = await d.chat(customer, call())
            assert (answer.status, answer.json["error"]["code"]) == (500, "upstream_failed")
            assert await d.balance(customer) == "100"

    asyncio.run(main())


@SQLITE
def test_a_caller_who_goes_after_the_end_has_not_left(deploy: Any, wait_for: Any) -> None:
    async def main() -> None:
        async def play(writer: asyncio.StreamWriter) -> None:
            # Everything but the end of the body.
            await sending(HEAD, *map(framed, EVENTS))(writer)
            await asyncio.Event().wait()

        async with provider(play) as channels, deploy(channels=channels) as d:
            customer = await d.customer()
            url = f"{d.gateway.chat_url}/chat/completions"
            headers = {**customer.headers, "Connection": "close"}
            async with d.session.post(url, json=call(), headers=headers) as response:
                text = await response.text()
            assert text.endswith("data: [DONE]\n\n")

            async def counted() -> Any:
                answer = await d.send(
                    "GET", d.gateway.metrics_url, headers={"Authorization": "Bearer operator-token"}
                )
                return re.findall(r'gateway_calls_total\{.*outcome="(\w+)".*\} 1.0', answer.text)

            assert await wait_for(counted) == ["ok"]

    asyncio.run(main())
