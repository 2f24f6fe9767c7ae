"""Failures one after the other: repeated with a healthy call before each where the target takes a model out of service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

from tests.checks.chat_evidence import call, reading
from weighbridge.evidence import Call, Reading
from weighbridge.lab import Lab
from weighbridge.probes.failing import UNSTEADY, fail_each
from weighbridge.scenario import Scenario

FAILURES = {
    "upstream-500": (Scenario(fault="status", status=500), False),
    "broken-stream": (Scenario(fault="reset", after=3), True),
}


class Bench:
    """A target that, after a failure, refuses a number of calls before it serves the model again."""

    def __init__(self, closed_for: int, *, recovers: bool = True) -> None:
        self.target = SimpleNamespace(models={"openai": "gpt-5.5"})
        self.calls: list[Call] = []
        self.readings: list[Reading] = []
        self.contaminated: list[str] = []
        self._closed_for, self._recovers, self._closed = closed_for, recovers, 0

    @asynccontextmanager
    async def model_alone(self, model: str) -> AsyncIterator[None]:
        assert model == "gpt-5.5"
        yield

    @asynccontextmanager
    async def alone(self, surface: str) -> AsyncIterator[str]:
        yield surface

    async def chat(self, role: str, situation: str, who: str, *, scenario: Scenario, **_more: Any) -> Call:
        assert who == "chat"
        if self._closed:
            self._closed -= 1
            status = 503
        elif scenario.fault:
            self._closed, status = self._closed_for, 500
        else:
            status = 200
        self.calls.append(call({}, status=status, situation=situation, role=role))
        return self.calls[-1]

    async def healthy(self, _surface: str, role: str, situation: str, who: str) -> bool:
        while not (await self.chat(role, f"{situation}:healthy", who, scenario=Scenario())).exchange.ok:
            if not self._recovers:
                self.contaminated.append(situation)
                return False
        return True

    async def message(self, *_arguments: Any, **_options: Any) -> Call:
        raise AssertionError("not on this surface")

    async def money(self, _who: str, label: str, moment: str, **_options: Any) -> int:
        self.readings.append(reading(0, moment, label=label))
        return 0

    def seen(self) -> list[tuple[str, int | None]]:
        """Situation and status of each call, in order."""
        return [(item.situation, item.exchange.status) for item in self.calls]


def failed_on(bench: Bench) -> Bench:
    asyncio.run(fail_each(cast("Lab", bench), "chat", "openai", FAILURES))
    return bench


ONCE = [
    ("upstream-500", 500),
    ("upstream-500:second", 200),
    ("broken-stream", 500),
    ("broken-stream:second", 200),
]


def test_a_model_that_stays_in_service_is_failed_once_in_each_way() -> None:
    bench = failed_on(Bench(closed_for=0))
    assert bench.seen() == [("failures:healthy", 200), *ONCE]
    assert not any(item.situation.startswith(UNSTEADY) for item in bench.readings)


def test_where_a_later_call_is_not_served_the_row_is_repeated_with_a_healthy_call_before_each_failure() -> (
    None
):
    bench = failed_on(Bench(closed_for=2))
    first = [item for item in bench.seen() if item[0].startswith(UNSTEADY)]
    again = bench.seen()[1 + len(first) :]
    assert [situation for situation, _ in first] == [f"{UNSTEADY}{situation}" for situation, _ in ONCE]
    for situation in FAILURES:
        place = [name for name, _ in again].index(situation)
        assert again[place - 1] == (f"{situation}:healthy", 200)
        assert again[place] == (situation, 500)
    assert bench.contaminated == []


def test_readings_of_the_unsteady_row_are_set_aside_with_its_calls() -> None:
    labels = [item.situation for item in failed_on(Bench(closed_for=2)).readings]
    assert labels[: len(labels) // 2] == [f"{UNSTEADY}{label}" for label in labels[len(labels) // 2 :]]


def test_a_model_that_does_not_recover_leaves_the_later_failures_contaminated_and_unmade() -> None:
    bench = failed_on(Bench(closed_for=99, recovers=False))
    assert bench.contaminated == list(FAILURES)
    assert not [situation for situation, _ in bench.seen() if situation in FAILURES]
