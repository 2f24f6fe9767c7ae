"""The books of tasks: every reading lies within what the history allows."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.checks.chat_evidence import call
from weighbridge.checks.books import ADDED, Kind
from weighbridge.checks.task_books import credit_finding, credits_agree
from weighbridge.evidence import Call, Ending, Observation, Reading, Request, RunFacts
from weighbridge.scenario import Scenario
from weighbridge.verdict import Outcome

FACTS = RunFacts(task_prices={"gpt-image-2": 40})


def _submit(task: str, outcome: str, at: float, status: int = 200) -> Call:
    seen = call(
        {"id": task}, status=status, scenario=Scenario(outcome=outcome), started=at, situation="walk/1"
    )
    return replace(seen, model="gpt-image-2", role="image", surface="tasks")


def _lost(outcome: str, at: float) -> Call:
    seen = _submit("", outcome, at)
    return replace(seen, exchange=replace(seen.exchange, ending=Ending.LEFT, response=None))


def _poll(task: str, status: str, at: float) -> Call:
    seen = call({"id": task, "status": status}, started=at, situation="walk/1:poll")
    request = Request("GET", f"http://gw/tasks/{task}", (), b"")
    return replace(seen, exchange=replace(seen.exchange, request=request))


def _gone(*amounts: tuple[float, int]) -> list[Reading]:
    readings = [Reading("walk/1", "before", "tasks", "tasks.fresh", 1000, 0.0)]
    return readings + [
        Reading("walk/1", f"s{at}", "tasks", "tasks.fresh", 1000 - gone, at) for at, gone in amounts
    ]


OK, SEEN = _submit("a", "completed", 1), _poll("a", "completed", 2)
BAD, SEEN_BAD = _submit("a", "failed", 1), _poll("a", "failed", 2)
CASES: dict[str, tuple[list[Call], list[tuple[float, int]], list[Kind]]] = {
    "a task costs its price": ([OK], [(2, 40)], []),
    "a task was not charged": ([OK], [(2, 0)], [Kind.MISSING]),
    "a price was taken twice": ([OK], [(2, 80)], [Kind.DUPLICATED]),
    "another amount was taken": ([OK], [(2, 41)], [Kind.WRONG_AMOUNT]),
    "less than the price was taken": ([OK], [(2, 39)], [Kind.WRONG_AMOUNT]),
    "a failed task may be charged until it is seen": ([BAD], [(2, 40), (3, 0)], []),
    "a failed task that is seen at work may be charged": ([BAD, _poll("a", "processing", 2)], [(3, 40)], []),
    "a failed task that was seen is refunded": ([BAD, SEEN_BAD], [(3, 0)], []),
    "a failed task stays charged": ([BAD, SEEN_BAD], [(1.5, 40), (3, 40)], [Kind.CHARGED_THOUGH_FAILED]),
    "a refused submission costs nothing": ([_submit("a", "completed", 1, status=400)], [(2, 0)], []),
    "a refused submission was charged": (
        [_submit("a", "completed", 1, status=400)],
        [(2, 40)],
        [Kind.CHARGED_THOUGH_FAILED],
    ),
    "a refund keeps a fee": ([BAD, SEEN_BAD], [(1.5, 40), (3, 5)], [Kind.CHARGED_THOUGH_FAILED]),
    "a failed task is refunded twice": ([BAD, SEEN_BAD], [(3, -40)], [Kind.DUPLICATED]),
    "a refund is paid with each poll": (
        [BAD, SEEN_BAD, _poll("a", "failed", 4)],
        [(3, 0), (5, -40)],
        [Kind.DUPLICATED],
    ),
    "a completed task is refunded": ([OK, SEEN], [(1.5, 40), (3, 0)], [Kind.MISSING]),
    "credits went without a submission": ([OK], [(2, 40), (3, 45)], [Kind.ORPHAN]),
    "credits came without a poll": ([BAD, SEEN_BAD], [(3, 0), (4, -40)], [Kind.ORPHAN]),
    "a lost answer may be free": ([_lost("completed", 1)], [(2, 0)], []),
    "a lost answer may cost its price, late": ([_lost("completed", 1)], [(2, 0), (3, 40)], []),
    "a lost answer may not cost it twice": ([_lost("completed", 1)], [(2, 80)], [Kind.DUPLICATED]),
    "a lost answer and its repetition": (
        [_lost("completed", 1), _submit("b", "completed", 2)],
        [(3, 80)],
        [],
    ),
    "one mistake is reported once": (
        [OK, _submit("b", "completed", 3)],
        [(2, 80), (4, 120)],
        [Kind.DUPLICATED],
    ),
    "two mistakes are two": (
        [OK, _submit("b", "failed", 3), _poll("b", "failed", 4)],
        [(2, 0), (5, 40)],
        [Kind.MISSING, Kind.CHARGED_THOUGH_FAILED],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_difference_is_classed_by_what_it_amounts_to(name: str) -> None:
    calls, gone, kinds = CASES[name]
    found = credit_finding(calls, _gone(*gone), FACTS)
    assert found.outcome is (Outcome.BROKEN if kinds else Outcome.MET), found.message
    told = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    assert found.observed.startswith(f"{told}; first: " if kinds else f"{len(gone) + 1} readings; ")


def test_the_finding_tells_counts_the_first_and_the_worst() -> None:
    calls, gone, _ = CASES["two mistakes are two"]
    gone = [gone[0], (5, 45)]
    found = credit_finding(calls, _gone(*gone), FACTS)
    assert found.observed == (
        "1 missing, 1 charged though failed; first: 40 credits too little gone, missing after 1 submissions "
        "(completed); worst: 45 credits too much gone, charged though failed"
    )
    assert found.evidence == (calls[0].id,)


def test_credits_that_were_added_are_part_of_the_history() -> None:
    note = f"{ADDED}walk/1\t1.5\t100"
    assert credit_finding([OK], _gone((2, -60)), FACTS, [note]).outcome is Outcome.MET
    assert credit_finding([OK], _gone((2, -60)), FACTS).outcome is Outcome.BROKEN


def test_the_shortest_history_comes_first_and_names_all_its_exchanges() -> None:
    long = [_submit("a", "completed", 1), _submit("b", "completed", 2), _submit("c", "completed", 3)]
    short = [_submit("d", "failed", 1), _poll("d", "failed", 2)]
    renamed = [replace(one, situation=one.situation.replace("walk/1", "walk/2")) for one in short]
    readings = [*_gone((4, 0)), *(replace(one, situation="walk/2") for one in _gone((4, 40)))]
    found = credits_agree(Observation("walks", (*long, *renamed), tuple(readings)), FACTS)
    assert [one.outcome for one in found] == [Outcome.BROKEN, Outcome.BROKEN]
    assert found[0].evidence == tuple(one.id for one in renamed)
    assert found[1].evidence == tuple(one.id for one in long)


def test_without_prices_or_readings_nothing_passes() -> None:
    calls = [_submit("a", "completed", 1)]
    assert credit_finding(calls, _gone((2, 40)), RunFacts()).outcome is Outcome.NOT_VERIFIED
    assert credit_finding(calls, _gone(), FACTS).outcome is Outcome.NOT_VERIFIED
    unscripted = [replace(calls[0], scenario=None)]
    assert credit_finding(unscripted, _gone((2, 40)), FACTS).missing == "upstream"
    assert json.loads(calls[0].exchange.request.body) == {}
