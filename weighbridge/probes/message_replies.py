"""Healthy messages: plain, streamed, with tools, cut by max_tokens, with every documented request shape.

The scenario token stands in the text of the user message, never in a block that carries cache_control: a
provider's cache is keyed by that block, and the token differs from call to call.
"""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from weighbridge.lab import Lab, probe
from weighbridge.probes.chat_replies import TEXT, WEATHER_ARGUMENTS
from weighbridge.probes.pictures import png
from weighbridge.scenario import Scenario
from weighbridge.target import Principal

WEATHER_TOOL: dict[str, Any] = {
    "name": "get_weather",
    "description": "Look up the current weather for a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
#: What stock Python SDKs add to each call; both versions are seen in the wild (Anthropic format, headers).
SDK_HEADERS: tuple[tuple[str, str], ...] = (
    ("X-Stainless-Lang", "python"),
    ("X-Stainless-Runtime", "CPython"),
    ("X-Stainless-Retry-Count", "0"),
    ("anthropic-version", "2023-06-01"),
)
#: The anthropic-version values of stock SDKs.
VERSIONS = ("2023-06-01", "2026-10-21")
#: Used where the target file names no image of its own; nothing fetches it behind a simulator.
_IMAGE_URL = "https://upload.wikimedia.org/wikipedia/commons/4/47/PNG_transparency_demonstration_1.png"


@probe("messages")
async def message_replies(lab: Lab) -> None:
    """Plain and streamed replies of one scripted text, tool calls and cut answers, for every model."""
    async with lab.sharing("messages") as who, asyncio.TaskGroup() as group:
        for role in lab.roles("messages"):
            script = Scenario(text=TEXT, chunks=9, prompt_tokens=1234, completion_tokens=321)
            tools = {"tools": [WEATHER_TOOL], "tool_choice": {"type": "tool", "name": "get_weather"}}
            tool = Scenario(tool="get_weather", args=json.dumps(WEATHER_ARGUMENTS), finish="tool_calls")
            for stream in (False, True):
                group.create_task(lab.message(role, "plain", who, scenario=script, stream=stream))
                group.create_task(
                    lab.message(role, "sdk", who, scenario=script, stream=stream, extra=SDK_HEADERS)
                )
                group.create_task(
                    lab.message(
                        role,
                        "tool-call",
                        who,
                        scenario=tool,
                        stream=stream,
                        change=tools,
                        prompt="Weather in Tokyo?",
                    )
                )
                group.create_task(
                    lab.message(
                        role,
                        "low-cap",
                        who,
                        stream=stream,
                        change={"max_tokens": 16},
                        prompt="Count to one hundred.",
                    )
                )


@probe("messages")
async def message_requests(lab: Lab) -> None:
    """Valid requests of every documented shape, and the two ways to send a key."""
    async with lab.sharing("messages") as who, asyncio.TaskGroup() as group:
        for role in lab.roles("messages"):
            for name, change in valid_changes(lab.target.assets.get("image", _IMAGE_URL)).items():
                group.create_task(_shaped(lab, role, name, change, who))
            for version in VERSIONS:
                extra = (("anthropic-version", version),)
                group.create_task(lab.message(role, f"version-{version}", who, extra=extra))
            group.create_task(lab.message(role, "no-version", who, omit=("anthropic-version",)))
            bearer = (("Authorization", f"Bearer {who.key}"),)
            group.create_task(lab.message(role, "bearer", who, headers=bearer))
            group.create_task(lab.message(role, "bearer", who, headers=bearer, stream=True))
            group.create_task(lab.message(role, "x-api-key", who, headers=(("x-api-key", who.key),)))
            group.create_task(
                lab.message(role, "x-api-key", who, headers=(("x-api-key", who.key),), stream=True)
            )


async def _shaped(lab: Lab, role: str, name: str, change: dict[str, Any], who: Principal) -> None:
    """A valid request; the token goes into the last user text wherever the shape puts it."""
    id_ = lab.shared.ids()
    text = f"Say hello. {lab.mark(id_, None)}"
    filled = json.loads(json.dumps(change).replace('"@text"', json.dumps(text)))
    await lab.message(role, name, who, change=filled, correlation_id=id_)


def valid_changes(image_url: str) -> dict[str, dict[str, Any]]:
    """Each shape by name; `@text` stands for the user's text."""
    user = {"role": "user", "content": "@text"}
    text = {"type": "text", "text": "@text"}
    marked = {"cache_control": {"type": "ephemeral"}}
    inline = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": base64.b64encode(png(1, 1)).decode()},
    }
    by_url = {"type": "image", "source": {"type": "url", "url": image_url}}
    tool_turn = [
        {"role": "user", "content": "Weather in Tokyo?"},
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "toolu_01", "name": "get_weather", "input": {"city": "Tokyo"}}
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_01", "content": "18 degrees, rain"},
                text,
            ],
        },
    ]
    shapes: dict[str, dict[str, Any]] = {
        "system-text": {"system": "You are terse."},
        "system-blocks": {
            "system": [{"type": "text", "text": "You are terse."}, {"type": "text", "text": "Be kind."}]
        },
        "cache-control": {"system": [{"type": "text", "text": "You are terse.", **marked}]},
        "cache-control-in-turn": {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "A short document.", **marked}, text]}
            ]
        },
        "several-blocks": {
            "messages": [{"role": "user", "content": [{"type": "text", "text": "First part."}, text]}]
        },
        "turns": {
            "messages": [
                {"role": "user", "content": "Hello"},
                {"role": "assistant", "content": [{"type": "text", "text": "Hello."}]},
                user,
            ]
        },
        "tool-result": {"messages": tool_turn, "tools": [WEATHER_TOOL]},
        "image-base64": {"messages": [{"role": "user", "content": [inline, text]}]},
        "image-url": {"messages": [{"role": "user", "content": [by_url, text]}]},
    }
    choices: dict[str, dict[str, Any]] = {
        "auto": {"type": "auto"},
        "any": {"type": "any"},
        "tool": {"type": "tool", "name": "get_weather"},
        "none": {"type": "none"},
    }
    shapes |= {
        f"tool-choice-{name}": {"tools": [WEATHER_TOOL], "tool_choice": choice}
        for name, choice in choices.items()
    }
    return shapes
