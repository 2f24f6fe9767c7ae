"""Faults as transformations of a plan: pure, one function a fault, bound to their names in two tables."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from mock_upstreams.pacing import AT_ONCE, Fixed, Pace
from mock_upstreams.plans import (
    Document,
    Ending,
    Event,
    Kind,
    Plan,
    StreamParts,
    document_plan,
    stream_plan,
)
from mock_upstreams.refusals import bad_request
from mock_upstreams.scenario import Scenario

_HTML_PAGE: Final = (
    b"<!DOCTYPE html>\n<html><head><title>%d</title></head>\n"
    b"<body><center><h1>%d</h1></center><hr><center>edge</center></body></html>\n"
)
_COMMENT: Final = b": keep-alive\n\n"

_MAX_BYTEWISE: Final = 512 * 1024
"""Bytes of an answer that is sent in very small writes."""

BEFORE_HEAD: Final = {"close_before_headers": Ending.FIN, "reset_before_headers": Ending.RST}
"""Faults that leave the caller without a status line."""

INSTEAD_OF_REPLY: Final = ("status", "html", "empty", *BEFORE_HEAD)
"""Faults for which no reply is made at all (and so no prompt is cached)."""


def replacement(scenario: Scenario, error: Document, *, streamed: bool) -> Plan:
    """The plan of a fault that takes the place of a reply; `error` is the dialect's body for fault=status."""
    delay_s = scenario.ttft_ms / 1000
    fault = scenario.fault
    if fault in BEFORE_HEAD:
        return Plan(None, (), [], 0, BEFORE_HEAD[fault], delay_s=delay_s, fault=fault)
    retry = (("retry-after", scenario.retry_after),) if scenario.retry_after is not None else ()
    if fault == "status":
        document = error
    elif fault == "html":
        status = scenario.status or 502
        document = Document(status, _HTML_PAGE % (status, status), (("content-type", "text/html"),))
    else:
        kind = "text/event-stream; charset=utf-8" if streamed else "application/json"
        document = Document(scenario.status or 200, b"", (("content-type", kind),))
    document = replace(document, headers=document.headers + retry)
    return document_plan(document, delay_s=delay_s, fault=fault)


def _bounded(size: int) -> None:
    if size > _MAX_BYTEWISE:
        raise bad_request(f"simulator: an answer of {size} bytes is too long for this fault; shorten text=")


# Documents (unstreamed answers)


def _half_then(ending: Ending) -> Callable[[Plan, bytes], Plan]:
    def transform(plan: Plan, body: bytes) -> Plan:
        return replace(plan, events=[(Kind.NOW, body[: max(1, len(body) // 2)])], ending=ending)

    return transform


def _truncated_document(plan: Plan, body: bytes) -> Plan:
    kept = body[: max(1, len(body) * 2 // 3)]
    return replace(plan, events=[(Kind.NOW, kept)], length=len(kept))


def _silent_document(plan: Plan, body: bytes) -> Plan:
    del body
    return replace(plan, status=None, headers=(), events=[], ending=Ending.SILENCE)


def _bytewise_document(plan: Plan, body: bytes) -> Plan:
    _bounded(len(body))
    return replace(plan, events=_single_bytes((Kind.NOW, body)))


def _split_document(plan: Plan, body: bytes) -> Plan:
    _bounded(len(body))
    return replace(plan, events=_split_characters((Kind.NOW, body)))


def _unchanged_document(plan: Plan, body: bytes) -> Plan:
    del body
    return plan


_DOCUMENT_FAULTS: Final[dict[str, Callable[[Plan, bytes], Plan]]] = {
    "bad_json": _truncated_document,
    "reset": _half_then(Ending.RST),
    "close": _half_then(Ending.FIN),
    "stall": _silent_document,
    "bytewise": _bytewise_document,
    "split_utf8": _split_document,
    # The renderer of the dialect has already left usage out, or falsified it.
    "no_usage": _unchanged_document,
    "wrong_usage": _unchanged_document,
}


def faulty_document(document: Document, scenario: Scenario, *, delay_s: float) -> Plan:
    """The plan of an unstreamed answer under the scenario's fault, if it has one."""
    plan = document_plan(document, delay_s=delay_s, fault=scenario.fault)
    if scenario.fault is None:
        return plan
    return _DOCUMENT_FAULTS[scenario.fault](plan, document.body)


# Streams


def pace_of(scenario: Scenario) -> Pace:
    """The pace that a scenario asks for."""
    if not scenario.ttft_ms and not scenario.gap_ms:
        return AT_ONCE
    return Pace(ttft_s=scenario.ttft_ms / 1000, gap=Fixed(scenario.gap_ms / 1000))


def _until(events: Iterable[Event], after: int) -> list[Event]:
    """The events up to and including the `after`-th piece of content, but never the finish."""
    kept: list[Event] = []
    seen = 0
    for event in events:
        kind, _ = event
        if kind >= Kind.FINISH or (seen == after and kind in {Kind.CONTENT, Kind.LEAD}):
            break
        kept.append(event)
        seen += kind == Kind.CONTENT
    while kept and seen and kept[-1][0] != Kind.CONTENT:
        kept.pop()
    return kept


def _broken_after(ending: Ending) -> Callable[[Plan, StreamParts, Scenario], Plan]:
    def transform(plan: Plan, parts: StreamParts, scenario: Scenario) -> Plan:
        return replace(plan, events=_until(parts.events, scenario.after), ending=ending)

    return transform


def _then(piece: Callable[[StreamParts], bytes]) -> Callable[[Plan, StreamParts, Scenario], Plan]:
    def transform(plan: Plan, parts: StreamParts, scenario: Scenario) -> Plan:
        return replace(plan, events=[*_until(parts.events, scenario.after), (Kind.NOW, piece(parts))])

    return transform


def _repeated(kind: Kind) -> Callable[[Plan, StreamParts, Scenario], Plan]:
    def transform(plan: Plan, parts: StreamParts, scenario: Scenario) -> Plan:
        del scenario
        events = [
            copy for event in parts.events for copy in ([event, event] if event[0] == kind else [event])
        ]
        return replace(plan, events=events)

    return transform


def _each(change: Callable[[Event], list[Event]]) -> Callable[[Plan, StreamParts, Scenario], Plan]:
    def transform(plan: Plan, parts: StreamParts, scenario: Scenario) -> Plan:
        del scenario
        return replace(plan, events=[changed for event in parts.events for changed in change(event)])

    return transform


def _small_writes(change: Callable[[Event], list[Event]]) -> Callable[[Plan, StreamParts, Scenario], Plan]:
    transform_each = _each(change)

    def transform(plan: Plan, parts: StreamParts, scenario: Scenario) -> Plan:
        _bounded(sum(len(data) for _, data in parts.events))
        return transform_each(plan, parts, scenario)

    return transform


def _no_done(plan: Plan, parts: StreamParts, scenario: Scenario) -> Plan:
    del scenario
    return replace(plan, events=[event for event in parts.events if event[0] != Kind.END])


def _after_done(plan: Plan, parts: StreamParts, scenario: Scenario) -> Plan:
    del scenario
    return replace(plan, events=[*parts.events, (Kind.NOW, parts.late_event)])


def _unchanged_stream(plan: Plan, parts: StreamParts, scenario: Scenario) -> Plan:
    del parts, scenario
    return plan


def _crlf(event: Event) -> list[Event]:
    kind, data = event
    return [(kind, data.replace(b"\n", b"\r\n"))]


def _commented(event: Event) -> list[Event]:
    return [(Kind.NOW, _COMMENT), event]


def _single_bytes(event: Event) -> list[Event]:
    kind, data = event
    return [(kind, data[:1]), *((Kind.BYTE, data[i : i + 1]) for i in range(1, len(data)))]


def _split_characters(event: Event) -> list[Event]:
    """Cut after the first byte of every multi-byte character."""
    kind, data = event
    cuts = [i + 1 for i, byte in enumerate(data) if byte >= 0xC0]
    parts = [data[start:end] for start, end in itertools.pairwise([0, *cuts, len(data)])]
    return [(kind if i == 0 else Kind.TAIL, part) for i, part in enumerate(parts)]


_STREAM_FAULTS: Final[dict[str, Callable[[Plan, StreamParts, Scenario], Plan]]] = {
    "bad_json": _then(lambda parts: parts.truncated_event),
    "reset": _broken_after(Ending.RST),
    "close": _broken_after(Ending.FIN),
    "end_early": _broken_after(Ending.CLEAN),
    "stall": _broken_after(Ending.SILENCE),
    "error_event": _then(lambda parts: parts.error_event),
    "no_done": _no_done,
    "double_done": _repeated(Kind.END),
    "double_finish": _repeated(Kind.FINISH),
    "after_done": _after_done,
    "no_usage": _unchanged_stream,
    "wrong_usage": _unchanged_stream,
    "crlf": _each(_crlf),
    "comments": _each(_commented),
    "bytewise": _small_writes(_single_bytes),
    "split_utf8": _small_writes(_split_characters),
}


def faulty_stream(parts: StreamParts, scenario: Scenario) -> Plan:
    """The plan of a streamed answer under the scenario's fault, if it has one."""
    plan = stream_plan(parts, pace_of(scenario))
    if scenario.fault is None:
        return plan
    plan = replace(plan, fault=scenario.fault)
    return _STREAM_FAULTS[scenario.fault](plan, parts, scenario)


HANDLED_STREAMED: Final = frozenset((*INSTEAD_OF_REPLY, *_STREAM_FAULTS))
HANDLED_UNSTREAMED: Final = frozenset((*INSTEAD_OF_REPLY, *_DOCUMENT_FAULTS))
