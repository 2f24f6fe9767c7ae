"""Tasks that fail at the provider, and what becomes of their credits.

The accounts poll fast where their limit can be set, so that the first sight of `failed` comes within
milliseconds of the change, and the balance is read at once after it.
"""

from __future__ import annotations

import asyncio

from weighbridge import tolerances
from weighbridge.bait import UPSTREAM_SECRET
from weighbridge.evidence import Call
from weighbridge.lab import Lab, Stage, probe
from weighbridge.probes.tasks_flow import (
    again,
    amount_of,
    balance,
    follow,
    poll,
    read_credits,
    submit,
    task_id,
    until_restored,
    weigh,
)
from weighbridge.probes.tasks_models import kind_of, one_of_each_kind, role_of, usable_roles
from weighbridge.scenario import Scenario
from weighbridge.target import Principal

#: Asked for where the account hook takes a limit: room for fast and for concurrent polls.
_FAST = 200
_RACERS = 50
_RACE_AT_MS = 300
_RACE_GAP_S = 0.004
#: Providers print part of the key in their errors.
_TELLTALE = f"provider broke {UPSTREAM_SECRET}"
_MODERATED = Scenario(outcome="moderated", duration_ms=300)
#: situation -> how the provider answers the submission of an image task
_REFUSALS = {
    "refused-by-provider": Scenario(fault="status", status=500, message=_TELLTALE),
    "provider-hangs-up": Scenario(fault="close_before_headers"),
}


@probe("tasks", stage=Stage.FAILING, needs=("upstream",))
async def task_failures(lab: Lab) -> None:
    """A failed task of every kind of output, and each way to fail of an image task, with the credits around it.

    The failed and the moderated image task are polled as fast as the account may, and their credits read through
    the API at once; of the others only the beginning and the end are looked at.
    """
    script = Scenario(outcome="failed", duration_ms=300, message=_TELLTALE)
    image = role_of(lab, "image")
    stories = [
        _watched(lab, role, "failed", script) if role == image else _fails(lab, role, "failed", script)
        for role in (usable_roles(lab) if lab.shared.explore else _kinds(lab))
    ]
    if image is None:
        lab.miss("moderated", "models.image")
    else:
        stories.append(_watched(lab, image, "moderated", _MODERATED))
        stories += [_fails(lab, image, name, scenario) for name, scenario in _REFUSALS.items()]
    await asyncio.gather(*stories)


def _kinds(lab: Lab) -> tuple[str, ...]:
    """An image and a film, which are stored, and a text, which is not; a kind that is lacking gives way to another."""
    kinds = one_of_each_kind(lab)
    return tuple(role for role in kinds if kind_of(role) != "audio") if len(kinds) > 3 else kinds


async def _watched(lab: Lab, role: str, situation: str, scenario: Scenario) -> None:
    """Every step, with both readings of the credits."""
    async with lab.alone("tasks", requests_per_second=_FAST) as who:
        await read_credits(lab, role, situation, who, "before")
        call = await submit(lab, role, situation, who, scenario=scenario)
        await weigh(lab, role, situation, who, "submitted")
        task = task_id(call)
        if task is None:
            await read_credits(lab, role, situation, who, "final", after=call)
            return
        last = await follow(lab, role, situation, who, task, race=True)
        await balance(lab, role, situation, who, "seen", paced=False)
        await again(lab, role, situation, who, task, 5, race=True)
        first = next((c for c in lab.calls if c.situation == f"{situation}:balance:before"), None)
        before = amount_of(first) if first is not None else None
        await until_restored(lab, role, situation, who, before, tolerances.LATE_REFUND_S)
        await weigh(lab, role, situation, who, "final", after=last)


async def _fails(lab: Lab, role: str, situation: str, scenario: Scenario) -> None:
    """Submitted, polled when it has failed and once more, and weighed."""
    async with lab.alone("tasks", requests_per_second=_FAST) as who:
        before = await weigh(lab, role, situation, who, "before")
        call = await submit(lab, role, situation, who, scenario=scenario)
        await weigh(lab, role, situation, who, "submitted")
        task = task_id(call)
        if task is None:
            await weigh(lab, role, situation, who, "final", after=call)
            return
        last = await follow(lab, role, situation, who, task)
        if situation not in _REFUSALS:
            await again(lab, role, situation, who, task, 1)
        await until_restored(lab, role, situation, who, before, tolerances.LATE_REFUND_S)
        await weigh(lab, role, situation, who, "final", after=last)


@probe("tasks", stage=Stage.FAILING, needs=("upstream",))
async def task_failure_race(lab: Lab) -> None:
    """Fifty polls of one task around the moment of its failure."""
    role = role_of(lab, "image")
    if role is None:
        lab.miss("race", "models.image")
        return
    async with lab.alone("tasks", requests_per_second=_FAST) as who:
        before = await weigh(lab, role, "race", who, "before")
        began = lab.now()
        script = Scenario(outcome="failed", duration_ms=_RACE_AT_MS)
        task = task_id(await submit(lab, role, "race", who, scenario=script))
        if task is None:
            return
        await asyncio.sleep(max(0.0, began + _RACE_AT_MS / 1000 - lab.now()))
        await asyncio.gather(*(_racer(lab, role, who, task, n) for n in range(_RACERS)))
        if who.requests_per_second < _FAST:
            await asyncio.sleep(tolerances.RATE_QUIET_S)
        last = await follow(lab, role, "race", who, task, race=True)
        await asyncio.gather(*(poll(lab, role, "race", who, task, contention=True) for _ in range(8)))
        await until_restored(lab, role, "race", who, before, tolerances.LATE_REFUND_S)
        await weigh(lab, role, "race", who, "final", after=last)


async def _racer(lab: Lab, role: str, who: Principal, task: str, number: int) -> Call:
    await asyncio.sleep(number * _RACE_GAP_S)
    return await poll(lab, role, "race", who, task, paced=False, provoked=True, contention=True)


@probe("tasks", stage=Stage.FAILING, needs=("upstream",))
async def task_failure_unpolled(lab: Lab) -> None:
    """A task that fails while nobody polls it: its credits must come back all the same."""
    role = role_of(lab, "image")
    if role is None:
        lab.miss("unpolled", "models.image")
        return
    script = Scenario(outcome="failed", duration_ms=50)
    async with lab.alone("tasks") as who:
        before = await weigh(lab, role, "unpolled", who, "before")
        call = await submit(lab, role, "unpolled", who, scenario=script)
        await weigh(lab, role, "unpolled", who, "submitted")
        if task_id(call) is None:
            return
        wait = tolerances.TASK_DONE_S
        if lab.has("tasks", "accounts"):
            await _polled_twin(lab, role, script)
            wait = tolerances.LATE_REFUND_S
        await until_restored(lab, role, "unpolled", who, before, wait)
        await weigh(lab, role, "unpolled", who, "final", after=call)


async def _polled_twin(lab: Lab, role: str, script: Scenario) -> None:
    """The same task in an account of its own, polled to its end: from then on the refund of the other is due."""
    who = await lab.make_account("tasks", requests_per_second=_FAST)
    task = task_id(await submit(lab, role, "twin", who, scenario=script))
    if task is not None:
        await follow(lab, role, "twin", who, task)


@probe("tasks", stage=Stage.FAILING, needs=("upstream",))
async def task_resubmission(lab: Lab) -> None:
    """The documented recovery: a task fails, the same request is sent again, and that one succeeds."""
    role = role_of(lab, "image")
    if role is None:
        lab.miss("resubmitted", "models.image")
        return
    async with lab.alone("tasks", requests_per_second=_FAST) as who:
        before = await weigh(lab, role, "resubmitted-first", who, "before")
        first = await submit(
            lab, role, "resubmitted-first", who, scenario=Scenario(outcome="failed", duration_ms=50)
        )
        task = task_id(first)
        if task is None:
            return
        await follow(lab, role, "resubmitted-first", who, task)
        await until_restored(lab, role, "resubmitted-first", who, before, tolerances.LATE_REFUND_S)
        await weigh(lab, role, "resubmitted", who, "before")
        second = await submit(
            lab, role, "resubmitted", who, scenario=Scenario(outcome="completed", duration_ms=200)
        )
        await weigh(lab, role, "resubmitted", who, "final", after=second)
