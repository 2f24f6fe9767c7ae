"""What `weighbridge check` finds out about features: a call that asks for each, held against what is declared."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from weighbridge.checks.findings import member
from weighbridge.checkup_line import Measured
from weighbridge.evidence import Call
from weighbridge.features import REFUSALS
from weighbridge.lab import Lab
from weighbridge.probes.pictures import data_url, png
from weighbridge.target import Principal

_QUESTION = "What is the weather in Tokyo?"
_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_PICTURE = png(15, 10)


def asked_for(surface: str) -> dict[str, dict[str, Any]]:
    """What a plain call of a surface is changed to, feature by feature, in its dialect. Pure."""
    text = {"type": "text", "text": "What is this?"}
    if surface == "messages":
        source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(_PICTURE).decode()}
        tool: dict[str, Any] = {"name": "get_weather", "input_schema": _SCHEMA}
        choice: Any = {"type": "any"}
        picture: dict[str, Any] = {"type": "image", "source": source}
    else:
        tool = {"type": "function", "function": {"name": "get_weather", "parameters": _SCHEMA}}
        choice = "required"
        picture = {"type": "image_url", "image_url": {"url": data_url("png", _PICTURE)}}
    return {
        "tools": {"tools": [tool], "tool_choice": choice},
        "vision": {"messages": [{"role": "user", "content": [text, picture]}]},
    }


def calls_a_tool(call: Call) -> bool:
    """Whether a reply calls a tool, in either dialect. Pure."""
    body = call.exchange.json
    blocks = member(body, "content")
    native = isinstance(blocks, list) and any(member(block, "type") == "tool_use" for block in blocks)
    return native or bool(member(body, "choices", 0, "message", "tool_calls"))


def of_feature(feature: str, call: Call, declared: bool | None) -> Measured:
    """How a call that asks for a feature was answered, against what `features` says. Pure."""
    subject = f"{call.surface} {feature}"
    status = call.exchange.status
    if call.exchange.ok:
        used = feature != "tools" or calls_a_tool(call)
        told = "a call that asks for it is served" + ("" if used else ", in words: no tool is called")
        if declared is False and used:
            return Measured(subject, told, good=False, remedy=f"remove {feature}: false from features")
        return Measured(subject, told, None if not used else True)
    refused = status in REFUSALS
    told = f"{'refused' if refused else 'fails'} with {status or 'no answer'}"
    if declared is True:
        return Measured(subject, told, good=False, remedy=f"{feature}: true does not hold; correct features")
    if declared is False:
        return Measured(subject, told, True if refused else None)
    return Measured(subject, told, None, f"if that is meant, declare features: {{{feature}: false}}")


async def measure_features(lab: Lab, surface: str, role: str, who: Principal) -> list[Measured]:
    """One call for each feature that a call can ask for and that costs no more than a plain one."""
    features: Mapping[str, bool] = lab.target.features
    found = []
    for feature, change in asked_for(surface).items():
        call = await lab.ask(surface, role, f"feature-{feature}", who, prompt=_QUESTION, change=change)
        found.append(of_feature(feature, call, features.get(feature)))
    return found
