"""The rate limit per user: the only probes that send faster than a principal may.

A burst of twice the limit and one more exceeds it under every alignment of one-second windows. Each burst
has an account of its own where accounts can be made; the documented limit holds in these accounts.
"""

from __future__ import annotations

import asyncio
import math

from weighbridge import tolerances
from weighbridge.evidence import Call
from weighbridge.lab import Lab, Stage, probe
from weighbridge.probes.tasks_flow import NO_SUCH_TASK, balance, poll, submit, weigh
from weighbridge.probes.tasks_lifecycle import second_key
from weighbridge.probes.tasks_models import role_of
from weighbridge.retry_after import announced_wait
from weighbridge.scenario import Scenario
from weighbridge.target import Principal

_WORK = Scenario(outcome="completed", duration_ms=100)
#: Money is read while the provider still works, so that nothing but the submissions moves it.
_LONG = Scenario(outcome="completed", duration_ms=int(tolerances.SLOW_TASK_S * 1000))
_NEIGHBOUR_REQUESTS = 5
#: Shifts the second attempt against the target's windows, so that an edge falls into one attempt at most.
_PHASE_S = 0.37


def limit_of(who: Principal) -> int:
    """The documented limit, or the principal's own where the target file declares more."""
    return max(tolerances.TASK_RATE_LIMIT, math.ceil(who.requests_per_second))


def burst_of(who: Principal) -> int:
    """How many requests exceed the limit whatever the windows, within reason."""
    return min(2 * limit_of(who) + 1, tolerances.MAX_BURST)


async def _quiet(who: Principal) -> None:
    """Nothing of other probes may lie in the window; a fresh account has sent nothing."""
    if who.role != "fresh":
        await asyncio.sleep(tolerances.RATE_QUIET_S)


@probe("tasks")
async def task_at_limit(lab: Lab) -> None:
    """Exactly the documented number of requests at once: a submission where it costs nothing, polls, balance reads."""
    async with lab.alone("tasks") as who:
        await _quiet(who)
        role = role_of(lab, "image")
        submissions = []
        if role is not None and lab.wired:
            submissions.append(
                submit(
                    lab, role, "at-limit", who, scenario=_WORK, paced=False, provoked=True, contention=True
                )
            )
        left = tolerances.TASK_RATE_LIMIT - len(submissions)
        polls = [
            poll(lab, role, "at-limit", who, NO_SUCH_TASK, paced=False, provoked=True, contention=True)
            for _ in range(left - left // 2)
        ]
        reads = [
            balance(lab, None, "at-limit", who, "read", paced=False, provoked=True, contention=True)
            for _ in range(left // 2)
        ]
        # None waits for another's answer, or they might not all be sent within the second.
        await asyncio.gather(*submissions, *polls, *reads)
        await _quiet(who)


@probe("tasks")
async def task_poll_burst(lab: Lab) -> None:
    """A burst of polls, a neighbour meanwhile, and the way back after the announced wait."""
    async with lab.alone("tasks") as who:
        await _quiet(who)
        neighbour = await _neighbour(lab)
        sent = [
            poll(lab, None, "burst", who, NO_SUCH_TASK, paced=False, provoked=True, contention=True)
            for _ in range(burst_of(who))
        ]
        aside = [
            balance(lab, None, "neighbour", neighbour, "read", paced=False, provoked=True, contention=True)
            for _ in range(_NEIGHBOUR_REQUESTS if neighbour else 0)
        ]
        calls = await asyncio.gather(*sent, *aside)
        await _recover(lab, who, calls[: len(sent)])


async def _neighbour(lab: Lab) -> Principal | None:
    if lab.has("tasks", "accounts"):
        return await lab.make_account("tasks")
    if "tasks.second_user" in lab.target.principals:
        return lab.declared("tasks", "second_user")
    lab.miss("neighbour:balance:read", "second_user")
    return None


async def _recover(lab: Lab, who: Principal, calls: list[Call]) -> None:
    """One request when the longest announced wait is over; another one later if it is still refused."""
    refused = [call for call in calls if call.exchange.status == 429]
    if not refused:
        return
    announced = max(_wait(call) for call in refused)
    over_at = max(call.exchange.started + call.exchange.ended_at for call in refused) + announced
    await asyncio.sleep(min(max(0.0, over_at - lab.now()), tolerances.MAX_BACK_OFF_S))
    call = await poll(lab, None, "recovered", who, NO_SUCH_TASK, paced=False, provoked=True)
    if call.exchange.status == 429:
        await asyncio.sleep(tolerances.RATE_WINDOW_SLACK_S)
        await poll(lab, None, "recovered", who, NO_SUCH_TASK, paced=False, provoked=True)


def _wait(call: Call) -> float:
    announced = announced_wait(call.exchange)
    return tolerances.RATE_QUIET_S if announced is None else announced


@probe("tasks", waits=True)
async def task_balance_burst(lab: Lab) -> None:
    """A burst of balance reads, and one more after two seconds of silence."""
    async with lab.alone("tasks") as who:
        await _quiet(who)
        await asyncio.gather(
            *(
                balance(lab, None, "burst", who, "read", paced=False, provoked=True, contention=True)
                for _ in range(burst_of(who))
            )
        )
        await asyncio.sleep(2 * tolerances.RATE_WINDOW_S)
        await balance(lab, None, "window-over", who, "read", paced=False, provoked=True)


@probe("tasks", needs=("upstream",))
async def task_submit_burst(lab: Lab) -> None:
    """A burst of submissions: what a refused one leaves behind, in credits and at the provider."""
    role = role_of(lab, "image")
    if role is None:
        lab.miss("burst", "models.image")
        return
    async with lab.alone("tasks") as who:
        await _quiet(who)
        await weigh(lab, role, "burst", who, "before")
        calls = await asyncio.gather(
            *(
                submit(lab, role, "burst", who, scenario=_LONG, paced=False, provoked=True, contention=True)
                for _ in range(burst_of(who))
            )
        )
        await asyncio.sleep(tolerances.RATE_QUIET_S)
        await weigh(lab, role, "burst", who, "final", after=calls[-1])


@probe("tasks", stage=Stage.PACED)
async def task_two_keys(lab: Lab) -> None:
    """Two keys of one user, each up to its limit at the same time; again in another phase if nothing is refused."""
    async with lab.alone("tasks") as who:
        second = await second_key(lab, who, "two-keys-1:poll")
        if second is None:
            return
        await _quiet(who)
        for attempt in (1, 2):
            calls = await asyncio.gather(
                *(
                    poll(
                        lab,
                        None,
                        f"two-keys-{attempt}",
                        key,
                        NO_SUCH_TASK,
                        paced=False,
                        provoked=True,
                        contention=True,
                    )
                    for _ in range(limit_of(who))
                    for key in (who, second)
                )
            )
            if any(call.exchange.status == 429 for call in calls):
                break
            await asyncio.sleep(tolerances.RATE_QUIET_S + _PHASE_S)
        await _quiet(who)
