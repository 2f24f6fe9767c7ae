"""The books of tasks: every reading lies within what the history allows."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.checks.chat_evidence import call
from weighbridge.checks.task_books import credit_finding
from weighbridge.evidence import Call, Reading, Request, RunFacts
from weighbridge.scenario import Scenario
from weighbridge.verdict import Outcome

FACTS = RunFacts(task_prices={"gpt-image-2": 40})


def _submit(task: str, outcome: str, at: float, status: int = 200) -> Call:
    seen = call(
        {"id": task}, status=status, scenario=Scenario(outcome=outcome), started=at, situation="walk/1"
    )
    return replace(seen, model="gpt-image-2", role="image", surface="tasks")


def _poll(task: str, status: str, at: float) -> Call:
    seen = call({"id": task, "status": status}, started=at, situation="walk/1:poll")
    request = Request("GET", f"http://gw/tasks/{task}", (), b"")
    return replace(seen, exchange=replace(seen.exchange, request=request))


def _gone(*amounts: tuple[float, int]) -> list[Reading]:
    readings = [Reading("walk/1", "before", "tasks", "tasks.fresh", 1000, 0.0)]
    return readings + [
        Reading("walk/1", f"s{at}", "tasks", "tasks.fresh", 1000 - gone, at) for at, gone in amounts
    ]


@pytest.mark.parametrize(
    ("calls", "readings", "outcome"),
    [
        ([_submit("a", "completed", 1)], [(2, 40)], Outcome.MET),
        ([_submit("a", "completed", 1)], [(2, 0)], Outcome.BROKEN),
        ([_submit("a", "completed", 1)], [(2, 80)], Outcome.BROKEN),
        ([_submit("a", "failed", 1)], [(2, 40), (3, 0)], Outcome.MET),
        ([_submit("a", "failed", 1), _poll("a", "failed", 2)], [(3, 40)], Outcome.BROKEN),
        ([_submit("a", "failed", 1), _poll("a", "failed", 2)], [(3, 0)], Outcome.MET),
        ([_submit("a", "failed", 1), _poll("a", "failed", 2)], [(3, -40)], Outcome.BROKEN),
        ([_submit("a", "failed", 1), _poll("a", "processing", 2)], [(3, 40)], Outcome.MET),
        ([_submit("a", "completed", 1, status=400)], [(2, 0)], Outcome.MET),
        ([_submit("a", "completed", 1, status=400)], [(2, 40)], Outcome.BROKEN),
    ],
)
def test_a_reading_lies_within_what_the_tasks_allow(
    calls: list[Call], readings: list[tuple[float, int]], outcome: Outcome
) -> None:
    assert credit_finding(calls, _gone(*readings), FACTS).outcome is outcome


def test_without_prices_or_readings_nothing_passes() -> None:
    calls = [_submit("a", "completed", 1)]
    assert credit_finding(calls, _gone((2, 40)), RunFacts()).outcome is Outcome.NOT_VERIFIED
    assert credit_finding(calls, _gone(), FACTS).outcome is Outcome.NOT_VERIFIED
    assert json.loads(calls[0].exchange.request.body) == {}
