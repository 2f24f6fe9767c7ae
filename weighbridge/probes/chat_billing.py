"""Money on the chat surface: scripted usage, and the balance before and after each call.

Every case has an account of its own where accounts can be made, so cases run side by side; with one key
they take turns. Usage is scripted so that each charge is large against any rounding of the balance.
"""

from __future__ import annotations

import asyncio

from weighbridge.checks.books import CROWD, CROWDED
from weighbridge.lab import Lab, Stage, probe
from weighbridge.money import LONG_CONTEXT_ABOVE, LONG_CONTEXT_BINARY
from weighbridge.probes.charging import charge, until_due
from weighbridge.scenario import Scenario

#: Input sizes around "272K": two that must be standard, the report-only band, two that must be long.
BOUNDARY = {
    "boundary-270000": 270_000,
    "boundary-272000": LONG_CONTEXT_ABOVE,
    "boundary-272001": LONG_CONTEXT_ABOVE + 1,
    "boundary-280000": 280_000,
}
#: How long the provider thinks about each call of a crowd: longer than a busy machine takes to send them all.
CROWD_WAIT_MS = 1_500
assert BOUNDARY["boundary-280000"] > LONG_CONTEXT_BINARY  # noqa: S101 - long under both readings of 272K


def _searches_cost(lab: Lab, role: str) -> bool:
    return "web_search" in lab.target.rates.get(lab.target.models[role], {})


@probe("chat", needs=("upstream", "balance", "rates"))
async def chat_charges(lab: Lab) -> None:
    """Plain charges, streamed and not, with and without cached tokens and web searches."""
    if not any(role.startswith("anthropic") for role in lab.roles("chat")):
        for situation in ("charge-written", "charge-cached", "charge-long-claude"):
            lab.miss(situation, "models.anthropic")
    searching = [role for role in lab.roles("chat") if _searches_cost(lab, role)]
    if not searching:
        lab.miss("charge-search", "rates (web_search)")
    async with asyncio.TaskGroup() as group:
        plain = Scenario(prompt_tokens=120_001, completion_tokens=7_003)
        # Each model has a rate card of its own.
        for role in lab.every_role("chat"):
            group.create_task(charge(lab, "chat", role, "charge", plain))
        for role in lab.roles("chat"):
            group.create_task(charge(lab, "chat", role, "charge-streamed", plain, stream=True))
            if role.startswith("anthropic"):
                written = Scenario(prompt_tokens=100_000, completion_tokens=1_000, written=60_000)
                group.create_task(charge(lab, "chat", role, "charge-written", written))
                cached = Scenario(prompt_tokens=100_000, completion_tokens=1_000, cached=80_000)
                group.create_task(charge(lab, "chat", role, "charge-cached", cached))
                long = Scenario(prompt_tokens=400_000, completion_tokens=1_000)
                group.create_task(charge(lab, "chat", role, "charge-long-claude", long))
            if role in searching:
                search = Scenario(prompt_tokens=10_000, completion_tokens=500, searches=2)
                group.create_task(charge(lab, "chat", role, "charge-search", search))


@probe("chat", needs=("upstream", "balance", "rates"))
async def chat_boundary(lab: Lab) -> None:
    """The long-context boundary of the OpenAI-family model, and that output does not move the tier."""
    async with asyncio.TaskGroup() as group:
        for role in (name for name in lab.roles("chat") if name.startswith("openai")):
            for situation, size in BOUNDARY.items():
                script = Scenario(prompt_tokens=size, completion_tokens=10_000)
                group.create_task(charge(lab, "chat", role, situation, script))
            output = Scenario(prompt_tokens=200_000, completion_tokens=100_000)
            group.create_task(charge(lab, "chat", role, "boundary-output", output))
            group.create_task(_two_calls(lab, role))


async def _two_calls(lab: Lab, role: str) -> None:
    """Two calls of 200K each in one account: together beyond 272K, alone below."""
    async with lab.alone("chat") as who:
        label = f"boundary-sum/{role}"
        before = await lab.money(who, label, "before")
        script = Scenario(prompt_tokens=200_000, completion_tokens=1_000)
        calls = [await lab.chat(role, "boundary-sum", who, scenario=script) for _ in range(2)]
        await lab.money(who, label, "after", after=calls[-1], expect=until_due(lab, before, calls))


@probe("chat", needs=("upstream", "balance", "rates"))
async def chat_concurrent_charges(lab: Lab) -> None:
    """Fifty calls in flight in one account, each of another size: the sum must be exact."""
    role = lab.roles("chat")[0]
    async with lab.alone("chat") as who:
        label = f"concurrent/{role}"
        before = await lab.money(who, label, "before")
        scripts = [Scenario(prompt_tokens=10_000 + 7 * i, completion_tokens=100 + i) for i in range(50)]
        calls = await asyncio.gather(
            *(lab.chat(role, "concurrent", who, scenario=s, contention=True) for s in scripts)
        )
        await lab.money(who, label, "after", after=calls[-1], expect=until_due(lab, before, calls))


# In the last stage, since so many calls at once make those of other probes wait.
@probe("chat", stage=Stage.GENERATED, needs=("upstream", "balance", "rates"), waits=True)
async def chat_crowd(lab: Lab) -> None:
    """Two hundred calls in flight in one account, half of them streamed, each of another price.

    The provider takes its time, so that the first call is still open when the last one comes. A principal that
    may not have so many calls in flight is left alone.
    """
    role = lab.roles("chat")[0]
    async with lab.alone("chat", balance="10000") as who:
        if min(who.in_flight, lab.shared.crowd_size) < CROWD:
            lab.miss(CROWDED, f"a principal with in_flight of {CROWD}")
            return
        await lab.money(who, CROWDED, "before")
        calls = await asyncio.gather(
            *(
                lab.chat(
                    role,
                    CROWDED,
                    who,
                    scenario=Scenario(
                        prompt_tokens=10_000 + 7 * i,
                        completion_tokens=100 + i,
                        chunks=2,
                        ttft_ms=CROWD_WAIT_MS,
                    ),
                    stream=i % 2 == 1,
                    contention=True,
                )
                for i in range(CROWD)
            )
        )
        await lab.money(who, CROWDED, "after", after=calls[-1])
