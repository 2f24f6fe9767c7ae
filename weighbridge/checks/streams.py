"""Rules about a streamed chat completion (CSTR rows), judged from its raw bytes.

The rules are statements about its transcript. What a stream may contain, in order, is OpenAI's chunk format
(S2 Streaming): chunks, the last of them with finish_reason, then `[DONE]`, then nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from weighbridge import tolerances
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
from weighbridge.checks.replies import FINISH_REASONS
from weighbridge.checks.transcripts import DataEvent, Transcript, index_of, on_stream, read
from weighbridge.evidence import Call, Observation, header
from weighbridge.scenario import Scenario
from weighbridge.suite import Rule
from weighbridge.verdict import Finding


def is_event_stream(call: Call) -> Finding:
    """`stream: true` is answered as text/event-stream."""
    if not call.exchange.ok or call.exchange.response is None:
        return unjudged(call, f"no reply to judge: {outcome_of(call)}")
    kind = call.exchange.response.content_type
    return holds(
        call, kind == "text/event-stream", "Content-Type text/event-stream", kind or "no Content-Type"
    )


@on_stream
def events_are_chunks(call: Call, stream: Transcript) -> Finding:
    """Each event is one data: line with one JSON object, or the terminator."""
    for piece in stream.events:
        if piece.json is None and not piece.is_done:
            return broken(
                call,
                "each event is one JSON object or [DONE]",
                f"event {piece.index} is {excerpt(piece.data)}",
            )
        if "\n" in piece.data:
            return broken(call, "one data: line for each event", f"event {piece.index} has several")
    last = stream.events[-1]
    if not last.complete:
        return broken(call, "a blank line ends each event", f"the last event ({excerpt(last.data)}) has none")
    return met(call, "each event is one JSON object or [DONE]", f"{len(stream.events)} events")


@on_stream
def has_done(call: Call, stream: Transcript) -> Finding:
    """The stream ends with `data: [DONE]`."""
    last = stream.events[-1]
    observed = "it is there" if stream.dones else f"the stream ends with {excerpt(last.data)}"
    return holds(call, bool(stream.dones), "the stream ends with data: [DONE]", observed)


@on_stream
def done_once_and_last(call: Call, stream: Transcript) -> Finding:
    """`[DONE]` once, and nothing behind it."""
    if not stream.dones:
        return unjudged(call, "there is no [DONE] at all")
    required = "[DONE] once and nothing after it"
    if len(stream.dones) > 1:
        return broken(call, required, f"[DONE] {len(stream.dones)} times")
    after = stream.events[stream.events.index(stream.dones[0]) + 1 :]
    return holds(
        call,
        not after,
        required,
        f"{len(after)} events after it: {excerpt(after[0].data)}" if after else "as required",
    )


def _every_chunk(required: str, ok: Callable[[dict[str, Any]], bool], name: str) -> Rule:
    @on_stream
    def rule(call: Call, stream: Transcript) -> Finding:
        for piece in stream.chunks:
            if piece.json is not None and not ok(piece.json):
                return broken(
                    call,
                    required,
                    f"event {piece.index} has {name} {excerpt(json.dumps(piece.json.get(name)))}",
                )
        return met(call, required, f"{len(stream.chunks)} chunks")

    return rule


object_is_chunk = _every_chunk(
    'object is "chat.completion.chunk" in every chunk',
    lambda chunk: chunk.get("object") == "chat.completion.chunk",
    "object",
)
has_choices_and_delta = _every_chunk(
    "each chunk has choices[].index and choices[].delta",
    lambda chunk: (
        isinstance(chunk.get("choices"), list)
        and all(
            isinstance(c, dict) and is_int(c.get("index")) and isinstance(c.get("delta"), dict)
            for c in chunk["choices"]
        )
        and (bool(chunk["choices"]) or chunk.get("usage") is not None)
    ),
    "choices",
)


@on_stream
def identity_is_stable(call: Call, stream: Transcript) -> Finding:
    """id, created and model are the same in all chunks."""
    required = "id, created and model the same in all chunks"
    for name in ("id", "created", "model"):
        seen = list(dict.fromkeys(json.dumps(piece.json.get(name)) for piece in stream.chunks if piece.json))
        if len(seen) > 1:
            return broken(call, required, f"{len(seen)} values of {name}: {', '.join(seen[:3])}")
    return met(call, required, f"{len(stream.chunks)} chunks")


@on_stream
def role_comes_first(call: Call, stream: Transcript) -> Finding:
    """The first delta of a choice carries role assistant."""
    first: dict[Any, Any] = {}
    for piece in stream.chunks:
        for choice in piece.choices:
            first.setdefault(index_of(choice), member(choice, "delta", "role"))
    if not first:
        return unjudged(call, "no chunk has a choice")
    bad = {index: role for index, role in first.items() if role != "assistant"}
    return holds(call, not bad, "the first delta of each choice has role assistant", f"first roles {first}")


def _asked_for_usage(call: Call) -> bool:
    body = json.loads(call.exchange.request.body)
    return bool(member(body, "stream_options", "include_usage"))


@on_stream
def finish_is_last(call: Call, stream: Transcript) -> Finding:
    """The last JSON event carries a known finish_reason.

    A usage chunk may follow where it was asked for (C11), and on Claude models, where usage in streams is
    not ruled out.
    """
    required = "the last event before [DONE] carries finish_reason"
    usage_allowed = _asked_for_usage(call) or (call.role or "").startswith("anthropic")
    chunks = [piece for piece in stream.chunks if piece.choices or not usage_allowed]
    if not chunks:
        return unjudged(call, "no chunk was sent")
    reasons = [choice.get("finish_reason") for choice in chunks[-1].choices]
    return holds(
        call,
        bool(reasons) and all(reason in FINISH_REASONS for reason in reasons),
        required,
        f"it carries {reasons[0]!r}" if reasons else f"it is {excerpt(chunks[-1].data)}",
    )


@on_stream
def finish_null_before(call: Call, stream: Transcript) -> Finding:
    """finish_reason is null until the last event of its choice."""
    required = "finish_reason is null until a choice's last event"
    finished: dict[Any, int] = {}
    for piece in stream.chunks:
        for choice in piece.choices:
            index = index_of(choice)
            if index in finished and not _is_empty(choice):
                return broken(
                    call,
                    required,
                    f"event {finished[index]} finished choice {index}, event {piece.index} goes on",
                )
            if choice.get("finish_reason") is not None:
                finished.setdefault(index, piece.index)
    return met(call, required, f"finished at {finished}")


def _is_empty(choice: dict[str, Any]) -> bool:
    delta = choice.get("delta")
    return not delta or (isinstance(delta, dict) and not any(delta.values()))


@on_stream
def finish_once(call: Call, stream: Transcript) -> Finding:
    """finish_reason once for each choice."""
    counts: dict[Any, int] = {}
    for _, index, _ in stream.finishes:
        counts[index] = counts.get(index, 0) + 1
    if not counts:
        return unjudged(call, "no finish_reason was sent")
    return holds(
        call,
        all(count == 1 for count in counts.values()),
        "finish_reason once for each choice",
        f"times by choice: {counts}",
    )


@on_stream
def text_is_whole(call: Call, stream: Transcript) -> Finding:
    """The concatenated text is the provider's, byte for byte."""
    if call.scenario is None or call.scenario.text is None:
        return needs("upstream")
    text = stream.text()
    return holds(call, text == call.scenario.text, f"the text {call.scenario.text!r}", f"{text!r}")


@on_stream
def no_usage(call: Call, stream: Transcript) -> Finding:
    """No usage object in a stream that was not asked for one (`usage: null` is none)."""
    bearing = [piece for piece in stream.chunks if piece.json and piece.json.get("usage") is not None]
    return holds(
        call,
        not bearing,
        "no usage in the stream",
        f"usage in event {bearing[0].index}" if bearing else "none",
    )


def read_late(call: Call, spread: float, produced: float) -> Finding | None:
    """Why the pace says nothing: we stood still ourselves, long enough to make the difference; else None."""
    if spread >= tolerances.RELAY_SHARE * produced or spread + call.lag < tolerances.RELAY_SHARE * produced:
        return None
    return unjudged(call, f"our own process stood still for {call.lag * 1000:.0f} ms meanwhile")


def pace_finding(call: Call, script: Scenario, pieces: Sequence[DataEvent], what: str) -> Finding:
    """Whether these pieces came over as much time as the script took to make them; `what` names them."""
    spread = pieces[-1].at - pieces[0].at if pieces else 0.0
    produced = (script.gap_ms or 0) * ((script.chunks or 1) - 1) / 1000
    late = read_late(call, spread, produced)
    return late or holds(
        call,
        spread >= tolerances.RELAY_SHARE * produced,
        f"{what} are relayed as they are produced",
        f"the provider took {produced * 1000:.0f} ms, first and last piece arrived {spread * 1000:.0f} ms apart",
    )


@on_stream
def relayed_as_produced(call: Call, stream: Transcript) -> Finding:
    """Pieces arrive as the provider makes them, not all at the end."""
    if call.scenario is None:
        return needs("upstream")
    return pace_finding(call, call.scenario, stream.chunks, "pieces")


@on_stream
def cut_by_cap(call: Call, stream: Transcript) -> Finding:
    """A stream that reaches max_tokens finishes with length."""
    if call.upstream is None:
        return needs("upstream")
    reasons = [reason for _, _, reason in stream.finishes]
    return holds(
        call,
        reasons == ["length"],
        "finish_reason length when max_tokens cuts the answer",
        f"finish_reasons {reasons}",
    )


@on_stream
def tool_call_is_whole(call: Call, stream: Transcript) -> Finding:
    """Streamed tool-call fragments concatenate to the call, with finish_reason tool_calls."""
    if call.scenario is None or call.scenario.tool is None:
        return needs("upstream")
    found = stream.tool_calls().get(0)
    reasons = [reason for _, _, reason in stream.finishes]
    required = f"fragments of tool call 0 concatenate to {call.scenario.tool}({call.scenario.args}); finish tool_calls"
    if found is None:
        return broken(call, required, "no fragment of a tool call with index 0")
    try:
        same = json.loads(found["arguments"]) == json.loads(call.scenario.args or "{}")
    except (ValueError, RecursionError):
        same = False
    good = same and found["name"] == call.scenario.tool and bool(found["id"]) and reasons == ["tool_calls"]
    return holds(call, good, required, f"{found}, finish_reasons {reasons}")


def same_as_unstreamed(observation: Observation) -> list[Finding]:
    """The streamed and the plain reply to one script carry the same text and finish_reason.

    Judged for each model that was asked for a stream; a second name of one model need not be.
    """
    findings: list[Finding] = []
    for role in dict.fromkeys(call.role for call in observation.where("plain", streamed=True)):
        plain = [call for call in observation.where("plain", role=role, streamed=False) if call.exchange.ok]
        streamed = [call for call in observation.where("plain", role=role, streamed=True) if call.exchange.ok]
        if not plain or not streamed:
            findings.append(
                unjudged(observation.where("plain", role=role)[0], "one of the two replies is missing")
            )
            continue
        if streamed[0].scenario is None:
            findings.append(needs("upstream"))
            continue
        choice = member(plain[0].exchange.json, "choices", 0)
        expected = (member(choice, "message", "content"), member(choice, "finish_reason"))
        stream = read(streamed[0])
        seen = (stream.text(), stream.finishes[-1][2] if stream.finishes else None)
        findings.append(
            holds(
                streamed[0],
                seen == expected,
                f"text and finish of the unstreamed reply: {expected}",
                f"{seen}",
            )
        )
    return findings


@on_stream
def usage_chunk_is_told(call: Call, stream: Transcript) -> Finding:
    """Whether include_usage yields a usage chunk; told, never required (reading C10)."""
    bearing = [piece for piece in stream.chunks if piece.json and piece.json.get("usage") is not None]
    return met(call, "a usage chunk may follow include_usage", f"{len(bearing)} chunks with usage")


def not_compressed(call: Call) -> Finding:
    """No Content-Encoding on a stream, since none was asked for."""
    response = call.exchange.response
    if not call.exchange.ok or response is None or response.content_type != "text/event-stream":
        return unjudged(call, f"no stream to judge: {outcome_of(call)}")
    encoding = header(response.headers, "content-encoding")
    return holds(
        call, encoding in {None, "identity"}, "no Content-Encoding that nobody asked for", f"{encoding}"
    )
