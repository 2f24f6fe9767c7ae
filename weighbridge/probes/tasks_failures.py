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
)
from weighbridge.probes.tasks_models import role_of, usable_roles
from weighbridge.scenario import Scenario
from weighbridge.target import Principal

#: Asked for where the account hook takes a limit: room for fast and for concurrent polls.
_FAST = 200
_RACERS = 50
_RACE_AT_MS = 300
_RACE_GAP_S = 0.004
#: Providers print part of the key in their errors.
_TELLTALE = f"provider broke {UPSTREAM_SECRET}"
#: situation -> what the provider does with the image task
_IMAGE_FAILURES = {
    "moderated": Scenario(outcome="moderated", duration_ms=100),
    "refused-by-provider": Scenario(fault="status", status=500, message=_TELLTALE),
    "provider-hangs-up": Scenario(fault="close_before_headers"),
}


@probe("tasks", stage=Stage.FAILING, needs=("upstream",))
async def task_failures(lab: Lab) -> None:
    """A failed task of every role, and each way to fail of an image task, with the credits at every step."""
    stories = [
        _fails(lab, role, "failed", Scenario(outcome="failed", duration_ms=150, message=_TELLTALE))
        for role in usable_roles(lab)
    ]
    image = role_of(lab, "image")
    if image is None:
        lab.miss("moderated", "models.image")
    else:
        stories += [
            _fails(lab, image, situation, scenario) for situation, scenario in _IMAGE_FAILURES.items()
        ]
    await asyncio.gather(*stories)


async def _fails(lab: Lab, role: str, situation: str, scenario: Scenario) -> None:
    async with lab.alone("tasks", requests_per_second=_FAST) as who:
        await read_credits(lab, role, situation, who, "before")
        call = await submit(lab, role, situation, who, scenario=scenario)
        await balance(lab, role, situation, who, "submitted")
        task = task_id(call)
        if task is None:
            await read_credits(lab, role, situation, who, "final", after=call)
            return
        last = await follow(lab, role, situation, who, task)
        await balance(lab, role, situation, who, "seen", paced=False)
        await again(lab, role, situation, who, task, 5)
        await _late_refund(lab, role, situation, who)
        await read_credits(lab, role, situation, who, "final", after=last)


async def _late_refund(lab: Lab, role: str, situation: str, who: Principal) -> None:
    """Tell a late refund from none: wait, bounded, until the balance is no longer below the first one."""
    first = next(
        (c for c in lab.calls if c.situation == f"{situation}:balance:before" and c.role == role), None
    )
    before = amount_of(first) if first is not None else None
    deadline = lab.now() + tolerances.LATE_REFUND_S
    while lab.now() < deadline:
        now = amount_of(await balance(lab, role, situation, who, "waiting"))
        if before is None or now is None or now >= before:
            return
        await asyncio.sleep(tolerances.TASK_POLL_INTERVAL_S)


@probe("tasks", stage=Stage.FAILING, needs=("upstream",))
async def task_failure_race(lab: Lab) -> None:
    """Fifty polls of one task around the moment of its failure."""
    role = role_of(lab, "image")
    if role is None:
        lab.miss("race", "models.image")
        return
    async with lab.alone("tasks", requests_per_second=_FAST) as who:
        await read_credits(lab, role, "race", who, "before")
        began = lab.now()
        script = Scenario(outcome="failed", duration_ms=_RACE_AT_MS)
        task = task_id(await submit(lab, role, "race", who, scenario=script))
        if task is None:
            return
        await asyncio.sleep(max(0.0, began + _RACE_AT_MS / 1000 - lab.now()))
        await asyncio.gather(*(_racer(lab, role, who, task, n) for n in range(_RACERS)))
        if who.requests_per_second < _FAST:
            await asyncio.sleep(tolerances.RATE_QUIET_S)
        last = await follow(lab, role, "race", who, task)
        await asyncio.gather(*(poll(lab, role, "race", who, task) for _ in range(8)))
        await _late_refund(lab, role, "race", who)
        await read_credits(lab, role, "race", who, "final", after=last)


async def _racer(lab: Lab, role: str, who: Principal, task: str, number: int) -> Call:
    await asyncio.sleep(number * _RACE_GAP_S)
    return await poll(lab, role, "race", who, task, paced=False, provoked=True)


@probe("tasks", stage=Stage.FAILING, needs=("upstream",))
async def task_failure_unpolled(lab: Lab) -> None:
    """A task that fails while nobody polls it: its credits must come back all the same."""
    role = role_of(lab, "image")
    if role is None:
        lab.miss("unpolled", "models.image")
        return
    script = Scenario(outcome="failed", duration_ms=50)
    async with lab.alone("tasks") as who:
        before = amount_of(await balance(lab, role, "unpolled", who, "before"))
        call = await submit(lab, role, "unpolled", who, scenario=script)
        await balance(lab, role, "unpolled", who, "submitted")
        if task_id(call) is None:
            return
        wait = tolerances.TASK_DONE_S
        if lab.has("tasks", "accounts"):
            await _polled_twin(lab, role, script)
            wait = tolerances.LATE_REFUND_S
        deadline = lab.now() + wait
        while True:
            seen = await balance(lab, role, "unpolled", who, "final")
            if amount_of(seen) == before or lab.now() > deadline:
                break
            await asyncio.sleep(tolerances.TASK_POLL_INTERVAL_S)


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
        await balance(lab, role, "resubmitted-first", who, "before")
        first = await submit(
            lab, role, "resubmitted-first", who, scenario=Scenario(outcome="failed", duration_ms=50)
        )
        task = task_id(first)
        if task is None:
            return
        await follow(lab, role, "resubmitted-first", who, task)
        await _late_refund(lab, role, "resubmitted-first", who)
        await read_credits(lab, role, "resubmitted", who, "before")
        second = await submit(
            lab, role, "resubmitted", who, scenario=Scenario(outcome="completed", duration_ms=200)
        )
        await read_credits(lab, role, "resubmitted", who, "final", after=second)
        task = task_id(second)
        if task is not None:
            await follow(lab, role, "resubmitted", who, task)
