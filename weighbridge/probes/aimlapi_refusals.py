"""AI/ML API calls that must be refused: bad keys, bad shapes, no such route, an empty account, too many.

Each carries its token wherever its shape leaves room for one, so a refusal that reached a provider all the
same is seen by its id.
"""

from __future__ import annotations

import asyncio
import json

from weighbridge.bait import UNKNOWN_KEY
from weighbridge.evidence import Call
from weighbridge.lab import Lab, probe
from weighbridge.probes.aimlapi_shapes import INVALID, filled
from weighbridge.target import CHAT_PATH, Principal

NO_ROUTE = "/weighbridge/no-such-route"
#: The limit to give an account, in requests per second, and a burst that needs four more windows to be served.
LIMIT = 2
BURST = 9


@probe("aimlapi", quick=True)
async def aimlapi_bad_keys(lab: Lab) -> None:
    """No key, an unknown key, a key that is not enabled."""
    role = lab.roles("aimlapi")[0]
    stranger = Principal("aimlapi", "unknown", UNKNOWN_KEY)
    await asyncio.gather(
        lab.aimlapi(role, "no-key", None, headers=()),
        lab.aimlapi(role, "unknown-key", stranger, stream=True),
        _disabled(lab, role),
    )


async def _disabled(lab: Lab, role: str) -> None:
    """A key that the hook for withdrawing keys switched off."""
    if "aimlapi.revoked" in lab.target.principals:
        await lab.aimlapi(role, "disabled-key", lab.declared("aimlapi", "revoked"))
        return
    if not lab.has("aimlapi", "revoked"):
        lab.miss("disabled-key", "revoked")
        return
    who = await lab.make_account("aimlapi")
    await lab.aimlapi(role, "before-disabling", who)
    await lab.steer("revoke", who)
    await lab.aimlapi(role, "disabled-key", who)


@probe("aimlapi", quick=True)
async def aimlapi_bad_requests(lab: Lab) -> None:
    """Every single violation of shape and an unknown route, in one account whose money is read around them."""
    role = lab.roles("aimlapi")[0]
    async with lab.alone("aimlapi") as who:
        await lab.money(who, "bad-requests", "before")
        done = await asyncio.gather(
            *(_invalid(lab, role, name, who) for name in INVALID),
            _malformed(lab, role, who),
            _unknown_route(lab, role, who),
        )
        await lab.money(who, "bad-requests", "after", after=done[-1])


async def _invalid(lab: Lab, role: str, name: str, who: Principal, *, stream: bool = False) -> Call:
    """A wrong request; `metadata` carries the token as well, since some leave no user text for it."""
    id_ = lab.shared.ids()
    mark = lab.mark(id_, None)
    change, drop = INVALID[name]
    change = {"metadata": {"reference": mark}} | filled(change, f"Say hello. {mark}")
    return await lab.aimlapi(role, name, who, change=change, drop=drop, correlation_id=id_, stream=stream)


async def _malformed(lab: Lab, role: str, who: Principal) -> Call:
    id_ = lab.shared.ids()
    raw = json.dumps(lab.chat_body(role, id_)).encode()[:-1]
    return await lab.send(
        "aimlapi", CHAT_PATH, situation="malformed-json", who=who, raw=raw, role=role, correlation_id=id_
    )


async def _unknown_route(lab: Lab, role: str, who: Principal) -> Call:
    id_ = lab.shared.ids()
    body = lab.chat_body(role, id_)
    return await lab.send(
        "aimlapi", NO_ROUTE, situation="unknown-route", who=who, body=body, role=role, correlation_id=id_
    )


@probe("aimlapi", needs=("broke",))
async def aimlapi_broke(lab: Lab) -> None:
    """An account without credits."""
    if "aimlapi.broke" in lab.target.principals:
        who = lab.declared("aimlapi", "broke")
    else:
        who = await lab.make_account("aimlapi", balance="0")
    await lab.aimlapi(lab.roles("aimlapi")[0], "broke", who)


@probe("aimlapi")
async def aimlapi_limit(lab: Lab) -> None:
    """More calls at once than an account with a limit of its own may make.

    No number is documented, so a burst proves something only where the account's limit is ours to set.
    """
    if not lab.takes_rate("aimlapi"):
        lab.miss("burst", "accounts.aimlapi with {requests_per_second}")
        return
    role = lab.roles("aimlapi")[0]
    who = await lab.make_account("aimlapi", requests_per_second=LIMIT)
    await asyncio.gather(
        *(lab.aimlapi(role, "burst", who, provoked=True, paced=False, contention=True) for _ in range(BURST))
    )
