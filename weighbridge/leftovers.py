"""What a run made at the target - accounts, keys, tasks - and its removal through the declared hooks."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from weighbridge import tolerances
from weighbridge.errors import HarnessError
from weighbridge.evidence import Call
from weighbridge.purse import Purse
from weighbridge.target import Principal

#: Which hook removes what; the one for a key is the one that revokes it.
_HOOKS = {"account": "remove_account", "key": "revoke", "task": "remove_task"}


@dataclass(frozen=True, slots=True)
class Made:
    """One thing that the run made.

    Attributes:
        note: why it was not removed; empty if it was.
    """

    kind: str
    surface: str
    id: str
    removed: bool = False
    note: str = ""


def fingerprint(key: str) -> str:
    """A name for a key that does not tell it."""
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def made_tasks(calls: Iterable[Call]) -> tuple[tuple[str, str], ...]:
    """Tasks that the target accepted: surface and id."""
    found: dict[str, str] = {}
    for call in calls:
        body = call.exchange.json
        if call.surface != "tasks" or call.exchange.request.method != "POST" or not call.exchange.ok:
            continue
        data = body.get("data", body) if isinstance(body, dict) else None
        name = (data.get("task_id") or data.get("id")) if isinstance(data, dict) else None
        if isinstance(name, str):
            found[name] = call.surface
    return tuple((surface, name) for name, surface in found.items())


async def remove(lab: Purse, tasks: Sequence[tuple[str, str]]) -> tuple[Made, ...]:
    """Remove what the run made, where a hook says how; the rest is listed with the reason."""
    accounts = {dict(who.ids).get("account", fingerprint(who.key)): who for who in lab.shared.accounts}
    work = [("account", name, who) for name, who in accounts.items()]
    work += [("key", dict(who.ids).get("key_id", fingerprint(who.key)), who) for who in lab.shared.keys]
    limit = asyncio.Semaphore(4)

    async def one(kind: str, name: str, who: Principal) -> Made:
        async with limit:
            return await _remove_one(lab, kind, name, who)

    ended = await asyncio.gather(*(one(*item) for item in work))
    owner = lab.target.principals.get("tasks.funded")
    if owner is not None:
        ended += await asyncio.gather(*(one("task", name, owner) for _, name in tasks))
    else:
        ended += [Made("task", surface, name, note="no principal tasks.funded") for surface, name in tasks]
    return tuple(ended)


async def _remove_one(lab: Purse, kind: str, name: str, who: Principal) -> Made:
    hook = _HOOKS[kind]
    if not any(what == hook and where in {who.surface, "chat"} for what, where in lab.target.hooks):
        return Made(kind, who.surface, name, note=f"the target file declares no hooks.{hook}")
    try:
        async with asyncio.timeout(tolerances.CLEAN_UP_S):
            await lab.steer(hook, who, **({"task": name} if kind == "task" else {}))
    except HarnessError as error:
        return Made(kind, who.surface, name, note=lab.shared.secrets.text(str(error)))
    except TimeoutError:
        return Made(kind, who.surface, name, note=f"hooks.{hook} took more than {tolerances.CLEAN_UP_S:g} s")
    return Made(kind, who.surface, name, removed=True)
