"""Rules about one unstreamed message (MSG rows), and what a streamed and an unstreamed reply must share.

Source of the shapes: Anthropic format, message request and response.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from weighbridge.checks.findings import (
    alternative,
    broken,
    excerpt,
    holds,
    is_int,
    member,
    met,
    needs,
    on_success,
    outcome_of,
    situation,
    unjudged,
)
from weighbridge.checks.message_events import read
from weighbridge.checks.replies import field
from weighbridge.evidence import Call, Observation
from weighbridge.features import beside_refused
from weighbridge.verdict import Finding, Outcome

#: A tuple and no set: a target may send a list here, which no set can look up.
STOP_REASONS = (
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
)


def blocks(call: Call, kind: str | None = None) -> list[dict[str, Any]]:
    """The content blocks of an unstreamed reply, of one kind or all."""
    content = member(call.exchange.json, "content")
    found = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
    return [block for block in found if kind is None or block.get("type") == kind]


def text_of(call: Call) -> str:
    """The text of a reply, streamed or not."""
    if call.streamed:
        return read(call).text
    return "".join(str(block.get("text") or "") for block in blocks(call, "text"))


@on_success
def is_message(call: Call) -> Finding:
    """200 with type message, role assistant and an array of content blocks."""
    body = call.exchange.json
    seen = {name: member(body, name) for name in ("type", "role")}
    content = member(body, "content")
    good = (
        call.exchange.status == 200
        and seen == {"type": "message", "role": "assistant"}
        and isinstance(content, list)
        and all(isinstance(block, dict) and isinstance(block.get("type"), str) for block in content)
    )
    return holds(
        call,
        good,
        "200 with type message, role assistant and a content array",
        f"{call.exchange.status}, type {seen['type']!r}, role {seen['role']!r}, content {excerpt(json.dumps(content))}",
    )


has_id = field("id is a non-empty string", ("id",), lambda value: isinstance(value, str) and bool(value))


@on_success
def names_model(call: Call) -> Finding:
    """The reply names the requested model, or its dated form; the name of what really served it is reported."""
    named = member(call.exchange.json, "model")
    required = f"model names the model, {call.model!r} where names are echoed"
    if not isinstance(named, str) or not named:
        return broken(call, required, f"model is {named!r}")
    wanted = call.model or ""
    if named.startswith(wanted) or wanted.startswith(named):
        return met(call, required, f"model is {named!r}")
    return alternative(call, required, f"model is {named!r}")


@on_success
def stop_is_known(call: Call) -> Finding:
    """stop_reason is a word of the format, and stop_sequence is there, null as a rule."""
    body = call.exchange.json
    reason = member(body, "stop_reason")
    present = isinstance(body, dict) and "stop_sequence" in body
    return holds(
        call,
        reason in STOP_REASONS and present,
        "stop_reason is a known word and stop_sequence is present",
        f"stop_reason {reason!r}, stop_sequence {'present' if present else 'absent'}",
    )


@on_success
def counts_tokens(call: Call) -> Finding:
    """usage holds integer input_tokens and output_tokens."""
    usage = member(call.exchange.json, "usage")
    good = all(is_int(member(usage, name)) for name in ("input_tokens", "output_tokens"))
    return holds(
        call,
        good,
        "usage holds integer input_tokens and output_tokens",
        f"usage is {excerpt(json.dumps(usage))}",
    )


@on_success
def cut_by_cap(call: Call) -> Finding:
    """An answer to a question that takes far more than max_tokens is cut, and says so; streamed or not."""
    reason = read(call).stop_reasons if call.streamed else (member(call.exchange.json, "stop_reason"),)
    told = ", ".join(map(repr, reason)) or "none"
    return holds(
        call,
        reason == ("max_tokens",),
        "stop_reason max_tokens when max_tokens cuts the answer",
        f"stop_reason {told}",
    )


@on_success
def calls_tool(call: Call) -> Finding:
    """A forced tool comes back as a tool_use block with id, name and input, and stop_reason tool_use."""
    sent = json.loads(call.exchange.request.body)
    wanted = member(sent, "tool_choice", "name")
    reason = member(call.exchange.json, "stop_reason")
    found = blocks(call, "tool_use")
    required = f"a tool_use block with id, name {wanted}, input as an object; stop_reason tool_use"
    if not found:
        return holds(call, False, required, f"no tool_use block, stop_reason {reason!r}")  # noqa: FBT003 - never holds
    tool = found[0]
    problems = []
    if not (isinstance(tool.get("id"), str) and tool["id"]):
        problems.append(f"id {tool.get('id')!r}")
    if tool.get("name") != wanted:
        problems.append(f"name {tool.get('name')!r}")
    if not isinstance(tool.get("input"), dict):
        problems.append(f"input {excerpt(json.dumps(tool.get('input')))}")
    elif (
        call.upstream is not None
        and call.scenario
        and tool["input"] != json.loads(call.scenario.args or "{}")
    ):
        problems.append(f"input {excerpt(json.dumps(tool['input']))}, the provider gave {call.scenario.args}")
    if reason != "tool_use":
        problems.append(f"stop_reason {reason!r}")
    return holds(call, not problems, required, ", ".join(problems) or "as required")


def says_own_text(call: Call) -> Finding:
    """The reply is the one that the provider gave to this call, whole and unmixed; streamed or not."""
    if call.upstream is None or call.scenario is None or call.scenario.text is None:
        return needs("upstream")
    if not call.exchange.ok:
        return unjudged(call, f"no successful reply to judge: {outcome_of(call)}")
    text = text_of(call)
    return holds(call, text == call.scenario.text, f"the text {call.scenario.text!r}", f"{text!r}")


def _content(call: Call) -> tuple[Any, list[Any]]:
    """stop_reason and content of a reply, in one form for both ways of delivery; ids are each call's own."""
    if call.streamed:
        stream = read(call)
        reason = stream.stop_reasons[-1] if stream.stop_reasons else None
        built: list[Any] = []
        for block in stream.blocks:
            if block.kind == "tool_use":
                built.append(("tool_use", block.start.get("name"), block.tool_input))
            elif block.kind == "text":
                built.append(("text", block.whole_text))
        return reason, [item for item in built if item != ("text", "")]
    plain: list[Any] = []
    for item in blocks(call):
        if item.get("type") == "tool_use":
            plain.append(("tool_use", item.get("name"), item.get("input")))
        elif item.get("type") == "text" and item.get("text"):
            plain.append(("text", item["text"]))
    return member(call.exchange.json, "stop_reason"), plain


def streamed_equals_plain(observation: Observation, *names: str) -> list[Finding]:
    """One scripted reply has the same content and stop_reason streamed and not, for each model."""
    findings: list[Finding] = []
    for name in names:
        found = situation(observation, name)
        if isinstance(found, Finding):
            findings.append(found)
            continue
        if not set(found) & set(beside_refused(observation.where(*names))):
            continue  # a feature that was refused, streamed and not, while other calls were served
        roles = dict.fromkeys(call.role for call in found)
        findings += [_pair(observation.where(name, role=role)) for role in roles]
    return findings


def _pair(calls: Iterable[Call]) -> Finding:
    good = {call.streamed: call for call in calls if call.exchange.ok}
    if len(good) < 2:
        return Finding(Outcome.NOT_VERIFIED, observed="no pair of replies to compare", inside_scope=True)
    plain, streamed = good[False], good[True]
    if plain.upstream is None or plain.scenario is None:
        return needs("upstream")
    first, second = _content(plain), _content(streamed)
    return holds(
        streamed,
        first == second,
        f"streamed as unstreamed: stop_reason {first[0]!r}, {excerpt(repr(first[1]))}",
        f"stop_reason {second[0]!r}, {excerpt(repr(second[1]))}",
    )


def serves(observation: Observation, model: str) -> Finding:
    """A documented model answers on this route; a target file that does not name it leaves that open."""
    calls = [call for call in observation.where("plain", streamed=False) if call.model == model]
    if not calls:
        return needs(f"models: a role that starts with anthropic and names {model}")
    return holds(calls[0], calls[0].exchange.ok, f"{model} is served on /v1/messages", outcome_of(calls[0]))
