"""Healthy messages: plain, streamed, with tools, cut by max_tokens, with every documented request shape.

The scenario token stands in the text of the user message, never in a block that carries cache_control: a
provider's cache is keyed by that block, and the token differs from call to call.
"""

from __future__ import annotations

import asyncio
import base64
import json
from functools import partial
from typing import Any

from weighbridge.evidence import Call
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


@probe("messages", quick=True)
async def message_replies(lab: Lab) -> None:
    """Plain and streamed replies of one scripted text for every model; tool calls and cut answers by family."""
    async with lab.sharing("messages") as who, asyncio.TaskGroup() as group:
        script = Scenario(text=TEXT, chunks=9, prompt_tokens=1234, completion_tokens=321)
        for role in lab.every_role("messages"):
            for stream in (False, True):
                shapes: dict[str, dict[str, Any]] = {"plain": {}}
                if role == lab.roles("messages")[0]:
                    shapes["sdk"] = {}
                send = partial(_plain, lab, role, who, script, stream=stream)
                group.create_task(lab.combined(shapes, send))
        for role in lab.roles("messages"):
            tools = {"tools": [WEATHER_TOOL], "tool_choice": {"type": "tool", "name": "get_weather"}}
            tool = Scenario(tool="get_weather", args=json.dumps(WEATHER_ARGUMENTS), finish="tool_calls")
            for stream in (False, True):
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


async def _plain(
    lab: Lab,
    role: str,
    who: Principal,
    script: Scenario,
    name: str,
    change: dict[str, Any],
    *,
    stream: bool,
    keep: bool,
) -> Call:
    """The scripted text, as a stock SDK asks for it where the name says so."""
    extra = SDK_HEADERS if "sdk" in name else ()
    return await lab.message(
        role, name, who, scenario=script, stream=stream, change=change, extra=extra, keep=keep
    )


@probe("messages", quick=True)
async def message_requests(lab: Lab) -> None:
    """Valid requests of every documented shape, several in one wherever they go together; the two ways to send a key."""
    async with lab.sharing("messages") as who, asyncio.TaskGroup() as group:
        changes = valid_changes(lab.target.assets.get("image", _IMAGE_URL))
        for role in lab.roles("messages"):
            for names in _ONE_REQUEST_EACH:
                shapes = {name: changes[name] for name in names}
                group.create_task(lab.combined(shapes, partial(_shaped, lab, role, who)))
        # Each header goes with a plain request on the first model, and with a stream of the last.
        roles = lab.every_role("messages")
        bearer, own = (("Authorization", f"Bearer {who.key}"),), (("x-api-key", who.key),)
        for situation, headers in (("bearer", bearer), ("x-api-key", own)):
            group.create_task(lab.message(roles[-1], situation, who, headers=headers, stream=True))


async def _shaped(
    lab: Lab, role: str, who: Principal, name: str, change: dict[str, Any], *, keep: bool
) -> Call:
    """A valid request; the token goes into the last user text wherever the shape puts it."""
    id_ = lab.shared.ids()
    text = f"Say hello. {lab.mark(id_, None)}"
    filled = json.loads(json.dumps(change).replace('"@text"', json.dumps(text)))
    named = set(name.split("+"))
    version = next((version for version in VERSIONS if f"version-{version}" in named), None)
    carriers = {"bearer": (("Authorization", f"Bearer {who.key}"),), "x-api-key": (("x-api-key", who.key),)}
    return await lab.message(
        role,
        name,
        who,
        change=filled,
        headers=next((headers for style, headers in carriers.items() if style in named), None),
        correlation_id=id_,
        keep=keep,
        extra=(("anthropic-version", version),) if version else (),
        omit=("anthropic-version",) if "no-version" in named else (),
    )


#: Which shapes share a request; a version and a key are headers and go with any body.
_ONE_REQUEST_EACH = (
    ("system-text", "several-blocks", "tool-choice-none", "version-2023-06-01"),
    ("system-blocks", "turns", "tool-choice-any"),
    ("cache-control", "tool-result", "tool-choice-auto"),
    ("cache-control-in-turn", "tool-choice-tool", "bearer"),
    ("image-url", "version-2026-10-21"),
    ("image-base64", "no-version", "x-api-key"),
)


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
    shapes |= {
        name: {}
        for name in ("bearer", "x-api-key", "no-version", *(f"version-{version}" for version in VERSIONS))
    }
    return shapes
