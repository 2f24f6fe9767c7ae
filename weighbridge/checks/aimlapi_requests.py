"""Rules about what an AI/ML API request means: limits, tools and texts as they arrive at the provider, calls forced.

The provider behind a target speaks OpenAI's or Anthropic's format; both are read into the same few words, so a
target is free to translate.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from weighbridge.checks.findings import (
    broken,
    excerpt,
    holds,
    is_int,
    member,
    met,
    needs,
    on_success,
    unjudged,
)
from weighbridge.checks.posts import on_body
from weighbridge.evidence import Call, UpstreamCall
from weighbridge.suite import Rule
from weighbridge.verdict import Finding

#: S4, max_tokens, Default.
DEFAULT_CAP = 128_000


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool definition, whichever form it had; `schema` is canonical JSON."""

    name: str
    description: str
    schema: str


def tools_in(body: Any) -> tuple[Tool, ...]:
    """The function tools of a request body of either family."""
    found = member(body, "tools")
    return tuple(_tool(item) for item in found) if isinstance(found, list) else ()


def _tool(item: Any) -> Tool:
    function = member(item, "function")
    plain = item if function is None else function
    schema = member(plain, "input_schema" if function is None else "parameters")
    return Tool(
        str(member(plain, "name") or ""),
        str(member(plain, "description") or ""),
        json.dumps(schema, sort_keys=True),
    )


#: Words of both families, and Anthropic's object forms by their type.
_WORDS = {"none": "none", "auto": "auto", "required": "required", "any": "required"}


def choice_in(body: Any) -> str:
    """What a request body lets the model do: none, auto, required, or the name of the one tool."""
    if not tools_in(body):
        return "none"
    choice = member(body, "tool_choice")
    if choice is None:
        return "auto"
    kind = choice if isinstance(choice, str) else member(choice, "type")
    name = member(choice, "function", "name") or member(choice, "name")
    return _WORDS.get(str(kind), f"the tool {name}")


_arriving = on_body("openai", "anthropic")


def choice_arrives(word: str) -> Rule:
    """The provider is told this choice: none, auto or required."""

    @_arriving
    def rule(call: Call, _post: UpstreamCall, body: Any) -> Finding:
        seen = choice_in(body)
        return holds(call, seen == word, f"tool choice {word} arrives upstream", f"{seen} arrived")

    return rule


@_arriving
def tools_arrive(call: Call, _post: UpstreamCall, body: Any) -> Finding:
    """Name, description and schema of each tool arrive, in either form."""
    sent, arrived = tools_in(json.loads(call.exchange.request.body)), tools_in(body)
    return holds(
        call,
        arrived == sent,
        f"{len(sent)} tools arrive with name, description and schema",
        excerpt(str(arrived)),
    )


def _caps(body: Any) -> list[Any]:
    return [body[name] for name in ("max_tokens", "max_completion_tokens") if body.get(name) is not None]


@_arriving
def default_cap_arrives(call: Call, post: UpstreamCall, body: Any) -> Finding:
    """Without max_tokens the provider is asked for 128000, or is left to its own where its format allows."""
    caps = _caps(body)
    good = all(cap == DEFAULT_CAP for cap in caps) and (bool(caps) or post.provider == "openai")
    return holds(
        call, good, f"max_tokens defaults to {DEFAULT_CAP}", f"the provider was asked for {caps or 'no cap'}"
    )


@_arriving
def cap_arrives(call: Call, _post: UpstreamCall, body: Any) -> Finding:
    """The caller's cap is the provider's cap, thinking included."""
    sent = json.loads(call.exchange.request.body)["max_tokens"]
    caps = _caps(body)
    return holds(
        call,
        bool(caps) and all(cap == sent for cap in caps),
        f"max_tokens {sent} bounds thinking and answer",
        f"the provider was asked for {caps or 'no cap'}",
    )


@_arriving
def texts_arrive(call: Call, _post: UpstreamCall, body: Any) -> Finding:
    """Every text of the conversation and of `system` arrives, wherever the provider's format puts it."""
    request = json.loads(call.exchange.request.body)
    arrived = list(_strings(body))
    for text in _said({"messages": request.get("messages"), "system": request.get("system")}):
        if not any(text in one for one in arrived):
            return broken(call, "every text sent arrives upstream", f"{excerpt(repr(text))} did not")
    return met(call, "every text sent arrives upstream", f"{len(arrived)} texts")


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _strings(item)


def _said(value: Any) -> Iterable[str]:
    """The texts of messages, results and system prompts; names, ids and files are not said."""
    if isinstance(value, list):
        for item in value:
            yield from _said(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name in {"content", "text", "system"} and isinstance(item, str):
                yield item
            elif name in {"content", "system", "messages"}:
                yield from _said(item)


# ------------------------------------------------------------------ what comes back
@on_success
def calls_no_tool(call: Call) -> Finding:
    """The answer is text."""
    choice = member(call.exchange.json, "choices", 0)
    called = member(choice, "message", "tool_calls")
    finish = member(choice, "finish_reason")
    return holds(
        call,
        not called and finish != "tool_calls",
        "no tool is called",
        f"tool_calls {excerpt(json.dumps(called))}, finish_reason {finish!r}",
    )


def calls_tool(name: str | None = None) -> Rule:
    """One or more of the offered tools are called; with a name, that one and no other."""

    @on_success
    def rule(call: Call) -> Finding:
        offered = {tool.name for tool in tools_in(json.loads(call.exchange.request.body))}
        wanted = offered if name is None else {name}
        called = member(call.exchange.json, "choices", 0, "message", "tool_calls")
        names = [member(item, "function", "name") for item in called] if isinstance(called, list) else []
        return holds(
            call,
            bool(names) and all(item in wanted for item in names),
            f"a call of {' or '.join(sorted(wanted))}",
            f"tools called: {names}",
        )

    return rule


@on_success
def output_is_whole(call: Call) -> Finding:
    """The largest documented answer is neither refused nor cut on its way."""
    if call.scenario is None:
        return needs("upstream")
    counted = member(call.exchange.json, "usage", "completion_tokens")
    finish = member(call.exchange.json, "choices", 0, "finish_reason")
    if not is_int(counted):
        return unjudged(call, "the reply counts no tokens")
    return holds(
        call,
        counted == call.scenario.completion_tokens and finish != "length",
        f"{call.scenario.completion_tokens} output tokens, not cut",
        f"{counted} output tokens, finish_reason {finish!r}",
    )
