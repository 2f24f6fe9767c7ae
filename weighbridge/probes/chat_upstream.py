"""Chat completions whose provider fails, and what the target sends to its provider.

Failure probes hold the model alone, make a healthy call first, and run after every probe that needs the
model healthy. Each failure is followed by a reading of money where money can be read.
"""

from __future__ import annotations

import asyncio
from typing import Any

from weighbridge import tolerances
from weighbridge.bait import UPSTREAM_SECRET
from weighbridge.lab import Lab, Stage, probe
from weighbridge.probes.failing import fail_each
from weighbridge.scenario import Scenario
from weighbridge.target import Principal


def _costly(fault: str, *, chunks: int, after: int | None = None) -> Scenario:
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
    "upstream-403": (Scenario(fault="status", status=403, message=f"no access {UPSTREAM_SECRET}"), False),
    "upstream-529": (Scenario(fault="status", status=529), False),
    "context-exceeded": (
        Scenario(
            fault="status", status=400, message="This model's maximum context length is 1000000 tokens."
        ),
        False,
    ),
    "upstream-500-streamed": (Scenario(fault="status", status=500), True),
    "cut-after-headers": (_costly("reset", after=0, chunks=8), True),
    "cut-stream": (_costly("close", after=3, chunks=8), True),
    "cut-before-finish": (_costly("reset", after=8, chunks=8), True),
    "early-end": (_costly("end_early", after=3, chunks=8), True),
    "error-event": (_costly("error_event", after=3, chunks=8), True),
    # Repeated by the customer, and so the last one.
    "broken-stream": (_costly("reset", after=3, chunks=8), True),
}


#: The situations of `chat_upstream_wire`.
SILENT, UNREACHABLE, NO_DONE = "upstream-timeout", "upstream-refused", "cut-before-done"

#: What two families may turn differently, since it passes through a translation.
_TRANSLATED = frozenset(
    {
        "upstream-500",
        "upstream-garbled",
        "upstream-500-streamed",
        "cut-stream",
        "early-end",
        "error-event",
        "broken-stream",
    }
)


@probe("chat", stage=Stage.FAILING, needs=("upstream",))
async def chat_upstream_failures(lab: Lab) -> None:
    """Every failure on the first family, on the others what a translation may change; repeated by the customer."""
    first, *others = lab.roles("chat")
    translated = {name: failure for name, failure in FAILURES.items() if name in _TRANSLATED}
    if lab.shared.explore:
        translated = FAILURES
    await asyncio.gather(
        fail_each(lab, "chat", first, FAILURES),
        *(fail_each(lab, "chat", role, translated, repeated=("broken-stream",)) for role in others),
    )


@probe("chat", stage=Stage.FAILING, needs=("upstream",), waits=True)
async def chat_upstream_wire(lab: Lab) -> None:
    """A provider that says nothing, one that takes no connection, one that stops after its finish; on the last model."""
    role = lab.every_role("chat")[-1]
    timeout, group = lab.target.upstream_timeout, lab.target.unreachable_group
    if timeout is None or timeout > tolerances.LONGEST_UPSTREAM_TIMEOUT_S:
        lab.miss(SILENT, f"upstream.timeout of at most {tolerances.LONGEST_UPSTREAM_TIMEOUT_S:g} s")
    if group is None:
        lab.miss(UNREACHABLE, "upstream.unreachable_group")
    async with lab.model_alone(lab.target.models[role]):
        async with lab.alone("chat") as who:
            if not await lab.healthy("chat", role, SILENT, who):
                lab.contaminated.append(UNREACHABLE)
                return
        if UNREACHABLE not in lab.missing:
            await _weighed(lab, role, UNREACHABLE, Scenario(), {"group": group})
        await _weighed(lab, role, NO_DONE, _costly("no_done", chunks=8), {}, stream=True)
        if SILENT not in lab.missing:
            group = lab.target.impatient_group
            await _weighed(lab, role, SILENT, Scenario(fault="stall"), {"group": group} if group else {})


async def _weighed(
    lab: Lab,
    role: str,
    situation: str,
    scenario: Scenario,
    change: dict[str, Any],
    *,
    stream: bool = False,
) -> None:
    async with lab.alone("chat") as who:
        label = f"{situation}/{role}"
        before = await lab.money(who, label, "before", settled=True)
        call = await lab.chat(role, situation, who, scenario=scenario, change=change, stream=stream)
        if before is not None:
            await lab.money(who, label, "after", after=call)


@probe("chat", needs=("upstream",))
async def chat_upstream_side(lab: Lab) -> None:
    """Identical calls and parallel calls: what arrives at the provider."""
    async with lab.sharing("chat") as who, asyncio.TaskGroup() as group:
        for number in range(10):
            for role in lab.roles("chat"):
                own = Scenario(text=f"answer number {number} for {role}")
                group.create_task(lab.chat(role, "parallel", who, scenario=own, contention=True))
        group.create_task(_twice(lab, lab.roles("chat")[0], lab.shared.ids(), who))


async def _twice(lab: Lab, role: str, same: str, who: Principal) -> None:
    """The second call follows the first reply, so that an answer kept from it would be found."""
    for _ in range(2):
        await lab.chat(role, "identical", who, correlation_id=same)


@probe("chat", stage=Stage.PACED, needs=("upstream",))
async def chat_pacing(lab: Lab) -> None:
    """A slow stream, to see whether pieces are relayed as they come."""
    slow = Scenario(chunks=21, gap_ms=30, ttft_ms=0)
    # Alone, and one after the other: a target that is busy with our other calls hands pieces over in bursts.
    async with lab.alone("chat") as who:
        for role in lab.roles("chat"):
            await lab.chat(role, "slow", who, scenario=slow, stream=True)
