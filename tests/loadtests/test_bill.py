"""The bill: sums of charges against sums of priced usage."""

import asyncio
import time
from dataclasses import replace
from typing import Any, cast

from weighbridge.embed import EMBEDDED_SHAPE
from weighbridge.load.bill import Bill, expected, read_at_rest, reconcile, why_not
from weighbridge.load.figures import Figures, Tally
from weighbridge.load.lanes import parse_mix
from weighbridge.load.plan import LoadPlan
from weighbridge.load.planning import make_plan
from weighbridge.scenario import Scenario
from weighbridge.target import Target


def plan(mix: str) -> LoadPlan:
    return make_plan(EMBEDDED_SHAPE, parse_mix(mix), wired=True)


def figures(usage: dict[str, int], *, completed: int, failed: int = 0) -> Figures:
    tally = Tally()
    tally.usage.update(usage)
    tally.completed = completed
    tally.unfinished = failed
    return Figures.of(tally)


TEN = {"gpt-5.5/prompt": 1200, "gpt-5.5/completion": 480, "gpt-5.5/calls": 10}
#: USD 5 and 30 per million tokens, in pico-dollars.
PRICE = 1200 * 5_000_000 + 480 * 30_000_000


def test_the_sum_is_the_priced_usage() -> None:
    bill = expected(EMBEDDED_SHAPE, plan("chat"), figures(TEN, completed=10))
    assert (bill.lowest, bill.highest, bill.calls) == (PRICE, PRICE, 10)
    assert not bill.problems


def charged(amount: int, bill: Bill) -> Bill:
    return Bill(amount, bill.lowest, bill.highest, bill.calls, bill.uncertain, "", bill.problems)


def test_a_charge_too_many_and_one_too_few_are_found() -> None:
    bill = expected(EMBEDDED_SHAPE, plan("chat"), figures(TEN, completed=10))
    assert charged(PRICE, bill).ok
    for off, words in ((PRICE // 10, "too much"), (-PRICE // 10, "too little")):
        wrong = charged(PRICE + off, bill)
        assert not wrong.ok
        assert words in wrong.statement


def test_calls_that_were_cut_off_may_be_charged_or_not() -> None:
    bill = expected(EMBEDDED_SHAPE, plan("chat"), figures(TEN, completed=10, failed=2))
    assert charged(PRICE, bill).ok
    assert charged(PRICE + PRICE // 5, bill).ok
    assert not charged(PRICE + PRICE // 5 + 1, bill).ok
    assert not charged(PRICE - 1, bill).ok


def test_where_no_call_was_whole_the_script_bounds_what_they_cost_or_nothing_does() -> None:
    none = figures({}, completed=0, failed=3)
    scripted = plan("chat")
    script = replace(Scenario(), prompt_tokens=120, completion_tokens=48)
    scripted = replace(scripted, lanes=tuple(replace(lane, script=script) for lane in scripted.lanes))
    bill = expected(EMBEDDED_SHAPE, scripted, none)
    assert (bill.lowest, bill.highest, bill.missing) == (0, 3 * PRICE // 10, "")
    assert charged(3 * PRICE // 10, bill).ok
    unscripted = replace(scripted, lanes=tuple(replace(lane, script=None) for lane in scripted.lanes))
    assert "nothing says what calls of gpt-5.5" in expected(EMBEDDED_SHAPE, unscripted, none).statement


def test_the_answers_of_a_live_provider_vary_so_only_a_limit_bounds_what_cut_off_calls_cost() -> None:
    live = make_plan(EMBEDDED_SHAPE, parse_mix("chat"), wired=False)
    assert expected(EMBEDDED_SHAPE, live, figures(TEN, completed=10)).highest == PRICE
    bill = expected(EMBEDDED_SHAPE, live, figures(TEN, completed=10, failed=1))
    assert "nothing says what calls of gpt-5.5" in bill.missing
    limited = make_plan(EMBEDDED_SHAPE, parse_mix("messages"), wired=False)
    model = limited.lanes[0].model
    ten = {f"{model}/input": 1200, f"{model}/completion": 480, f"{model}/calls": 10}
    bill = expected(EMBEDDED_SHAPE, limited, figures(ten, completed=10, failed=1))
    # A long answer up to the 4,096 tokens of the request is no wrong charge, whatever the others cost.
    assert bill.highest - bill.lowest >= 4096 * EMBEDDED_SHAPE.rates[model]["output"]
    assert bill.highest - bill.lowest < 4200 * EMBEDDED_SHAPE.rates[model]["output"]


def test_usage_that_differs_from_the_providers_is_found() -> None:
    bill = expected(EMBEDDED_SHAPE, plan("chat"), figures(TEN | {"gpt-5.5/completion": 479}, completed=10))
    assert bill.problems == ("gpt-5.5 reports 479 output tokens, its provider 480",)
    assert not charged(bill.lowest, bill).ok


def test_a_whole_call_without_usage_is_found() -> None:
    bill = expected(EMBEDDED_SHAPE, plan("chat"), figures(TEN, completed=11))
    assert "1 whole calls reported no usage" in bill.problems


def test_what_cannot_be_reconciled_says_why() -> None:
    assert why_not(EMBEDDED_SHAPE, plan("chat=2,messages,plain")) == ""
    assert "media tasks" in why_not(EMBEDDED_SHAPE, plan("chat,tasks"))
    assert Bill(missing="x").ok


def test_streams_that_were_not_asked_for_usage_are_not_held_to_have_hidden_it() -> None:
    silent = make_plan(EMBEDDED_SHAPE, parse_mix("chat"), wired=True, usage=False)
    bill = expected(EMBEDDED_SHAPE, silent, figures({}, completed=11))
    assert bill.ok
    assert "not asked for their usage, and 11 whole calls" in bill.statement


class Balances:
    """A balance as it is read time after time; the last one stays."""

    def __init__(self, *dollars: str) -> None:
        self._left = list(dollars)

    async def run(self, _hook: object, _variables: object) -> dict[str, str]:
        return {"*": self._left.pop(0) if len(self._left) > 1 else self._left[0]}


def settling(seconds: float) -> Target:
    balance = replace(EMBEDDED_SHAPE.balance["chat"], settle=seconds)
    return replace(EMBEDDED_SHAPE, balance={"chat": balance})


def test_a_second_charge_behind_a_right_sum_is_found() -> None:
    before = 10 * 10**12
    left = (before - PRICE) / 10**12
    hooks: Any = Balances("10", f"{left:.6f}", f"{left - 0.0204:.6f}")
    bill = asyncio.run(reconcile(settling(0.1), plan("chat"), figures(TEN, completed=10), before, hooks))
    assert not bill.ok
    assert "too much" in bill.statement


def test_the_balance_before_the_load_is_read_when_earlier_charges_are_in_it() -> None:
    began = time.monotonic()
    assert (
        asyncio.run(read_at_rest(settling(0.2), plan("chat").lanes[0], cast("Any", Balances("5"))))
        == 5 * 10**12
    )
    assert time.monotonic() - began >= 0.2
