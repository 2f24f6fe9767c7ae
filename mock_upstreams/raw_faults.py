"""Faults below the level of events: heads cut short, bytes one by one, broken framing, everything in one write.

Head and framing are made here, as plain bytes that the player sends as they are.
"""

import http
import time
from dataclasses import replace
from email.utils import formatdate
from typing import Final

from mock_upstreams.pacing import AT_ONCE, Fixed, Pace
from mock_upstreams.plans import Ending, Event, Kind, Plan
from mock_upstreams.scenario import Scenario
from mock_upstreams.small_writes import bounded

_BROKEN_CHUNK: Final = b"zz\r\ndata that no chunk size announces\r\n"
_STATUS_LINE: Final = len(b"HTTP/1.1 200 OK\r\n")

RAW: Final = ("one_write", "slow_loris", "close_in_headers", "reset_in_headers", "bad_chunking")
_ENDINGS: Final = {
    "close_in_headers": Ending.FIN,
    "reset_in_headers": Ending.RST,
    "bad_chunking": Ending.FIN,
}


def raw_plan(plan: Plan, scenario: Scenario) -> Plan:
    """The plan of a whole answer, streamed or not, with the raw fault that the scenario names."""
    fault = scenario.fault or ""
    chunked = plan.length is None or fault == "bad_chunking"
    head = _head(plan, chunked=chunked)
    contents = sum(kind is Kind.CONTENT for kind, _ in plan.events)
    plan = replace(
        plan,
        delay_s=plan.delay_s + plan.pace.length_s(contents),
        pace=AT_ONCE,
        ending=_ENDINGS.get(fault, Ending.CLEAN),
        close=True,
    )
    if fault in {"close_in_headers", "reset_in_headers"}:
        return replace(plan, raw_head=head[: max(_STATUS_LINE + 1, len(head) // 2)], events=[])
    body: list[Event] = [
        (kind, b"%x\r\n%b\r\n" % (len(data), data) if chunked else data) for kind, data in plan.events if data
    ]
    if fault == "bad_chunking":
        return replace(plan, raw_head=head, events=[*body, (Kind.NOW, _BROKEN_CHUNK)])
    whole = b"".join(data for _, data in body) + (b"0\r\n\r\n" if chunked else b"")
    if fault == "one_write":
        return replace(plan, raw_head=head, events=[(Kind.CONTENT, whole)])
    bounded(len(whole))
    everything = head + whole
    return replace(
        plan,
        raw_head=everything[:1],
        events=[(Kind.CONTENT, everything[i : i + 1]) for i in range(1, len(everything))],
        pace=Pace(ttft_s=scenario.byte_ms / 1000, gap=Fixed(scenario.byte_ms / 1000)),
    )


def _head(plan: Plan, *, chunked: bool) -> bytes:
    status = http.HTTPStatus(plan.status or 200)
    framing = "transfer-encoding: chunked" if chunked else f"content-length: {plan.length}"
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        *(f"{name}: {value}" for name, value in plan.headers),
        framing,
        "connection: close",
        f"date: {formatdate(time.time(), usegmt=True)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "replace")
