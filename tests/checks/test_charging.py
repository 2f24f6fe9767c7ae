"""Waiting for a charge: until the balance shows what is due, and not until something moved."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.checks.chat_evidence import MODEL, call
from weighbridge.evidence import RunFacts
from weighbridge.lab import Lab
from weighbridge.money import pico_from_usd
from weighbridge.probes.charging import until_due
from weighbridge.purse import Purse
from weighbridge.scenario import Scenario
from weighbridge.target import Balance, Hook, Principal

FACTS = RunFacts(rates={MODEL: {"input": 5, "output": 30}})
SCRIPT = Scenario(prompt_tokens=10, completion_tokens=1)
DUE = 10 * 5 + 30


def _lab(facts: RunFacts = FACTS) -> Lab:
    return cast("Lab", SimpleNamespace(shared=SimpleNamespace(facts=facts)))


def test_a_hold_and_the_first_of_several_charges_do_not_end_the_wait() -> None:
    two = [call({}, scenario=SCRIPT), call({}, scenario=SCRIPT)]
    seen = until_due(_lab(), 1000, two)
    assert seen is not None
    assert [seen(amount) for amount in (1000, 1000 - DUE, 1000 - 5 * DUE, 1000 - 2 * DUE)] == [
        False,
        False,
        False,
        True,
    ]


def test_where_nothing_is_known_to_be_due_the_whole_settle_time_passes() -> None:
    assert until_due(_lab(), None, [call({}, scenario=SCRIPT)]) is None
    assert until_due(_lab(RunFacts()), 1000, [call({}, scenario=SCRIPT)]) is None
    own = until_due(_lab(RunFacts(rates=FACTS.rates, own_usage=(MODEL,))), 1000, [call({}, scenario=SCRIPT)])
    assert own is not None
    assert own(999)


class _Late(Purse):
    """An account from which an earlier call is charged late."""

    def __init__(self, late_s: float, settle_s: float) -> None:
        self._began, self._late = time.monotonic(), late_s
        source = Balance(Hook("GET", "http://ops.test/balance"), "usd", settle=settle_s)
        self.readings = []
        target = SimpleNamespace(balance={"chat": source}, surfaces={})
        self.shared = cast("Any", SimpleNamespace(hooks=self, epoch=time.perf_counter(), target=target))

    async def run(self, _hook: Hook, _values: dict[str, str]) -> dict[str, Any]:
        return {"*": "9" if time.monotonic() - self._began > self._late else "10"}


@pytest.mark.parametrize(("role", "amount"), [("funded", "9"), ("fresh", "10")])
def test_an_account_that_others_spent_from_is_read_when_their_charges_are_there(
    role: str, amount: str
) -> None:
    purse = _Late(late_s=0.05, settle_s=0.2)
    who = Principal("chat", role, "sk-test-key")
    assert asyncio.run(purse.money(who, "charge", "before")) == pico_from_usd(amount)
