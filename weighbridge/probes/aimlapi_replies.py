"""Healthy chat completions of AI/ML API: plain, streamed, with tools, with thinking, with tracing headers."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

from weighbridge.evidence import Call
from weighbridge.lab import Lab, probe
from weighbridge.probes.aimlapi_shapes import OPENAI_TOOLS, VALID, filled
from weighbridge.probes.chat_replies import TEXT, WEATHER_ARGUMENTS
from weighbridge.scenario import Scenario
from weighbridge.target import Principal

#: Never in the simulator's own text, and the end of each of its sentences.
STOP_SEQUENCES = ("###NEVER###", ". ")

#: docs: AI/ML API, Request tracing and cost: 1 to 128 of A-Z a-z 0-9 . _ : -
VALID_IDS = ("7", "Trace_01.a:b-C", "x" * 128)
INVALID_IDS = ("x" * 129, "two words", "slash/and\\backslash")


@probe("aimlapi", quick=True)
async def aimlapi_replies(lab: Lab) -> None:
    """Plain and streamed replies of one scripted text under both names; tool calls and a low cap."""
    roles = lab.roles("aimlapi")
    async with lab.sharing("aimlapi") as who, asyncio.TaskGroup() as group:
        script = Scenario(text=TEXT, chunks=9, prompt_tokens=1234, completion_tokens=321)
        for role in roles:
            for stream in (False, True):
                group.create_task(lab.aimlapi(role, "plain", who, scenario=script, stream=stream))
        role = roles[0]
        call = Scenario(tool="get_weather", args=json.dumps(WEATHER_ARGUMENTS), finish="tool_calls")
        tools = {"tools": OPENAI_TOOLS, "tool_choice": "auto" if lab.wired else "required"}
        for stream in (False, True):
            group.create_task(
                lab.aimlapi(
                    role,
                    "tool-call",
                    who,
                    scenario=call,
                    stream=stream,
                    change=tools,
                    prompt="Weather in Tokyo?",
                )
            )
        cap = {"max_tokens": 3}
        group.create_task(lab.aimlapi(role, "low-cap", who, change=cap, prompt="Count to one hundred."))


@probe("aimlapi", quick=True)
async def aimlapi_requests(lab: Lab) -> None:
    """Valid requests of every documented form."""
    role = lab.roles("aimlapi")[0]
    async with lab.sharing("aimlapi") as who, asyncio.TaskGroup() as group:
        for names in _ONE_REQUEST_EACH:
            shapes = {name: VALID[name] for name in names}
            group.create_task(lab.combined(shapes, partial(_valid, lab, role, who)))
        streamed = partial(_valid, lab, role, who, stream=True)
        group.create_task(streamed("thinking-1024", VALID["thinking-1024"]))


async def _valid(
    lab: Lab,
    role: str,
    who: Principal,
    name: str,
    change: dict[str, Any],
    *,
    keep: bool = True,
    stream: bool = False,
) -> Call:
    """A valid request; the token goes into the last user text wherever the shape puts it."""
    id_ = lab.shared.ids()
    shape = filled(change, f"Say hello. {lab.mark(id_, None)}")
    return await lab.aimlapi(role, name, who, change=shape, correlation_id=id_, stream=stream, keep=keep)


#: Which shapes share a request: one form of messages, one system prompt, one choice of tools, one setting each.
_ONE_REQUEST_EACH = (
    ("openai-turns", "tools-openai", "stream-false"),
    ("developer-role", "choice-required", "thinking-disabled"),
    ("tool-role", "choice-function"),
    ("function-role", "choice-auto"),
    ("anthropic-blocks", "system-blocks", "tools-anthropic"),
    ("tool-result", "system-text"),
    ("tool-result-blocks", "choice-auto-object"),
    ("image-anthropic", "choice-any-object"),
    ("image-openai", "choice-none"),
    ("document-text", "choice-tool-object", "full-output"),
    ("document-pdf", "choice-none-object", "thinking-adaptive"),
    ("thinking-1024",),
)


@probe("aimlapi", needs=("upstream",))
async def aimlapi_stops(lab: Lab) -> None:
    """One prompt three times: without stop sequences, with them, and with them streamed.

    The simulator's own text depends on the prompt alone, so the first reply tells what the others cut.
    """
    role = lab.roles("aimlapi")[0]
    change = {"stop_sequences": list(STOP_SEQUENCES)}
    async with lab.sharing("aimlapi") as who:
        await asyncio.gather(
            lab.aimlapi(role, "unstopped", who),
            lab.aimlapi(role, "stopped", who, change=change),
            lab.aimlapi(role, "stopped", who, change=change, stream=True),
        )


@probe("aimlapi", quick=True)
async def aimlapi_tracing(lab: Lab) -> None:
    """Valid and invalid X-Client-Request-Id, on plain, streamed and refused calls."""
    role = lab.roles("aimlapi")[0]
    async with lab.sharing("aimlapi") as who, asyncio.TaskGroup() as group:
        for valid, values in ((True, VALID_IDS), (False, INVALID_IDS)):
            situation = "valid-id" if valid else "invalid-id"
            for number, value in enumerate(values):
                sent = (("X-Client-Request-Id", value),)
                group.create_task(lab.aimlapi(role, situation, who, extra=sent, stream=number == 1))
        refused = (("X-Client-Request-Id", VALID_IDS[1]),)
        group.create_task(lab.aimlapi(role, "valid-id", who, extra=refused, drop=("messages",)))
