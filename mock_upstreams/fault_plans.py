"""Faults of whole answers as transformations of a plan: pure, one function a fault, bound to their names in a table.

Those of streams are in `stream_faults.py`, those below the level of events in `raw_faults.py`.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate
from typing import Final

from mock_upstreams.plans import Document, Ending, Kind, Plan, document_plan
from mock_upstreams.raw_faults import RAW, raw_plan
from mock_upstreams.scenario import Scenario
from mock_upstreams.small_writes import bounded, single_bytes, split_characters

_HTML_PAGE: Final = (
    b"<!DOCTYPE html>\n<html><head><title>%d</title></head>\n"
    b"<body><center><h1>%d</h1></center><hr><center>edge</center></body></html>\n"
)
NOT_UTF8: Final = b"\xc3\x28\xff"
Headers = tuple[tuple[str, str], ...]

BEFORE_HEAD: Final = {"close_before_headers": Ending.FIN, "reset_before_headers": Ending.RST}
"""Faults that leave the caller without a status line."""

INSTEAD_OF_REPLY: Final = ("status", "html", "empty", *BEFORE_HEAD)
"""Faults for which no reply is made at all (and so no prompt is cached)."""


def replacement(scenario: Scenario, error: Document, delay_s: float, *, streamed: bool) -> Plan:
    """The plan of a fault that takes the place of a reply; `error` is the dialect's body for fault=status."""
    fault = scenario.fault
    if fault in BEFORE_HEAD:
        return Plan(None, (), [], 0, BEFORE_HEAD[fault], delay_s=delay_s, fault=fault)
    retry = (("retry-after", _retry_after(scenario.retry_after)),) if scenario.retry_after is not None else ()
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


def _retry_after(stated: str) -> str:
    """Seconds or a date as stated; date+N is the HTTP date in N seconds."""
    if not stated.startswith("date+"):
        return stated
    return formatdate(time.time() + int(stated[len("date+") :]), usegmt=True)


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
    bounded(len(body))
    return replace(plan, events=single_bytes((Kind.NOW, body)))


def _split_document(plan: Plan, body: bytes) -> Plan:
    bounded(len(body))
    return replace(plan, events=split_characters((Kind.NOW, body)))


def _unchanged_document(plan: Plan, body: bytes) -> Plan:
    del body
    return plan


def mistyped(headers: Headers) -> Headers:
    others = tuple(header for header in headers if header[0] != "content-type")
    return (("content-type", "text/plain; charset=utf-8"), *others)


def _mistyped_document(plan: Plan, body: bytes) -> Plan:
    del body
    return replace(plan, headers=mistyped(plan.headers))


def _invalid_document(plan: Plan, body: bytes) -> Plan:
    """The bytes go into the first string that is a value, which leaves the JSON well formed."""
    at = body.find(b':"') + 2 if b':"' in body else len(body)
    spoiled = body[:at] + NOT_UTF8 + body[at:]
    return replace(plan, events=[(Kind.NOW, spoiled)], length=len(spoiled))


_DOCUMENT_FAULTS: Final[dict[str, Callable[[Plan, bytes], Plan]]] = {
    "bad_json": _truncated_document,
    "reset": _half_then(Ending.RST),
    "close": _half_then(Ending.FIN),
    "stall": _silent_document,
    "bytewise": _bytewise_document,
    "split_utf8": _split_document,
    "wrong_type": _mistyped_document,
    "invalid_utf8": _invalid_document,
    # The pace has already been changed, or the job will see to it.
    "latency_spike": _unchanged_document,
    "callback_twice": _unchanged_document,
    "callback_never": _unchanged_document,
    "result_changes": _unchanged_document,
    # The renderer of the dialect has already left usage out, or falsified it.
    "no_usage": _unchanged_document,
    "wrong_usage": _unchanged_document,
}


def faulty_document(document: Document, scenario: Scenario, *, delay_s: float) -> Plan:
    """The plan of an unstreamed answer under the scenario's fault, if it has one."""
    plan = document_plan(document, delay_s=delay_s, fault=scenario.fault)
    if scenario.fault is None:
        return plan
    if scenario.fault == "oversize":
        padded = document.body + b" " * max(0, scenario.size - len(document.body))
        return replace(plan, events=[(Kind.NOW, padded)], length=len(padded))
    if scenario.fault in RAW:
        return raw_plan(plan, scenario)
    return _DOCUMENT_FAULTS[scenario.fault](plan, document.body)


HANDLED_UNSTREAMED: Final = frozenset((*INSTEAD_OF_REPLY, *_DOCUMENT_FAULTS, *RAW, "oversize"))
