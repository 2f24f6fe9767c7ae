"""Rules about AI/ML API refusals and about what its requests become at the provider."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.checks.chat_evidence import call, post
from weighbridge.checks import aimlapi_errors, aimlapi_requests
from weighbridge.evidence import Call
from weighbridge.probes.aimlapi_shapes import ANTHROPIC_TOOLS, INVALID, OPENAI_TOOLS, VALID, filled
from weighbridge.scenario import Scenario
from weighbridge.suite import Rule
from weighbridge.verdict import Outcome

PATH = "/v1/chat/completions"


# ------------------------------------------------------------------ the flat envelope
def _error(**changes: Any) -> dict[str, Any]:
    return {
        "message": "Body validation error",
        "path": PATH,
        "requestId": "r-1",
        "statusCode": 400,
        "timestamp": "2026-11-21T15:00:00.000Z",
    } | changes


RULES: dict[str, Rule] = {
    "envelope": aimlapi_errors.has_flat_envelope,
    "status": aimlapi_errors.repeats_status,
    "place": aimlapi_errors.tells_when_and_where,
}
BENIGN: dict[str, dict[str, Any]] = {
    "plain": _error(),
    "status as text": _error(statusCode="400"),
    "more members": _error(meta=[{"hint": "Expected string"}]),
    "offset in place of Z": _error(timestamp="2026-11-21T16:00:00+01:00"),
    "path with its query": _error(path=f"{PATH}?trace=1"),
}
WRONG: dict[str, list[dict[str, Any] | str]] = {
    "envelope": ["<html>", {"error": _error()}, {"message": "no"}],
    "status": [_error(statusCode=422), _error(statusCode="bad"), _error(statusCode=True)],
    "place": [
        _error(timestamp="21.11.2026 15:00"),
        _error(timestamp=1764000000),
        _error(timestamp="2026-11-21"),
        _error(path="/chat/completions"),
        _error(path=None) | {"path": 7},
    ],
}


@pytest.mark.parametrize("variant", BENIGN)
@pytest.mark.parametrize("rule", RULES)
def test_an_odd_but_right_error_is_spared(rule: str, variant: str) -> None:
    finding = RULES[rule](call(BENIGN[variant], status=400))
    assert finding.outcome is Outcome.MET, finding.message


@pytest.mark.parametrize(
    ("rule", "number"), [(name, i) for name, bodies in WRONG.items() for i in range(len(bodies))]
)
def test_a_wrong_error_is_caught_by_its_rule(rule: str, number: int) -> None:
    finding = RULES[rule](call(WRONG[rule][number], status=400))
    assert finding.outcome is Outcome.BROKEN, finding.message


def test_a_served_call_and_another_envelope_are_not_judged_by_the_members() -> None:
    for rule in RULES.values():
        assert rule(call(_error())).outcome is Outcome.NOT_VERIFIED
    nested = call({"error": {"message": "no"}}, status=400)
    assert aimlapi_errors.repeats_status(nested).outcome is Outcome.NOT_VERIFIED
    assert aimlapi_errors.tells_when_and_where(nested).outcome is Outcome.NOT_VERIFIED


def test_server_trouble_has_one_of_four_statuses() -> None:
    assert all(
        aimlapi_errors.server_error(call({}, status=s)).outcome is Outcome.MET for s in (500, 502, 503)
    )
    for status in (200, 401, 429, 501, 529):
        assert aimlapi_errors.server_error(call({}, status=status)).outcome is Outcome.BROKEN


# ------------------------------------------------------------------ what arrives upstream
def _arrived(body: Any, sent: dict[str, Any] | None = None, *, provider: str = "anthropic") -> Call:
    seen = replace(post(body=body), provider=provider)
    return call({}, request=sent or {}, upstream=(seen,))


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, "none"),
        ({"tools": [], "tool_choice": "auto"}, "none"),
        ({"tools": OPENAI_TOOLS}, "auto"),
        ({"tools": OPENAI_TOOLS, "tool_choice": "none"}, "none"),
        ({"tools": ANTHROPIC_TOOLS, "tool_choice": {"type": "none"}}, "none"),
        ({"tools": ANTHROPIC_TOOLS, "tool_choice": {"type": "auto"}}, "auto"),
        ({"tools": ANTHROPIC_TOOLS, "tool_choice": {"type": "any"}}, "required"),
        ({"tools": ANTHROPIC_TOOLS, "tool_choice": {"type": "tool", "name": "f"}}, "the tool f"),
        (
            {"tools": OPENAI_TOOLS, "tool_choice": {"type": "function", "function": {"name": "f"}}},
            "the tool f",
        ),
    ],
)
def test_both_families_are_read_into_the_same_words(body: dict[str, Any], word: str) -> None:
    assert aimlapi_requests.choice_in(body) == word


def test_a_choice_that_is_lost_on_the_way_is_caught() -> None:
    rule = aimlapi_requests.choice_arrives("none")
    assert rule(_arrived({"tools": ANTHROPIC_TOOLS, "tool_choice": {"type": "none"}})).outcome is Outcome.MET
    assert rule(_arrived({})).outcome is Outcome.MET
    assert rule(_arrived({"tools": ANTHROPIC_TOOLS})).outcome is Outcome.BROKEN
    assert rule(call({})).outcome is Outcome.NOT_VERIFIED
    assert rule(call({}, upstream=())).outcome is Outcome.NOT_VERIFIED


def test_a_provider_of_an_unknown_family_is_not_judged() -> None:
    other = _arrived({}, provider="media")
    assert aimlapi_requests.choice_arrives("none")(other).outcome is Outcome.NOT_APPLICABLE


def test_tools_may_be_translated_and_not_changed() -> None:
    rule, sent = aimlapi_requests.tools_arrive, {"tools": OPENAI_TOOLS}
    assert rule(_arrived({"tools": ANTHROPIC_TOOLS}, sent)).outcome is Outcome.MET
    assert rule(_arrived({"tools": OPENAI_TOOLS}, {"tools": ANTHROPIC_TOOLS}, provider="openai")).outcome is (
        Outcome.MET
    )
    assert rule(_arrived({"tools": ANTHROPIC_TOOLS[:1]}, sent)).outcome is Outcome.BROKEN
    renamed = [ANTHROPIC_TOOLS[0] | {"input_schema": {"type": "object"}}, ANTHROPIC_TOOLS[1]]
    assert rule(_arrived({"tools": renamed}, sent)).outcome is Outcome.BROKEN


@pytest.mark.parametrize(
    ("body", "provider", "outcome"),
    [
        ({"max_tokens": 128000}, "anthropic", Outcome.MET),
        ({}, "openai", Outcome.MET),
        ({"max_completion_tokens": 128000}, "openai", Outcome.MET),
        ({"max_tokens": 4096}, "anthropic", Outcome.BROKEN),
        ({"max_completion_tokens": 4096}, "openai", Outcome.BROKEN),
        ({}, "anthropic", Outcome.BROKEN),
    ],
)
def test_the_default_cap_is_the_documented_one(body: dict[str, Any], provider: str, outcome: Outcome) -> None:
    assert aimlapi_requests.default_cap_arrives(_arrived(body, provider=provider)).outcome is outcome


def test_a_cap_enlarged_by_the_thinking_budget_is_caught() -> None:
    sent = {"max_tokens": 2048}
    assert aimlapi_requests.cap_arrives(_arrived({"max_tokens": 2048}, sent)).outcome is Outcome.MET
    assert aimlapi_requests.cap_arrives(_arrived({"max_tokens": 3072}, sent)).outcome is Outcome.BROKEN
    assert aimlapi_requests.cap_arrives(_arrived({}, sent)).outcome is Outcome.BROKEN


SENT = {
    "system": [{"type": "text", "text": "be brief"}],
    "messages": [
        {"role": "user", "content": "first"},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "second"}]},
        {"role": "user", "content": [{"type": "text", "text": "third"}]},
    ],
}


def test_texts_may_move_and_must_not_be_lost() -> None:
    joined = {"messages": [{"content": "be brief\n\nfirst"}, {"content": [{"text": "second third"}]}]}
    lost = {"messages": [{"content": "first"}, {"content": [{"text": "second third"}]}]}
    assert aimlapi_requests.texts_arrive(_arrived(joined, SENT)).outcome is Outcome.MET
    assert aimlapi_requests.texts_arrive(_arrived(lost, SENT)).outcome is Outcome.BROKEN


def test_a_body_that_cannot_be_read_is_not_judged() -> None:
    unread = replace(post(), body="{cut")
    assert aimlapi_requests.texts_arrive(call({}, request=SENT, upstream=(unread,))).outcome is (
        Outcome.NOT_VERIFIED
    )


# ------------------------------------------------------------------ what comes back
def _calling(*names: str, finish: str = "tool_calls", tools: Any = OPENAI_TOOLS) -> Call:
    calls = [{"id": "1", "type": "function", "function": {"name": name, "arguments": "{}"}} for name in names]
    message = {"role": "assistant", "content": "", "tool_calls": calls}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": finish}]}
    return call(body, request={"tools": tools})


@pytest.mark.parametrize("tools", [OPENAI_TOOLS, ANTHROPIC_TOOLS])
def test_a_forced_call_must_come_and_be_of_an_offered_tool(tools: Any) -> None:
    rule = aimlapi_requests.calls_tool()
    assert rule(_calling("get_weather", tools=tools)).outcome is Outcome.MET
    assert rule(_calling("get_weather", "get_time", tools=tools)).outcome is Outcome.MET
    assert rule(_calling(tools=tools)).outcome is Outcome.BROKEN
    assert rule(_calling("other", tools=tools)).outcome is Outcome.BROKEN


def test_a_named_tool_is_the_one_called() -> None:
    rule = aimlapi_requests.calls_tool("get_time")
    assert rule(_calling("get_time")).outcome is Outcome.MET
    assert rule(_calling("get_weather")).outcome is Outcome.BROKEN


def test_a_call_that_nobody_allowed_is_caught() -> None:
    assert aimlapi_requests.calls_no_tool(_calling(finish="stop")).outcome is Outcome.MET
    assert aimlapi_requests.calls_no_tool(_calling("get_time")).outcome is Outcome.BROKEN
    assert aimlapi_requests.calls_no_tool(_calling()).outcome is Outcome.BROKEN


def test_a_whole_output_must_be_counted_and_not_cut() -> None:
    def reply(tokens: int, finish: str) -> Call:
        body = {"choices": [{"finish_reason": finish}], "usage": {"completion_tokens": tokens}}
        return call(body, scenario=Scenario(completion_tokens=128_000))

    assert aimlapi_requests.output_is_whole(reply(128_000, "stop")).outcome is Outcome.MET
    assert aimlapi_requests.output_is_whole(reply(4096, "stop")).outcome is Outcome.BROKEN
    assert aimlapi_requests.output_is_whole(reply(128_000, "length")).outcome is Outcome.BROKEN


# ------------------------------------------------------------------ the shapes themselves
@pytest.mark.parametrize("name", [*VALID, *INVALID])
def test_every_shape_takes_the_prompt_and_stays_json(name: str) -> None:
    change = VALID[name] if name in VALID else INVALID[name][0]
    text = json.dumps(filled(change, 'say "hello" [[wb:x]]'), ensure_ascii=False)
    assert "@text" not in text
    holds_prompt = isinstance(change.get("messages"), list)
    assert ("[[wb:x]]" in text) is holds_prompt
