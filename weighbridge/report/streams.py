"""What each stream looked like in time, as data for a picture: both sides on the client's clock.

The client side has one mark for each event, at the arrival of the bytes that completed it. The upstream side
has the writes of the provider. It is left out where the two clocks cannot be aligned well enough to compare.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from weighbridge.clock import Clock
from weighbridge.engine import Evidence
from weighbridge.evidence import Call, Ending, UpstreamCall
from weighbridge.sse import Event

#: Beyond this an upstream lane would say more than is known.
MAX_UNCERTAINTY_S = 0.005
#: A picture shows no more events than this; what is left out is stated.
MAX_EVENTS = 2500

_TERMINAL_NAMES = frozenset({"message_stop"})


def _kind(event: Event) -> str:
    """`content`, `end` (the terminator), `error`, `control` (anything else), `comment` or `broken`."""
    if not event.complete:
        return "broken"
    if event.data is None:
        return "comment"
    if event.data.strip() == "[DONE]" or event.name in _TERMINAL_NAMES:
        return "end"
    try:
        chunk = json.loads(event.data)
    except (ValueError, RecursionError):
        return "broken"
    if not isinstance(chunk, dict):
        return "broken"
    if event.name == "error" or (chunk.get("error") and not chunk.get("choices")):
        return "error"
    if chunk.get("type") in _TERMINAL_NAMES:
        return "end"
    return "content" if _has_content(chunk) else "control"


def _has_content(chunk: dict[str, Any]) -> bool:
    if chunk.get("type") == "content_block_delta":
        return True
    choices = chunk.get("choices")
    for choice in choices if isinstance(choices, list) else []:
        delta = choice.get("delta") if isinstance(choice, dict) else None
        if isinstance(delta, dict) and (delta.get("content") or delta.get("tool_calls")):
            return True
    return False


def is_stream(call: Call) -> bool:
    """Whether the call was answered with events."""
    response = call.exchange.response
    return (
        call.streamed
        and response is not None
        and 200 <= response.status < 300
        and any(event.data is not None for event in response.events)
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _upstream(call: UpstreamCall, clock: Clock, started: float) -> dict[str, Any]:
    begin = clock.at(call.arrived_ns) - started
    return {
        "arrived": _ms(begin),
        "writes": [_ms(begin + at / 1e6) for at in call.writes_us],
        "finished": None if call.finished_ns is None else _ms(clock.at(call.finished_ns) - started),
        "left": None if call.caller_left_ns is None else _ms(clock.at(call.caller_left_ns) - started),
        "events": call.events_sent,
        "status": call.status,
        "ending": call.ending,
        "to": call.path,
    }


def picture(call: Call, clock: Clock | None) -> dict[str, Any]:
    """One stream: marks as [milliseconds after the request, kind], how it ended, and the upstream lanes."""
    seen = call.exchange
    events = seen.response.events if seen.response else ()
    shown = events[:MAX_EVENTS]
    made: dict[str, Any] = {
        "id": call.id,
        "label": call.label,
        "surface": call.surface,
        "situation": call.situation,
        "model": call.model or "",
        "head": None if seen.head_at is None else _ms(seen.head_at),
        "events": [[_ms(event.at), _kind(event)] for event in shown],
        "more": len(events) - len(shown),
        "ended": _ms(seen.ended_at),
        "ending": seen.ending.value,
        "clean": seen.ending is Ending.COMPLETE,
    }
    posts = [post for post in call.upstream or () if post.is_model_call]
    if clock is not None and clock.uncertainty_s <= MAX_UNCERTAINTY_S:
        made["upstream"] = [_upstream(post, clock, seen.started) for post in posts]
    elif posts:
        made["left_out"] = len(posts)
    return made


def pictures(evidence: Evidence) -> Iterator[dict[str, Any]]:
    """All streams of a run."""
    for item in evidence.observations.values():
        for call in item.calls:
            if is_stream(call):
                yield picture(call, evidence.clock)
