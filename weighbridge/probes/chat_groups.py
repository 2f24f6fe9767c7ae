"""Token groups of the chat surface: which channel serves, and the rate limit of each group."""

from __future__ import annotations

import asyncio
import math

from weighbridge import tolerances
from weighbridge.lab import Lab, probe
from weighbridge.retry_after import announced_wait

#: A burst this many times the limit exceeds it under any alignment of one-second windows.
BURST_FACTOR = 2


def _limited(lab: Lab) -> tuple[str, float] | None:
    """The declared group with the lowest limit, and that limit."""
    limits = {name: limit for name, limit in lab.target.groups.items() if limit}
    return min(limits.items(), key=lambda item: item[1]) if limits else None


@probe("chat", needs=("upstream", "groups"))
async def chat_groups(lab: Lab) -> None:
    """A call in every declared group, then one that names none, and one that names an unknown one.

    In turn and on a key of their own, `default` first: what one call leaves behind at the gateway would show in the next.
    """
    open_ones = [name for name, limit in lab.target.groups.items() if not limit]
    async with lab.alone("chat") as who:

        async def in_turn(role: str) -> None:
            for name in sorted(open_ones, key=lambda name: name != "default"):
                await lab.chat(role, f"group:{name}", who, change={"group": name})
            await lab.chat(role, "group-none", who)

        role = lab.roles("chat")[0]
        for one in lab.roles("chat") if lab.shared.explore else (role,):
            await in_turn(one)
        await lab.chat(role, "group-unknown", who, change={"group": "weighbridge-no-such-group"})


@probe("chat", needs=("groups",), waits=True)
async def chat_group_limit(lab: Lab) -> None:
    """Exceed one group's limit, try another group meanwhile, back off, and look at the money."""
    limited = _limited(lab)
    if limited is None:
        lab.miss("*", "groups.<name>.requests_per_second")
        return
    name, limit = limited
    size = BURST_FACTOR * math.ceil(limit) + 1
    if size > tolerances.MAX_BURST:
        lab.miss("*", f"a group with at most {tolerances.MAX_BURST // BURST_FACTOR} requests per second")
        return
    other = next(group for group in lab.target.groups if group != name)
    role = lab.roles("chat")[0]
    async with lab.alone("chat") as who:
        await lab.money(who, "group-burst", "before")
        burst = [
            lab.chat(
                role, "group-burst", who, change={"group": name}, provoked=True, paced=False, contention=True
            )
            for _ in range(size)
        ]
        calls = await asyncio.gather(*burst)
        announced = max((announced_wait(call.exchange) or 0.0 for call in calls), default=0.0)
        wait = max(tolerances.RATE_WINDOW_S, min(announced, tolerances.MAX_BACK_OFF_S))
        over_at = lab.now() + wait + tolerances.RATE_WINDOW_SLACK_S
        await lab.chat(role, "group-other", who, change={"group": other}, provoked=True)
        await asyncio.sleep(max(0.0, over_at - lab.now()))
        await lab.chat(role, "group-recovered", who, change={"group": name}, provoked=True)
        await lab.money(who, "group-burst", "after", after=calls[-1])
