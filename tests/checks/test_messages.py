"""Rules about unstreamed messages and their errors: each catches its defect and spares the odd."""

from __future__ import annotations

from typing import Any

import pytest

from tests.checks.message_evidence import call, message
from weighbridge.checks import (
    message_errors,
    message_sdk,
    messages,
)
from weighbridge.evidence import (
    Observation,
)
from weighbridge.scenario import Scenario
from weighbridge.suite import Rule
from weighbridge.verdict import Finding, Outcome

FORCED = {"tools": [], "tool_choice": {"type": "tool", "name": "get_weather"}, "max_tokens": 16}


def tool(**changes: Any) -> dict[str, Any]:
    block = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Oslo"}} | changes
    return message(content=[block], stop_reason="tool_use")


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in message().items() if key != name}


SHAPE: tuple[Rule, ...] = (
    messages.is_message,
    messages.has_id,
    messages.names_model,
    messages.stop_is_known,
    messages.counts_tokens,
    message_sdk.client_works,
)


@pytest.mark.parametrize(
    "body",
    [
        message(),
        message(content=[]),
        message(extra={"provider": "x"}),
        message(
            content=[{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "a"}]
        ),
        message(stop_reason="refusal"),
        message(model="m-20260101"),
    ],
    ids=["plain", "empty", "more-members", "thinking", "refusal", "dated-model"],
)
def test_a_good_reply_passes_every_rule(body: Any) -> None:
    assert {rule(call(body)).outcome for rule in SHAPE} == {Outcome.MET}


@pytest.mark.parametrize(
    ("rule", "body"),
    [
        (messages.is_message, message(type="chat.completion")),
        (messages.is_message, message(role="user")),
        (messages.is_message, message(content="Hello.")),
        (messages.is_message, message(content=["Hello."])),
        (messages.is_message, [message()]),
        (messages.has_id, message(id="")),
        (messages.names_model, without("model")),
        (messages.stop_is_known, message(stop_reason="stop")),
        (messages.stop_is_known, without("stop_sequence")),
        (messages.counts_tokens, message(usage={"prompt_tokens": 9, "completion_tokens": 3})),
        (messages.counts_tokens, message(usage={"input_tokens": "9", "output_tokens": 3})),
        (messages.counts_tokens, message(usage={"input_tokens": True, "output_tokens": 3})),
        (message_sdk.client_works, without("usage")),
        (message_sdk.client_works, message(content=None)),
    ],
)
def test_a_wrong_member_is_caught(rule: Rule, body: Any) -> None:
    assert rule(call(body)).outcome is Outcome.BROKEN


def test_another_models_name_is_only_an_alternative() -> None:
    assert messages.names_model(call(message(model="backend-7"))).outcome is Outcome.ALTERNATIVE


def test_a_body_that_is_not_declared_as_json_is_lost_on_the_stock_client() -> None:
    assert (
        message_sdk.client_works(call(message(), headers=(("Content-Type", "text/plain"),))).outcome
        is Outcome.BROKEN
    )


def test_an_error_reply_is_not_judged_for_its_shape() -> None:
    refused = call({"error": {}}, status=500)
    assert {rule(refused).outcome for rule in SHAPE} == {Outcome.NOT_VERIFIED}


def test_cut_answer_must_say_max_tokens() -> None:
    assert messages.cut_by_cap(call(message(stop_reason="max_tokens"))).outcome is Outcome.MET
    assert messages.cut_by_cap(call(message())).outcome is Outcome.BROKEN
    delta = b'event: message_delta\ndata: {"type": "message_delta", "delta": {"stop_reason": "%s"}}\n\n'
    kind = (("Content-Type", "text/event-stream"),)
    for reason, outcome in ((b"max_tokens", Outcome.MET), (b"end_turn", Outcome.BROKEN)):
        assert messages.cut_by_cap(call(delta % reason, headers=kind, streamed=True)).outcome is outcome


def test_a_forced_tool_comes_back_whole() -> None:
    script = Scenario(tool="get_weather", args='{"city":"Oslo"}')
    assert messages.calls_tool(call(tool(), sent=FORCED, scenario=script)).outcome is Outcome.MET
    unwired = call(tool(input={}), sent=FORCED, upstream=None)
    assert messages.calls_tool(unwired).outcome is Outcome.MET


@pytest.mark.parametrize(
    "body",
    [
        message(),
        tool(id=""),
        tool(name="other"),
        tool(input='{"city":"Oslo"}'),
        tool(input={"city": "Bergen"}),
        tool() | {"stop_reason": "end_turn"},
    ],
    ids=["no-block", "no-id", "other-name", "input-as-text", "other-input", "end-turn"],
)
def test_a_damaged_tool_call_is_caught(body: Any) -> None:
    script = Scenario(tool="get_weather", args='{"city":"Oslo"}')
    assert messages.calls_tool(call(body, sent=FORCED, scenario=script)).outcome is Outcome.BROKEN


def test_a_crossed_answer_is_caught() -> None:
    script = Scenario(text="Hello.")
    assert messages.says_own_text(call(message(), scenario=script)).outcome is Outcome.MET
    crossed = message(content=[{"type": "text", "text": "Somebody else's."}])
    assert messages.says_own_text(call(crossed, scenario=script)).outcome is Outcome.BROKEN
    assert messages.says_own_text(call(message(), upstream=None)).missing == "upstream"


def test_a_documented_model_must_be_served_where_it_is_named() -> None:
    served = Observation("message_replies", (call(message()),))
    assert messages.serves(served, "m").outcome is Outcome.MET
    refused = Observation("message_replies", (call({"error": {}}, status=404),))
    assert messages.serves(refused, "m").outcome is Outcome.BROKEN
    assert messages.serves(served, "claude-opus-4-8").outcome is Outcome.NOT_VERIFIED


# ------------------------------------------------------------------ errors
ANTHROPIC = {"type": "error", "error": {"type": "authentication_error", "message": "no"}}
OPENAI = {"error": {"type": "invalid_request_error", "message": "no", "code": None, "param": None}}


@pytest.mark.parametrize("body", [ANTHROPIC, OPENAI, ANTHROPIC | {"request_id": "req_1"}])
def test_both_envelopes_are_accepted_and_named(body: Any) -> None:
    found = message_errors.has_error_object(call(body, status=401))
    assert found.outcome is Outcome.MET
    assert ("Anthropic" if "type" in body else "OpenAI") in found.observed


@pytest.mark.parametrize("body", [{"detail": "no"}, {"error": "no"}, {"error": {"message": "no"}}, b"<html>"])
def test_an_unreadable_error_is_caught(body: Any) -> None:
    assert message_errors.has_error_object(call(body, status=400)).outcome is Outcome.BROKEN


def test_error_type_must_fit_the_status_in_the_anthropic_envelope_only() -> None:
    rule = message_errors.type_fits_status
    assert rule(call(ANTHROPIC, status=401)).outcome is Outcome.MET
    assert rule(call(ANTHROPIC, status=402)).outcome is Outcome.BROKEN
    assert rule(call(OPENAI, status=401)).outcome is Outcome.NOT_APPLICABLE
    assert rule(call(ANTHROPIC, status=405)).outcome is Outcome.NOT_APPLICABLE
    assert rule(call(message())).outcome is Outcome.NOT_VERIFIED


def test_only_error_replies_are_taken_for_envelopes() -> None:
    observation = Observation("message_bad_requests", (call(message()), call(OPENAI, status=400)))
    assert [item.exchange.status for item in message_errors.refusals(observation)] == [400]


@pytest.mark.parametrize(
    ("status", "failing", "limiting"),
    [
        (500, Outcome.MET, Outcome.MET),
        (502, Outcome.ALTERNATIVE, Outcome.MET),
        (429, Outcome.BROKEN, Outcome.MET),
        (401, Outcome.BROKEN, Outcome.BROKEN),
        (200, Outcome.BROKEN, Outcome.BROKEN),
    ],
)
def test_a_failing_provider_is_the_callers_500(status: int, failing: Outcome, limiting: Outcome) -> None:
    seen = call(OPENAI, status=status)
    assert message_errors.provider_failure_is_500(seen).outcome is failing
    assert message_errors.provider_limit_is_429(seen).outcome is limiting
    assert message_errors.failure_is_no_success(seen).outcome is (
        Outcome.BROKEN if status == 200 else Outcome.MET
    )


def test_an_early_failure_of_a_stream_is_a_status_and_no_stream() -> None:
    rule = message_errors.fails_before_stream
    stream = (("Content-Type", "text/event-stream"),)
    assert rule(call(OPENAI, status=500, streamed=True)).outcome is Outcome.MET
    assert (
        rule(call(b"event: error\n\n", status=200, headers=stream, streamed=True)).outcome is Outcome.BROKEN
    )
    assert (
        rule(call(b"event: error\n\n", status=500, headers=stream, streamed=True)).outcome is Outcome.BROKEN
    )


def test_a_burst_beyond_the_rate_must_meet_a_429() -> None:
    served = [call(message(), situation="group-limit") for _ in range(4)]
    assert message_errors.burst_is_limited(Observation("p", tuple(served))).outcome is Outcome.BROKEN
    limited = [*served, call(OPENAI, status=429, situation="group-limit")]
    assert message_errors.burst_is_limited(Observation("p", tuple(limited))).outcome is Outcome.MET
    undeclared = Observation("p", missing=(("group-limit", "groups"),))
    assert message_errors.burst_is_limited(undeclared).missing == "groups"


def test_what_a_missing_capability_left_open_does_not_hide_what_was_judged() -> None:
    met, lacking = Finding(Outcome.MET), Finding(Outcome.NOT_VERIFIED, missing="groups")
    unclear = Finding(Outcome.NOT_VERIFIED, inside_scope=True)
    assert message_errors.observable([met, lacking]) == [met]
    assert message_errors.observable([lacking]) == [lacking]
    assert message_errors.observable([met, unclear, lacking]) == [met, unclear]
