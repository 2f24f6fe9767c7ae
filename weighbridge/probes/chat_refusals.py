"""Chat completions that must be refused: bad keys, bad shapes, empty accounts. Each carries its token, so
a refusal that reached a provider all the same is seen by its id.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from weighbridge.bait import UNKNOWN_KEY
from weighbridge.lab import Lab, probe
from weighbridge.target import CHAT_PATH, Principal


@probe("chat", quick=True)
async def chat_bad_keys(lab: Lab) -> None:
    """No key, an unknown key (on a stream), another scheme, a revoked key, a key of the other workspace."""
    role = lab.roles("chat")[0]
    stranger = Principal("chat", "unknown", UNKNOWN_KEY)
    funded = lab.declared("chat")
    await asyncio.gather(
        lab.chat(role, "no-key", None, headers=()),
        lab.chat(role, "unknown-key", stranger, stream=True),
        lab.chat(role, "wrong-scheme", funded, headers=(("Authorization", f"Basic {funded.key}"),)),
        _revoked(lab, role),
        _other_workspace(lab, role),
    )


async def _revoked(lab: Lab, role: str) -> None:
    if "chat.revoked" in lab.target.principals:
        await lab.chat(role, "revoked-key", lab.declared("chat", "revoked"))
        return
    if not lab.has("chat", "revoked"):
        lab.miss("revoked-key", "revoked")
        return
    who = await lab.make_account("chat")
    await lab.chat(role, "before-revocation", who)
    await lab.steer("revoke", who)
    await lab.money(who, "revoked-key", "before", settled=True)
    call = await lab.chat(role, "revoked-key", who)
    await lab.money(who, "revoked-key", "after", after=call)


async def _other_workspace(lab: Lab, role: str) -> None:
    if not lab.has("chat", "other_workspace_key"):
        lab.miss("other-workspace-key", "other_workspace_key")
        return
    other = (
        lab.declared("tasks") if "tasks.funded" in lab.target.principals else await lab.make_account("tasks")
    )
    await lab.chat(role, "other-workspace-key", other)


def bad_shapes(role: str, valid: dict[str, Any]) -> dict[str, tuple[dict[str, Any], tuple[str, ...]]]:
    """Each single violation of the request's shape: name -> (changes, members to drop)."""
    text = valid["messages"][0]
    shapes: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
        "no-model": ({}, ("model",)),
        "no-messages": ({}, ("messages",)),
        "messages-not-array": ({"messages": text["content"]}, ()),
        "empty-messages": (
            {"messages": [], "user": text["content"]} if role.startswith("openai") else {"messages": []},
            (),
        ),
        "max-tokens-text": ({"max_tokens": "many"}, ()),
        "top-p-high": ({"top_p": 1.5}, ()),
        "top-p-low": ({"top_p": -0.1}, ()),
        # With a cap, so that nothing but the name is a reason to refuse it, whatever might take its place.
        "unknown-model": ({"model": "weighbridge-no-such-model", "max_tokens": 256}, ()),
    }
    if role.startswith("openai"):
        shapes |= {
            "temperature-over": ({"temperature": 2.1}, ()),
            "temperature-under": ({"temperature": -0.1}, ()),
            "frequency-penalty-over": ({"frequency_penalty": 2.1}, ()),
            "presence-penalty-under": ({"presence_penalty": -2.1}, ()),
            "unknown-field": ({"weighbridge_unknown_field": 1}, ()),
            "bad-effort": ({"reasoning_effort": "extreme"}, ()),
        }
    else:
        shapes |= {
            "no-max-tokens": ({}, ("max_tokens",)),
            "max-tokens-zero": ({"max_tokens": 0}, ()),
            "max-tokens-negative": ({"max_tokens": -1}, ()),
            "max-tokens-fraction": ({"max_tokens": 1.5}, ()),
            "max-tokens-over": ({"max_tokens": 128001}, ()),
            "temperature-over": ({"temperature": 1.1}, ()),
            "temperature-under": ({"temperature": -0.1}, ()),
        }
    return shapes


@probe("chat", quick=True)
async def chat_bad_requests(lab: Lab) -> None:
    """Every single violation of shape, in one account whose money is read around them.

    A violation that is none of a family's own is tried on one model; an exploring run tries all on every model.
    """
    async with lab.alone("chat") as who:
        await lab.money(who, "bad-requests", "before")
        calls = [
            _malformed(lab, role, who) if name == "malformed-json" else _bad_request(lab, role, name, who)
            for role, name in _violations(lab)
        ]
        done = await asyncio.gather(*calls)
        streamed = [
            lab.chat(role, "no-max-tokens-streamed", who, stream=True, drop=("max_tokens",))
            for role in lab.roles("chat")
            if role.startswith("anthropic")
        ]
        done += await asyncio.gather(*streamed)
        await lab.money(who, "bad-requests", "after", after=done[-1])


#: Violations that a family is asked about whatever another answered: their ranges differ.
_OWN = frozenset({"temperature-over", "temperature-under"})


def _violations(lab: Lab) -> list[tuple[str, str]]:
    """Which violation is tried on which model: (role, name)."""
    chosen: list[tuple[str, str]] = []
    tried: set[str] = set()
    for role in lab.roles("chat"):
        names = [*bad_shapes(role, lab.chat_body(role, "x")), "malformed-json"]
        chosen += [(role, name) for name in names if lab.shared.explore or name in _OWN or name not in tried]
        tried |= set(names)
    return chosen


async def _bad_request(lab: Lab, role: str, name: str, who: Principal) -> Any:
    id_ = lab.shared.ids()
    body = lab.chat_body(role, id_)
    change, drop = bad_shapes(role, body)[name]
    return await lab.chat(role, name, who, change=change, drop=drop, correlation_id=id_)


async def _malformed(lab: Lab, role: str, who: Principal) -> Any:
    id_ = lab.shared.ids()
    raw = json.dumps(lab.chat_body(role, id_)).encode()[:-1]
    return await lab.send(
        "chat", CHAT_PATH, situation="malformed-json", who=who, raw=raw, role=role, correlation_id=id_
    )


@probe("chat", needs=("broke",))
async def chat_broke(lab: Lab) -> None:
    """An account without money: refused, nothing charged, nothing sent upstream; then topped up."""
    if "chat.broke" in lab.target.principals:
        who = lab.declared("chat", "broke")
    else:
        who = await lab.make_account("chat", balance="0")
    await lab.money(who, "broke", "before")
    call = await lab.chat(lab.roles("chat")[0], "broke", who)
    call = await lab.chat(lab.roles("chat")[-1], "broke", who, stream=True)
    await lab.money(who, "broke", "after", after=call)
    if not lab.has("chat", "top_up") or who.role != "fresh":
        lab.miss("topped-up", "top_up")
        return
    await lab.steer("top_up", who, amount="10")
    await lab.chat(lab.roles("chat")[0], "topped-up", who)
