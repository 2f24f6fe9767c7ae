"""Rules about refusals of AI/ML API (AIML-ERR): the flat envelope, and which status means what.

Source: public docs, Errors: General Info, 4xx, 5xx.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from weighbridge.checks.errors import on_error, status
from weighbridge.checks.findings import broken, excerpt, holds, member, unjudged
from weighbridge.evidence import Call
from weighbridge.verdict import Finding

MEMBERS = ("message", "path", "requestId", "statusCode", "timestamp")

#: docs: AI/ML API, Errors: 5xx.
server_error = status(500, 502, 503, 504)


@on_error
def has_flat_envelope(call: Call) -> Finding:
    """The five members stand at the top level; more are welcome."""
    required = f"JSON with {', '.join(MEMBERS)} at its top level"
    body = call.exchange.json
    if not isinstance(body, dict):
        text = call.exchange.response.text if call.exchange.response else ""
        return broken(call, required, f"no JSON object: {excerpt(text)}")
    absent = [name for name in MEMBERS if name not in body]
    return holds(
        call,
        not absent,
        required,
        f"no {', '.join(absent)} in {excerpt(json.dumps(body))}" if absent else "as required",
    )


@on_error
def repeats_status(call: Call) -> Finding:
    """statusCode is the HTTP status, as a number or as digits (reading C35)."""
    value = member(call.exchange.json, "statusCode")
    if value is None:
        return unjudged(call, "there is no statusCode")
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    good = not isinstance(number, bool) and number == call.exchange.status
    return holds(call, good, f"statusCode is {call.exchange.status}", f"statusCode {value!r}")


@on_error
def tells_when_and_where(call: Call) -> Finding:
    """timestamp is ISO 8601 with date and time; path is the path of the call."""
    body = call.exchange.json
    when, where = member(body, "timestamp"), member(body, "path")
    if when is None or where is None:
        return unjudged(call, "there is no timestamp or no path")
    called = urlsplit(call.exchange.request.url).path
    good = _is_iso(when) and isinstance(where, str) and urlsplit(where).path == called
    return holds(
        call,
        good,
        f"timestamp in ISO 8601, path {called}",
        f"timestamp {when!r}, path {excerpt(repr(where))}",
    )


def _is_iso(value: Any) -> bool:
    if not isinstance(value, str) or len(value) < len("2026-01-01T00:00"):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True
