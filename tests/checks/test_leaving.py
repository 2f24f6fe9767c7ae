"""When the money of a client that left is read: behind the settle time, and where a hold stands, behind the script."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.checks.chat_evidence import MODEL, call
from weighbridge import tolerances
from weighbridge.evidence import Reading
from weighbridge.lab import Lab
from weighbridge.money import PICO_PER_USD
from weighbridge.probes.leaving import money_after_leaving
from weighbridge.scenario import Scenario
from weighbridge.target import Principal

BEFORE = 10 * PICO_PER_USD
CARD = {"input": 1_000_000, "output": 2_000_000}
PRICE = 1000 * CARD["input"] + 100 * CARD["output"]
HOLD = 5 * PRICE
SCRIPT = Scenario(chunks=10, gap_ms=10, prompt_tokens=1000, completion_tokens=100)
SCRIPT_S = 0.1
SETTLE_S = 0.2
Course = tuple[tuple[float, int], ...]


class Account(Lab):
    """A lab whose account shows what is gone by the second; `rates` as a target file declares them."""

    def __init__(self, course: Course, rates: dict[str, dict[str, int]]) -> None:
        self._course, self._began = course, 0.0
        source = SimpleNamespace(
            hook=SimpleNamespace(url="http://operator/balance"), unit="usd", settle=SETTLE_S
        )
        target = SimpleNamespace(balance={"chat": source}, surfaces={}, rates=rates)
        self.shared = cast("Any", SimpleNamespace(hooks=self, target=target))
        self.readings: list[Reading] = []

    def now(self) -> float:
        return 0.0

    async def run(self, _hook: object, _values: object) -> dict[str, Any]:
        clock = asyncio.get_running_loop().time()
        self._began = self._began or clock
        gone = [amount for at, amount in self._course if clock - self._began >= at][-1]
        return {"*": f"{(BEFORE - gone) / PICO_PER_USD:.6f}"}


def read(*course: tuple[float, int], rates: dict[str, dict[str, int]] | None = None) -> Reading:
    account = Account(course, {MODEL: CARD} if rates is None else rates)
    left = replace(call({}), scenario=SCRIPT)
    who = Principal("chat", "fresh", "k")
    asyncio.run(money_after_leaving(account, who, "left/openai", BEFORE, left))
    (reading,) = account.readings
    return reading


def gone(reading: Reading) -> int:
    return BEFORE - reading.amount


def test_a_hold_that_stands_until_the_provider_was_read_to_its_end_is_waited_for() -> None:
    late = read((0.0, HOLD), (SETTLE_S + SCRIPT_S + 0.3, 0))
    assert gone(late) == 0
    assert late.waited >= SETTLE_S + SCRIPT_S + 0.3


def test_the_settle_time_begins_where_the_target_may_have_noticed_at_the_latest() -> None:
    moment = tolerances.CLIENT_LEFT_S + SETTLE_S
    assert gone(read((0.0, HOLD), (moment - 0.1, PRICE))) == PRICE


def test_a_hold_that_is_never_given_back_is_read_as_it_stands() -> None:
    kept = read((0.0, HOLD))
    assert gone(kept) == HOLD
    assert kept.waited >= tolerances.CLIENT_LEFT_S + SCRIPT_S + SETTLE_S


@pytest.mark.parametrize("rates", [None, {}], ids=["priced", "unpriced"])
def test_a_charge_that_comes_within_the_settle_time_is_seen(rates: dict[str, dict[str, int]] | None) -> None:
    seen = read((0.0, 0), (SETTLE_S / 2, PRICE), rates=rates)
    assert gone(seen) == PRICE
    assert SETTLE_S <= seen.waited < tolerances.CLIENT_LEFT_S
