"""Every fault as a caller sees it, byte by byte and by the way in which the connection ends."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from mock_upstreams import FAULTS, SimulatorConfig
from mock_upstreams.fault_plans import HANDLED_UNSTREAMED
from mock_upstreams.stream_faults import HANDLED_STREAMED

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.mock_upstreams.conftest import Answer, Client

    Call = Callable[..., Answer]

QUICK: dict[str, dict[str, Any]] = {
    "status": {"status": 500},
    "slow_loris": {"byte_ms": 0},
    "latency_spike": {"spike_ms": 20},
    "oversize": {"size": 70_000},
}
"""What a fault needs to be named with, or to be over soon."""

TEXT = "one two three four five six"
STREAMED = [True]
BOTH = [False, True]


@pytest.fixture(params=["chat", "messages"])
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def call(client: Client, dialect: str, token: Callable[..., str], name: str) -> Call:
    """Make a call in one dialect with a scenario of these keys."""

    def make(*, stream: bool, **keys: Any) -> Answer:
        send = client.chat if dialect == "chat" else client.messages
        options = {"stream_options": {"include_usage": True}} if dialect == "chat" and stream else {}
        return send(token(name, **keys), stream=stream, **options)

    return make


def content_events(answer: Answer) -> int:
    found = 0
    for event in answer.events():
        if event.data != "[DONE]":
            item = event.json()
            found += item.get("type") == "content_block_delta"
            found += any(choice["delta"].get("content") for choice in item.get("choices", []))
    return found


def finishes(answer: Answer) -> int:
    found = 0
    for event in answer.events():
        if event.data != "[DONE]":
            item = event.json()
            found += item.get("type") == "message_delta"
            found += any(choice["finish_reason"] for choice in item.get("choices", []))
    return found


def until_silent(sock: socket.socket, seconds: float) -> bytes:
    """All that arrives until nothing does for `seconds`; an end of the connection is not silence."""
    sock.settimeout(seconds)
    received = b""
    while True:
        try:
            data = sock.recv(65536)
        except TimeoutError:
            return received
        assert data, "the connection was ended"
        received += data


def terminators(answer: Answer) -> int:
    return sum(event.data == "[DONE]" or event.name == "message_stop" for event in answer.events())


def test_the_table_names_exactly_the_faults_that_are_made() -> None:
    in_call = [fault for fault in FAULTS.values() if fault.by == "call"]
    assert {f.name for f in in_call if f.streamed} == HANDLED_STREAMED
    assert {f.name for f in in_call if f.unstreamed} == HANDLED_UNSTREAMED
    assert [key for key, fault in FAULTS.items() if key != fault.name] == []


@pytest.mark.parametrize("stream", BOTH)
def test_status_is_an_error_of_the_own_dialect(
    call: Call, dialect: str, client: Client, name: str, stream: bool
) -> None:
    answer = call(stream=stream, fault="status", status=429, retry_after=7, message="slow down")
    assert (answer.status, answer.headers["retry-after"], answer.ended) == (429, "7", "complete")
    error = answer.json()["error"]
    assert error["message"] == "slow down"
    if dialect == "chat":
        assert error == {
            "message": "slow down",
            "type": "requests",
            "param": None,
            "code": "rate_limit_exceeded",
        }
    else:
        assert error == {"type": "rate_limit_error", "message": "slow down"}
        assert answer.json()["type"] == "error"
    entry = client.entry(name)
    assert (entry["status"], entry["ending"], entry["events_sent"]) == (429, "fault:status", 0)


def test_status_alone_means_the_status_fault_and_retry_after_may_be_a_date(call: Call) -> None:
    date = "Wed, 21 Oct 2026 07:28:00 GMT"
    answer = call(stream=True, status=503, retry_after=date)
    assert (answer.status, answer.headers["retry-after"]) == (503, date)


@pytest.mark.parametrize("stream", BOTH)
def test_html_is_an_error_page(call: Call, stream: bool) -> None:
    answer = call(stream=stream, fault="html")
    assert (answer.status, answer.headers["content-type"]) == (502, "text/html")
    assert answer.body.startswith(b"<!DOCTYPE html>")
    assert call(stream=stream, fault="html", status=200).status == 200


@pytest.mark.parametrize("stream", BOTH)
def test_empty_has_no_body(call: Call, stream: bool) -> None:
    answer = call(stream=stream, fault="empty")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "0")
    bare = call(stream=stream, fault="empty", status=204)
    assert (bare.status, "content-length" in bare.headers) == (204, False)


def test_bad_json_unstreamed_is_well_framed_and_not_json(call: Call) -> None:
    answer = call(stream=False, fault="bad_json")
    assert (answer.status, answer.ended) == (200, "complete")
    with pytest.raises(json.JSONDecodeError):
        answer.json()


def test_bad_json_streamed_is_one_truncated_event_and_a_clean_end(call: Call) -> None:
    answer = call(stream=True, text=TEXT, fault="bad_json", after=3)
    *whole, last = answer.events()
    assert answer.ended == "complete"
    assert [event.json() for event in whole]
    with pytest.raises(json.JSONDecodeError):
        last.json()


@pytest.mark.parametrize("stream", BOTH)
@pytest.mark.parametrize(
    ("fault", "ended"), [("close_before_headers", "fin"), ("reset_before_headers", "rst")]
)
def test_a_fault_before_headers_sends_nothing(
    call: Call, client: Client, name: str, stream: bool, fault: str, ended: str
) -> None:
    answer = call(stream=stream, fault=fault)
    assert (answer.raw, answer.ended) == (b"", ended)
    entry = client.entry(name)
    assert (entry["status"], entry["head_sent_ns"], entry["ending"]) == (None, None, f"fault:{fault}")


@pytest.mark.parametrize(("fault", "ended"), [("reset", "rst"), ("close", "fin"), ("end_early", "complete")])
@pytest.mark.parametrize("after", [0, 1, 4])
def test_a_broken_stream_carries_exactly_the_content_before_the_break(
    call: Call, client: Client, name: str, fault: str, ended: str, after: int
) -> None:
    answer = call(stream=True, text=TEXT, chunks=9, fault=fault, after=after)
    assert (answer.status, answer.ended) == (200, ended)
    assert (content_events(answer), finishes(answer), terminators(answer)) == (after, 0, 0)
    assert TEXT.startswith(answer.text())
    entry = client.entry(name)
    assert (entry["ending"], entry["events_sent"], entry["status"]) == (f"fault:{fault}", after, 200)


def test_a_break_beyond_the_last_content_comes_before_the_finish(call: Call) -> None:
    answer = call(stream=True, text=TEXT, fault="end_early", after=99)
    assert (answer.text(), finishes(answer)) == (TEXT, 0)


@pytest.mark.parametrize(("fault", "ended"), [("reset", "rst"), ("close", "fin")])
def test_a_broken_body_stops_short_of_its_content_length(call: Call, fault: str, ended: str) -> None:
    answer = call(stream=False, fault=fault)
    assert (answer.status, answer.ended) == (200, ended)
    assert 0 < len(answer.body) < int(answer.headers["content-length"])


def test_no_done_finishes_without_a_terminator(call: Call) -> None:
    answer = call(stream=True, text=TEXT, fault="no_done")
    assert (answer.text(), finishes(answer), terminators(answer), answer.ended) == (TEXT, 1, 0, "complete")


def test_double_done_has_two_terminators(call: Call) -> None:
    answer = call(stream=True, text=TEXT, fault="double_done")
    assert (answer.text(), finishes(answer), terminators(answer)) == (TEXT, 1, 2)


def test_double_finish_has_two_finishes(call: Call) -> None:
    answer = call(stream=True, text=TEXT, fault="double_finish")
    assert (answer.text(), finishes(answer), terminators(answer)) == (TEXT, 2, 1)


def test_after_done_sends_content_behind_the_terminator(call: Call, dialect: str) -> None:
    answer = call(stream=True, text=TEXT, fault="after_done")
    last, final = answer.events()[-2:]
    assert last.data == "[DONE]" if dialect == "chat" else last.name == "message_stop"
    assert "late" in final.data
    assert answer.text() != TEXT


def test_error_event_is_the_error_object_of_the_dialect(call: Call, dialect: str) -> None:
    answer = call(stream=True, text=TEXT, chunks=6, fault="error_event", after=2, message="broke")
    *before, last = answer.events()
    assert (
        len([event for event in before if "content_block_delta" in event.data or '"content":"' in event.data])
        >= 2
    )
    assert last.json()["error"]["message"] == "broke"
    assert last.name == (None if dialect == "chat" else "error")
    assert (terminators(answer), answer.ended) == (0, "complete")


def test_stall_goes_silent_until_the_caller_leaves(
    client: Client, token: Callable[..., str], name: str
) -> None:
    body = {
        "model": "m",
        "stream": True,
        "messages": [{"role": "user", "content": token(name, text=TEXT, chunks=9, fault="stall", after=3)}],
    }
    with client.open("/v1/chat/completions", body) as sock:
        received = until_silent(sock, 0.3)
        assert received.count(b'"content":"') == 4
        (entry,) = client.entries(name)
        assert (entry["ending"], entry["events_sent"]) == ("open", 3)
    entry = client.entry(name)
    assert entry["ending"] == "caller_left"
    assert entry["caller_left_ns"] > entry["first_content_ns"]


@pytest.mark.parametrize("stream", BOTH)
def test_stall_ends_by_itself_at_the_limit(
    start: Callable[[SimulatorConfig], AbstractContextManager[Client]],
    token: Callable[..., str],
    stream: bool,
) -> None:
    with start(SimulatorConfig(stall_limit_s=0.2)) as client:
        began = time.monotonic()
        answer = client.chat(token("stalled", fault="stall", after=1), stream=stream)
        assert time.monotonic() - began >= 0.2
        assert (answer.ended, answer.status) == ("fin", 200 if stream else None)
        assert client.entry("stalled")["ending"] == "fault:stall"


@pytest.mark.parametrize("stream", BOTH)
def test_no_usage_says_nothing_about_usage(call: Call, stream: bool) -> None:
    answer = call(stream=stream, text=TEXT, fault="no_usage", in_=10, out=5)
    assert answer.status == 200
    assert b"usage" not in answer.body


@pytest.mark.parametrize("stream", BOTH)
def test_wrong_usage_does_not_add_up(
    client: Client, token: Callable[..., str], name: str, stream: bool
) -> None:
    options = {"stream_options": {"include_usage": True}} if stream else {}
    answer = client.chat(token(name, fault="wrong_usage", in_=10, out=5), stream=stream, **options)
    usage = answer.chunk_objects()[-1]["usage"] if stream else answer.json()["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (10, 5)
    assert usage["total_tokens"] != 15


def test_crlf_ends_every_line_with_both(call: Call) -> None:
    answer = call(stream=True, text=TEXT, fault="crlf")
    assert answer.body.count(b"\n") == answer.body.count(b"\r\n") > 0
    assert (answer.text(), terminators(answer)) == (TEXT, 1)


def test_comments_stand_between_the_events(call: Call) -> None:
    answer = call(stream=True, text=TEXT, fault="comments")
    assert answer.body.count(b": keep-alive\n\n") == len(answer.events())
    assert (answer.text(), terminators(answer)) == (TEXT, 1)


def test_bytewise_streams_one_byte_a_chunk(call: Call) -> None:
    answer = call(stream=True, text="é!", fault="bytewise")
    assert {len(chunk) for chunk in answer.chunks} == {1}
    assert (answer.text(), terminators(answer), answer.ended) == ("é!", 1, "complete")


def test_bytewise_unstreamed_is_the_whole_body(call: Call) -> None:
    answer = call(stream=False, text=TEXT, fault="bytewise")
    assert TEXT in answer.body.decode()
    assert answer.ended == "complete"


def test_split_utf8_cuts_chunks_inside_characters(call: Call) -> None:
    text = "a€b🙂c"
    answer = call(stream=True, text=text, chunks=2, fault="split_utf8")
    cut = [chunk for chunk in answer.chunks if chunk[0] & 0xC0 == 0x80]
    assert len(cut) == 2
    assert answer.text() == text


def test_split_utf8_unstreamed_arrives_in_several_pieces_but_whole(call: Call) -> None:
    whole = call(stream=False, text="a€b🙂c")
    answer = call(stream=False, text="a€b🙂c", fault="split_utf8")
    # Each piece ends within a character; how many of them one read finds depends on the reader's luck.
    assert answer.segments >= whole.segments + 2
    assert "a€b🙂c" in answer.body.decode()


@pytest.mark.parametrize("fault", ["end_early", "no_done", "double_done", "crlf", "error_event"])
def test_a_fault_of_streams_is_refused_for_an_unstreamed_call(call: Call, fault: str) -> None:
    answer = call(stream=False, fault=fault)
    assert answer.status == 400
    assert answer.json()["error"]["message"].startswith(
        f"simulator: fault={fault} is for streamed answers only"
    )


def test_the_healthy_call_after_each_fault_is_healthy(
    client: Client, token: Callable[..., str], name: str
) -> None:
    for fault in FAULTS.values():
        if fault.streamed and "chat" in fault.surfaces and fault.by == "call" and fault.name != "stall":
            client.chat(token(name, fault=fault.name, **QUICK.get(fault.name, {})), stream=True)
            answer = client.chat(token(name, text="well"), stream=True)
            assert (answer.text(), answer.ended) == ("well", "complete")
