"""The faults below and between the events, on every dialect, as a raw socket sees them."""

from __future__ import annotations

import email.utils
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.mock_upstreams.conftest import Answer, Client

    Call = Callable[..., Answer]

TEXT = "one two three four five six"
BOTH = [False, True]
ENDS = ("[DONE]", "message_stop", "response.completed")


@pytest.fixture(params=["chat", "messages", "responses"])
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def call(client: Client, dialect: str, token: Callable[..., str], name: str) -> Call:
    """Make a call in one dialect with a scenario of these keys."""

    def make(*, stream: bool, **keys: Any) -> Answer:
        text = token(name, **keys)
        if dialect == "responses":
            return client.send("/v1/responses", {"model": "gpt-5.5", "input": text, "stream": stream})
        return (client.chat if dialect == "chat" else client.messages)(text, stream=stream)

    return make


def kinds(answer: Answer) -> list[str]:
    """What each event is: content, finish, end, or anything else."""
    found: list[str] = []
    for event in answer.events():
        if event.data == "[DONE]":
            found.append("end")
            continue
        item = event.json()
        kind = item.get("type", "")
        choices = item.get("choices") or [{}]
        if kind in ENDS:
            found.append("end")
        elif kind in {"message_delta", "response.output_item.done"} or choices[0].get("finish_reason"):
            found.append("finish")
        elif kind in {"content_block_delta", "response.output_text.delta"} or choices[0].get("delta", {}).get(
            "content"
        ):
            found.append("content")
        else:
            found.append("other")
    return found


def marks(answer: Answer) -> list[str]:
    return [kind for kind in kinds(answer) if kind != "other"]


@pytest.mark.parametrize("stream", BOTH)
def test_wrong_type_is_the_right_answer_under_a_wrong_name(call: Call, stream: bool) -> None:
    answer = call(stream=stream, text=TEXT, fault="wrong_type")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert (marks(answer)[-1] if stream else bool(answer.json())) in {"end", True}


@pytest.mark.parametrize("stream", BOTH)
def test_invalid_utf8_is_in_a_text(call: Call, stream: bool) -> None:
    answer = call(stream=stream, text=TEXT, chunks=3, fault="invalid_utf8")
    assert (answer.status, answer.ended) == (200, "complete")
    with pytest.raises(UnicodeDecodeError):
        answer.body.decode()
    body = answer.body.replace(b"\xc3\x28\xff", b"")
    if stream:
        assert answer.body.count(b"\xc3\x28\xff") == 3
    else:
        assert json.loads(body)


@pytest.mark.parametrize("stream", BOTH)
def test_oversize_is_as_large_as_asked_and_still_well_formed(call: Call, stream: bool) -> None:
    answer = call(stream=stream, text=TEXT, fault="oversize", size=300_000)
    assert len(answer.body) >= 300_000
    assert answer.ended == "complete"
    if stream:
        assert max(len(event.data) for event in answer.events()) >= 300_000
        assert marks(answer)[-2:] == ["finish", "end"]
    else:
        assert answer.json()


def test_early_done_comes_before_the_rest(call: Call) -> None:
    answer = call(stream=True, text=TEXT, chunks=6, fault="early_done", after=2)
    assert marks(answer) == ["content"] * 2 + ["end"] + ["content"] * 4 + ["finish"]


def test_no_finish_is_a_terminator_without_one(call: Call) -> None:
    answer = call(stream=True, text=TEXT, chunks=3, fault="no_finish")
    assert marks(answer) == ["content"] * 3 + ["end"]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("no_done", ["content", "content", "finish"]),
        ("double_done", ["content", "content", "finish", "end", "end"]),
        ("double_finish", ["content", "content", "finish", "finish", "end"]),
        ("after_done", ["content", "content", "finish", "end", "content"]),
        ("end_early", ["content", "content"]),
    ],
)
def test_ends_of_a_stream_are_as_wrong_as_asked(call: Call, fault: str, expected: list[str]) -> None:
    assert marks(call(stream=True, text="ab", chunks=2, fault=fault)) == expected


def test_an_unknown_event_stands_among_the_known(call: Call) -> None:
    answer = call(stream=True, text=TEXT, chunks=4, fault="unknown_event", after=1)
    (unknown,) = [event for event in answer.events() if "simulator" in (event.name or "")]
    assert answer.events().index(unknown) == kinds(answer).index("content") + 1
    assert marks(answer) == ["content"] * 4 + ["finish", "end"]


def test_an_error_in_the_middle_ends_the_stream(call: Call) -> None:
    answer = call(stream=True, text=TEXT, chunks=4, fault="error_event", after=1, message="broke")
    last = answer.events()[-1].json()
    assert (last.get("error") or last)["message"] == "broke"
    assert "end" not in kinds(answer)


@pytest.mark.parametrize("stream", BOTH)
def test_one_write_has_head_and_body_together(call: Call, client: Client, name: str, stream: bool) -> None:
    answer = call(stream=stream, text=TEXT, fault="one_write")
    assert answer.ended == "complete"
    assert answer.reads[0] == answer.raw
    assert (marks(answer)[-1] == "end") if stream else answer.json()
    entry = client.entry(name)
    assert (entry["status"], entry["ending"]) == (200, "fault:one_write")


@pytest.mark.parametrize("stream", BOTH)
def test_slow_loris_sends_every_byte_alone(call: Call, stream: bool) -> None:
    began = time.monotonic()
    answer = call(stream=stream, text="ab", fault="slow_loris", byte_ms=0.5)
    assert answer.ended == "complete"
    assert time.monotonic() - began >= len(answer.raw) * 0.0004
    assert answer.segments > len(answer.raw) / 2
    assert (marks(answer)[-1] == "end") if stream else answer.json()


@pytest.mark.parametrize("stream", BOTH)
@pytest.mark.parametrize(("fault", "ended"), [("close_in_headers", "fin"), ("reset_in_headers", "rst")])
def test_a_break_in_the_headers_leaves_half_a_head(call: Call, stream: bool, fault: str, ended: str) -> None:
    answer = call(stream=stream, fault=fault)
    assert answer.ended == ended
    assert answer.raw.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\n\r\n" not in answer.raw


@pytest.mark.parametrize("stream", BOTH)
def test_bad_chunking_breaks_after_whole_chunks(call: Call, stream: bool) -> None:
    answer = call(
        stream=stream, text=TEXT, chunks=6, fault="bad_chunking", **({"after": 2} if stream else {})
    )
    assert (answer.status, answer.ended) == (200, "broken")
    assert b"\r\nzz\r\n" in answer.raw
    if stream:
        assert answer.chunks
        assert b"".join(answer.chunks).count(b'"delta":') >= 2


@pytest.mark.parametrize("stream", BOTH)
def test_a_latency_spike_is_a_pause_and_nothing_else(call: Call, stream: bool) -> None:
    began = time.monotonic()
    answer = call(stream=stream, text=TEXT, chunks=6, fault="latency_spike", after=3, spike_ms=300)
    assert time.monotonic() - began >= 0.3
    if stream:
        assert marks(answer) == ["content"] * 6 + ["finish", "end"]
        gaps = [later - earlier for earlier, later in zip(answer.arrivals, answer.arrivals[1:], strict=False)]
        assert max(gaps) >= 0.25


def test_retry_after_can_be_a_date_in_the_future(call: Call) -> None:
    answer = call(stream=False, status=503, retry_after="date+120")
    wait = email.utils.parsedate_to_datetime(answer.headers["retry-after"]).timestamp() - time.time()
    assert 100 <= wait <= 121
    assert "retry-after" not in call(stream=False, status=503).headers


@pytest.mark.parametrize("stream", BOTH)
@pytest.mark.parametrize("fault", ["reset", "close"])
def test_a_break_is_told_from_an_end(call: Call, stream: bool, fault: str) -> None:
    answer = call(stream=stream, text=TEXT, fault=fault)
    assert answer.ended == ("rst" if fault == "reset" else "fin")


@pytest.mark.parametrize("fault", ["crlf", "comments", "bytewise"])
def test_odd_framing_changes_no_event(call: Call, fault: str) -> None:
    plain, odd = (call(stream=True, text="aé🙂b", chunks=4, **keys) for keys in ({}, {"fault": fault}))
    assert marks(odd) == marks(plain)


def test_split_utf8_cuts_inside_characters(call: Call) -> None:
    answer = call(stream=True, text="a€b🙂c", chunks=2, fault="split_utf8")
    assert any(chunk[0] & 0xC0 == 0x80 for chunk in answer.chunks)


@pytest.mark.parametrize("stream", BOTH)
def test_usage_can_be_missing(call: Call, stream: bool) -> None:
    assert b'"usage":{' not in call(stream=stream, text=TEXT, fault="no_usage", in_=5, out=5).body
