"""The books of a chat account as a history: each way to be wrong has its class, and is reported once."""

from __future__ import annotations

import pytest

from tests.checks.chat_evidence import MODEL, call
from weighbridge.checks.books import (
    ADDED,
    CROWDED,
    Kind,
    crowd_agrees,
    discrepancies,
    ledger_findings,
    most_in_flight,
    operations,
)
from weighbridge.evidence import Call, Ending, Observation, Reading, RunFacts
from weighbridge.scenario import Scenario
from weighbridge.verdict import Finding, Outcome

FACTS = RunFacts(rates={MODEL: {"input": 5, "output": 30}})
START = 10**6
#: 1000 tokens in at 5 and 100 out at 30.
PRICE = 8000
LABEL = "books/1"


def served(at: float, *, tokens: int = 1000) -> Call:
    script = Scenario(prompt_tokens=tokens, completion_tokens=100)
    return call({}, scenario=script, started=at, situation=LABEL)


def failed(at: float) -> Call:
    script = Scenario(prompt_tokens=2000, completion_tokens=100)
    return call({}, status=500, scenario=script, started=at, situation=LABEL)


def left(at: float) -> Call:
    script = Scenario(prompt_tokens=1000, completion_tokens=100)
    return call("", ending=Ending.LEFT, scenario=script, started=at, situation=LABEL)


def read(*gone: tuple[float, int]) -> list[Reading]:
    first = Reading(LABEL, "before", "chat", "chat.fresh", START, 0.0)
    return [first, *(Reading(LABEL, f"s{at}", "chat", "chat.fresh", START - lost, at) for at, lost in gone)]


CASES: dict[str, tuple[list[Call], list[tuple[float, int]], list[Kind]]] = {
    "a served call costs its price": ([served(1)], [(2, PRICE)], []),
    "a served call was not charged": ([served(1)], [(2, 0)], [Kind.MISSING]),
    "a price was taken twice": ([served(1)], [(2, 2 * PRICE)], [Kind.DUPLICATED]),
    "another amount was taken": ([served(1)], [(2, PRICE + 1)], [Kind.WRONG_AMOUNT]),
    "less than the price was taken": ([served(1)], [(2, PRICE - 1)], [Kind.WRONG_AMOUNT]),
    "a failed call costs nothing": ([failed(1)], [(2, 0)], []),
    "a failed call was charged": ([failed(1)], [(2, 13000)], [Kind.CHARGED_THOUGH_FAILED]),
    "a failed call was charged in part": ([failed(1)], [(2, 8)], [Kind.CHARGED_THOUGH_FAILED]),
    "a left call may be free": ([left(1)], [(2, 0)], []),
    "a left call may cost its price": ([left(1)], [(2, PRICE)], []),
    "a left call may be charged late": ([left(1)], [(2, 0), (3, PRICE)], []),
    "a left call may not be charged twice": ([left(1)], [(2, 2 * PRICE)], [Kind.DUPLICATED]),
    "a lost reply and its repetition": ([left(1), served(2)], [(3, 2 * PRICE)], []),
    "money went without a call": ([served(1)], [(2, PRICE), (3, PRICE + 5)], [Kind.ORPHAN]),
    "one mistake is reported once": (
        [served(1), served(3), served(5)],
        [(2, 2 * PRICE), (4, 3 * PRICE), (6, 4 * PRICE)],
        [Kind.DUPLICATED],
    ),
    "two mistakes are two": (
        [served(1), failed(3)],
        [(2, 0), (4, 13000)],
        [Kind.MISSING, Kind.CHARGED_THOUGH_FAILED],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_difference_is_classed_by_what_it_amounts_to(name: str) -> None:
    calls, gone, kinds = CASES[name]
    history = operations(calls, FACTS)
    assert not isinstance(history, Finding)
    assert [item.kind for item in discrepancies(history, read(*gone))] == kinds
    expected = Outcome.BROKEN if kinds else Outcome.MET
    assert ledger_findings(calls, read(*gone), FACTS).outcome is expected


def test_the_finding_tells_counts_the_first_and_the_worst() -> None:
    calls = [served(1), failed(3)]
    told = ledger_findings(calls, read((2, 0), (4, 13000)), FACTS).observed
    assert told.startswith("1 missing, 1 charged though failed; first: ")
    assert "too little gone, missing after 1 calls (200)" in told
    assert "worst: " in told


def test_money_that_was_added_is_part_of_the_history() -> None:
    note = f"{ADDED}{LABEL}\t1.5\t3000"
    assert ledger_findings([served(1)], read((2, PRICE - 3000)), FACTS, [note]).outcome is Outcome.MET
    assert ledger_findings([served(1)], read((2, PRICE - 3000)), FACTS).outcome is Outcome.BROKEN
    other = f"{ADDED}books/2\t1.5\t3000"
    assert ledger_findings([served(1)], read((2, PRICE)), FACTS, [other]).outcome is Outcome.MET


def test_what_a_rounded_balance_cannot_show_is_no_difference() -> None:
    rounded = RunFacts(rates=FACTS.rates, resolution={"chat": 100})
    assert ledger_findings([served(1)], read((2, PRICE + 99)), rounded).outcome is Outcome.MET
    assert ledger_findings([served(1)], read((2, PRICE + 100)), rounded).outcome is Outcome.BROKEN


def crowd(gone: int) -> Observation:
    script = Scenario(prompt_tokens=1000, completion_tokens=100)
    calls = tuple(call({}, scenario=script, started=float(at), situation=CROWDED) for at in (1, 1, 3))
    readings = (
        Reading(CROWDED, "before", "chat", "chat.fresh", START, 0.0),
        Reading(CROWDED, "after", "chat", "chat.fresh", START - gone, 9.0),
    )
    return Observation("chat_crowd", calls=calls, readings=readings)


def test_a_crowd_that_pays_each_price_is_right() -> None:
    found = crowd_agrees(crowd(3 * PRICE), FACTS)
    assert found.outcome is Outcome.MET
    assert found.observed.endswith("2 calls in flight at once")


def test_a_call_that_is_lost_in_a_crowd_is_missing() -> None:
    found = crowd_agrees(crowd(2 * PRICE), FACTS)
    assert found.outcome is Outcome.BROKEN
    assert "1 missing" in found.observed


def test_a_principal_that_may_not_crowd_leaves_the_row_to_other_checks() -> None:
    found = crowd_agrees(Observation("chat_crowd", missing=((CROWDED, "a principal"),)), FACTS)
    assert (found.outcome, found.missing, found.inside_scope) == (Outcome.NOT_VERIFIED, "a principal", False)


def test_calls_one_after_another_are_one_in_flight() -> None:
    assert most_in_flight([served(1), served(5)]) == 1
