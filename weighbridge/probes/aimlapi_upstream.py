"""AI/ML API calls whose provider fails, and what the target sends to its provider.

Failure probes hold the model alone, make a healthy call first, and run after every probe that needs the
model healthy. Each failure is followed by a reading of money where money can be read.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from weighbridge.lab import Lab, Stage, probe
from weighbridge.probes.failing import fail_each
from weighbridge.probes.leaving import Marks, leave_at_each_stage
from weighbridge.probes.message_upstream import FAILURES
from weighbridge.scenario import Scenario
from weighbridge.target import Principal

#: Just below the documented "up to 1M" input tokens, at four characters a token.
LONG_CHARACTERS = 4 * 990_000
#: The documented largest answer (S4, Model Overview), and an input that leaves room for it.
WHOLE_OUTPUT = 128_000
_KEPT_BYTES = 4096


@probe("aimlapi", stage=Stage.FAILING, needs=("upstream",))
async def aimlapi_upstream_failures(lab: Lab) -> None:
    """Every failure, each in an account of its own where accounts can be made."""
    await fail_each(lab, "aimlapi", lab.roles("aimlapi")[0], FAILURES, repeated=())


@probe("aimlapi", needs=("upstream",))
async def aimlapi_upstream_side(lab: Lab) -> None:
    """Identical calls, parallel calls with a text of their own each, and the documented extent of the model."""
    role = lab.roles("aimlapi")[0]
    async with lab.sharing("aimlapi") as who, asyncio.TaskGroup() as group:
        same = lab.shared.ids()
        for _ in range(2):
            group.create_task(lab.aimlapi(role, "identical", who, correlation_id=same))
        for number in range(10):
            own = Scenario(text=f"Answer {number} to one caller, and to no one else.", chunks=5, gap_ms=2)
            group.create_task(
                lab.aimlapi(role, "parallel", who, scenario=own, stream=number % 2 == 1, contention=True)
            )
        whole = Scenario(prompt_tokens=800_000, completion_tokens=WHOLE_OUTPUT, finish="stop")
        cap = {"max_tokens": WHOLE_OUTPUT}
        group.create_task(lab.aimlapi(role, "whole-output", who, scenario=whole, change=cap))
        group.create_task(_long_input(lab, role, who))


async def _long_input(lab: Lab, role: str, who: Principal) -> None:
    """Sent in whole; the evidence keeps its beginning, since the rest says nothing and weighs megabytes."""
    line = f"{lab.shared.ids()}: one line of a long document, to be weighed as a whole.\n"
    document = (line * (LONG_CHARACTERS // len(line) + 1))[:LONG_CHARACTERS]
    call = await lab.aimlapi(role, "long-input", who, change={"system": document}, keep=False)
    request = replace(call.exchange.request, body=call.exchange.request.body[:_KEPT_BYTES])
    lab.calls.append(replace(call, exchange=replace(call.exchange, request=request)))


@probe("aimlapi", stage=Stage.PACED, needs=("upstream",))
async def aimlapi_pacing(lab: Lab) -> None:
    """A client leaves a stream at every stage; the one that is left last shows whether pieces are relayed as they come."""
    await leave_at_each_stage(lab, "aimlapi", lab.roles("aimlapi")[0], Marks(finish=b'"stop"', end=b"[DONE]"))
