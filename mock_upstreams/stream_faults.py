"""Faults of event streams as transformations of a plan: pure, one function a fault, bound to their names in a table."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from mock_upstreams.fault_plans import INSTEAD_OF_REPLY, NOT_UTF8, mistyped
from mock_upstreams.pacing import Pace
from mock_upstreams.plans import Ending, Event, Kind, Plan, StreamParts, stream_plan
from mock_upstreams.raw_faults import RAW, raw_plan
from mock_upstreams.scenario import Scenario
from mock_upstreams.small_writes import bounded, single_bytes, split_characters

_COMMENT: Final = b": keep-alive\n\n"

_Transform = Callable[[Plan, StreamParts, Scenario], Plan]


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


def _rest(parts: StreamParts, before: list[Event]) -> list[Event]:
    """What follows the first events of a stream."""
    return list(parts.events)[len(before) :]


def _broken_after(ending: Ending) -> _Transform:
    def transform(plan: Plan, parts: StreamParts, scenario: Scenario) -> Plan:
        return replace(plan, events=_until(parts.events, scenario.after), ending=ending)

    return transform


def _then(piece: Callable[[StreamParts], bytes]) -> _Transform:
    def transform(plan: Plan, parts: StreamParts, scenario: Scenario) -> Plan:
        return replace(plan, events=[*_until(parts.events, scenario.after), (Kind.NOW, piece(parts))])

    return transform


def _repeated(kind: Kind) -> _Transform:
    def transform(plan: Plan, parts: StreamParts, scenario: Scenario) -> Plan:
        del scenario
        events = [
            copy for event in parts.events for copy in ([event, event] if event[0] == kind else [event])
        ]
        return replace(plan, events=events)

    return transform


def _each(change: Callable[[Event], list[Event]]) -> _Transform:
    def transform(plan: Plan, parts: StreamParts, scenario: Scenario) -> Plan:
        del scenario
        return replace(plan, events=[changed for event in parts.events for changed in change(event)])

    return transform


def _small_writes(change: Callable[[Event], list[Event]]) -> _Transform:
    transform_each = _each(change)

    def transform(plan: Plan, parts: StreamParts, scenario: Scenario) -> Plan:
        bounded(sum(len(data) for _, data in parts.events))
        return transform_each(plan, parts, scenario)

    return transform


def _mistyped_stream(plan: Plan, parts: StreamParts, scenario: Scenario) -> Plan:
    del scenario
    return replace(plan, headers=mistyped(parts.headers))


def _invalid_stream(plan: Plan, parts: StreamParts, scenario: Scenario) -> Plan:
    """The bytes go into the last string value of each content event."""
    del scenario

    def spoil(event: Event) -> list[Event]:
        kind, data = event
        if kind != Kind.CONTENT:
            return [event]
        at = data.rfind(b'":"') + 3
        return [(kind, data[:at] + NOT_UTF8 + data[at:])]

    return replace(plan, events=[changed for event in parts.events for changed in spoil(event)])


def _oversize_stream(plan: Plan, parts: StreamParts, scenario: Scenario) -> Plan:
    """One event grows: blanks between the fields of its JSON leave it the same event to a parser."""
    before = _until(parts.events, scenario.after)
    huge = parts.spoilers().late.replace(b"data: {", b"data: {" + b" " * scenario.size, 1)
    return replace(plan, events=[*before, (Kind.NOW, huge), *_rest(parts, before)])


def _early_done(plan: Plan, parts: StreamParts, scenario: Scenario) -> Plan:
    before = _until(parts.events, scenario.after)
    ends = [(Kind.NOW, data) for kind, data in parts.events if kind == Kind.END]
    rest = [event for event in _rest(parts, before) if event[0] != Kind.END]
    return replace(plan, events=[*before, *ends, *rest])


def _no_finish(plan: Plan, parts: StreamParts, scenario: Scenario) -> Plan:
    del scenario
    return replace(plan, events=[event for event in parts.events if event[0] != Kind.FINISH])


def _unknown_event(plan: Plan, parts: StreamParts, scenario: Scenario) -> Plan:
    before = _until(parts.events, scenario.after)
    return replace(plan, events=[*before, (Kind.NOW, parts.spoilers().unknown), *_rest(parts, before)])


def _no_done(plan: Plan, parts: StreamParts, scenario: Scenario) -> Plan:
    del scenario
    return replace(plan, events=[event for event in parts.events if event[0] != Kind.END])


def _after_done(plan: Plan, parts: StreamParts, scenario: Scenario) -> Plan:
    del scenario
    return replace(plan, events=[*parts.events, (Kind.NOW, parts.spoilers().late)])


def _unchanged_stream(plan: Plan, parts: StreamParts, scenario: Scenario) -> Plan:
    del parts, scenario
    return plan


def _crlf(event: Event) -> list[Event]:
    kind, data = event
    return [(kind, data.replace(b"\n", b"\r\n"))]


def _commented(event: Event) -> list[Event]:
    return [(Kind.NOW, _COMMENT), event]


_STREAM_FAULTS: Final[dict[str, _Transform]] = {
    "bad_json": _then(lambda parts: parts.spoilers().truncated),
    "reset": _broken_after(Ending.RST),
    "close": _broken_after(Ending.FIN),
    "end_early": _broken_after(Ending.CLEAN),
    "stall": _broken_after(Ending.SILENCE),
    "error_event": _then(lambda parts: parts.spoilers().error),
    "no_done": _no_done,
    "double_done": _repeated(Kind.END),
    "double_finish": _repeated(Kind.FINISH),
    "after_done": _after_done,
    "no_usage": _unchanged_stream,
    "wrong_usage": _unchanged_stream,
    "crlf": _each(_crlf),
    "comments": _each(_commented),
    "bytewise": _small_writes(single_bytes),
    "split_utf8": _small_writes(split_characters),
    "wrong_type": _mistyped_stream,
    "invalid_utf8": _invalid_stream,
    "oversize": _oversize_stream,
    "early_done": _early_done,
    "no_finish": _no_finish,
    "unknown_event": _unknown_event,
    # The pace has already been changed.
    "latency_spike": _unchanged_stream,
}


def faulty_stream(parts: StreamParts, scenario: Scenario, pace: Pace) -> Plan:
    """The plan of a streamed answer at this pace, under the scenario's fault, if it has one."""
    plan = stream_plan(parts, pace)
    if scenario.fault is None:
        return plan
    plan = replace(plan, fault=scenario.fault)
    if scenario.fault in RAW:
        if scenario.fault == "bad_chunking":
            plan = replace(plan, events=_until(parts.events, scenario.after))
        return raw_plan(plan, scenario)
    return _STREAM_FAULTS[scenario.fault](plan, parts, scenario)


HANDLED_STREAMED: Final = frozenset((*INSTEAD_OF_REPLY, *_STREAM_FAULTS, *RAW))
