"""Rules about one unstreamed chat completion (CRES rows), and about requests that must be accepted."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from weighbridge.checks.findings import (
    broken,
    excerpt,
    holds,
    is_int,
    member,
    met,
    needs,
    not_applicable,
    on_success,
    outcome_of,
    unjudged,
)
from weighbridge.checks.transcripts import read
from weighbridge.evidence import Call, Observation
from weighbridge.suite import Rule
from weighbridge.verdict import Finding, Outcome

#: A tuple and no set: what a target sends in this place may be a list, which no set can look up.
FINISH_REASONS = ("stop", "length", "tool_calls", "content_filter")
#: What a tool call cannot be judged without; the probe forces the call, and some servers do not hear of it.
CALLING_MODEL = "a model that calls the tool it is told to call"


def accepted(call: Call) -> Finding:
    """The request was served: a 2xx whose body arrived whole."""
    return holds(call, call.exchange.ok, "the request is accepted", outcome_of(call))


@on_success
def is_json_200(call: Call) -> Finding:
    """Success is 200 with a JSON object."""
    response = call.exchange.response
    assert response is not None  # noqa: S101 - on_success saw a reply
    required = "HTTP 200 with a JSON body (application/json)"
    if not isinstance(response.json, dict):
        return broken(call, required, f"a body that is no JSON object: {excerpt(response.text)}")
    return holds(
        call,
        call.exchange.status == 200 and response.content_type == "application/json",
        required,
        f"{call.exchange.status} with {response.content_type or 'no Content-Type'}",
    )


def field(required: str, path: tuple[str | int, ...], ok: Callable[[Any], bool]) -> Rule:
    """A rule about one member of the reply."""

    @on_success
    def rule(call: Call) -> Finding:
        value = member(call.exchange.json, *path)
        where = ".".join(str(step) for step in path)
        return holds(
            call, ok(value), required, f"{where} is {excerpt(json.dumps(value, ensure_ascii=False))}"
        )

    return rule


def _nonempty(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


has_id = field("id is a non-empty string", ("id",), _nonempty)
is_completion = field('object is "chat.completion"', ("object",), lambda value: value == "chat.completion")
names_a_model = field("model names a model", ("model",), _nonempty)
has_choices = field(
    "choices is a non-empty array and the first index is 0",
    ("choices",),
    lambda value: isinstance(value, list) and bool(value) and member(value, 0, "index") == 0,
)
finish_is_known = field(
    f"finish_reason is one of {', '.join(FINISH_REASONS)}",
    ("choices", 0, "finish_reason"),
    lambda value: value in FINISH_REASONS,
)


@on_success
def created_is_now(call: Call) -> Finding:
    """`created` is Unix time in whole seconds: between 2020 and 2100, which milliseconds are not."""
    value = member(call.exchange.json, "created")
    plausible = is_int(value) and 1_577_836_800 <= value <= 4_102_444_800
    return holds(call, plausible, "created is an integer Unix time in seconds", f"created is {value!r}")


@on_success
def echoes_model(call: Call) -> Finding:
    """The reply names the model that was asked for."""
    value = member(call.exchange.json, "model")
    return holds(call, value == call.model, f"model echoes {call.model!r}", f"model is {value!r}")


def echoes_in_streams_too(observation: Observation) -> list[Finding]:
    """A gateway whose unstreamed reply names the model that was asked for does so in a stream; others name what they like."""
    findings = []
    for call in observation.where("plain", streamed=True):
        chunks = read(call).chunks if call.exchange.ok else ()
        named = member(chunks[0].json, "model") if chunks else None
        twins = [one for one in observation.where("plain", role=call.role, streamed=False) if one.exchange.ok]
        required = "model as requested, where the unstreamed reply echoes it"
        if not chunks or (named != call.model and not twins):
            findings.append(unjudged(call, f"no chunk and no reply to compare: {outcome_of(call)}"))
            continue
        echo = any(member(one.exchange.json, "model") == call.model for one in twins)
        findings.append(holds(call, named == call.model or not echo, required, f"model {named!r}"))
    return findings


@on_success
def speaks_as_assistant(call: Call) -> Finding:
    """A text answer comes from the assistant, as a string."""
    message = member(call.exchange.json, "choices", 0, "message")
    role, content = member(message, "role"), member(message, "content")
    return holds(
        call,
        role == "assistant" and isinstance(content, str),
        "message.role is assistant and message.content is a string",
        f"role {role!r}, content {type(content).__name__}",
    )


@on_success
def text_is_the_upstreams(call: Call) -> Finding:
    """The text is the provider's, byte for byte."""
    if call.scenario is None or call.scenario.text is None:
        return needs("upstream")
    text = member(call.exchange.json, "choices", 0, "message", "content")
    return holds(call, text == call.scenario.text, f"the text {call.scenario.text!r}", f"{text!r}")


@on_success
def carries_tool_call(call: Call) -> Finding:
    """A tool call has id, type, name and arguments as JSON text, and finish_reason tool_calls.

    Where our own simulator was scripted, name and arguments must be the scripted ones; a stranger's model
    is held to the form alone, and only when it called a tool.
    """
    script = call.scenario
    choice = member(call.exchange.json, "choices", 0)
    tool = member(choice, "message", "tool_calls", 0)
    if script is None and tool is None:
        return Finding(
            Outcome.NOT_VERIFIED,
            observed="the model called no tool although it had to",
            missing=CALLING_MODEL,
        )
    name, arguments = member(tool, "function", "name"), member(tool, "function", "arguments")
    parsed = _parsed(arguments) if isinstance(arguments, str) else None
    problems = []
    if not _nonempty(member(tool, "id")):
        problems.append("no id")
    if member(tool, "type") != "function":
        problems.append(f"type {member(tool, 'type')!r}")
    if not _nonempty(name) or (script is not None and name != script.tool):
        problems.append(f"name {name!r}")
    if not isinstance(parsed, dict) or (script is not None and parsed != _parsed(script.args or "{}")):
        problems.append(f"arguments {arguments!r}")
    if member(choice, "finish_reason") != "tool_calls":
        problems.append(f"finish_reason {member(choice, 'finish_reason')!r}")
    required = (
        "tool_calls[0] with id, type function, name and arguments as JSON text; finish_reason tool_calls"
    )
    return holds(call, not problems, required, ", ".join(problems) or "as required")


def _parsed(text: str) -> Any:
    """The JSON value, or None for text that is none; a JSON null is no arguments object either."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


@on_success
def not_streamed(call: Call) -> Finding:
    """Without `stream` the answer is one body."""
    response = call.exchange.response
    assert response is not None  # noqa: S101 - on_success saw a reply
    return holds(
        call,
        response.content_type != "text/event-stream" and isinstance(response.json, dict),
        "one JSON body, not a stream",
        response.content_type or "no Content-Type",
    )


def one_choice_per_n(call: Call) -> Finding:
    """n choices with indexes 0..n-1; a call that asks for no n says nothing."""
    wanted = member(json.loads(call.exchange.request.body), "n")
    if not is_int(wanted):
        return not_applicable("the call asks for no n")
    required = f"{wanted} choices, indexes 0..{wanted - 1}"

    @on_success
    def rule(call: Call) -> Finding:
        choices = member(call.exchange.json, "choices")
        found = choices if isinstance(choices, list) else []
        indexes = sorted(str(member(choice, "index")) for choice in found)
        return holds(call, indexes == sorted(map(str, range(wanted))), required, f"indexes {indexes}")

    return rule(call)


def ids_differ(calls: tuple[Call, ...]) -> Finding:
    """Two replies have two ids."""
    good = [call for call in calls if call.exchange.ok]
    if len(good) < 2:
        return Finding(
            Outcome.NOT_VERIFIED, observed=f"only {len(good)} replies to compare", inside_scope=True
        )
    ids = [value for call in good if (value := member(call.exchange.json, "id")) is not None]
    if len(ids) < 2:
        return unjudged(good[-1], f"{len(ids)} of {len(good)} replies have an id")
    repeated = len(set(map(str, ids))) < len(ids)
    return holds(good[-1], not repeated, "id differs between calls", f"ids {', '.join(map(str, ids[:3]))}")


def reports(path: tuple[str | int, ...], what: str) -> Rule:
    """Whether a reply carries an optional member; told, never required."""

    @on_success
    def rule(call: Call) -> Finding:
        value = member(call.exchange.json, *path)
        return met(call, f"{what} may be reported", "absent" if value is None else excerpt(json.dumps(value)))

    return rule


@on_success
def extra_members(call: Call) -> Finding:
    """Which members beyond the documented ones a reply has; all are allowed."""
    known = {"id", "object", "created", "model", "choices", "usage"}
    body = call.exchange.json
    more = sorted(set(body) - known) if isinstance(body, dict) else []
    return met(call, "further members are allowed", ", ".join(more) or "none")


def answered(call: Call) -> Finding:
    """Served or refused with a 4xx: told, not required; a 5xx is neither."""
    seen = call.exchange.status
    return holds(
        call,
        call.exchange.ok or (seen is not None and 400 <= seen < 500),
        "served, or refused with a 4xx",
        outcome_of(call),
    )
