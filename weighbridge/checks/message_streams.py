"""Rules about a streamed message (MSTR rows), as statements about its transcript.

The order of events is judged by the table in `message_events`; here each breach is given to the one rule
that it breaks, so that a single slip is reported under a single requirement.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from weighbridge.checks.findings import (
    broken,
    excerpt,
    holds,
    is_int,
    member,
    met,
    needs,
    outcome_of,
    unjudged,
)
from weighbridge.checks.message_events import BLOCK_EVENTS, Breach, State, Transcript, read
from weighbridge.checks.streams import pace_finding
from weighbridge.checks.transcripts import DONE, rules_over
from weighbridge.evidence import Call, Ending, header
from weighbridge.suite import Rule
from weighbridge.verdict import Finding

on_stream = rules_over(read)


def _first(breaches: tuple[Breach, ...], concerns: Callable[[Breach], bool]) -> Breach | None:
    return next((breach for breach in breaches if concerns(breach)), None)


@on_stream
def named_after_type(call: Call, stream: Transcript) -> Finding:
    """Each event has an `event:` line equal to `type` in its data; a stray [DONE] is judged elsewhere."""
    required = "each event has an event: line equal to the type in its data"
    for event in stream.events:
        if event.is_done:
            continue
        inner = member(event.json, "type")
        if event.name != inner:
            return broken(
                call,
                required,
                f"event {event.index} is named {event.name or 'nothing'!r}, its data says {inner!r}",
            )
    last = stream.events[-1]
    if not last.complete:
        return broken(call, "a blank line ends each event", f"the last event ({excerpt(last.data)}) has none")
    return met(call, required, f"{len(stream.events)} events")


@on_stream
def starts_with_message(call: Call, stream: Transcript) -> Finding:
    """message_start comes first and once, with an empty content array and usage.input_tokens."""
    required = "message_start first, with content [] and usage.input_tokens"
    breach = _first(
        stream.breaches,
        lambda item: (
            item.state is State.BEFORE
            or (item.event.type == "message_start" and item.state is not State.STOPPED)
        ),
    )
    if breach is not None:
        return broken(call, required, str(breach))
    starts = stream.of("message_start")
    if not starts:
        return broken(call, required, f"the stream begins with {excerpt(stream.events[0].data)}")
    content = member(starts[0].json, "message", "content")
    counted = member(starts[0].json, "message", "usage", "input_tokens")
    return holds(
        call,
        content == [] and is_int(counted),
        required,
        f"content {excerpt(json.dumps(content, ensure_ascii=False))}, usage.input_tokens {counted!r}",
    )


@on_stream
def blocks_in_turn(call: Call, stream: Transcript) -> Finding:
    """Each block is start, deltas, stop under one index; indexes rise from 0; no block is left open."""
    required = "blocks come as start, deltas, stop with one index, rising from 0"
    breach = _first(
        stream.breaches,
        lambda item: (
            (item.event.type in BLOCK_EVENTS and item.state not in {State.BEFORE, State.STOPPED})
            or (item.event.type in {"message_delta", "message_stop"} and item.state is State.INSIDE)
        ),
    )
    if breach is not None:
        return broken(call, required, str(breach))
    if stream.slips:
        return broken(call, required, stream.slips[0])
    if stream.ended is State.INSIDE:
        return broken(call, required, "the last block was never stopped")
    return met(call, required, f"{len(stream.blocks)} blocks")


@on_stream
def text_is_whole(call: Call, stream: Transcript) -> Finding:
    """The text_delta pieces join to the provider's text, byte for byte."""
    if call.upstream is None or call.scenario is None or call.scenario.text is None:
        return needs("upstream")
    return holds(
        call, stream.text == call.scenario.text, f"the text {call.scenario.text!r}", f"{stream.text!r}"
    )


@on_stream
def tool_input_is_json(call: Call, stream: Transcript) -> Finding:
    """The input_json_delta pieces join to the tool's input, or to nothing where it has none."""
    tools = [block for block in stream.blocks if block.kind == "tool_use"]
    if call.upstream is None or call.scenario is None or call.scenario.tool is None:
        if not tools:
            return needs("upstream")
        wanted = None
    else:
        wanted = json.loads(call.scenario.args or "{}")
    required = "input_json_delta pieces join to the tool's input as JSON"
    if not tools:
        return broken(call, required, "no tool_use block in the stream")
    joined = tools[0].tool_input
    good = joined is not None if wanted is None else joined == wanted
    return holds(
        call,
        good,
        required,
        f"they join to {tools[0].partial_json!r}, the input is {excerpt(json.dumps(wanted))}",
    )


@on_stream
def delta_gives_stop_and_count(call: Call, stream: Transcript) -> Finding:
    """message_delta gives one stop_reason, and a count of output tokens that never falls."""
    required = "message_delta carries stop_reason, once, and the cumulative usage.output_tokens"
    deltas = stream.of("message_delta")
    if not deltas:
        return broken(call, required, f"no message_delta; the stream ended {stream.ended}")
    if len(stream.stop_reasons) != 1:
        return broken(
            call,
            required,
            f"stop_reason {len(stream.stop_reasons)} times in {len(deltas)} message_delta events",
        )
    counts = [member(event.json, "usage", "output_tokens") for event in deltas]
    if not is_int(counts[-1]):
        return broken(call, required, f"usage.output_tokens is {counts[-1]!r}")
    starts = stream.of("message_start")
    began = member(starts[0].json, "message", "usage", "output_tokens") if starts else None
    series = [count for count in (began, *counts) if is_int(count)]
    if series != sorted(series):
        return broken(call, required, f"output_tokens fall: {series}")
    scripted = call.scenario.completion_tokens if call.upstream and call.scenario else None
    if scripted is not None and counts[-1] != scripted:
        return broken(call, required, f"output_tokens {counts[-1]}, the provider counted {scripted}")
    return met(call, required, f"{stream.stop_reasons[0]!r}, {counts[-1]} tokens")


@on_stream
def stop_is_last(call: Call, stream: Transcript) -> Finding:
    """message_stop comes once and last (pings aside), and [DONE] never."""
    required = "message_stop is last and there is no [DONE]"
    if stream.dones:
        return broken(call, required, f"event {stream.dones[0].index} is [DONE]")
    if not stream.of("message_stop"):
        return broken(call, required, f"no message_stop; the last event is {excerpt(stream.events[-1].data)}")
    breach = _first(
        stream.breaches,
        lambda item: item.state in {State.STOPPED, State.FAILED},
    )
    if breach is not None:
        return broken(call, required, str(breach))
    return holds(call, stream.ended is State.STOPPED, required, f"the stream ended {stream.ended}")


@on_stream
def pings_mean_nothing(call: Call, stream: Transcript) -> Finding:
    """Reports how many pings came and where; any number anywhere is allowed."""
    places = [str(event.index) for event in stream.of("ping")]
    return met(
        call,
        "ping events may come anywhere",
        f"{len(places)} pings, at {', '.join(places[:5]) or 'no place'}",
    )


@on_stream
def not_compressed(call: Call, _stream: Transcript) -> Finding:
    """A stream for a client that sent no Accept-Encoding is not compressed."""
    assert call.exchange.response is not None  # noqa: S101 - on_stream saw a reply
    coding = header(call.exchange.response.headers, "content-encoding")
    return holds(
        call, coding in {None, "identity"}, "no Content-Encoding on a stream", f"Content-Encoding {coding}"
    )


@on_stream
def relayed_as_produced(call: Call, stream: Transcript) -> Finding:
    """Pieces arrive as the provider makes them, not all at the end."""
    if not call.upstream or call.scenario is None:
        return needs("upstream")
    return pace_finding(call, call.scenario, stream.of("content_block_delta"), "events")


# ------------------------------------------------------------------ three facts about a broken upstream
def _broken_upstream(rule: Callable[[Call, Transcript], Finding]) -> Rule:
    def guarded(call: Call) -> Finding:
        if call.upstream is None or call.scenario is None:
            return needs("upstream")
        if not call.upstream:
            return unjudged(call, f"the call reached no provider: {outcome_of(call)}")
        if call.exchange.status != 200:
            return met(call, "no normal ending", f"no stream at all: {outcome_of(call)}")
        return rule(call, read(call))

    return guarded


@_broken_upstream
def break_is_signalled(call: Call, stream: Transcript) -> Finding:
    """An error event, or a connection that did not end cleanly."""
    cut = call.exchange.ending is not Ending.COMPLETE
    seen = (
        excerpt(stream.errors[0].data)
        if stream.errors
        else f"connection {call.exchange.ending}, no error event"
    )
    return holds(
        call,
        bool(stream.errors) or cut,
        "the break is signalled: an error event or a broken connection",
        seen,
    )


@_broken_upstream
def no_stop_made_up(call: Call, stream: Transcript) -> Finding:
    """No stop_reason that the provider never gave."""
    reasons = stream.stop_reasons
    observed = f"stop_reason {reasons[0]!r} made up" if reasons else "none"
    return holds(call, not reasons, "no stop_reason after a broken upstream", observed)


@_broken_upstream
def no_message_stop(call: Call, stream: Transcript) -> Finding:
    """No end mark after a broken upstream, in either format."""
    ends = [event.type or DONE for event in (*stream.of("message_stop"), *stream.dones)]
    observed = f"{ends[0]} was sent" if ends else "none"
    return holds(call, not ends, "no message_stop after a broken upstream", observed)
