"""Rules about money: each catches its defect, spares the right, and passes nothing that it cannot see."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.checks.chat_evidence import DONE, FINISH, MODEL, ROLE, call, post, reading, stream
from weighbridge.checks import billing, endings, failure_billing, limits, rounding
from weighbridge.checks.books import State, ledger_findings, state_of
from weighbridge.evidence import Call, Ending, Observation, RunFacts
from weighbridge.money import pico_per_token
from weighbridge.scenario import Scenario
from weighbridge.verdict import Finding, Outcome

RATES = {"input": pico_per_token(5), "output": pico_per_token(30), "cache_read": pico_per_token("0.5")}
FACTS = RunFacts(rates={MODEL: RATES}, resolution={"chat": 1})
START = 10**15


def _observed(
    scenario: Scenario, charged: int, *, situation: str = "charge", status: int = 200
) -> Observation:
    label = f"{situation}/openai"
    return Observation(
        "p",
        calls=(call({"usage": {}}, scenario=scenario, situation=situation, status=status),),
        readings=(reading(START, "before", label=label), reading(START - charged, "after", label=label)),
    )


PLAIN = Scenario(prompt_tokens=1000, completion_tokens=100)
PRICE = 1000 * RATES["input"] + 100 * RATES["output"]


@pytest.mark.parametrize(
    ("charged", "outcome"),
    [(PRICE, Outcome.MET), (PRICE + 1, Outcome.BROKEN), (0, Outcome.BROKEN), (2 * PRICE, Outcome.BROKEN)],
)
def test_the_charge_is_the_price_to_the_last_digit(charged: int, outcome: Outcome) -> None:
    (finding,) = billing.charged_the_price(_observed(PLAIN, charged), FACTS, "charge")
    assert finding.outcome is outcome, finding.message


def test_a_double_charge_is_named() -> None:
    (finding,) = billing.charged_the_price(_observed(PLAIN, 2 * PRICE), FACTS, "charge")
    assert "2 times the price" in finding.observed


def test_without_rates_readings_or_script_nothing_passes() -> None:
    seen = _observed(PLAIN, PRICE)
    unread = replace(seen, readings=())
    unwired = replace(seen, calls=(call({}, situation="charge"),))
    for observation, facts in ((seen, RunFacts()), (unread, FACTS), (unwired, FACTS)):
        (finding,) = billing.charged_the_price(observation, facts, "charge")
        assert finding.outcome is Outcome.NOT_VERIFIED


def test_a_charge_too_small_for_the_balance_is_not_judged() -> None:
    coarse = RunFacts(rates={MODEL: RATES}, resolution={"chat": 10**10})
    (finding,) = billing.charged_the_price(_observed(PLAIN, 0), coarse, "charge")
    assert finding.outcome is Outcome.NOT_VERIFIED


@pytest.mark.parametrize(
    ("size", "long", "charged_long", "outcome"),
    [
        (272_000, False, False, Outcome.MET),
        (272_000, False, True, Outcome.BROKEN),
        (280_000, True, True, Outcome.MET),
        (280_000, True, False, Outcome.BROKEN),
    ],
)
def test_the_boundary_decides_the_whole_call(
    size: int, long: bool, charged_long: bool, outcome: Outcome
) -> None:
    script = Scenario(prompt_tokens=size, completion_tokens=1000)
    factor = 2 if charged_long else 1
    charged = size * RATES["input"] * factor + 1000 * RATES["output"] * (3 if charged_long else 2) // 2
    seen = _observed(script, charged, situation="b")
    (finding,) = billing.charged_the_price(seen, FACTS, "b", long_context=long)
    assert finding.outcome is outcome


def test_a_marginal_surcharge_is_caught() -> None:
    script = Scenario(prompt_tokens=280_000, completion_tokens=1000)
    marginal = 272_000 * RATES["input"] + 8_000 * RATES["input"] * 2 + 1000 * RATES["output"] * 3 // 2
    (finding,) = billing.charged_the_price(
        _observed(script, marginal, situation="b"), FACTS, "b", long_context=True
    )
    assert finding.outcome is Outcome.BROKEN


@pytest.mark.parametrize(("factor", "word"), [(1, "278,528"), (2, "272,000")])
def test_the_band_between_the_readings_is_reported(factor: int, word: str) -> None:
    script = Scenario(prompt_tokens=272_001, completion_tokens=0)
    seen = _observed(script, 272_001 * RATES["input"] * factor, situation="b")
    (finding,) = billing.tier_is_reported(seen, FACTS, "b")
    assert finding.outcome is Outcome.MET
    assert word in finding.observed


def test_a_charge_for_a_failure_is_caught() -> None:
    for charged, outcome in ((1, Outcome.BROKEN), (0, Outcome.MET)):
        seen = _observed(PLAIN, charged, situation="upstream-500", status=500)
        (finding,) = failure_billing.charged_nothing_if_failed(seen, FACTS, "upstream-500")
        assert finding.outcome is outcome


def test_a_call_that_was_served_after_all_is_no_failed_call() -> None:
    for charged in (PRICE, 0):
        seen = _observed(PLAIN, charged, situation="upstream-500")
        (finding,) = failure_billing.charged_nothing_if_failed(seen, FACTS, "upstream-500")
        assert finding.outcome is Outcome.NOT_VERIFIED
        assert finding.inside_scope


def _error(**more: str) -> str:
    return f"data: {json.dumps({**more, 'error': {'message': 'broke'}})}\n\n"


STOP = 'event: message_stop\ndata: {"type": "message_stop"}\n\n'
UNTYPED = 'data: {"message": "broke"}\n\n'


@pytest.mark.parametrize(
    ("surface", "body", "failed"),
    [
        ("chat", ROLE + FINISH + DONE, False),
        ("chat", ROLE, True),
        ("chat", ROLE + DONE, True),
        ("chat", ROLE + FINISH + _error() + DONE, True),
        ("chat", "", True),
        ("chat", '{"choices": []}', False),
        ("aimlapi", ROLE + FINISH, False),
        ("aimlapi", ROLE, True),
        ("aimlapi", ROLE + FINISH + UNTYPED, True),
        ("messages", STOP, False),
        ("messages", "event: ping\ndata: {}\n\n", True),
        ("messages", STOP + "event: error\n" + _error(type="error"), True),
    ],
)
def test_a_stream_failed_unless_it_ended_as_its_surface_ends_one(
    surface: str, body: str, failed: bool
) -> None:
    seen = replace(stream(body, scenario=PLAIN), surface=surface)
    assert endings.failed(seen) is failed
    assert endings.failed(replace(seen, exchange=replace(seen.exchange, ending=Ending.RESET)))


def test_a_call_that_its_provider_refused_proves_nothing_about_a_broken_one() -> None:
    """No charge is what a refused call costs anyway; a provider that began to answer is judged."""
    for status, outcome in ((400, Outcome.NOT_VERIFIED), (200, Outcome.MET), (None, Outcome.MET)):
        seen = _observed(PLAIN, 0)
        calls = tuple(replace(item, upstream=(post(status=status),)) for item in seen.calls)
        found = failure_billing.at_most_the_price(replace(seen, calls=calls), COARSE, "charge")
        assert [finding.outcome for finding in found] == [outcome]


STEP = 10**6
COARSE = RunFacts(rates={MODEL: RATES}, resolution={"chat": STEP})
COARSE_MESSAGES = replace(COARSE, resolution={"messages": STEP})
FINE_CHAT = replace(COARSE, resolution={"chat": 1, "messages": STEP})


def _repeated(charged: int) -> Observation:
    first = _observed(PLAIN, charged, status=500)
    second = call({"usage": {}}, scenario=PLAIN, situation="charge:second")
    moments = {"before": "before", "after": "repeated"}
    readings = tuple(replace(item, moment=moments[item.moment]) for item in first.readings)
    return replace(first, calls=(*first.calls, second), readings=readings)


def _served(charged: int, *, refused: int = 0) -> Observation:
    usage = {"usage": {"prompt_tokens": 1000, "completion_tokens": 100}}
    calls = [call(usage, situation="group-burst")]
    calls += [call({}, status=429, situation="group-burst", upstream=()) for _ in range(refused)]
    moments = (("before", START), ("after", START - charged))
    readings = tuple(reading(amount, moment, label="group-burst") for moment, amount in moments)
    return Observation("p", tuple(calls), readings)


def _written(charged: int, facts: RunFacts) -> Finding:
    card = {**RATES, "cache_write": 2 * RATES["input"]}
    seen = _observed(Scenario(prompt_tokens=1000, completion_tokens=100, written=900), charged)
    return billing.written_at_its_rate(seen, replace(facts, rates={MODEL: card}), "charge")[0]


WRITTEN = PRICE + 900 * RATES["input"]
BAND = 272_001 * RATES["input"]


def _band(charged: int, facts: RunFacts) -> Finding:
    seen = _observed(Scenario(prompt_tokens=272_001, completion_tokens=0), charged)
    return billing.tier_is_reported(seen, facts, "charge")[0]


def _refusals(charged: int, facts: RunFacts) -> Finding:
    return failure_billing.refusals_cost_nothing(
        _served(charged, refused=1), facts, "group-burst", ("group-burst",)
    )


MONEY_RULES: list[tuple[Callable[[int, RunFacts], Finding], int]] = [
    (lambda c, f: billing.charged_the_price(_observed(PLAIN, c), f, "charge")[0], PRICE),
    (lambda c, f: failure_billing.billed_once(_repeated(c), f, "charge")[0], PRICE),
    (lambda c, f: failure_billing.burst_charged_only_served(_served(c, refused=1), f)[0], PRICE),
    (lambda c, f: failure_billing.at_most_the_price(_observed(PLAIN, c), f, "charge")[0], PRICE),
    (
        lambda c, f: failure_billing.charged_nothing_if_failed(_observed(PLAIN, c, status=500), f, "charge")[
            0
        ],
        0,
    ),
    (_written, WRITTEN),
    (_band, BAND),
    (_band, 2 * BAND),
    (_refusals, PRICE),
]


@pytest.mark.parametrize(("rule", "due"), MONEY_RULES)
def test_a_difference_below_the_resolution_is_none_and_one_step_is_one(
    rule: Callable[[int, RunFacts], Finding], due: int
) -> None:
    for facts in (COARSE, COARSE_MESSAGES):
        assert rule(due, facts).outcome is Outcome.MET
        assert rule(due + STEP - 1, facts).outcome is Outcome.MET
        assert rule(due + STEP, facts).outcome is Outcome.BROKEN
    assert rule(due, FINE_CHAT).outcome is Outcome.MET
    assert rule(due + 1, FINE_CHAT).outcome is Outcome.BROKEN


@pytest.mark.parametrize(
    ("rule", "due"), [pair for pair in MONEY_RULES if pair[1] and pair[0] is not _refusals]
)
def test_an_expected_charge_that_the_balance_cannot_show_is_not_judged(
    rule: Callable[[int, RunFacts], Finding], due: int
) -> None:
    assert rule(due, replace(COARSE, resolution={"chat": due})).outcome is Outcome.NOT_VERIFIED


def test_written_tokens_at_the_input_rate_are_told_within_the_resolution() -> None:
    assert _written(PRICE, FACTS).outcome is Outcome.ALTERNATIVE
    assert _written(PRICE + STEP - 1, COARSE).outcome is Outcome.ALTERNATIVE


def test_a_burst_without_a_429_says_nothing_about_refused_calls() -> None:
    calm = _served(PRICE)
    assert failure_billing.burst_charged_only_served(calm, FACTS)[0].outcome is Outcome.NOT_VERIFIED
    assert limits.limited_call_reaches_no_provider(calm)[0].outcome is Outcome.NOT_VERIFIED
    met = _served(PRICE, refused=1)
    assert limits.limited_call_reaches_no_provider(met)[0].outcome is Outcome.MET
    leak = replace(met, calls=(replace(met.calls[1], upstream=(post(),)),))
    assert limits.limited_call_reaches_no_provider(leak)[0].outcome is Outcome.BROKEN


def _history(*calls: Call, gone: int) -> Outcome:
    readings = (reading(START, "before"), reading(START - gone, "after", at=100.0))
    return ledger_findings(calls, readings, FACTS).outcome


GOOD = stream(ROLE + FINISH + DONE, scenario=PLAIN)
FAILED = call({"error": {}}, status=500, scenario=PLAIN)
CUT = stream(ROLE, scenario=PLAIN, ending=Ending.RESET)


def test_the_state_of_an_operation_is_what_its_caller_can_know() -> None:
    assert state_of(GOOD) is State.OK
    assert state_of(FAILED) is State.ERROR
    assert state_of(CUT) is State.INDETERMINATE
    assert state_of(stream(ROLE, scenario=PLAIN)) is State.ERROR


@pytest.mark.parametrize(
    ("calls", "gone", "outcome"),
    [
        ((GOOD, FAILED), PRICE, Outcome.MET),
        ((GOOD, FAILED), 2 * PRICE, Outcome.BROKEN),
        ((GOOD, GOOD), PRICE, Outcome.BROKEN),
        ((GOOD, CUT), PRICE, Outcome.MET),
        ((GOOD, CUT), 2 * PRICE, Outcome.MET),
        ((GOOD, CUT), 3 * PRICE, Outcome.BROKEN),
        ((FAILED,), 0, Outcome.MET),
        ((FAILED,), 1, Outcome.BROKEN),
    ],
)
def test_readings_lie_between_the_bounds_of_the_history(
    calls: tuple[Call, ...], gone: int, outcome: Outcome
) -> None:
    assert _history(*calls, gone=gone) is outcome


@pytest.mark.parametrize(
    ("rounding", "off", "outcome"),
    [
        ("nearest", STEP, Outcome.MET),  # both readings lay half-way
        ("nearest", STEP + 1, Outcome.BROKEN),
        ("up", STEP - 1, Outcome.MET),
        ("down", STEP, Outcome.BROKEN),
        ("none", 1, Outcome.BROKEN),
        ("none", 0, Outcome.MET),
    ],
)
def test_a_difference_is_rounding_only_as_far_as_the_declared_one_goes(
    rounding: str, off: int, outcome: Outcome
) -> None:
    facts = replace(COARSE, rounding={"chat": rounding})
    for charged in (PRICE + off, PRICE - off):
        assert billing.charged_the_price(_observed(PLAIN, charged), facts, "charge")[0].outcome is outcome


def test_a_charge_of_a_few_steps_is_judged_where_nothing_is_rounded() -> None:
    facts = replace(COARSE, resolution={"chat": PRICE}, rounding={"chat": "none"})
    assert billing.charged_the_price(_observed(PLAIN, PRICE), facts, "charge")[0].outcome is Outcome.MET


def test_each_surface_is_compared_in_the_steps_of_its_own_balance() -> None:
    facts = RunFacts(resolution={"chat": 1, "aimlapi": STEP}, rounding={"aimlapi": "nearest"})
    assert [rounding.allowance(facts, name) for name in ("chat", "messages", "aimlapi")] == [1, 1, STEP + 1]
