"""Chat completions whose provider fails, and what the target sends to its provider.

Failure probes hold the model alone, make a healthy call first, and run after every probe that needs the
model healthy. Each failure is followed by a reading of money where money can be read.
"""

from __future__ import annotations

import asyncio

from weighbridge.bait import UPSTREAM_SECRET
from weighbridge.lab import Lab, Stage, probe
from weighbridge.scenario import Scenario
from weighbridge.target import Principal
from weighbridge.wire import Leave


def _costly(fault: str, *, after: int, chunks: int) -> Scenario:
    """A broken stream with a price, so that a charge for a failure cannot hide in a rounding.

    Its pieces come one by one: a client library that reads pieces and the end of the connection at once may
    drop the pieces, and there would be no broken stream to judge.
    """
    return Scenario(
        fault=fault, after=after, chunks=chunks, gap_ms=10, prompt_tokens=50_000, completion_tokens=5_000
    )


#: situation -> (scenario, streamed)
FAILURES: dict[str, tuple[Scenario, bool]] = {
    "upstream-500": (
        Scenario(fault="status", status=500, message=f"provider broke {UPSTREAM_SECRET}"),
        False,
    ),
    "upstream-429": (Scenario(fault="status", status=429), False),
    "upstream-reset": (Scenario(fault="reset_before_headers"), False),
    "upstream-close": (Scenario(fault="close_before_headers"), False),
    "upstream-garbled": (Scenario(fault="bad_json"), False),
    "upstream-401": (Scenario(fault="status", status=401, message=f"bad key {UPSTREAM_SECRET}"), False),
    "upstream-500-streamed": (Scenario(fault="status", status=500), True),
    "broken-stream": (_costly("reset", after=3, chunks=8), True),
    "cut-stream": (_costly("close", after=3, chunks=8), True),
    "early-end": (_costly("end_early", after=3, chunks=8), True),
    "error-event": (_costly("error_event", after=3, chunks=8), True),
}


@probe("chat", stage=Stage.FAILING, needs=("upstream",))
async def chat_upstream_failures(lab: Lab) -> None:
    """Every failure on every model, each in an account of its own where accounts can be made."""
    await asyncio.gather(*(_failures_of(lab, role) for role in lab.roles("chat")))


async def _failures_of(lab: Lab, role: str) -> None:
    async with lab.model_alone(lab.target.models[role]):
        for situation, (scenario, stream) in FAILURES.items():
            async with lab.alone("chat") as who:
                if not await lab.healthy("chat", role, situation, who):
                    continue
                label = f"{situation}/{role}"
                before = await lab.money(who, label, "before", settled=True)
                call = await lab.chat(role, situation, who, scenario=scenario, stream=stream)
                if before is not None:
                    await lab.money(who, label, "after", after=call)


@probe("chat", stage=Stage.FAILING, needs=("upstream", "balance"))
async def chat_retry_after_failure(lab: Lab) -> None:
    """A call fails at the provider, the customer sends the same again, and that succeeds: one bill."""
    await asyncio.gather(*(_retry(lab, role) for role in lab.roles("chat")))


async def _retry(lab: Lab, role: str) -> None:
    good = Scenario(prompt_tokens=40_000, completion_tokens=2_000)
    breaks = {
        "retry-500": (Scenario(fault="status", status=500), False),
        "retry-broken": (_costly("reset", after=2, chunks=6), True),
    }
    async with lab.model_alone(lab.target.models[role]):
        for situation, (scenario, stream) in breaks.items():
            async with lab.alone("chat") as who:
                if not await lab.healthy("chat", role, situation, who):
                    continue
                label = f"{situation}/{role}"
                await lab.money(who, label, "before", settled=True)
                await lab.chat(role, situation, who, scenario=scenario, stream=stream)
                call = await lab.chat(role, f"{situation}:second", who, scenario=good)
                await lab.money(who, label, "after", after=call)


@probe("chat", needs=("upstream",))
async def chat_upstream_side(lab: Lab) -> None:
    """Identical calls, parallel calls, long conversations: what arrives at the provider."""
    async with lab.sharing("chat") as who, asyncio.TaskGroup() as group:
        for role in lab.roles("chat"):
            same = lab.shared.ids()
            group.create_task(_twice(lab, role, same, who))
            for number in range(10):
                own = Scenario(text=f"answer number {number} for {role}")
                group.create_task(lab.chat(role, "parallel", who, scenario=own))
            group.create_task(_conversation(lab, role, who))


async def _twice(lab: Lab, role: str, same: str, who: Principal) -> None:
    """The second call follows the first reply, so that an answer kept from it would be found."""
    for _ in range(2):
        await lab.chat(role, "identical", who, correlation_id=same)


async def _conversation(lab: Lab, role: str, who: Principal) -> None:
    id_ = lab.shared.ids()
    turns = [
        {"role": "user", "content": "first question"},
        {"role": "assistant", "content": "first answer"},
        {"role": "user", "content": "second question"},
        {"role": "assistant", "content": "second answer"},
        {"role": "user", "content": f"third question {lab.mark(id_, None)}"},
    ]
    change = {"messages": turns, "group": "default"} if lab.target.groups else {"messages": turns}
    await lab.chat(role, "conversation", who, change=change, correlation_id=id_)


@probe("chat", stage=Stage.PACED, needs=("upstream",))
async def chat_pacing(lab: Lab) -> None:
    """A slow stream, to see whether pieces are relayed as they come; and one that the client leaves."""
    slow = Scenario(chunks=21, gap_ms=30, ttft_ms=0)
    # Alone, and one after the other: a target that is busy with our other calls hands pieces over in bursts.
    async with lab.alone("chat") as who:
        for role in lab.roles("chat"):
            await lab.chat(role, "slow", who, scenario=slow, stream=True)
    async with lab.sharing("chat") as who:
        endless = Scenario(chunks=2000, gap_ms=20, ttft_ms=0)
        calls = [
            lab.chat(role, "left", who, scenario=endless, stream=True, leave=Leave(after_chunks=3))
            for role in lab.roles("chat")
        ]
        await asyncio.gather(*calls)
