"""Tasks that go well: every kind of output from submission to download, with the credits around it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from weighbridge import tolerances
from weighbridge.evidence import Call
from weighbridge.hooks import HookError
from weighbridge.lab import Lab, probe
from weighbridge.probes.real_prompts import SPEND_GUARD
from weighbridge.probes.tasks_flow import (
    NO_SUCH_TASK,
    again,
    balance,
    fetch,
    follow,
    poll,
    read_credits,
    result_urls,
    submit,
    task_id,
    weigh,
)
from weighbridge.probes.tasks_models import (
    model_of,
    one_of_each_endpoint,
    one_of_each_kind,
    optional_fields,
    role_of,
    usable_roles,
)
from weighbridge.scenario import Scenario
from weighbridge.target import Principal

#: Long enough for a first poll to see the task at work, short enough for a run of seconds.
_WORK = Scenario(outcome="completed", duration_ms=200)
_SHORT = Scenario(outcome="completed", duration_ms=50)
_SLOW = Scenario(outcome="completed", duration_ms=int(tolerances.SLOW_TASK_S * 1000))
_SEVERAL = 3


@probe("tasks")
async def task_lifecycles(lab: Lab) -> None:
    """One task of every endpoint: submission, polls to the end and beyond, downloads, and the credits around them.

    The first one is looked at in every step, and its credits through the API as well; a second endpoint of one
    kind of output is only submitted to.
    """
    whole = usable_roles(lab) if lab.shared.explore else one_of_each_kind(lab)
    async with asyncio.TaskGroup() as group:
        for role in whole:
            group.create_task(_lifecycle(lab, role, closely=role == whole[0]))
        for role in one_of_each_endpoint(lab):
            if role not in whole:
                group.create_task(_started(lab, role))


async def _started(lab: Lab, role: str) -> None:
    async with lab.alone("tasks") as who:
        await submit(lab, role, "started", who, scenario=_WORK)


async def _lifecycle(lab: Lab, role: str, *, closely: bool) -> None:
    read = read_credits if closely else weigh
    async with lab.alone("tasks") as who:
        await read(lab, role, "completed", who, "before")
        call = await submit(lab, role, "completed", who, scenario=_WORK)
        await read(lab, role, "completed", who, "submitted")
        task = task_id(call)
        if task is None:
            return
        if closely:
            await poll(lab, role, "completed", who, task)
        last = await follow(lab, role, "completed", who, task)
        if closely:
            await balance(lab, role, "completed", who, "seen")
        await again(lab, role, "completed", who, task, 1)
        await asyncio.gather(*(fetch(lab, role, "completed", url) for url in result_urls(last)))
        await read(lab, role, "completed", who, "final", after=last)


@probe("tasks")
async def task_fields(lab: Lab) -> None:
    """The optional fields of each endpoint's page, several pictures and a last frame among them, which are followed."""
    roles = usable_roles(lab) if lab.shared.explore else one_of_each_endpoint(lab)
    every = usable_roles(lab)
    special = {
        "several-images": _maker_of_several(lab, every),
        "last-frame": _maker_of_last_frame(lab, every),
    }
    for name, role in special.items():
        if role is None:
            lab.notes.append(f"{name}: no model of the target has a parameter for it")
    async with lab.alone("tasks") as who:
        makers = [role for role in special.values() if role is not None]
        await asyncio.gather(
            *(_with_fields(lab, role, who, special) for role in dict.fromkeys((*roles, *makers)))
        )


def _maker_of_several(lab: Lab, roles: tuple[str, ...]) -> str | None:
    for role in roles:
        model = model_of(lab, role)
        count = model.parameter("n") if model and model.kind == "image" else None
        if count is not None and count.maximum is not None and count.maximum >= _SEVERAL:
            return role
    return None


def _maker_of_last_frame(lab: Lab, roles: tuple[str, ...]) -> str | None:
    models = ((role, model_of(lab, role)) for role in roles)
    return next((role for role, model in models if model and model.parameter("return_last_frame")), None)


async def _with_fields(lab: Lab, role: str, who: Principal, special: dict[str, str | None]) -> None:
    model = model_of(lab, role)
    shapes: dict[str, dict[str, Any]] = {}
    fields = optional_fields(model) if model else {}
    if fields:
        shapes["fields"] = fields
    if role == special["several-images"]:
        shapes["several-images"] = {"n": _SEVERAL}
    if role == special["last-frame"]:
        shapes["last-frame"] = {"return_last_frame": True}

    async def send(name: str, change: dict[str, Any], *, keep: bool) -> Call:
        return await submit(lab, role, name, who, scenario=_SHORT, change=change, keep=keep)

    if not shapes:
        return
    await lab.combined(shapes, send)
    for call in [call for call in lab.calls if call.role == role]:
        followed = next((name for name in special if name in call.situations), None)
        task = task_id(call)
        if followed is not None and task is not None:
            await follow(lab, role, followed, who, task)


@probe("tasks", needs=("balance",))
async def task_counted_prices(lab: Lab) -> None:
    """Three units of every model whose price is declared per unit, with the credits before and after.

    Of a real provider three cost real money, so they are asked for only within the spend guard.
    """
    if not lab.wired and lab.shared.max_spend is None:
        lab.miss("*", SPEND_GUARD)
        return
    await asyncio.gather(*(_counted(lab, role) for role in usable_roles(lab)))


async def _counted(lab: Lab, role: str) -> None:
    unit = lab.target.task_price_per.get(lab.target.models[role])
    if unit is None:
        return
    async with lab.alone("tasks") as who:
        label = f"counted/{role}"
        await lab.money(who, label, "before")
        call = await submit(lab, role, "counted", who, scenario=_SLOW, change={unit: _SEVERAL})
        await lab.money(who, label, "after", after=call)


@probe("tasks", waits=True)
async def task_cadence(lab: Lab) -> None:
    """Three jobs that are far from done when they are answered, each polled once per second: the recommended pace."""
    role = role_of(lab, "image")
    if role is None:
        lab.miss("cadence", "models.image")
        lab.miss("slow", "models.image")
        return
    async with lab.alone("tasks") as who:
        calls = await asyncio.gather(
            *(submit(lab, role, "cadence+slow", who, scenario=_SLOW, provoked=True) for _ in range(3))
        )
        tasks = [task for call in calls if (task := task_id(call)) is not None]
        began = lab.now()
        for round_ in (0, 1):
            await asyncio.sleep(max(0.0, began + round_ - lab.now()))
            await asyncio.gather(*(poll(lab, role, "cadence", who, task, provoked=True) for task in tasks))


@probe("tasks", quick=True)
async def task_balances(lab: Lab) -> None:
    """The balance, read several times and through a second key of the user."""
    async with lab.alone("tasks") as who:
        for moment in ("before", "final"):
            await read_credits(lab, None, "balance", who, moment)
        second = await second_key(lab, who, "balance:second-key")
        if second is not None:
            await balance(lab, None, "balance", second, "second-key")


async def second_key(lab: Lab, who: Principal, situation: str) -> Principal | None:
    """Another key of the same user; None, recorded as missing, where there is none.

    Raises:
        HookError: the hook yielded no key.

    """
    if who.role != "fresh" and "tasks.second_key" in lab.target.principals:
        return lab.declared("tasks", "second_key")
    if who.role != "fresh" or ("second_key", "tasks") not in lab.target.hooks:
        lab.miss(situation, "second_key")
        return None
    answer = await lab.steer("second_key", who)
    whole = answer["*"] if isinstance(answer["*"], dict) else {}
    key = answer.get("key", whole.get("key"))
    if not isinstance(key, str):
        raise HookError("the hook hooks.second_key.tasks yielded no key; name its place with `key: $.path`")
    lab.shared.secrets.add(key)
    return replace(who, key=key)


@probe("tasks", quick=True)
async def task_owners(lab: Lab) -> None:
    """A task as seen by another key of its user, and by another user, who also asks for a task that never was."""
    role = role_of(lab, "image")
    if role is None:
        lab.miss("owned", "models.image")
        return
    async with lab.alone("tasks") as who:
        call = await submit(lab, role, "owned", who, scenario=_WORK)
        task = task_id(call)
        await poll(lab, role, "unknown-task", who, NO_SUCH_TASK)
        if task is None:
            return
        await poll(lab, role, "owned", who, task)
        second = await second_key(lab, who, "second-key:poll")
        if second is not None:
            await poll(lab, role, "second-key", second, task)
        await _as_stranger(lab, role, task)


async def _as_stranger(lab: Lab, role: str, task: str) -> None:
    if lab.has("tasks", "accounts"):
        stranger = await lab.make_account("tasks")
    elif "tasks.second_user" in lab.target.principals:
        stranger = lab.declared("tasks", "second_user")
    else:
        lab.miss("foreign-task:poll", "second_user")
        return
    await poll(lab, role, "foreign-task", stranger, task)
    await poll(lab, role, "never-was", stranger, _sibling(task))


def _sibling(task: str) -> str:
    """An id of the same form that nobody was given: its last digits and hexadecimal letters are turned."""
    turn = str.maketrans("0123456789abcdef", "5678901234bcdefa")
    turned = task[:-8] + task[-8:].translate(turn)
    return turned if turned != task else f"{task[:-1]}0"


@probe("tasks", quick=True)
async def task_routes(lab: Lab) -> None:
    """Unknown routes, wrong methods, and a submission as an OpenAI client sends it."""
    async with lab.alone("tasks") as who:
        for path, method in (
            ("/weighbridge-no-such-route", "GET"),
            ("/balance", "POST"),
        ):
            body: dict[str, str] | None = {} if method == "POST" else None
            situation = "unknown-route" if "no-such" in path else "wrong-method"
            await lab.send("tasks", path, situation=situation, who=who, method=method, body=body)
        role = role_of(lab, "image")
        if role is None or not lab.wired:
            lab.miss("openai-client", "models.image" if role is None else "upstream")
            return
        await submit(lab, role, "openai-client", who, scenario=_WORK, extra=OPENAI_HEADERS)


#: What a stock OpenAI client adds to each request.
OPENAI_HEADERS = (
    ("User-Agent", "OpenAI/Python 1.109.1"),
    ("X-Stainless-Lang", "python"),
    ("X-Stainless-Retry-Count", "0"),
    ("OpenAI-Organization", "org-weighbridge"),
)
