"""Messages that must be refused: bad keys, bad shapes, empty accounts, a group beyond its rate.

Each request carries its token wherever its shape leaves room for one, so a refusal that reached a provider
all the same is seen by its id.
"""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

from weighbridge.bait import UNKNOWN_KEY
from weighbridge.evidence import Call
from weighbridge.lab import Lab, probe
from weighbridge.target import MESSAGES_PATH, Principal

#: A burst never needs to be larger than this to go past a limit; groups that allow more are not probed.
_LARGEST_BURST = 60


def _carriers(key: str) -> tuple[tuple[tuple[str, str], ...], ...]:
    """The two headers in which Anthropic clients send a key."""
    return (("Authorization", f"Bearer {key}"),), (("x-api-key", key),)


@probe("messages", quick=True)
async def message_bad_keys(lab: Lab) -> None:
    """No key, unknown keys in either header, a key with one wrong character, a revoked and a foreign key.

    They stand around one account whose money is read before and after: a key that differs from its key in
    one character must not spend from it.
    """
    role = lab.roles("messages")[0]
    async with lab.alone("messages") as who:
        await lab.money(who, "bad-keys", "before")
        near = _one_character_off(who.key)
        lab.shared.secrets.add(near)
        unknown, refused = _carriers(UNKNOWN_KEY), _carriers(near)
        done = await asyncio.gather(
            lab.message(role, "no-key", None, headers=()),
            lab.message(role, "unknown-key", None, headers=unknown[0], stream=True),
            lab.message(role, "unknown-key", None, headers=unknown[1]),
            lab.message(role, "near-key", None, headers=refused[1]),
        )
        await lab.money(who, "bad-keys", "after", after=done[-1])
    await asyncio.gather(_revoked(lab, role), _other_workspace(lab, role))


def _one_character_off(key: str) -> str:
    """Another key by one character in its middle, since the last one of a base64 text may mean nothing."""
    middle = len(key) // 2
    return key[:middle] + ("0" if key[middle] != "0" else "1") + key[middle + 1 :]


async def _revoked(lab: Lab, role: str) -> None:
    for surface in ("messages", "chat"):
        if f"{surface}.revoked" in lab.target.principals:
            for headers in _carriers(lab.declared(surface, "revoked").key):
                await lab.message(role, "revoked-key", None, headers=headers)
            return
    if not lab.has("messages", "revoked"):
        lab.miss("revoked-key", "revoked")
        return
    who = await lab.make_account("messages")
    await lab.message(role, "before-revocation", who)
    await lab.steer("revoke", who)
    for headers in _carriers(who.key):
        await lab.message(role, "revoked-key", who, headers=headers)


async def _other_workspace(lab: Lab, role: str) -> None:
    if not lab.has("messages", "other_workspace_key"):
        lab.miss("other-workspace-key", "other_workspace_key")
        return
    other = (
        lab.declared("tasks") if "tasks.funded" in lab.target.principals else await lab.make_account("tasks")
    )
    await lab.message(role, "other-workspace-key", None, headers=_carriers(other.key)[0])


def bad_shapes(token: str) -> dict[str, tuple[dict[str, Any], tuple[str, ...]]]:
    """Each single violation of the request's shape: name -> (changes, members to drop).

    Where a violation leaves no user text for the token, `metadata.user_id` carries it.
    """
    elsewhere = {"metadata": {"user_id": token}}
    return {
        "no-model": ({}, ("model",)),
        "no-messages": (elsewhere, ("messages",)),
        "empty-messages": ({"messages": [], **elsewhere}, ()),
        "messages-not-array": ({"messages": f"Say hello. {token}"}, ()),
        "unknown-role": ({"messages": [{"role": "narrator", "content": f"Say hello. {token}"}]}, ()),
        "max-tokens-text": ({"max_tokens": "many"}, ()),
        "max-tokens-zero": ({"max_tokens": 0}, ()),
        "temperature-over": ({"temperature": 1.1}, ()),
    }


@probe("messages", quick=True)
async def message_bad_requests(lab: Lab) -> None:
    """Every single violation of shape on each model, in one account whose money is read around them."""
    async with lab.alone("messages") as who:
        await lab.money(who, "bad-requests", "before")
        calls = []
        for role in lab.roles("messages"):
            calls += [_bad_request(lab, role, name, who) for name in bad_shapes("")]
            calls += [
                lab.message(role, "no-max-tokens", who, stream=stream, drop=("max_tokens",))
                for stream in (False, True)
            ]
            calls.append(_malformed(lab, role, who))
        done = await asyncio.gather(*calls)
        await lab.money(who, "bad-requests", "after", after=done[-1])


async def _bad_request(lab: Lab, role: str, name: str, who: Principal) -> Call:
    id_ = lab.shared.ids()
    change, drop = bad_shapes(lab.mark(id_, None))[name]
    return await lab.message(role, name, who, change=change, drop=drop, correlation_id=id_)


async def _malformed(lab: Lab, role: str, who: Principal) -> Call:
    id_ = lab.shared.ids()
    raw = json.dumps(lab.chat_body(role, id_)).encode()[:-1]
    return await lab.send(
        "messages", MESSAGES_PATH, situation="malformed-json", who=who, raw=raw, role=role, correlation_id=id_
    )


@probe("messages")
async def message_broke(lab: Lab) -> None:
    """An account without money: refused, nothing charged, nothing sent upstream; then topped up."""
    if not lab.has("messages", "broke") and "chat.broke" not in lab.target.principals:
        lab.miss("broke", "broke")
        lab.miss("topped-up", "broke")
        return
    declared = next((name for name in ("messages", "chat") if f"{name}.broke" in lab.target.principals), None)
    who = lab.declared(declared, "broke") if declared else await lab.make_account("messages", balance="0")
    await lab.money(who, "broke", "before")
    first = lab.roles("messages")[0]
    call = await lab.message(first, "broke", who)
    await lab.money(who, "broke", "after", after=call)
    if declared or not lab.has("messages", "top_up"):
        lab.miss("topped-up", "top_up")
        return
    await lab.steer("top_up", who, amount="10")
    await lab.message(first, "topped-up", who)


@probe("messages")
async def message_group_limit(lab: Lab) -> None:
    """A burst beyond the rate of the narrowest group, all at once: more than twice the rate goes past any window."""
    limited = {name: rate for name, rate in lab.target.groups.items() if rate}
    name = min(limited, key=lambda group: limited[group], default=None)
    if name is None or 2 * math.ceil(limited[name]) + 1 > _LARGEST_BURST:
        lab.miss("group-limit", "groups")
        return
    role = lab.roles("messages")[0]
    async with lab.alone("messages") as who:
        burst = 2 * math.ceil(limited[name]) + 1
        await asyncio.gather(
            *(
                lab.message(
                    role,
                    "group-limit",
                    who,
                    change={"group": name},
                    provoked=True,
                    paced=False,
                    contention=True,
                )
                for _ in range(burst)
            )
        )
