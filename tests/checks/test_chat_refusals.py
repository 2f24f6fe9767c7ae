"""Refusals of streamed chat calls: in a JSON body, and never by an event of a stream that began with 200."""

from __future__ import annotations

import json

from tests.checks.chat_evidence import DONE, GOOD, call, stream
from weighbridge.checks import errors
from weighbridge.verdict import Outcome

ERROR = {"error": {"message": "`max_tokens` is required.", "type": "invalid_request_error", "code": None}}
EVENT = f"data: {json.dumps(ERROR)}\n\n"


def test_a_refusal_in_json_is_right() -> None:
    assert errors.refusal_is_json(call(ERROR, status=400, streamed=True)).outcome is Outcome.MET


def test_a_refusal_by_an_event_under_400_is_caught() -> None:
    assert errors.refusal_is_json(stream(EVENT, status=400)).outcome is Outcome.BROKEN


def test_a_refusal_by_an_event_under_200_is_caught() -> None:
    assert errors.refusal_is_json(stream(EVENT)).outcome is Outcome.BROKEN
    assert errors.refusal_is_json(stream(f": hello\n\n{EVENT}{DONE}")).outcome is Outcome.BROKEN
    named = f"event: error\ndata: {json.dumps({'type': 'error', **ERROR})}\n\n"
    assert errors.refusal_is_json(stream(named)).outcome is Outcome.BROKEN


def test_a_served_call_is_not_this_rules_matter() -> None:
    assert errors.refusal_is_json(stream(GOOD)).outcome is Outcome.NOT_APPLICABLE
    assert errors.refusal_is_json(call({"choices": []}, streamed=True)).outcome is Outcome.NOT_APPLICABLE
