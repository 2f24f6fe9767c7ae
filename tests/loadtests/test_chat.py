"""What a chat stream says: counting without parsing, and the class of each way to fail."""

import json
from typing import Any

import pytest

from loadtests.chat import ChatStream
from loadtests.dialect import failure_of
from weighbridge.evidence import Ending
from weighbridge.load.figures import Failure

TEXT = 'Weighed: naïve café, 東京, 🚚 "quoted" back\\slash.'
PIECES = ["Weighed", ": naïve", " café, 東", "京, 🚚", ' "quoted"', " back\\", "slash."]


def chunk(delta: dict[str, Any], finish: str | None = None, *, ascii_only: bool = False) -> bytes:
    body = {"id": "c1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    return b"data: " + json.dumps(body, ensure_ascii=ascii_only).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
FINISH = chunk({}, "stop")


def contents(*, ascii_only: bool = False) -> bytes:
    return b"".join(chunk({"content": piece}, ascii_only=ascii_only) for piece in PIECES)


def judged(
    data: bytes, ending: Ending = Ending.COMPLETE, *, expected: str | None = TEXT
) -> tuple[ChatStream, Failure | None]:
    stream = ChatStream(expected)
    stream.feed(data)
    stream.close()
    return stream, failure_of(stream, ending, 200, "text/event-stream", None)[0]


WHOLE = chunk({"role": "assistant", "content": ""}) + contents() + FINISH + DONE


@pytest.mark.parametrize("ascii_only", [False, True])
def test_a_whole_stream_is_counted_and_its_text_compared(ascii_only: bool) -> None:
    data = (
        chunk({"role": "assistant", "content": ""}, ascii_only=ascii_only)
        + contents(ascii_only=ascii_only)
        + FINISH
        + DONE
    )
    stream, failure = judged(data)
    assert failure is None
    assert stream.chunks == len(PIECES)
    assert (stream.dones, stream.finishes) == (1, {0: 1})


def test_every_cut_gives_the_same_result() -> None:
    for cut in range(1, len(WHOLE)):
        stream = ChatStream(TEXT)
        total = stream.feed(WHOLE[:cut]) + stream.feed(WHOLE[cut:])
        stream.close()
        assert total == len(PIECES), cut
        assert failure_of(stream, Ending.COMPLETE, 200, "text/event-stream", None)[0] is None, cut


def test_events_of_one_shape_are_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    original = ChatStream.parsed

    def counting(self: ChatStream, data: bytes) -> None:
        parsed.append(data)
        original(self, data)

    monkeypatch.setattr(ChatStream, "parsed", counting)
    stream = ChatStream("x" * 100)
    stream.feed(b"".join(chunk({"content": "x"}) for _ in range(100)) + FINISH + DONE)
    stream.close()
    assert stream.chunks == 100
    assert len(parsed) == 3
    assert stream.wrong_text is None


@pytest.mark.parametrize(
    "inside", ['"', '","finish_reason":"stop', "\\u0041", '"},"error":{"message":"x"},"x":{"y":"']
)
def test_an_event_of_another_shape_is_never_taken_for_text(inside: str) -> None:
    first = chunk({"content": "x"}).replace(b'"x"', b'"%s"')
    assert first.count(b"%s") == 1
    stream = ChatStream(None)
    stream.feed(first.replace(b"%s", b"abc") + first.replace(b"%s", inside.encode()))
    parsed = ChatStream(None)
    parsed.feed(first.replace(b"%s", inside.encode()))
    assert stream.chunks == 1 + parsed.chunks
    assert (stream.malformed is None) == (parsed.malformed is None)
    assert stream.error == parsed.error


ENDINGS: dict[str, tuple[bytes, Failure | None]] = {
    "whole": (WHOLE, None),
    "usage after the finish": (
        contents() + FINISH + b'data: {"choices":[],"usage":{"total_tokens":3}}\n\n' + DONE,
        None,
    ),
    "nothing": (b"", Failure.EMPTY),
    "comments only": (b": ping\n\n: ping\n\n", Failure.EMPTY),
    "neither finish nor done": (contents(), Failure.TRUNCATED),
    "no done": (contents() + FINISH, Failure.BROKEN_ENDING),
    "no finish": (contents() + DONE, Failure.BROKEN_ENDING),
    "two finishes": (contents() + FINISH + FINISH + DONE, Failure.BROKEN_ENDING),
    "two dones": (WHOLE + DONE, Failure.BROKEN_ENDING),
    "an event after done": (WHOLE + chunk({"content": ""}), Failure.BROKEN_ENDING),
    "content after finish": (contents() + FINISH + chunk({"content": "x"}) + DONE, Failure.BROKEN_ENDING),
    "no blank line at the end": (WHOLE[:-1], Failure.BROKEN_ENDING),
    "error event": (contents() + b'data: {"error":{"message":"x"}}\n\n', Failure.ERROR_EVENT),
    "cut json": (contents() + b'data: {"choices":[{"ind\n\n', Failure.MALFORMED),
    "a json string": (b'data: "hello"\n\n' + DONE, Failure.MALFORMED),
    "piece lost": (WHOLE.replace(chunk({"content": "slash."}), b""), Failure.WRONG_TEXT),
    "piece doubled": (WHOLE.replace(FINISH, chunk({"content": "!"}) + FINISH), Failure.WRONG_TEXT),
    "broken character": (WHOLE.replace("🚚".encode(), b"\xef\xbf\xbd"), Failure.WRONG_TEXT),
}


@pytest.mark.parametrize(("data", "failure"), ENDINGS.values(), ids=ENDINGS)
def test_each_ending_has_its_class(data: bytes, failure: Failure | None) -> None:
    assert judged(data)[1] is failure


@pytest.mark.parametrize(
    ("ending", "failure"),
    [
        (Ending.RESET, Failure.RESET),
        (Ending.CLOSED, Failure.TRUNCATED),
        (Ending.TIMEOUT, Failure.TIMEOUT_IDLE),
        (Ending.INVALID, Failure.BAD_HTTP),
    ],
)
def test_a_connection_that_broke_is_told_by_how(ending: Ending, failure: Failure) -> None:
    stream = ChatStream(TEXT)
    stream.feed(contents() + b'data: {"choices":[{"ind')
    stream.close(whole=False)
    assert failure_of(stream, ending, 200, "text/event-stream", Failure.TIMEOUT_IDLE)[0] is failure


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (429, Failure.HTTP_429),
        (401, Failure.HTTP_4XX),
        (503, Failure.HTTP_5XX),
        (302, Failure.HTTP_OTHER),
    ],
)
def test_a_status_has_its_class(status: int, failure: Failure) -> None:
    assert failure_of(ChatStream(), Ending.COMPLETE, status, "application/json", None)[0] is failure


def test_a_reply_that_is_no_event_stream_is_told_from_an_empty_one() -> None:
    stream = ChatStream()
    stream.feed(b'{"id":"c1","choices":[]}')
    stream.close()
    assert failure_of(stream, Ending.COMPLETE, 200, "application/json", None)[0] is Failure.NOT_SSE
