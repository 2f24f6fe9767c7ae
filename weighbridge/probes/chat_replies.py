"""Healthy chat completions: plain, streamed, with tools, cut by max_tokens. One call serves many checks."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from functools import partial
from typing import Any

from weighbridge.evidence import Call
from weighbridge.lab import Lab, probe
from weighbridge.scenario import Scenario

#: Multi-byte characters of two, three and four bytes, and a quote and a backslash that JSON escapes.
TEXT = 'Weighed: naïve café, 東京, 🚚 and "quoted" back\\slash.'
WEATHER_ARGUMENTS = {"city": "Tōkyō"}
WEATHER_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Look up the current weather for a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@probe("chat", quick=True)
async def chat_replies(lab: Lab) -> None:
    """Plain and streamed replies of one scripted text for every model; tools and a low cap for each family."""
    async with lab.sharing("chat") as who, asyncio.TaskGroup() as group:
        script = Scenario(text=TEXT, chunks=9, prompt_tokens=1234, completion_tokens=321)
        for role in lab.every_role("chat"):
            for stream in (False, True):
                group.create_task(lab.chat(role, "plain", who, scenario=script, stream=stream))
        for role in lab.roles("chat"):
            # A model of a stranger may answer in words; only our own can be scripted to choose the tool.
            tools = {"tools": [WEATHER_TOOL], "tool_choice": "auto" if lab.wired else "required"}
            call = Scenario(tool="get_weather", args=json.dumps(WEATHER_ARGUMENTS), finish="tool_calls")
            for stream in (False, True):
                group.create_task(
                    lab.chat(
                        role,
                        "tool-call",
                        who,
                        scenario=call,
                        stream=stream,
                        change=tools,
                        prompt="Weather in Tokyo?",
                    )
                )
            for stream in (False, True) if role.startswith("anthropic") else (True,):
                group.create_task(
                    lab.chat(
                        role,
                        "low-cap",
                        who,
                        stream=stream,
                        change={"max_tokens": 3},
                        prompt="Count to one hundred.",
                    )
                )


@probe("chat", quick=True)
async def chat_requests(lab: Lab) -> None:
    """Valid requests of every documented shape, several in one request wherever they go together."""
    async with lab.sharing("chat") as who, asyncio.TaskGroup() as group:
        for role in lab.roles("chat"):
            changes = _valid_changes(role)
            for names in _one_request_each(role):
                shapes = {name: changes[name] for name in names}
                group.create_task(lab.combined(shapes, partial(_shaped, lab, role, who)))
            if role.startswith("openai"):
                group.create_task(_pass_through(lab, role, who))


async def _pass_through(lab: Lab, role: str, who: Any) -> None:
    """All pass-through fields in one call; where it is refused, each alone, so that one field hides no other."""
    whole = await lab.chat(role, "pass-through+effort-low", who, change=PASS_THROUGH, keep=False)
    if whole.exchange.ok or not lab.wired:
        lab.calls.append(whole)
        return
    lab.calls.append(replace(whole, situation="pass-through-refused"))
    await asyncio.gather(
        *(
            lab.chat(
                role,
                "pass-through+effort-low" if "reasoning_effort" in names else "pass-through",
                who,
                change={name: PASS_THROUGH[name] for name in names},
            )
            for names in TOGETHER
        )
    )


async def _shaped(lab: Lab, role: str, who: Any, name: str, change: dict[str, Any], *, keep: bool) -> Call:
    """A valid request; the token goes into the last user text wherever the shape puts it."""
    id_ = lab.shared.ids()
    text = f"Say hello. {lab.mark(id_, None)}"
    filled = json.loads(json.dumps(change).replace('"@text"', json.dumps(text)))
    return await lab.chat(role, name, who, change=filled, correlation_id=id_, keep=keep)


def _one_request_each(role: str) -> tuple[tuple[str, ...], ...]:
    """Which shapes share a request. The documented minimum and the documented full set stay as they are."""
    if role.startswith("openai"):
        return (
            ("roles", "top-p", "stream-false", "temperature-and-top-p", "group-default"),
            ("content-parts", "temperature-low", "penalties", "effort-none"),
            ("tool-result", "temperature-high", "effort-xhigh"),
            ("no-max-tokens", "effort-medium"),
            ("full-set",),
            ("other-openai-fields", "effort-high"),
        )
    return (
        ("roles", "top-p", "stream-false", "temperature-and-top-p", "group-default", "tool-choice-required"),
        ("content-parts", "temperature-low", "max-tokens-128000", "tool-choice-none"),
        ("tool-result", "temperature-0.7", "tool-choice-auto"),
        ("max-tokens-4096",),
        ("tool-choice-named",),
    )


def _valid_changes(role: str) -> dict[str, dict[str, Any]]:
    user = {"role": "user", "content": "@text"}
    tool_turn = [
        {"role": "user", "content": "Weather in Tokyo?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"city":"Tokyo"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "18 degrees, rain"},
        user,
    ]
    shapes: dict[str, dict[str, Any]] = {
        "roles": {
            "messages": [
                {"role": "system", "content": "You are terse."},
                {"role": "user", "content": "first question"},
                {"role": "assistant", "content": "first answer"},
                {"role": "user", "content": "second question"},
                {"role": "assistant", "content": "second answer"},
                user,
            ]
        },
        "content-parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "@text"}]}]},
        "top-p": {"top_p": 0.9},
        "stream-false": {"stream": False},
        "temperature-low": {"temperature": 0},
        "temperature-and-top-p": {"temperature": 0.7, "top_p": 0.9},
        "group-default": {"group": "default"},
        "tool-result": {"messages": tool_turn, "tools": [WEATHER_TOOL]},
    }
    if role.startswith("openai"):
        shapes |= {
            "no-max-tokens": {},
            "temperature-high": {"temperature": 2},
            "penalties": {"frequency_penalty": -2, "presence_penalty": 2},
            "full-set": {
                "group": "default",
                "temperature": 0.7,
                "top_p": 1,
                "frequency_penalty": 0,
                "presence_penalty": 0,
            },
            "other-openai-fields": {"max_completion_tokens": 64, "metadata": {"a": "b"}, "store": False},
        }
        shapes |= {
            f"effort-{word}": {"reasoning_effort": word}
            for word in ("none", "low", "medium", "high", "xhigh")
        }
    else:
        shapes |= {
            "max-tokens-4096": {"max_tokens": 4096},
            "max-tokens-128000": {"max_tokens": 128000},
            "temperature-0.7": {"temperature": 0.7},
            "tool-choice-auto": {"tools": [WEATHER_TOOL], "tool_choice": "auto"},
            "tool-choice-none": {"tools": [WEATHER_TOOL], "tool_choice": "none"},
            "tool-choice-required": {"tools": [WEATHER_TOOL], "tool_choice": "required"},
            "tool-choice-named": {
                "tools": [WEATHER_TOOL],
                "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
            },
        }
    return shapes


#: Every field that S2 promises to pass through unchanged, with a value that no default equals.
PASS_THROUGH: dict[str, Any] = {
    "max_tokens": 77,
    "stop": ["\n\n", "END"],
    "n": 2,
    "seed": 12345,
    "tools": [WEATHER_TOOL],
    "tool_choice": "auto",
    "response_format": {"type": "json_object"},
    "logprobs": True,
    "top_logprobs": 3,
    "user": "tenant-42",
    "parallel_tool_calls": False,
    "reasoning_effort": "low",
}
#: The same, in the smallest requests that make sense: some fields mean something only beside another.
TOGETHER = (
    ("max_tokens",),
    ("stop",),
    ("n",),
    ("seed",),
    ("tools", "tool_choice"),
    ("tools", "parallel_tool_calls"),
    ("response_format",),
    ("logprobs", "top_logprobs"),
    ("user",),
    ("reasoning_effort",),
)
