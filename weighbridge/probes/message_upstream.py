"""Messages whose provider fails, and what the target sends to its provider.

Failure probes hold the model alone, make a healthy call first, and run after every probe that needs the
model healthy. Each failure is followed by a reading of money where money can be read.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any

from weighbridge.bait import UPSTREAM_SECRET
from weighbridge.evidence import Call
from weighbridge.lab import Lab, Stage, probe
from weighbridge.probes.failing import fail_each
from weighbridge.probes.leaving import Marks, leave_at_each_stage
from weighbridge.probes.message_replies import WEATHER_TOOL
from weighbridge.scenario import Scenario
from weighbridge.target import Principal

#: A streamed reply with a price, so that a charge for a failure cannot hide in a rounding.
_COSTLY = Scenario(prompt_tokens=50_000, completion_tokens=5_000, chunks=8, after=3)

#: situation -> (scenario, streamed)
FAILURES: dict[str, tuple[Scenario, bool]] = {
    "upstream-500": (
        Scenario(fault="status", status=500, message=f"provider broke {UPSTREAM_SECRET}"),
        False,
    ),
    "upstream-429": (Scenario(fault="status", status=429), False),
    "upstream-401": (Scenario(fault="status", status=401, message=f"bad key {UPSTREAM_SECRET}"), False),
    "upstream-reset": (Scenario(fault="reset_before_headers"), False),
    "upstream-garbled": (Scenario(fault="bad_json"), False),
    "upstream-500-streamed": (Scenario(fault="status", status=500), True),
    # The first stage of a cut.
    "upstream-reset-streamed": (replace(_COSTLY, fault="reset_before_headers", after=None), True),
    "cut-after-headers": (replace(_COSTLY, fault="empty", after=None), True),
    # Behind message_start; a provider of the other dialect has sent nothing by then.
    "cut-stream": (replace(_COSTLY, fault="close", after=0), True),
    "cut-before-end": (replace(_COSTLY, fault="no_done", after=None), True),
    "early-end": (replace(_COSTLY, fault="end_early"), True),
    "error-event": (replace(_COSTLY, fault="error_event"), True),
    # Repeated by the customer, and so the last one.
    "broken-stream": (replace(_COSTLY, fault="reset"), True),
}

#: Stages of a cut beside those that have rules of their own: before the headers, before the first event, and behind
#: message_delta.
OTHER_STAGES = ("upstream-reset-streamed", "cut-after-headers", "cut-before-end")

#: Native options that must reach the provider as sent, in groups that the format allows together.
OPTIONS: dict[str, dict[str, Any]] = {
    "options": {
        "stop_sequences": ["\n\nEND", "###"],
        "top_k": 40,
        "metadata": {"user_id": "tenant-42"},
    },
    "thinking": {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2048},
    "tools": {"tools": [WEATHER_TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
}
#: The documented recipe's "800K-token reference document", at four characters a token.
_LONG_CHARACTERS = 4 * 800_000
_KEPT_BYTES = 4096


@probe("messages", stage=Stage.FAILING)
async def message_upstream_failures(lab: Lab) -> None:
    """Every failure on every family, each in an account of its own; some repeated by the customer."""
    if not lab.wired:
        for situation in FAILURES:
            lab.miss(situation, "upstream")
        return
    await asyncio.gather(*(fail_each(lab, "messages", role, FAILURES) for role in lab.roles("messages")))


@probe("messages", needs=("upstream",))
async def message_upstream_side(lab: Lab) -> None:
    """Identical calls, parallel calls with a text of their own each, native options, a very long prompt."""
    async with lab.sharing("messages") as who, asyncio.TaskGroup() as group:
        for role in lab.roles("messages"):
            same = lab.shared.ids()
            for _ in range(2):
                group.create_task(lab.message(role, "identical", who, correlation_id=same))
            for number in range(10):
                own = Scenario(text=f"Answer {number} of {role}, and of no one else.", chunks=5, gap_ms=2)
                group.create_task(
                    lab.message(role, "parallel", who, scenario=own, stream=number % 2 == 1, contention=True)
                )
            for names in (("options", "tools"), ("thinking",)):
                shapes = {name: OPTIONS[name] for name in names}
                group.create_task(lab.combined(shapes, partial(_with_options, lab, role, who)))
    # Alone, so after the others: a lease that is waited for inside another one may never come.
    await _long_prompt(lab, lab.roles("messages")[0])


async def _with_options(
    lab: Lab, role: str, who: Principal, name: str, change: dict[str, Any], *, keep: bool
) -> Call:
    return await lab.message(role, name, who, change=change, keep=keep)


async def _long_prompt(lab: Lab, role: str) -> None:
    """Sent in whole; the evidence keeps its beginning, since the rest says nothing and weighs megabytes."""
    line = f"{lab.shared.ids()}: one line of a long reference document, to be weighed as a whole.\n"
    document = (line * (_LONG_CHARACTERS // len(line) + 1))[:_LONG_CHARACTERS]
    system = [{"type": "text", "text": document, "cache_control": {"type": "ephemeral"}}]
    async with lab.alone("messages") as who:
        call = await lab.message(role, "long-prompt", who, change={"system": system}, keep=False)
    lab.calls.append(_shortened(call))


def _shortened(call: Call) -> Call:
    request = replace(call.exchange.request, body=call.exchange.request.body[:_KEPT_BYTES])
    return replace(call, exchange=replace(call.exchange, request=request))


@probe("messages", stage=Stage.PACED, needs=("upstream",))
async def message_pacing(lab: Lab) -> None:
    """A client leaves a stream at every stage; the one that is left last shows whether events are relayed as they come."""
    marks = Marks(finish=b'"message_delta"', end=b'"message_stop"')
    await asyncio.gather(
        *(leave_at_each_stage(lab, "messages", role, marks) for role in lab.roles("messages"))
    )
