"""Rules about unstreamed replies, errors and upstream POSTs: each catches its defect and spares the odd."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.checks.chat_evidence import GOOD, MODEL, ROLE, TEXT, call, post, reading, stream
from weighbridge.bait import UNKNOWN_KEY, UPSTREAM_SECRET
from weighbridge.checks import (
    errors,
    failure_billing,
    limits,
    message_upstream,
    posts,
    replies,
    reply_tokens,
)
from weighbridge.evidence import Call, Ending, Observation, RunFacts
from weighbridge.scenario import Scenario
from weighbridge.suite import Rule
from weighbridge.verdict import Finding, Outcome, roll_up

SCRIPT = Scenario(text=TEXT, prompt_tokens=12, completion_tokens=9)


def _reply(**changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1764000000,
        "model": MODEL,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 9, "total_tokens": 21},
    }
    return body | changes


def _choice(**changes: Any) -> list[dict[str, Any]]:
    return [_reply()["choices"][0] | changes]


def _usage(**changes: Any) -> dict[str, Any]:
    usage: dict[str, Any] = _reply()["usage"] | changes
    return usage


RULES: dict[str, Rule] = {
    "json": replies.is_json_200,
    "id": replies.has_id,
    "object": replies.is_completion,
    "created": replies.created_is_now,
    "model": replies.echoes_model,
    "names": replies.names_a_model,
    "choices": replies.has_choices,
    "assistant": replies.speaks_as_assistant,
    "finish": replies.finish_is_known,
    "usage": reply_tokens.counts_tokens,
    "total": reply_tokens.totals_add_up,
    "upstream usage": reply_tokens.usage_is_the_upstreams,
    "text": replies.text_is_the_upstreams,
    "one body": replies.not_streamed,
}
BENIGN = {
    "plain": _reply(),
    "more members": _reply(system_fingerprint="fp", service_tier="default"),
    "other id": _reply(id="gen-123"),
    "details": _reply(usage=_usage(prompt_tokens_details={"cached_tokens": 0})),
}
WRONG: dict[str, list[dict[str, Any] | str]] = {
    "json": ["<html>", "[1]"],
    "id": [_reply(id=""), _reply(id=7)],
    "object": [_reply(object="text_completion")],
    "created": [_reply(created=1764000000000), _reply(created="now"), _reply(created=1764000000.5)],
    "model": [_reply(model="gpt-5.4")],
    "names": [_reply(model=None)],
    "choices": [_reply(choices=[]), _reply(choices=_choice(index=1))],
    "assistant": [_reply(choices=_choice(message={"role": "user", "content": "x"}))],
    "finish": [
        _reply(choices=_choice(finish_reason="end_turn")),
        _reply(choices=_choice(finish_reason=None)),
    ],
    "usage": [
        _reply(usage=None),
        _reply(usage=_usage(total_tokens="21")),
        _reply(usage=_usage(prompt_tokens=True)),
    ],
    "total": [_reply(usage=_usage(total_tokens=22))],
    "upstream usage": [_reply(usage=_usage(prompt_tokens=11, total_tokens=20))],
    "text": [_reply(choices=_choice(message={"role": "assistant", "content": TEXT[:-1]}))],
}


@pytest.mark.parametrize("variant", BENIGN)
@pytest.mark.parametrize("rule", RULES)
def test_an_odd_but_right_reply_is_spared(rule: str, variant: str) -> None:
    finding = RULES[rule](call(BENIGN[variant], scenario=SCRIPT))
    assert finding.outcome is Outcome.MET, finding.message


@pytest.mark.parametrize(
    ("rule", "number"), [(name, i) for name, bodies in WRONG.items() for i in range(len(bodies))]
)
def test_a_wrong_reply_is_caught_by_its_rule(rule: str, number: int) -> None:
    finding = RULES[rule](call(WRONG[rule][number], scenario=SCRIPT))
    assert finding.outcome is Outcome.BROKEN, finding.message


def test_a_refused_call_breaks_acceptance_and_nothing_else() -> None:
    refused = call({"error": {}}, status=400, scenario=SCRIPT)
    assert replies.accepted(refused).outcome is Outcome.BROKEN
    for rule in RULES.values():
        assert rule(refused).outcome is Outcome.NOT_VERIFIED


def test_a_cut_reply_is_not_accepted() -> None:
    assert replies.accepted(call(_reply(), ending=Ending.CLOSED)).outcome is Outcome.BROKEN


def test_two_replies_with_one_id_are_caught() -> None:
    other = call(_reply(id="chatcmpl-2"), id_="w-2")
    assert replies.ids_differ((call(_reply()), call(_reply()))).outcome is Outcome.BROKEN
    assert replies.ids_differ((call(_reply()), other)).outcome is Outcome.MET
    assert replies.ids_differ((call(_reply()),)).outcome is Outcome.NOT_VERIFIED


def _tool(**changes: Any) -> Call:
    tool: dict[str, Any] = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "f", "arguments": '{"a": 1}'},
    } | changes
    message = {"role": "assistant", "content": None, "tool_calls": [tool]}
    body = _reply(choices=_choice(message=message, finish_reason="tool_calls"))
    return call(body, scenario=Scenario(tool="f", args='{"a":1}'))


@pytest.mark.parametrize(
    "changes",
    [
        {"id": ""},
        {"type": "tool"},
        {"function": {"name": "f", "arguments": {"a": 1}}},
        {"function": {"name": "g", "arguments": "{}"}},
    ],
)
def test_a_wrong_tool_call_is_caught(changes: dict[str, Any]) -> None:
    assert replies.carries_tool_call(_tool()).outcome is Outcome.MET
    assert replies.carries_tool_call(_tool(**changes)).outcome is Outcome.BROKEN


def test_a_strangers_model_that_calls_no_tool_is_not_accused() -> None:
    assert replies.carries_tool_call(call(_reply())).outcome is Outcome.NOT_VERIFIED


def test_cached_tokens_must_lie_within_the_prompt() -> None:
    good = _reply(usage=_usage(prompt_tokens_details={"cached_tokens": 12}))
    wrong = _reply(usage=_usage(prompt_tokens_details={"cached_tokens": 13}))
    assert reply_tokens.cached_within_prompt(call(good)).outcome is Outcome.MET
    assert reply_tokens.cached_within_prompt(call(wrong)).outcome is Outcome.BROKEN
    assert reply_tokens.cached_within_prompt(call(_reply())).outcome is Outcome.NOT_APPLICABLE


# ------------------------------------------------------------------ errors
OPENAI = {"error": {"message": "m", "type": "invalid_request_error", "code": "c", "param": None}}


@pytest.mark.parametrize(
    ("body", "envelope", "typed"),
    [
        (OPENAI, Outcome.MET, Outcome.MET),
        ({"type": "error", **OPENAI}, Outcome.MET, Outcome.MET),
        ({"error": {"message": "m", "type": "t", "code": None}}, Outcome.MET, Outcome.MET),
        ({"error": {"message": "m", "type": "t"}}, Outcome.BROKEN, Outcome.MET),
        ({"error": {"message": "", "type": "t", "code": 5}}, Outcome.MET, Outcome.BROKEN),
        ({"detail": "m"}, Outcome.BROKEN, Outcome.NOT_VERIFIED),
        ("plain text", Outcome.BROKEN, Outcome.NOT_VERIFIED),
        ({"error": "m"}, Outcome.BROKEN, Outcome.NOT_VERIFIED),
    ],
)
def test_the_envelope_and_its_members_are_judged_apart(body: Any, envelope: Outcome, typed: Outcome) -> None:
    seen = call(body, status=400)
    assert errors.has_envelope(seen).outcome is envelope
    assert errors.members_are_typed(seen).outcome is typed


def test_the_status_is_judged_without_the_envelope() -> None:
    assert errors.status(401)(call("no", status=401)).outcome is Outcome.MET
    assert errors.status(401)(call(OPENAI, status=403)).outcome is Outcome.BROKEN
    assert errors.status(400, also=(200,))(call(_reply())).outcome is Outcome.ALTERNATIVE


def test_another_5xx_is_an_alternative_to_500() -> None:
    assert errors.server_error(call(OPENAI, status=500)).outcome is Outcome.MET
    assert errors.server_error(call(OPENAI, status=502)).outcome is Outcome.ALTERNATIVE
    assert errors.server_error(call(OPENAI, status=400)).outcome is Outcome.BROKEN
    assert errors.server_error(call("", status=None)).outcome is Outcome.BROKEN


def test_a_leaked_secret_is_caught() -> None:
    script = Scenario(fault="status", status=500, message=UPSTREAM_SECRET)
    text = {"error": {"message": f"upstream said {UPSTREAM_SECRET}"}}
    leaked = call(text, status=500, scenario=script, upstream=(post(),))
    in_header = call(OPENAI, status=500, upstream=(post(),), headers=(("X-Upstream", UPSTREAM_SECRET),))
    spared = call(OPENAI, status=500, scenario=script, upstream=(post(),))
    assert message_upstream.hides_upstream_key(in_header).outcome is Outcome.BROKEN
    assert message_upstream.hides_upstream_key(leaked).outcome is Outcome.BROKEN
    assert message_upstream.hides_upstream_key(spared).outcome is Outcome.MET
    echoed = call({"error": {"message": f"bad key {UNKNOWN_KEY}"}}, status=401)
    assert errors.keeps_key_out_of_body(echoed).outcome is Outcome.BROKEN
    masked = call({"error": {"message": "bad key sk-w***0000"}}, status=401)
    assert errors.keeps_key_out_of_body(masked).outcome is Outcome.MET


# ------------------------------------------------------------------ upstream posts
def test_posts_are_counted_by_call() -> None:
    once, twice = call(_reply(), upstream=(post(),)), call(_reply(), upstream=(post(), post(seq=2)))
    assert posts.exactly(1)(once).outcome is Outcome.MET
    assert posts.exactly(1)(twice).outcome is Outcome.BROKEN
    assert "1.00 s after" in posts.exactly(1)(twice).observed
    assert posts.exactly(1)(call(_reply(), upstream=())).outcome is Outcome.BROKEN
    assert posts.exactly(1)(call(_reply())).missing == "upstream"


def test_a_client_that_left_early_is_no_lost_call_and_a_second_post_is_a_retry() -> None:
    script = Scenario(ttft_ms=1000)
    early = call("", status=None, upstream=(), ending=Ending.LEFT, scenario=script)
    early = replace(early, exchange=replace(early.exchange, head_at=None))
    assert posts.none_after_leaving(early).outcome is Outcome.NOT_APPLICABLE
    assert posts.none_after_leaving(replace(early, upstream=(post(),))).outcome is Outcome.MET
    assert posts.none_after_leaving(replace(early, upstream=(post(), post(seq=2)))).outcome is Outcome.BROKEN
    begun = call("", upstream=(), ending=Ending.LEFT, scenario=script)
    begun = replace(begun, exchange=replace(begun.exchange, head_at=0.01))
    assert posts.none_after_leaving(begun).outcome is Outcome.NOT_VERIFIED
    assert posts.none_after_leaving(call("", ending=Ending.LEFT)).missing == "upstream"


@pytest.mark.parametrize(
    ("seen", "outcome"),
    [
        (call({"error": {}}, status=429, upstream=()), Outcome.NOT_VERIFIED),
        (call({"error": {}}, status=500, upstream=(post(),)), Outcome.NOT_VERIFIED),
        (call(ROLE, streamed=True, upstream=(post(),)), Outcome.NOT_VERIFIED),
        (call(GOOD, streamed=True, upstream=(post(),)), Outcome.NOT_APPLICABLE),
    ],
    ids=["refused", "failed", "broken-off", "over-before-it-could-be-left"],
)
def test_a_call_that_nobody_left_says_nothing_about_retries_after_leaving(
    seen: Call, outcome: Outcome
) -> None:
    found = posts.none_after_leaving(seen)
    assert found.outcome is outcome
    assert roll_up(posts.if_somebody_left([found])).outcome is Outcome.NOT_VERIFIED
    left = posts.none_after_leaving(call("", ending=Ending.LEFT, upstream=(post(),)))
    assert posts.if_somebody_left([found, left]) == [found, left]


def test_a_refused_call_must_reach_nobody() -> None:
    assert posts.none_if_refused(call(OPENAI, status=400, upstream=())).outcome is Outcome.MET
    assert posts.none_if_refused(call(OPENAI, status=400, upstream=(post(),))).outcome is Outcome.BROKEN
    assert posts.none_if_refused(call(_reply(), upstream=(post(),))).outcome is Outcome.NOT_VERIFIED


def test_identical_calls_must_not_share_a_post() -> None:
    pair = (call(_reply(), upstream=(post(),)), call(_reply(), upstream=(post(),)))
    assert posts.one_each(pair, "identical")[0].outcome is Outcome.BROKEN
    both = tuple(call(_reply(), upstream=(post(), post(seq=2))) for _ in range(2))
    assert posts.one_each(both, "identical")[0].outcome is Outcome.MET


def test_a_changed_member_is_caught_on_its_way_upstream() -> None:
    rule = posts.passes_through("seed", "stop")
    sent = {"seed": 1, "stop": ["a"], "temperature": 1}
    assert rule(call(_reply(), request=sent, upstream=(post(body=sent),))).outcome is Outcome.MET
    same_by_value = {**sent, "seed": 1.0}
    assert rule(call(_reply(), request=sent, upstream=(post(body=same_by_value),))).outcome is Outcome.MET
    for wrong in ({"seed": 2, "stop": ["a"]}, {"seed": 1}):
        assert rule(call(_reply(), request=sent, upstream=(post(body=wrong),))).outcome is Outcome.BROKEN


def test_turns_must_arrive_in_order_whatever_their_form() -> None:
    turns = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    blocks = [{"role": t["role"], "content": [{"type": "text", "text": t["content"]}]} for t in turns]
    sent = {"messages": turns}

    def judged(arrived: Any) -> Outcome:
        return posts.turns_in_order(
            call(_reply(), request=sent, upstream=(post(body={"messages": arrived}),))
        ).outcome

    assert judged(turns) is Outcome.MET
    assert judged(blocks) is Outcome.MET
    assert judged(turns[::-1]) is Outcome.BROKEN
    assert judged(turns[-1:]) is Outcome.BROKEN


def test_a_provider_that_is_kept_working_is_caught() -> None:
    def left_at(seconds: float | None) -> Call:
        moment = None if seconds is None else post().arrived_ns + int(seconds * 1e9)
        gone = replace(post(ending="caller_left"), caller_left_ns=moment)
        left = call("data: x\n\n", ending=Ending.LEFT, upstream=(gone,))
        return replace(left, exchange=replace(left.exchange, ended_at=0.4))

    kept = call("data: x\n\n", ending=Ending.LEFT, upstream=(post(ending="complete"),))
    assert posts.upstream_stopped(left_at(0.5)).outcome is Outcome.MET
    assert posts.upstream_stopped(left_at(2.3)).outcome is Outcome.MET
    assert posts.upstream_stopped(left_at(2.5)).outcome is Outcome.BROKEN
    assert posts.upstream_stopped(left_at(None)).outcome is Outcome.NOT_VERIFIED
    assert posts.upstream_stopped(kept).outcome is Outcome.BROKEN


# ------------------------------------------------------------------ accounts and groups
FACTS = RunFacts(rates={MODEL: {"input": 5_000_000, "output": 30_000_000}})


def _refusals(*calls: Call, gone: int = 0) -> Finding:
    readings = (reading(100, "before", label="bad"), reading(100 - gone, "after", label="bad"))
    return failure_billing.refusals_cost_nothing(Observation("p", calls, readings), FACTS, "bad", ("plain",))


def test_refused_calls_must_not_move_the_balance() -> None:
    refused = call(OPENAI, status=400)
    assert _refusals(refused).outcome is Outcome.MET
    assert _refusals(refused, gone=1).outcome is Outcome.BROKEN
    served = call(_reply())
    due = 12 * 5_000_000 + 9 * 30_000_000
    assert _refusals(refused, served, gone=due).outcome is Outcome.MET
    assert _refusals(refused, served, gone=due + 1).outcome is Outcome.BROKEN
    assert _refusals(call(_reply())).outcome is Outcome.NOT_VERIFIED


def _burst(*statuses: int) -> Observation:
    return Observation("p", tuple(call(OPENAI, status=code, situation="group-burst") for code in statuses))


def test_a_limit_that_never_bites_is_caught() -> None:
    assert limits.burst_meets_429(_burst(200, 200, 429)).outcome is Outcome.MET
    assert limits.burst_meets_429(_burst(200, 200, 200)).outcome is Outcome.BROKEN
    assert limits.burst_meets_429(_burst(200, 503, 429)).outcome is Outcome.BROKEN
    assert limits.burst_meets_429(Observation("p")).outcome is Outcome.NOT_VERIFIED


def test_a_stock_client_must_be_able_to_read_the_answer() -> None:
    from weighbridge.checks import openai_sdk

    assert openai_sdk.reads_completion(call(_reply())).outcome is Outcome.MET
    for wrong in (
        _reply(choices=[]),
        _reply(choices=_choice(message=None)),
        _reply(choices=_choice(message={"content": 5})),
    ):
        assert openai_sdk.reads_completion(call(wrong)).outcome is Outcome.BROKEN
    assert openai_sdk.reads_completion(call(_reply(), kind="text/plain")).outcome is Outcome.BROKEN
    tools = _choice(message={"role": "assistant", "content": None, "tool_calls": []})
    assert openai_sdk.reads_completion(call(_reply(choices=tools))).outcome is Outcome.MET
    assert openai_sdk.reads_stream(stream(GOOD)).outcome is Outcome.MET
    assert openai_sdk.reads_stream(stream(GOOD.replace('"delta"', '"message"'))).outcome is Outcome.BROKEN
    assert openai_sdk.reads_stream(stream("data: hello\n\n")).outcome is Outcome.BROKEN
