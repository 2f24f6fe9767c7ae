"""Rules about what message calls become at the provider, in the cache and in the balance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.checks.message_evidence import KEY, call, message, post
from weighbridge.bait import UPSTREAM_SECRET
from weighbridge.checks import (
    message_billing,
    message_cache,
    message_errors,
    message_upstream,
)
from weighbridge.evidence import (
    Call,
    Ending,
    Observation,
    Reading,
    RunFacts,
)
from weighbridge.scenario import Scenario
from weighbridge.verdict import Outcome

OPENAI = {"error": {"type": "invalid_request_error", "message": "no", "code": None, "param": None}}
ANTHROPIC = {"type": "error", "error": {"type": "authentication_error", "message": "no"}}


# ------------------------------------------------------------------ the provider's side
def test_a_refused_body_must_not_reach_the_provider() -> None:
    rule = message_errors.refused_without_upstream
    assert rule(call(OPENAI, status=400, upstream=())).outcome is Outcome.MET
    assert rule(call(OPENAI, status=400)).outcome is Outcome.BROKEN
    assert rule(call(OPENAI, status=400, upstream=(post(status=400),))).outcome is Outcome.NOT_APPLICABLE
    assert rule(call(message())).outcome is Outcome.NOT_VERIFIED
    assert rule(call(OPENAI, status=400, upstream=None)).missing == "upstream"


def test_a_refused_key_must_not_reach_the_provider() -> None:
    rule = message_errors.none_if_401
    assert rule(call(ANTHROPIC, status=401, upstream=())).outcome is Outcome.MET
    assert rule(call(ANTHROPIC, status=401)).outcome is Outcome.BROKEN
    assert rule(call(message())).outcome is Outcome.NOT_VERIFIED


def test_a_hidden_retry_is_caught() -> None:
    rule = message_upstream.one_post_though_failed
    failed = call(OPENAI, status=500, upstream=(post(status=500),))
    assert rule(failed).outcome is Outcome.MET
    assert rule(replace(failed, upstream=(post(status=500), post(at=2)))).outcome is Outcome.BROKEN
    assert rule(replace(failed, upstream=())).outcome is Outcome.NOT_VERIFIED


def test_a_retry_for_a_client_that_left_is_caught() -> None:
    rule = message_upstream.none_after_leaving
    left = call(b"", ending=Ending.LEFT, upstream=(post(ending="caller_left"),), streamed=True)
    assert rule(left).outcome is Outcome.MET
    assert rule(replace(left, upstream=(post(), post(at=2)))).outcome is Outcome.BROKEN
    assert rule(call(message())).outcome is Outcome.NOT_VERIFIED


def test_a_dropped_option_is_caught() -> None:
    rule = message_upstream.arrives_as_sent("top_k", "stop_sequences")
    sent = {"top_k": 40, "stop_sequences": ["END"]}
    assert rule(call(message(), sent=sent, upstream=(post(body=sent | {"more": 1}),))).outcome is Outcome.MET
    assert rule(call(message(), sent=sent, upstream=(post(body={"top_k": 40}),))).outcome is Outcome.BROKEN
    translated = (post(body=sent, provider="openai"),)
    assert rule(call(message(), sent=sent, upstream=translated)).outcome is Outcome.NOT_APPLICABLE


def test_a_cache_mark_that_was_altered_is_caught() -> None:
    rule = message_upstream.marks_arrive_as_sent
    block = {"type": "text", "text": "a document", "cache_control": {"type": "ephemeral"}}
    sent = {
        "system": [block],
        "messages": [{"role": "user", "content": [block, {"type": "text", "text": "q"}]}],
    }
    assert (
        rule(call(message(), sent=sent, upstream=(post(body=sent | {"stream": False}),))).outcome
        is Outcome.MET
    )
    unmarked = sent | {"system": [{"type": "text", "text": "a document"}]}
    assert rule(call(message(), sent=sent, upstream=(post(body=unmarked),))).outcome is Outcome.BROKEN
    altered = sent | {"system": [block | {"text": "a document."}]}
    assert rule(call(message(), sent=sent, upstream=(post(body=altered),))).outcome is Outcome.BROKEN


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("The provider failed.", Outcome.MET),
        ("The provider said: bad key sk-***1234", Outcome.MET),
        (f"The provider said: bad key {UPSTREAM_SECRET}", Outcome.BROKEN),
        (f"upstream said: Incorrect API key provided: {KEY}.", Outcome.BROKEN),
    ],
)
def test_a_leaked_key_is_caught(text: str, outcome: Outcome) -> None:
    seen = call({"error": {"type": "api_error", "message": text}}, status=500)
    assert message_upstream.hides_upstream_key(seen).outcome is outcome


# ------------------------------------------------------------------ cache and money
def cached(situation: str, written: int | None, read: int | None) -> Call:
    usage = {"input_tokens": 5, "output_tokens": 5}
    counters = {"cache_creation_input_tokens": written, "cache_read_input_tokens": read}
    known = {name: value for name, value in counters.items() if value is not None}
    return call(message(usage=usage | known), situation=situation)


def test_cache_counters_are_read_as_a_sequence() -> None:
    assert message_cache.writes(cached("cache-first", 900, 0)).outcome is Outcome.MET
    assert message_cache.writes(cached("cache-first", 900, None)).outcome is Outcome.MET
    assert message_cache.writes(cached("cache-first", 0, 900)).outcome is Outcome.BROKEN
    assert message_cache.writes(cached("cache-first", None, None)).outcome is Outcome.BROKEN
    assert message_cache.hits(cached("cache-repeat", 0, 900)).outcome is Outcome.MET
    assert message_cache.hits(cached("cache-repeat", 900, 0)).outcome is Outcome.BROKEN


@pytest.mark.parametrize(
    ("first", "changed", "outcome"),
    [
        ((900, 0), (900, 0), Outcome.MET),
        ((900, 0), (0, 900), Outcome.BROKEN),
        ((None, None), (None, None), Outcome.NOT_VERIFIED),
    ],
    ids=["miss", "stale-hit", "no-cache-at-all"],
)
def test_a_miss_means_something_only_after_a_write(first: Any, changed: Any, outcome: Outcome) -> None:
    calls = (cached("cache-first", *first), cached("cache-changed", *changed))
    found = message_cache.reads_nothing(Observation("message_cache", calls), RunFacts(), "cache-changed")
    assert [item.outcome for item in found] == [outcome]


@pytest.mark.parametrize(
    ("window", "later", "read", "outcome"),
    [
        (None, 400.0, 0, Outcome.BROKEN),
        (300.0, 299.0, 0, Outcome.BROKEN),
        (300.0, 300.0, 0, Outcome.NOT_VERIFIED),
        (300.0, 400.0, 900, Outcome.MET),
    ],
    ids=["undeclared", "within", "too-late", "read-all-the-same"],
)
def test_a_repeat_after_the_declared_window_accuses_nobody(
    window: float | None, later: float, read: int, outcome: Outcome
) -> None:
    first, repeat = cached("cache-first", 900, 0), cached("cache-repeat", 0, read)
    repeat = replace(repeat, exchange=replace(repeat.exchange, started=first.exchange.started + later))
    seen = Observation("message_cache", (first, repeat))
    (found,) = message_cache.hits_in_window(seen, RunFacts(cache_window=window), "cache-repeat")
    assert found.outcome is outcome


def test_a_miss_of_another_account_means_nothing_once_the_window_has_passed() -> None:
    first, other = cached("cache-first", 900, 0), cached("cache-other-account", 900, 0)
    other = replace(other, exchange=replace(other.exchange, started=first.exchange.started + 6))
    seen = Observation("message_cache", (first, other))
    found = [
        message_cache.reads_nothing(seen, RunFacts(cache_window=window), "cache-other-account")[0].outcome
        for window in (5.0, 7.0)
    ]
    assert found == [Outcome.NOT_VERIFIED, Outcome.MET]


RATES = {"input": 5, "output": 25, "cache_read": 1, "cache_write": 7}
FACTS = RunFacts(rates={"m": RATES})


def charged(amount: int, scenario: Scenario, situation: str = "charge") -> Observation:
    label = f"{situation}/anthropic"
    readings = (
        Reading(label, "before", "messages", "messages.fresh", 10**9, 0.0),
        Reading(label, "after", "messages", "messages.fresh", 10**9 - amount, 1.0, "w-1"),
    )
    return Observation(
        "message_charges", (call(message(), scenario=scenario, situation=situation),), readings
    )


COUNTERS = Scenario(prompt_tokens=150, completion_tokens=30, cached=60, written=50)
PRICE = 40 * 5 + 60 * 1 + 50 * 7 + 30 * 25


@pytest.mark.parametrize(
    ("amount", "outcome"),
    [
        (PRICE, Outcome.MET),
        (PRICE + 1, Outcome.BROKEN),
        (PRICE + 50 * 5, Outcome.BROKEN),
        (2 * PRICE, Outcome.BROKEN),
        (0, Outcome.BROKEN),
    ],
    ids=["exact", "off-by-one", "written-as-input-too", "twice", "free"],
)
def test_the_four_counters_make_the_price(amount: int, outcome: Outcome) -> None:
    found = message_billing.charged_the_price(charged(amount, COUNTERS), FACTS, "charge")
    assert [item.outcome for item in found] == [outcome]


def test_a_charge_for_a_failed_call_is_caught() -> None:
    script = Scenario(fault="status", status=500)
    for amount, outcome in ((0, Outcome.MET), (1, Outcome.BROKEN)):
        seen = charged(amount, script, "upstream-500")
        refused = call(message(), scenario=script, situation="upstream-500", status=500)
        failed = replace(seen, calls=(refused,))
        found = message_billing.failures_are_free(failed, FACTS, "upstream-500")
        assert [item.outcome for item in found] == [outcome]
        served = message_billing.failures_are_free(seen, FACTS, "upstream-500")
        assert [item.outcome for item in served] == [Outcome.NOT_VERIFIED]


def test_failure_and_repetition_are_billed_once() -> None:
    good = Scenario(prompt_tokens=100, completion_tokens=10)
    once = 100 * 5 + 10 * 25
    for amount, outcome in ((once, Outcome.MET), (2 * once, Outcome.BROKEN)):
        seen = charged(amount, Scenario(fault="reset"), "retry-broken")
        second = replace(seen.calls[0], situation="retry-broken:second", scenario=good)
        readings = (seen.readings[0], replace(seen.readings[1], moment="repeated"))
        both = replace(seen, calls=(*seen.calls, second), readings=readings)
        found = message_billing.repetitions_are_billed_once(both, FACTS, "retry-broken")
        assert [item.outcome for item in found] == [outcome]
