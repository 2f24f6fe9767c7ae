"""Rules about money: each catches its defect, spares the right, and passes nothing that it cannot see."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.checks.chat_evidence import DONE, FINISH, MODEL, ROLE, call, reading, stream
from weighbridge.checks import billing
from weighbridge.checks.books import State, ledger_findings, state_of
from weighbridge.evidence import Call, Ending, Observation, RunFacts
from weighbridge.money import pico_per_token
from weighbridge.scenario import Scenario
from weighbridge.verdict import Outcome

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
    seen = _observed(PLAIN, 1, situation="upstream-500", status=500)
    assert billing.charged_nothing(seen, "upstream-500")[0].outcome is Outcome.BROKEN
    spared = _observed(PLAIN, 0, situation="upstream-500", status=500)
    assert billing.charged_nothing(spared, "upstream-500")[0].outcome is Outcome.MET


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
