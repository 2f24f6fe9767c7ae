"""The extent of chat completions: long input, long output, continuation, usage in streams, a client that leaves."""

from __future__ import annotations

import asyncio

from weighbridge.lab import Lab, Stage, probe
from weighbridge.probes.chat_replies import TEXT
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
        for role in lab.roles("chat"):
            group.create_task(lab.chat(role, "long-input", who, prompt=_LONG_INPUT))
            cap = {"max_tokens": _FULL_OUTPUT}
            full = Scenario(text=TEXT, prompt_tokens=1000, completion_tokens=_FULL_OUTPUT, finish="length")
            group.create_task(lab.chat(role, "full-output", who, scenario=full, change=cap))
            short = Scenario(text=TEXT, prompt_tokens=1000, completion_tokens=12)
            group.create_task(lab.chat(role, "high-cap", who, scenario=short, change=cap))
            group.create_task(_continuation(lab, role, who))
            usage = {"stream_options": {"include_usage": True}}
            group.create_task(lab.chat(role, "include-usage", who, stream=True, change=usage))


async def _continuation(lab: Lab, role: str, who: Principal) -> None:
    cut = Scenario(text="The first half of", finish="length")
    await lab.chat(role, "cut-off", who, scenario=cut, stream=True, prompt="Tell a story.")
    id_ = lab.shared.ids()
    turns = [
        {"role": "user", "content": "Tell a story."},
        {"role": "assistant", "content": "The first half of"},
        {"role": "user", "content": f"Continue. {lab.mark(id_, None)}"},
    ]
    await lab.chat(role, "continuation", who, change={"messages": turns}, stream=True, correlation_id=id_)


@probe("chat", stage=Stage.FAILING, needs=("upstream",))
async def chat_context_exceeded(lab: Lab) -> None:
    """The provider refuses an input as longer than its context window."""
    refusal = Scenario(
        fault="status", status=400, message="This model's maximum context length is 1000000 tokens."
    )
    # The model before the principal, as every failure probe takes them: the other order waits for ever where one
    # key serves all probes.
    for role in lab.roles("chat"):
        async with lab.model_alone(lab.target.models[role]), lab.sharing("chat") as who:
            if await lab.healthy("chat", role, "context-exceeded", who):
                await lab.chat(role, "context-exceeded", who, scenario=refusal)


@probe("chat", needs=("upstream", "balance", "rates"))
async def chat_left_money(lab: Lab) -> None:
    """A client leaves in the middle of a priced stream."""
    await asyncio.gather(*(_leave(lab, role) for role in lab.roles("chat")))


async def _leave(lab: Lab, role: str) -> None:
    script = Scenario(chunks=2000, gap_ms=20, prompt_tokens=80_000, completion_tokens=4_000)
    async with lab.alone("chat") as who:
        label = f"left-money/{role}"
        await lab.money(who, label, "before")
        call = await lab.chat(
            role, "left-money", who, scenario=script, stream=True, leave=Leave(after_chunks=3)
        )
        await lab.money(who, label, "after", after=call)
