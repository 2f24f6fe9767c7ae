"""Task requests that must be refused: keys, bodies, unknown ids, accounts without credits."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

from weighbridge import tolerances
from weighbridge.evidence import Call, Headers
from weighbridge.lab import Lab, probe
from weighbridge.probes.tasks_flow import (
    NO_SUCH_TASK,
    amount_of,
    balance,
    poll,
    read_credits,
    submit,
    task_id,
    weigh,
)
from weighbridge.probes.tasks_models import (
    Parameter,
    body,
    kind_of,
    model_of,
    one_of_each_endpoint,
    role_of,
    usable_roles,
    violations,
)
from weighbridge.scenario import Scenario
from weighbridge.target import Principal

#: Formed like a key of the task gateway, known to no deployment.
UNKNOWN_TASK_KEY = "rk_live_weighbridgeunknown00000000000000"
KEY_PREFIX = "rk_live_"
_QUICK = Scenario(outcome="completed", duration_ms=0)
_DATA_URL = "data:image/png;base64,iVBORw0KGgo="
#: Money is read while the provider still works, so that nothing but the submission moves it.
_LONG = Scenario(outcome="completed", duration_ms=int(tolerances.SLOW_TASK_S * 1000))
#: A parallel run of submissions stays below the documented limit together with the reading before it.
_SUBMISSIONS = 8
_AFFORDABLE = 3
#: Asked for where the account hook takes a limit: refusals count, and there are many.
_FAST = 100
#: Values beyond their range that are tried on the first model, one on each other; an exploring run tries all.
_BEYOND = 2
#: Required parameters that are left out of each model's request; an exploring run leaves out each.
_LEFT_OUT = 2


@probe("tasks", quick=True)
async def task_bad_keys(lab: Lab) -> None:
    """Submission, poll and balance read: without key, malformed, unknown, revoked, of the other workspace."""
    funded = (
        lab.declared("tasks") if "tasks.funded" in lab.target.principals else await lab.make_account("tasks")
    )
    lab.notes.append(f"key-prefix: {'as documented' if funded.key.startswith(KEY_PREFIX) else 'another'}")
    lab.shared.secrets.add(UNKNOWN_TASK_KEY)
    stranger = replace(funded, key=UNKNOWN_TASK_KEY, role="unknown", ids=())
    role = role_of(lab, "image") or next(iter(usable_roles(lab)), None)
    other_scheme, bare = (("Authorization", f"Basic {funded.key}"),), (("Authorization", funded.key),)
    if role is not None:
        await submit(lab, role, "malformed-key", None, scenario=_QUICK, headers=other_scheme)
    await asyncio.gather(
        _everywhere(lab, "no-key", None, ()),
        # Three ways to write a header wrongly, one for each kind of request.
        poll(lab, None, "malformed-key", None, NO_SUCH_TASK, headers=bare),
        balance(lab, None, "malformed-key", None, "read", headers=(("Authorization", "Bearer"),)),
        _everywhere(lab, "unknown-key", stranger),
        _revoked(lab),
        _other_workspace(lab),
    )


async def _everywhere(
    lab: Lab, situation: str, who: Principal | None, headers: Headers | None = None
) -> None:
    """The three kinds of request, each with its own mark where it has a body."""
    role = role_of(lab, "image") or next(iter(usable_roles(lab)), None)
    if role is not None:
        await submit(lab, role, situation, who, scenario=_QUICK, headers=headers)
    else:
        lab.miss(situation, "models.image")
    await poll(lab, None, situation, who, NO_SUCH_TASK, headers=headers)
    await balance(lab, None, situation, who, "read", headers=headers)


async def _revoked(lab: Lab) -> None:
    if "tasks.revoked" in lab.target.principals:
        await _everywhere(lab, "revoked-key", lab.declared("tasks", "revoked"))
        return
    if not lab.has("tasks", "revoked"):
        lab.miss("revoked-key", "revoked")
        return
    who = await lab.make_account("tasks")
    await balance(lab, None, "before-revocation", who, "read")
    await lab.steer("revoke", who)
    await _everywhere(lab, "revoked-key", who)


async def _other_workspace(lab: Lab) -> None:
    if not lab.has("tasks", "other_workspace_key"):
        lab.miss("other-workspace-key", "other_workspace_key")
        return
    surface = "chat" if "chat" in lab.target.surfaces else "messages"
    other = await lab.make_account(surface) if lab.has(surface, "accounts") else lab.declared(surface)
    await _everywhere(lab, "other-workspace-key", other)


@probe("tasks", quick=True)
async def task_bad_requests(lab: Lab) -> None:
    """Every single violation of a submission's shape, with the credits read around them.

    What every endpoint checks alike is tried on the first model; its own parameters on each.
    """
    roles = usable_roles(lab) if lab.shared.explore else one_of_each_endpoint(lab)
    async with lab.alone("tasks", requests_per_second=_FAST) as who:
        await weigh(lab, None, "bad-requests", who, "before")
        done = await asyncio.gather(
            *(
                call
                for role in roles
                for call in _bad_requests(
                    lab, role, who, everything=lab.shared.explore, common=role == roles[0]
                )
            )
        )
        if done:
            await weigh(lab, None, "bad-requests", who, "final", after=done[-1])


def _bad_requests(lab: Lab, role: str, who: Principal, *, everything: bool, common: bool) -> list[Any]:
    model = model_of(lab, role)
    assert model is not None  # noqa: S101 - roles come from `usable_roles`
    calls: list[Any] = []
    if common or everything:
        unknown = {"model": "weighbridge-no-such-model"}
        calls += [
            submit(lab, role, "no-model", who, scenario=_QUICK, drop=("model",)),
            submit(lab, role, "unknown-model", who, scenario=_QUICK, change=unknown),
            _malformed(lab, role, who),
        ]
    calls += [
        submit(lab, role, f"no-{item.name}", who, scenario=_QUICK, drop=(item.name,))
        for item in [item for item in model.parameters if item.required][: None if everything else _LEFT_OUT]
    ]
    beyond = list(violations(model).values())
    calls += [
        _beyond(lab, role, who, change)
        for change in (beyond if everything else beyond[: _BEYOND if common else 1])
    ]
    media = next((item for item in model.parameters if item.public_url), None)
    if media is not None:
        calls.append(submit(lab, role, "data-url", who, scenario=_QUICK, change={media.name: _inline(media)}))
    return calls


def _inline(parameter: Parameter) -> Any:
    return [_DATA_URL] if parameter.type == "array" else _DATA_URL


async def _beyond(lab: Lab, role: str, who: Principal, change: dict[str, Any]) -> Call:
    return await submit(lab, role, "beyond-range", who, scenario=_QUICK, change=change)


async def _malformed(lab: Lab, role: str, who: Principal) -> Call:
    id_ = lab.shared.ids()
    model = model_of(lab, role)
    assert model is not None  # noqa: S101 - roles come from `usable_roles`
    text = json.dumps(body(lab, role, id_, _QUICK))[:-1]
    return await lab.send(
        "tasks",
        model.endpoint,
        situation="malformed-json",
        who=who,
        raw=text.encode(),
        role=role,
        correlation_id=id_,
    )


@probe("tasks")
async def task_insufficient(lab: Lab) -> None:
    """A submission without enough credits: one short of the price where it is known, else none at all."""
    role = role_of(lab, "image")
    if role is None:
        lab.miss("broke", "models.image")
        return
    if lab.has("tasks", "accounts"):
        price = lab.target.task_prices.get(lab.target.models[role])
        situation, credits_ = ("one-short", price - 1) if price else ("broke", 0)
        await _without_credits(lab, role, situation, await lab.make_account("tasks", balance=str(credits_)))
    elif "tasks.broke" in lab.target.principals:
        await _without_credits(lab, role, "broke", lab.declared("tasks", "broke"))
    else:
        lab.miss("broke", "broke")


async def _without_credits(lab: Lab, role: str, situation: str, who: Principal) -> None:
    await weigh(lab, role, situation, who, "before")
    call = await submit(lab, role, situation, who, scenario=_QUICK)
    await weigh(lab, role, situation, who, "final", after=call)


@probe("tasks", needs=("accounts",))
async def task_overdraft(lab: Lab) -> None:
    """More submissions at once than the credits can pay."""
    role = role_of(lab, "image")
    if role is None:
        lab.miss("overdraft", "models.image")
        return
    price = lab.target.task_prices.get(lab.target.models[role]) or await _price(lab, role)
    if price is None:
        lab.miss("overdraft", "rates")
        return
    who = await lab.make_account("tasks", balance=str(price * _AFFORDABLE + price - 1))
    lab.notes.append(f"affordable: {_AFFORDABLE}")
    await weigh(lab, role, "overdraft", who, "before")
    calls = await asyncio.gather(
        *(
            submit(lab, role, "overdraft", who, scenario=_LONG, paced=False, provoked=True, contention=True)
            for _ in range(_SUBMISSIONS)
        )
    )
    await asyncio.sleep(tolerances.RATE_QUIET_S)
    await read_credits(lab, role, "overdraft", who, "final", after=calls[-1])


async def _price(lab: Lab, role: str) -> int | None:
    """The debit of one submission, where the target file names no price."""
    who = await lab.make_account("tasks")
    before = amount_of(await balance(lab, role, "price", who, "before"))
    call = await submit(lab, role, "price", who, scenario=_LONG)
    after = amount_of(await balance(lab, role, "price", who, "submitted"))
    if task_id(call) is None or before is None or after is None or after >= before:
        return None
    return before - after


@probe("tasks", quick=True)
async def task_idempotency(lab: Lab) -> None:
    """One Idempotency-Key on two equal submissions and on another one; then two equal ones without it."""
    role = next((name for name in usable_roles(lab) if kind_of(name) == "image"), None)
    if role is None:
        lab.miss("same-key", "models.image")
        return
    header = (("Idempotency-Key", f"weighbridge-{lab.shared.ids()}"),)
    async with lab.alone("tasks") as who:
        await weigh(lab, role, "same-key", who, "before")
        same = lab.shared.ids()
        for _ in range(2):
            last = await submit(lab, role, "same-key", who, scenario=_LONG, extra=header, correlation_id=same)
        await weigh(lab, role, "same-key", who, "final", after=last)
        await submit(lab, role, "same-key-other-body", who, scenario=_LONG, extra=header)
        equal = lab.shared.ids()
        for _ in range(2):
            await submit(lab, role, "no-header", who, scenario=_LONG, correlation_id=equal)
