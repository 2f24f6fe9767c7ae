"""Rules about streamed messages: each catches its defect and spares what is merely odd."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.checks.message_evidence import post
from weighbridge.checks import message_sdk, message_streams, messages
from weighbridge.checks.message_events import GRAMMAR, State, read
from weighbridge.evidence import Call, Chunk, Ending, Exchange, Observation, Request, Response, UpstreamCall
from weighbridge.scenario import Scenario
from weighbridge.suite import Rule
from weighbridge.verdict import Outcome

TEXT = "naïve 東京 🚚"
EVENT_STREAM = (("Content-Type", "text/event-stream; charset=utf-8"),)
Events = list[tuple[str, dict[str, Any]]]


def stream(
    body: bytes | Events,
    scenario: Scenario | None = None,
    *,
    headers: tuple[tuple[str, str], ...] = EVENT_STREAM,
    ending: Ending = Ending.COMPLETE,
    status: int = 200,
    upstream: tuple[UpstreamCall, ...] | None = (post(),),
    gap: float = 0.0,
) -> Call:
    """A streamed call; each event is a chunk of its own, `gap` seconds after the one before it."""
    pieces = [body] if isinstance(body, bytes) else [frame(name, data) for name, data in body]
    chunks = tuple(Chunk(index * gap, data) for index, data in enumerate(pieces))
    request = Request("POST", "http://target/v1/messages", (), json.dumps({"max_tokens": 16}).encode())
    seen = Exchange("w-1", request, Response(status, headers, chunks), ending, 0.0, 1.0)
    return Call(
        seen, "plain", "messages", "anthropic", "m", scenario=scenario, streamed=True, upstream=upstream
    )


def frame(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def event(kind: str, **members: Any) -> tuple[str, dict[str, Any]]:
    return kind, {"type": kind, **members}


def start(**usage: int) -> tuple[str, dict[str, Any]]:
    counted = {"input_tokens": 9, "output_tokens": 1} | usage
    return event("message_start", message={"id": "msg_1", "content": [], "usage": counted})


def text_block(index: int, *pieces: str) -> Events:
    return [
        event("content_block_start", index=index, content_block={"type": "text", "text": ""}),
        *(
            event("content_block_delta", index=index, delta={"type": "text_delta", "text": piece})
            for piece in pieces
        ),
        event("content_block_stop", index=index),
    ]


def tool_block(index: int, *pieces: str) -> Events:
    opening = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    return [
        event("content_block_start", index=index, content_block=opening),
        *(event("content_block_delta", index=index, delta=delta) for delta in deltas),
        event("content_block_stop", index=index),
    ]


def closing(reason: str | None = "end_turn", tokens: int | None = 7) -> tuple[str, dict[str, Any]]:
    usage = {} if tokens is None else {"output_tokens": tokens}
    return event("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage=usage)


STOP = event("message_stop")
PING = event("ping")


def whole(*blocks: Events, reason: str = "end_turn") -> Events:
    inner = [item for block in blocks or (text_block(0, "naïve 東", "京 🚚"),) for item in block]
    return [start(), *inner, closing(reason), STOP]


ALL_RULES: tuple[Rule, ...] = (
    message_streams.named_after_type,
    message_streams.starts_with_message,
    message_streams.blocks_in_turn,
    message_streams.delta_gives_stop_and_count,
    message_streams.stop_is_last,
    message_streams.pings_mean_nothing,
    message_streams.not_compressed,
    message_sdk.client_works,
)


@pytest.mark.parametrize(
    "events",
    [
        whole(),
        [PING, *whole()[:2], PING, *whole()[2:], PING],
        [start(), closing(), STOP],
        [start(), event("shiny_new_event", data=1), *whole()[1:]],
        [*whole()[:-2], closing(None, 3), closing("end_turn", 7), STOP],
        whole(text_block(0, "a"), tool_block(1, "", '{"city":', '"Oslo"}')),
        whole(tool_block(0)),
    ],
    ids=[
        "plain",
        "pings",
        "no-content",
        "unknown-event",
        "two-deltas",
        "text-and-tool",
        "tool-without-input",
    ],
)
def test_a_legal_stream_passes_every_rule(events: Events) -> None:
    call = stream(events)
    assert {rule(call).outcome for rule in ALL_RULES} == {Outcome.MET}


def test_comments_and_crlf_are_no_events() -> None:
    raw = b"".join(frame(name, data) for name, data in whole()).replace(b"\n", b"\r\n")
    call = stream(b": keep-alive\r\n\r\n" + raw)
    assert {rule(call).outcome for rule in ALL_RULES} == {Outcome.MET}


def without_names(events: Events) -> bytes:
    return b"".join(b"data: " + json.dumps(data).encode() + b"\n\n" for _, data in events)


@pytest.mark.parametrize(
    ("rule", "body"),
    [
        (message_streams.named_after_type, without_names(whole())),
        (message_streams.named_after_type, [("message", data) for _, data in whole()]),
        (message_streams.named_after_type, b"".join(frame(n, d) for n, d in whole())[:-1]),
        (message_streams.starts_with_message, whole()[1:]),
        (message_streams.starts_with_message, [start(), *whole()]),
        (
            message_streams.starts_with_message,
            [event("message_start", message={"content": []}), *whole()[1:]],
        ),
        (message_streams.blocks_in_turn, whole(text_block(1, "a"))),
        (message_streams.blocks_in_turn, whole(text_block(0, "a"), text_block(0, "b"))),
        (message_streams.blocks_in_turn, whole(text_block(0, "a")[:-1])),
        (message_streams.blocks_in_turn, whole(text_block(0, "a")[1:])),
        (message_streams.blocks_in_turn, whole([*text_block(0, "a")[:2], *text_block(1, "b")])),
        (message_streams.blocks_in_turn, [start(), closing(), *text_block(0, "late"), STOP]),
        (message_streams.delta_gives_stop_and_count, [start(), *text_block(0, "a"), STOP]),
        (message_streams.delta_gives_stop_and_count, [start(), closing(None), STOP]),
        (message_streams.delta_gives_stop_and_count, [start(), closing(), closing(), STOP]),
        (message_streams.delta_gives_stop_and_count, [start(), closing(tokens=None), STOP]),
        (message_streams.delta_gives_stop_and_count, [start(output_tokens=9), closing(tokens=7), STOP]),
        (message_streams.stop_is_last, whole()[:-1]),
        (message_streams.stop_is_last, [*whole(), STOP]),
        (message_streams.stop_is_last, [*whole(), *text_block(0, "late")]),
        (message_streams.stop_is_last, b"".join(frame(n, d) for n, d in whole()) + b"data: [DONE]\n\n"),
        (message_sdk.client_works, without_names(whole())),
        (message_sdk.client_works, whole()[1:]),
        (message_sdk.client_works, whole()[:-1]),
        (message_sdk.client_works, whole(text_block(1, "a"))),
        (
            message_sdk.client_works,
            [start(), event("message_delta", delta={"stop_reason": "end_turn"}), STOP],
        ),
        (message_sdk.client_works, [start(), event("error", error={"type": "api_error", "message": "x"})]),
    ],
)
def test_a_slip_is_caught_by_the_rule_that_it_breaks(rule: Rule, body: bytes | Events) -> None:
    assert rule(stream(body)).outcome is Outcome.BROKEN


@pytest.mark.parametrize(
    ("body", "guilty"),
    [
        (whole(text_block(0, "a")[:-1]), message_streams.blocks_in_turn),
        (whole()[1:], message_streams.starts_with_message),
        ([*whole(), STOP], message_streams.stop_is_last),
        (
            b"".join(frame(n, d) for n, d in whole()) + b"data: [DONE]\n\n",
            message_streams.stop_is_last,
        ),
    ],
)
def test_one_slip_is_reported_under_one_rule(body: bytes | Events, guilty: Rule) -> None:
    call = stream(body)
    grammar = ALL_RULES[:5]
    assert [rule for rule in grammar if rule(call).outcome is not Outcome.MET] == [guilty]


def test_every_state_has_a_row_in_the_grammar() -> None:
    assert set(GRAMMAR) == set(State)
    assert {state for row in GRAMMAR.values() for state in row.values()} | {
        State.BEFORE,
        State.FAILED,
    } == set(State)


def test_an_error_reply_is_not_judged_as_a_stream() -> None:
    call = stream(b'{"error": {}}', status=500, headers=(("Content-Type", "application/json"),))
    assert {rule(call).outcome for rule in ALL_RULES} == {Outcome.NOT_VERIFIED}


def test_text_pieces_join_to_the_scripted_text() -> None:
    script = Scenario(text=TEXT)
    assert message_streams.text_is_whole(stream(whole(), script)).outcome is Outcome.MET
    lost = whole(text_block(0, "naïve 東"))
    assert message_streams.text_is_whole(stream(lost, script)).outcome is Outcome.BROKEN
    assert message_streams.text_is_whole(stream(whole(), None, upstream=None)).missing == "upstream"


def test_text_of_the_block_start_counts_as_text() -> None:
    opening = event("content_block_start", index=0, content_block={"type": "text", "text": "naïve "})
    delta = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "東京 🚚"})
    events = whole([opening, delta, event("content_block_stop", index=0)])
    assert message_streams.text_is_whole(stream(events, Scenario(text=TEXT))).outcome is Outcome.MET


def test_tool_input_pieces_join_to_the_scripted_arguments() -> None:
    rule = message_streams.tool_input_is_json
    script = Scenario(tool="get_weather", args='{"city": "Oslo"}')
    assert rule(stream(whole(tool_block(0, '{"ci', 'ty":"Oslo"}')), script)).outcome is Outcome.MET
    assert rule(stream(whole(tool_block(0, '{"ci', 'y":"Oslo"}')), script)).outcome is Outcome.BROKEN
    assert rule(stream(whole(tool_block(0, '{"ci')), script)).outcome is Outcome.BROKEN
    assert rule(stream(whole(), script)).outcome is Outcome.BROKEN
    assert rule(stream(whole(tool_block(0)), Scenario(tool="get_weather", args="{}"))).outcome is Outcome.MET


def test_tool_input_of_an_unwired_target_must_be_json() -> None:
    rule = message_streams.tool_input_is_json
    assert rule(stream(whole(tool_block(0, '{"a": 1}')), upstream=None)).outcome is Outcome.MET
    assert rule(stream(whole(tool_block(0, '{"a": ')), upstream=None)).outcome is Outcome.BROKEN
    assert rule(stream(whole(), upstream=None)).missing == "upstream"


def test_output_count_is_the_providers() -> None:
    rule = message_streams.delta_gives_stop_and_count
    assert rule(stream(whole(), Scenario(completion_tokens=7))).outcome is Outcome.MET
    assert rule(stream(whole(), Scenario(completion_tokens=8))).outcome is Outcome.BROKEN


def test_compressed_stream_is_caught() -> None:
    rule = message_streams.not_compressed
    assert (
        rule(stream(whole(), headers=(*EVENT_STREAM, ("Content-Encoding", "gzip")))).outcome is Outcome.BROKEN
    )
    assert (
        rule(stream(whole(), headers=(*EVENT_STREAM, ("Content-Encoding", "identity")))).outcome
        is Outcome.MET
    )


def test_a_relay_spreads_its_events_and_a_collector_does_not() -> None:
    script = Scenario(chunks=10, gap_ms=30)
    events = whole(text_block(0, *"0123456789"))
    assert message_streams.relayed_as_produced(stream(events, script, gap=0.03)).outcome is Outcome.MET
    assert message_streams.relayed_as_produced(stream(events, script, gap=0.001)).outcome is Outcome.BROKEN
    assert message_streams.relayed_as_produced(stream(events, script, upstream=None)).missing == "upstream"


HALF: Events = whole()[:3]
ERROR = event("error", error={"type": "api_error", "message": "broke"})
BREAK = Scenario(fault="reset", after=3)
SIGNALLED, STOPPED, ENDED = (
    message_streams.break_is_signalled,
    message_streams.no_stop_made_up,
    message_streams.no_message_stop,
)


@pytest.mark.parametrize(
    ("events", "ending", "broken"),
    [
        ([*HALF, ERROR], Ending.COMPLETE, []),
        (HALF, Ending.RESET, []),
        (HALF, Ending.CLOSED, []),
        ([*HALF, ("", {"error": {"message": "broke"}})], Ending.COMPLETE, []),
        (HALF, Ending.COMPLETE, [SIGNALLED]),
        ([*HALF, closing()], Ending.COMPLETE, [SIGNALLED, STOPPED]),
        ([*HALF, STOP], Ending.COMPLETE, [SIGNALLED, ENDED]),
        ([*HALF, closing(), STOP], Ending.COMPLETE, [SIGNALLED, STOPPED, ENDED]),
        ([*HALF, ERROR, closing(), STOP], Ending.COMPLETE, [STOPPED, ENDED]),
    ],
)
def test_three_facts_about_a_break_are_judged_apart(
    events: Events, ending: Ending, broken: list[Rule]
) -> None:
    call = stream(events, BREAK, ending=ending, upstream=(post(ending="fault:reset"),))
    found = [rule for rule in (SIGNALLED, STOPPED, ENDED) if rule(call).outcome is Outcome.BROKEN]
    assert found == broken


def test_a_break_that_became_an_error_status_is_no_normal_ending() -> None:
    call = stream(b"{}", BREAK, status=500, headers=(("Content-Type", "application/json"),))
    assert {rule(call).outcome for rule in (SIGNALLED, STOPPED, ENDED)} == {Outcome.MET}


def test_a_break_that_never_reached_the_provider_is_not_judged() -> None:
    call = stream(whole(), BREAK, upstream=())
    assert {rule(call).outcome for rule in (SIGNALLED, STOPPED, ENDED)} == {Outcome.NOT_VERIFIED}


def plain_twin(content: list[dict[str, Any]], reason: str, scenario: Scenario) -> Call:
    body = json.dumps({"type": "message", "content": content, "stop_reason": reason}).encode()
    headers = (("Content-Type", "application/json"),)
    request = Request("POST", "http://target/v1/messages", (), b"{}")
    seen = Exchange("w-2", request, Response(200, headers, (Chunk(0.0, body),)), Ending.COMPLETE, 0.0, 1.0)
    return Call(seen, "plain", "messages", "anthropic", "m", scenario=scenario, upstream=(post(),))


Change = Callable[[Events], Events]


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        (lambda events: events, Outcome.MET),
        (lambda events: [start(), PING, *events[1:]], Outcome.MET),
        (lambda events: [*events[:-2], closing("max_tokens"), STOP], Outcome.BROKEN),
        (lambda events: whole(text_block(0, "other"), tool_block(1, '{"city": "Oslo"}')), Outcome.BROKEN),
        (lambda events: whole(text_block(0, "Look."), tool_block(1, '{"city": "Bergen"}')), Outcome.BROKEN),
    ],
)
def test_streamed_and_plain_reply_are_compared(change: Change, outcome: Outcome) -> None:
    script = Scenario(text="Look.")
    tool = {"type": "tool_use", "id": "toolu_9", "name": "get_weather", "input": {"city": "Oslo"}}
    plain = plain_twin([{"type": "text", "text": "Look."}, tool], "end_turn", script)
    events = change(whole(text_block(0, "Lo", "ok."), tool_block(1, '{"city": "Oslo"}')))
    observation = Observation("message_replies", (plain, stream(events, script)))
    assert [item.outcome for item in messages.streamed_equals_plain(observation, "plain")] == [outcome]


def test_a_missing_twin_is_no_verdict() -> None:
    observation = Observation("message_replies", (stream(whole(), Scenario(text=TEXT)),))
    assert [item.outcome for item in messages.streamed_equals_plain(observation, "plain")] == [
        Outcome.NOT_VERIFIED
    ]


def test_the_transcript_keeps_blocks_apart() -> None:
    transcript = read(stream(whole(text_block(0, "a", "b"), tool_block(1, "{}"), text_block(2, "c"))))
    assert [block.kind for block in transcript.blocks] == ["text", "tool_use", "text"]
    assert transcript.text == "abc"
    assert transcript.ended is State.STOPPED
