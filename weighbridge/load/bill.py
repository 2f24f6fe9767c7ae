"""The bill of a load test: is the sum of all charges the sum of all priced usage? Nothing lost, nothing twice.

Prices are linear in tokens, so sums of tokens by model are enough, whatever the order of the calls. Every call that
was whole is priced by the usage that the target itself reported, and where the provider was scripted by the counts
that the script names; the two must agree. A call that failed or was cut off by the end of the test may be charged
or not, but never more than a whole one: so many calls of uncertain price make the sum a range.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

from weighbridge import tolerances
from weighbridge.errors import HarnessError
from weighbridge.hooks import HookRunner
from weighbridge.load.figures import Figures
from weighbridge.load.plan import Lane, LoadPlan
from weighbridge.money import Usage, pico_from_usd, price, usd
from weighbridge.target import Balance, Principal, Target

#: Charges may trail the answers by more than one call's settling when thousands end at once.
_SETTLE_FACTOR = 3
_AT_LEAST_S = 2.0
#: Prompts of one lane differ by their id alone.
_MORE_PROMPT = 16


@dataclass(frozen=True, slots=True)
class Bill:
    """Charged against expected, in pico-dollars; `missing` says why they could not be compared.

    Attributes:
        lowest, highest: the range that the calls allow; equal where no call's price is uncertain.
        problems: usage that differs from what the provider was told to report.
    """

    charged: int = 0
    lowest: int = 0
    highest: int = 0
    calls: int = 0
    uncertain: int = 0
    missing: str = ""
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Nothing is wrong with the bill, as far as it could be seen."""
        return bool(self.missing) or (self.lowest <= self.charged <= self.highest and not self.problems)

    @property
    def statement(self) -> str:
        """One line for people."""
        if self.missing:
            return f"money not reconciled: {self.missing}"
        calls = f"{self.calls:,} whole calls"
        if self.uncertain:
            calls += f" and {self.uncertain:,} that failed or were cut off"
        expected = (
            usd(self.lowest) if self.lowest == self.highest else f"{usd(self.lowest)} to {usd(self.highest)}"
        )
        if self.ok:
            return f"money reconciled: {usd(self.charged)} charged for {calls}, {expected} by their usage"
        off = self.charged - self.highest if self.charged > self.highest else self.charged - self.lowest
        why = [f"{usd(abs(off))} too {'much' if off > 0 else 'little'}"] if off else []
        return (
            f"money not right: {usd(self.charged)} charged for {calls}, {expected} by their usage: "
            f"{'; '.join([*why, *self.problems])}"
        )


def why_not(target: Target, plan: LoadPlan) -> str:
    """Why the money of this load cannot be reconciled; empty if it can. Pure."""
    lanes = [lane for lane in plan.lanes if lane.surface != "tasks"]
    if not lanes:
        return "media tasks are billed by their own prices, which the task checks judge"
    if len(lanes) < len(plan.lanes):
        return "media tasks run in the same load"
    if len({lane.principal for lane in lanes}) > 1:
        return "several accounts pay"
    if _source(target, lanes[0]) is None:
        return "the target declares no balance.chat"
    unknown = sorted({lane.model for lane in lanes if lane.model not in target.rates})
    return f"the target declares no rates.{unknown[0]}" if unknown else ""


def _source(target: Target, lane: Lane) -> tuple[Balance, Principal] | None:
    surface = lane.principal.partition(".")[0]
    name = next((name for name in (surface, "chat") if name in target.balance), None)
    who = target.principals.get(lane.principal)
    if name is None or who is None or target.balance[name].unit == "credits":
        return None
    return target.balance[name], who


async def read(target: Target, lane: Lane, hooks: HookRunner) -> int:
    """The balance of the account that pays for a lane, in pico-dollars.

    Raises:
        HarnessError: it cannot be read.
    """
    source = _source(target, lane)
    assert source is not None  # noqa: S101 - asked after `why_not`
    balance, who = source
    answer = await hooks.run(balance.hook, {"key": who.key} | dict(who.ids))
    try:
        return pico_from_usd(answer.get("json", answer["*"]))
    except ValueError as error:
        raise HarnessError(f"the balance of {who.name} cannot be read: {error}") from error


async def read_at_rest(target: Target, lane: Lane, hooks: HookRunner) -> int:
    """As `read`, once what was called before the load has surely been charged.

    Raises:
        HarnessError: it cannot be read.
    """
    source = _source(target, lane)
    assert source is not None  # noqa: S101 - asked after `why_not`
    await asyncio.sleep(source[0].settle)
    return await read(target, lane, hooks)


def expected(target: Target, plan: LoadPlan, figures: Figures) -> Bill:
    """What the calls must have cost, by their usage. Pure; `charged` is left at 0."""
    total = calls = dearest = 0
    problems: list[str] = []
    unknown: list[str] = []
    for model in dict.fromkeys(lane.model for lane in plan.lanes):
        lanes = [lane for lane in plan.lanes if lane.model == model]
        counts = {
            name.rpartition("/")[2]: number
            for name, number in figures.usage.items()
            if name.rpartition("/")[0] == model
        }
        whole = counts.get("calls", 0)
        calls += whole
        # Streams of one model on both surfaces name their prompt in two ways; each is counted once.
        usage = Usage(
            counts.get("prompt", 0) + (counts.get("input", 0) + _beside(counts) if "input" in counts else 0),
            counts.get("completion", 0),
            counts.get("cached", 0),
            counts.get("written", 0),
        )
        rates = dict(target.rates[model])
        total += price(usage, rates, long_context=False)
        problems += _departures(model, lanes, usage, whole)
        each = _price_of_one(lanes, usage, rates, whole)
        if each is None:
            unknown.append(model)
        else:
            dearest = max(dearest, each)
    missing = figures.completed - calls
    uncertain = figures.failed + figures.unfinished
    if uncertain and unknown:
        return Bill(missing=f"nothing says what calls of {unknown[0]} that failed or were cut off may cost")
    if missing > 0 and any(_silent(lane) for lane in plan.lanes):
        return Bill(
            missing=f"streams were not asked for their usage, and {missing} whole calls reported none"
        )
    if missing > 0:
        problems.append(f"{missing} whole calls reported no usage")
    return Bill(
        lowest=total,
        highest=total + uncertain * dearest,
        calls=calls,
        uncertain=uncertain,
        problems=tuple(problems),
    )


def _price_of_one(lanes: list[Lane], usage: Usage, rates: dict[str, int], whole: int) -> int | None:
    """The most that a call that failed may have cost; None where nothing bounds it.

    A provider that follows a script says the same every time. A live one does not: what bounds its answers is the
    limit in the request.
    """
    scripts = [lane.script for lane in lanes]
    told = [
        Usage(item.prompt_tokens, item.completion_tokens)
        for item in scripts
        if item is not None and item.prompt_tokens is not None and item.completion_tokens is not None
    ]
    if len(told) == len(scripts):
        return max(price(item, rates, long_context=False) for item in told)
    if not whole:
        return None
    mean = -(-price(usage, rates, long_context=False) // whole)
    if None not in scripts:
        return mean
    limits = [json.loads(lane.body).get("max_tokens") for lane in lanes]
    if None in limits:
        return None
    most = Usage(-(-usage.prompt // whole) + _MORE_PROMPT, max(limits), 0, 0)
    return max(mean, price(most, rates, long_context=False))


def _silent(lane: Lane) -> bool:
    """Whether the streams of this lane are not asked for their usage, without which a chat stream has none."""
    return lane.kind == "chat" and "stream_options" not in json.loads(lane.body)


def _beside(counts: Mapping[str, int]) -> int:
    """Cached and written tokens that the messages dialect counts beside its input."""
    return counts.get("cached", 0) + counts.get("written", 0)


def _departures(model: str, lanes: list[Lane], usage: Usage, calls: int) -> list[str]:
    """Where the reported usage is not what the provider was told to report."""
    told = {(lane.script.prompt_tokens, lane.script.completion_tokens) for lane in lanes if lane.script}
    if len(told) != 1 or None in (script := next(iter(told))):
        return []
    wanted = {"input": (script[0] or 0) * calls, "output": (script[1] or 0) * calls}
    seen = {"input": usage.prompt, "output": usage.completion}
    return [
        f"{model} reports {seen[name]:,} {name} tokens, its provider {tokens:,}"
        for name, tokens in wanted.items()
        if seen[name] != tokens
    ]


async def reconcile(target: Target, plan: LoadPlan, figures: Figures, before: int, hooks: HookRunner) -> Bill:
    """Compare, waiting (bounded) for charges that trail.

    Raises:
        HarnessError: the balance cannot be read.
    """
    bill = expected(target, plan, figures)
    if bill.missing:
        return bill
    source = _source(target, plan.lanes[0])
    assert source is not None  # noqa: S101 - asked after `why_not`
    deadline = time.monotonic() + max(_AT_LEAST_S, source[0].settle * _SETTLE_FACTOR)
    rested = False
    while True:
        charged = before - await read(target, plan.lanes[0], hooks)
        settled = Bill(charged, bill.lowest, bill.highest, bill.calls, bill.uncertain, "", bill.problems)
        # Cut-off calls may still be charged: a sum inside a range has settled only when the time is up. And a sum that
        # is right may have a second charge behind it.
        right = bill.lowest == bill.highest == charged
        if time.monotonic() > deadline or (right and rested):
            return settled
        rested = right
        await asyncio.sleep(source[0].settle if right else tolerances.POLL_INTERVAL_S)
