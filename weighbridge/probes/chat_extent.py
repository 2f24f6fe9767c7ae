"""The extent of chat completions: long input, long output, continuation, usage in streams, a client that leaves."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any

from weighbridge import tolerances
from weighbridge.evidence import Call
from weighbridge.lab import Lab, Stage, probe
from weighbridge.probes.chat_replies import TEXT
from weighbridge.probes.leaving import ENDLESS, money_after_leaving
from weighbridge.scenario import Scenario
from weighbridge.target import Principal
from weighbridge.wire import Leave

#: Some 300,000 tokens at four characters a token.
_LONG_INPUT = "Weighed and found right. " * 48_000
_FULL_OUTPUT = 128_000


@probe("chat", needs=("upstream",))
async def chat_extent(lab: Lab) -> None:
    """Long input and the full output on every model, a cap far above the answer, and a continuation."""
    async with lab.sharing("chat") as who, asyncio.TaskGroup() as group:
        cap = {"max_tokens": _FULL_OUTPUT}
        for role in lab.roles("chat"):
            extremes: dict[str, dict[str, Any]] = {"long-input": {}, "full-output": cap}
            group.create_task(lab.combined(extremes, partial(_extreme, lab, role, who)))
            if role.startswith("anthropic"):
                short = Scenario(text=TEXT, prompt_tokens=1000, completion_tokens=12)
                group.create_task(lab.chat(role, "high-cap", who, scenario=short, change=cap))
            group.create_task(_continuation(lab, role, who))


async def _extreme(
    lab: Lab, role: str, who: Principal, situation: str, change: dict[str, Any], *, keep: bool
) -> Call:
    prompt = _LONG_INPUT if "long-input" in situation else "Say much."
    full = Scenario(text=TEXT, prompt_tokens=300_000, completion_tokens=_FULL_OUTPUT, finish="length")
    script = full if "full-output" in situation else None
    return await lab.chat(role, situation, who, prompt=prompt, scenario=script, change=change, keep=keep)


async def _continuation(lab: Lab, role: str, who: Principal) -> None:
    """The turn that asks for the rest of a cut answer; it also asks for usage in the stream."""
    id_ = lab.shared.ids()
    turns = [
        {"role": "user", "content": "Tell a story."},
        {"role": "assistant", "content": "The first half of"},
        {"role": "user", "content": f"Continue. {lab.mark(id_, None)}"},
    ]
    shapes: dict[str, dict[str, Any]] = {
        "continuation": {"messages": turns},
        "include-usage": {"stream_options": {"include_usage": True}},
    }

    async def send(name: str, change: dict[str, Any], *, keep: bool) -> Call:
        same = id_ if "continuation" in name else None
        return await lab.chat(role, name, who, change=change, stream=True, correlation_id=same, keep=keep)

    await lab.combined(shapes, send)


_LAST_WORD = "weighed-to-the-end"
#: Of the last piece: a word may be cut where one piece ends and the next begins.
_LAST_BYTES = b"-end"
_WHOLE = Scenario(
    text=f"A word or two and then {_LAST_WORD}",
    chunks=4,
    gap_ms=20,
    prompt_tokens=80_000,
    completion_tokens=4_000,
)
#: Where a stream is when its client leaves it: situation -> (what the provider does, when the client hangs up).
STAGES: dict[str, tuple[Scenario, Leave]] = {
    # Long before the provider says anything.
    "left-before-headers": (replace(ENDLESS, ttft_ms=1000), Leave(after_s=tolerances.PASSED_ON_S)),
    "left-after-headers": (ENDLESS, Leave(after_chunks=0)),
    "left-after-first": (ENDLESS, Leave(after_chunks=1)),
    "left-midway": (ENDLESS, Leave(after_chunks=3)),
    "left-before-finish": (_WHOLE, Leave(at=_LAST_BYTES)),
    "left-before-done": (_WHOLE, Leave(at=b'"stop"')),
}


@probe("chat", stage=Stage.PACED, needs=("upstream",))
async def chat_left(lab: Lab) -> None:
    """A client leaves a priced stream at every stage; the stages go round the families."""
    roles = lab.roles("chat")
    chosen = [(roles[number % len(roles)], name) for number, name in enumerate(STAGES)]
    if lab.shared.explore:
        chosen = [(role, name) for role in roles for name in STAGES]
    await asyncio.gather(*(_leave(lab, role, name) for role, name in chosen))


async def _leave(lab: Lab, role: str, situation: str) -> None:
    script, leave = STAGES[situation]
    async with lab.alone("chat") as who:
        label = f"{situation}/{role}"
        before = await lab.money(who, label, "before")
        call = await lab.chat(role, situation, who, scenario=script, stream=True, leave=leave)
        if before is not None:
            await money_after_leaving(lab, who, label, before, call)
