"""Rules about fields that a target refuses, leaves alone or passes on: one refused field hides no other."""

from __future__ import annotations

from typing import Any

from tests.checks.chat_evidence import call, post
from weighbridge.checks import posts, replies, reply_tokens
from weighbridge.verdict import Outcome

ERROR = {"error": {"message": "unsupported", "type": "invalid_request_error", "code": "400"}}


def _choices(count: int) -> dict[str, Any]:
    return {"choices": [{"index": index} for index in range(count)]}


def test_a_refused_field_is_not_passed_on() -> None:
    refused = call(ERROR, status=400, request={"stop": ["END"]}, upstream=())
    assert posts.passes_through("stop")(refused).outcome is Outcome.BROKEN


def test_a_call_without_the_field_says_nothing_about_it() -> None:
    refused = call(ERROR, status=400, request={"stop": ["END"]}, upstream=())
    assert posts.passes_through("seed")(refused).outcome is Outcome.NOT_APPLICABLE
    half = call({}, request={"tools": []}, upstream=(post(body={"tools": []}),))
    assert posts.passes_through("tools", "tool_choice")(half).outcome is Outcome.NOT_APPLICABLE


def test_a_call_that_failed_otherwise_is_not_judged() -> None:
    throttled = call(ERROR, status=429, request={"stop": ["END"]}, upstream=())
    assert posts.passes_through("stop")(throttled).outcome is Outcome.NOT_VERIFIED
    unseen = call(ERROR, status=400, request={"stop": ["END"]}, upstream=None)
    assert posts.passes_through("stop")(unseen).outcome is Outcome.NOT_VERIFIED


def test_choices_are_counted_where_n_was_asked_for() -> None:
    assert replies.one_choice_per_n(call(_choices(2), request={"n": 2})).outcome is Outcome.MET
    assert replies.one_choice_per_n(call(_choices(1), request={"n": 2})).outcome is Outcome.BROKEN
    assert replies.one_choice_per_n(call(_choices(1), request={})).outcome is Outcome.NOT_APPLICABLE
    refused = call(ERROR, status=400, request={"n": 2})
    assert replies.one_choice_per_n(refused).outcome is Outcome.NOT_VERIFIED


def test_a_cap_counts_only_where_the_upstream_got_it() -> None:
    body = {"max_tokens": 128_001}
    passed_on = call({}, request=body, upstream=(post(body=body),))
    assert reply_tokens.refused_or_capped(passed_on).outcome is Outcome.BROKEN
    capped = call({}, request=body, upstream=(post(body={"max_tokens": 128_000}),))
    assert reply_tokens.refused_or_capped(capped).outcome is Outcome.ALTERNATIVE
    unseen = call({}, request=body, upstream=None)
    assert reply_tokens.refused_or_capped(unseen).outcome is Outcome.ALTERNATIVE
    assert reply_tokens.refused_or_capped(call(ERROR, status=400, request=body)).outcome is Outcome.MET
    assert reply_tokens.refused_or_capped(call(ERROR, status=500, request=body)).outcome is Outcome.BROKEN
