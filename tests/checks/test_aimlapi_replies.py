"""Rules about AI/ML API replies, headers and streams: each catches its defect and spares the odd but right."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.checks.chat_evidence import DONE, TEXT, call, post
from weighbridge.checks import aimlapi, aimlapi_streams, stream_breaks
from weighbridge.evidence import Call, Ending, Observation
from weighbridge.scenario import Scenario
from weighbridge.suite import Rule
from weighbridge.verdict import Outcome

LONG, SHORT = aimlapi.LISTED_NAMES
COST = {"credits_used": 27222, "usd_spent": 0.013611}
COST_HEADERS = (("X-AIMLAPI-Credits-Used", "27222"), ("x-aimlapi-usd-spent", "0.013611"))
BROKEN = Scenario(fault="reset", after=3)


def _reply(**changes: Any) -> dict[str, Any]:
    return {
        "id": "msg_01",
        "object": "chat.completion",
        "created": 1764000000,
        "model": LONG,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 24, "completion_tokens": 414, "total_tokens": 438},
        "meta": {"usage": COST},
    } | changes


def _choice(**changes: Any) -> list[dict[str, Any]]:
    return [_reply()["choices"][0] | changes]


def _cost(**changes: Any) -> dict[str, Any]:
    return {"usage": COST | changes}


RULES: dict[str, Rule] = {
    "created": aimlapi.created_is_now,
    "model": aimlapi.names_listed_model,
    "choices": aimlapi.choices_are_complete,
    "finish": aimlapi.finish_is_openai_word,
    "cost": aimlapi.cost_is_complete,
    "credits": aimlapi.credits_are_dollars,
}
BENIGN: dict[str, dict[str, Any]] = {
    "plain": _reply(),
    "short name": _reply(model=SHORT),
    "created as a number with a fraction": _reply(created=1764000000.0),
    "content null beside a tool call": _reply(
        choices=_choice(
            message={"role": "assistant", "content": None, "tool_calls": []}, finish_reason="tool_calls"
        )
    ),
    "empty reasoning": _reply(
        choices=_choice(message={"role": "assistant", "content": TEXT, "reasoning_content": ""})
    ),
    "rounded credits": _reply(meta=_cost(credits_used=27223)),
}
WRONG: dict[str, list[dict[str, Any]]] = {
    "created": [_reply(created=1764000000000), _reply(created="now"), _reply(created=True)],
    "model": [_reply(model="gpt-5.5"), _reply(model=None)],
    "choices": [
        _reply(choices=[]),
        _reply(choices=_choice(index=None)),
        _reply(choices=_choice(message={"role": "assistant"})),
        _reply(choices=_choice(message={"content": TEXT})),
        _reply(choices=_choice(finish_reason=None)),
    ],
    "finish": [
        _reply(choices=_choice(finish_reason="tool_use")),
        _reply(choices=_choice(finish_reason=None)),
    ],
    "cost": [_reply(meta={"usage": {"credits_used": 1}}), _reply(meta=_cost(usd_spent="0.013611"))],
    "credits": [_reply(meta=_cost(credits_used=13.611)), _reply(meta=_cost(usd_spent=0.0136))],
}


@pytest.mark.parametrize("variant", BENIGN)
@pytest.mark.parametrize("rule", RULES)
def test_an_odd_but_right_reply_is_spared(rule: str, variant: str) -> None:
    finding = RULES[rule](call(BENIGN[variant]))
    assert finding.outcome is Outcome.MET, finding.message


@pytest.mark.parametrize(
    ("rule", "number"), [(name, i) for name, bodies in WRONG.items() for i in range(len(bodies))]
)
def test_a_wrong_reply_is_caught_by_its_rule(rule: str, number: int) -> None:
    finding = RULES[rule](call(WRONG[rule][number]))
    assert finding.outcome is Outcome.BROKEN, finding.message


def test_a_refused_call_is_judged_by_none_of_them() -> None:
    for rule in RULES.values():
        assert rule(call({"message": "no"}, status=400)).outcome is Outcome.NOT_VERIFIED


def test_the_samples_end_turn_is_noted_and_not_accused() -> None:
    sample = call(_reply(choices=_choice(finish_reason="end_turn")))
    assert aimlapi.finish_is_openai_word(sample).outcome is Outcome.ALTERNATIVE


def test_a_reply_without_a_cost_report_is_not_held_to_its_form() -> None:
    bare = _reply()
    del bare["meta"]
    assert aimlapi.cost_is_complete(call(bare)).outcome is Outcome.NOT_APPLICABLE
    assert aimlapi.credits_are_dollars(call(bare)).outcome is Outcome.NOT_APPLICABLE


def test_a_listed_name_that_is_refused_or_not_configured_is_told_apart() -> None:
    served = replace(call(_reply()), model=LONG)
    refused = replace(call({}, status=400), model=SHORT)
    both = Observation("p", (served, refused))
    assert aimlapi.serves(both, LONG).outcome is Outcome.MET
    assert aimlapi.serves(both, SHORT).outcome is Outcome.BROKEN
    whole = replace(call(_reply()), model=SHORT)
    unstreamed = Observation("p", (whole, replace(refused, streamed=True)))
    assert aimlapi.serves(unstreamed, SHORT).outcome is Outcome.BROKEN
    missing = aimlapi.serves(Observation("p", (served,)), SHORT)
    assert missing.outcome is Outcome.NOT_VERIFIED
    assert missing.missing is not None


# ------------------------------------------------------------------ headers
def test_a_response_without_inference_id_is_caught_whatever_its_status() -> None:
    tagged = (("X-Inference-Id", "inf-1"),)
    assert aimlapi.has_inference_id(call({}, status=404, headers=tagged)).outcome is Outcome.MET
    assert aimlapi.has_inference_id(call({}, status=404)).outcome is Outcome.BROKEN
    nothing = call("", status=None, ending=Ending.RESET)
    assert aimlapi.has_inference_id(nothing).outcome is Outcome.NOT_VERIFIED


def _traced(sent: str, back: str | None, *, status: int = 200) -> Call:
    headers = () if back is None else (("x-client-request-id", back),)
    made = call(_reply(), status=status, headers=headers)
    request = replace(made.exchange.request, headers=(("X-Client-Request-Id", sent),))
    return replace(made, exchange=replace(made.exchange, request=request))


def test_a_valid_id_must_come_back_as_sent() -> None:
    assert aimlapi.echoes_client_id(_traced("a.b", "a.b")).outcome is Outcome.MET
    assert aimlapi.echoes_client_id(_traced("a.b", "a.b", status=400)).outcome is Outcome.MET
    assert aimlapi.echoes_client_id(_traced("a.B", "a.b")).outcome is Outcome.BROKEN
    assert aimlapi.echoes_client_id(_traced("a.b", None)).outcome is Outcome.BROKEN


def test_an_invalid_id_must_neither_come_back_nor_fail_the_call() -> None:
    assert aimlapi.drops_client_id(_traced("a b", None)).outcome is Outcome.MET
    assert aimlapi.drops_client_id(_traced("a b", "made-by-the-gateway")).outcome is Outcome.MET
    assert aimlapi.drops_client_id(_traced("a b", "a b")).outcome is Outcome.BROKEN
    assert aimlapi.drops_client_id(_traced("x" * 129, "x" * 128)).outcome is Outcome.BROKEN
    assert aimlapi.drops_client_id(_traced("two words", "Two_words")).outcome is Outcome.BROKEN
    assert aimlapi.drops_client_id(_traced("a b", None, status=400)).outcome is Outcome.BROKEN


def test_cost_headers_belong_to_plain_answers_only() -> None:
    assert aimlapi.cost_headers_fit(call(_reply(), headers=COST_HEADERS)).outcome is Outcome.MET
    assert aimlapi.cost_headers_fit(call(_reply(), headers=COST_HEADERS[:1])).outcome is Outcome.BROKEN
    words = (("x-aimlapi-credits-used", "many"), COST_HEADERS[1])
    assert aimlapi.cost_headers_fit(call(_reply(), headers=words)).outcome is Outcome.BROKEN
    assert aimlapi.cost_headers_fit(_stream(GOOD)).outcome is Outcome.MET
    assert aimlapi.cost_headers_fit(_stream(GOOD, headers=COST_HEADERS)).outcome is Outcome.BROKEN


# ------------------------------------------------------------------ streams
def _chunk(delta: dict[str, Any] | None, finish: str | None = None, **more: Any) -> str:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    document: dict[str, Any] = {
        "id": "msg_01",
        "object": "chat.completion.chunk",
        "created": 1764000000,
        "model": LONG,
        "choices": choices,
    }
    return f"data: {json.dumps(document | more)}\n\n"


def _stream(text: str, **options: Any) -> Call:
    return call(text, kind="text/event-stream", streamed=True, **options)


OPENING = _chunk({"role": "assistant", "content": ""})
WORDS = _chunk({"content": TEXT})
FINISH = _chunk({}, "stop")
PRICE = _chunk(None, meta={"usage": COST})
FLAT_ERROR = f"data: {json.dumps({'message': 'broke', 'statusCode': 502})}\n\n"
GOOD = OPENING + WORDS + FINISH + PRICE


@pytest.mark.parametrize(
    "text", [GOOD, GOOD + DONE, OPENING + WORDS + _chunk({}, "stop", meta={"usage": COST})]
)
def test_a_stream_may_end_with_or_without_the_marker(text: str) -> None:
    for rule in (
        aimlapi_streams.chunks_are_complete,
        aimlapi_streams.identity_is_stable,
        aimlapi_streams.done_is_told,
        aimlapi.last_chunk_has_cost,
        aimlapi.cost_is_complete,
        aimlapi.credits_are_dollars,
    ):
        finding = rule(_stream(text))
        assert finding.outcome is Outcome.MET, finding.message


def test_the_other_listed_name_in_all_chunks_is_as_good() -> None:
    assert aimlapi_streams.identity_is_stable(_stream(GOOD.replace(LONG, SHORT))).outcome is Outcome.MET


@pytest.mark.parametrize("wrong", [{"id": "msg_02"}, {"created": 1764000001}, {"model": SHORT}])
def test_an_identity_that_changes_is_caught(wrong: dict[str, Any]) -> None:
    text = OPENING + _chunk({"content": TEXT}, **wrong) + FINISH
    assert aimlapi_streams.identity_is_stable(_stream(text)).outcome is Outcome.BROKEN


@pytest.mark.parametrize(
    "wrong",
    [{"object": "chat.completion"}, {"id": ""}, {"created": "now"}, {"model": None}, {"choices": None}],
)
def test_a_chunk_without_a_documented_member_is_caught(wrong: dict[str, Any]) -> None:
    text = OPENING + _chunk({"content": TEXT}, **wrong) + FINISH
    assert aimlapi_streams.chunks_are_complete(_stream(text)).outcome is Outcome.BROKEN


def test_an_event_that_is_no_json_is_caught() -> None:
    text = OPENING + "data: hello\n\n" + FINISH
    assert aimlapi_streams.chunks_are_complete(_stream(text)).outcome is Outcome.BROKEN


@pytest.mark.parametrize("text", [OPENING + WORDS + FINISH, PRICE + OPENING + WORDS + FINISH])
def test_a_last_chunk_without_the_cost_is_caught(text: str) -> None:
    assert aimlapi.last_chunk_has_cost(_stream(text)).outcome is Outcome.BROKEN


BREAK_RULES = (
    stream_breaks.is_signalled,
    stream_breaks.finish_is_not_made_up,
    stream_breaks.done_is_not_the_only_word,
)


@pytest.mark.parametrize(
    ("end", "ending", "broken"),
    [
        ("", Ending.RESET, set()),
        ("", Ending.COMPLETE, set()),
        (FLAT_ERROR, Ending.COMPLETE, set()),
        (FINISH, Ending.CLOSED, set()),
        (FINISH + FLAT_ERROR, Ending.COMPLETE, set()),
        (FLAT_ERROR + DONE, Ending.COMPLETE, set()),
        (FINISH, Ending.COMPLETE, {0}),
        (FINISH + FLAT_ERROR + DONE, Ending.COMPLETE, {1}),
        (DONE, Ending.CLOSED, {2}),
        (FINISH + DONE, Ending.COMPLETE, {0, 1, 2}),
    ],
)
def test_a_broken_stream_is_three_facts(end: str, ending: Ending, broken: set[int]) -> None:
    reply = replace(_stream(OPENING + WORDS + end, scenario=BROKEN, ending=ending), surface="aimlapi")
    found = [rule(reply).outcome for rule in BREAK_RULES]
    assert {index for index, outcome in enumerate(found) if outcome is Outcome.BROKEN} == broken


def test_a_break_answered_with_an_error_status_is_no_stream_at_all() -> None:
    refused = call({}, status=502, scenario=BROKEN)
    assert {rule(refused).outcome for rule in BREAK_RULES} == {Outcome.MET}
    assert {rule(_stream(GOOD)).outcome for rule in BREAK_RULES} == {Outcome.NOT_VERIFIED}


# ------------------------------------------------------------------ stop sequences
WHOLE = "One thing. Another thing. The end."


def _cut(text: str, *, wired: bool = True, sequences: tuple[str, ...] = ("#", ". ")) -> Observation:
    def said(words: str, name: str) -> Call:
        message = {"role": "assistant", "content": words}
        return call(
            _reply(choices=_choice(message=message)),
            situation=name,
            request={"stop_sequences": list(sequences)},
            upstream=(post(),) if wired else None,
        )

    return Observation("p", (said(WHOLE, "unstopped"), said(text, "stopped")))


@pytest.mark.parametrize("text", ["One thing", "One thing. "])
def test_a_text_cut_at_the_first_sequence_is_right(text: str) -> None:
    assert [f.outcome for f in aimlapi.stops_at_first(_cut(text))] == [Outcome.MET]


@pytest.mark.parametrize("text", [WHOLE, "One thing. Another thing", "", "One"])
def test_a_text_cut_elsewhere_is_caught(text: str) -> None:
    assert [f.outcome for f in aimlapi.stops_at_first(_cut(text))] == [Outcome.BROKEN]


def test_stop_sequences_are_not_judged_where_nothing_can_be_known() -> None:
    unknown = aimlapi.stops_at_first(_cut("One thing", wired=False))
    absent = aimlapi.stops_at_first(_cut(WHOLE, sequences=("#",)))
    nothing = aimlapi.stops_at_first(Observation("p", missing=(("*", "upstream"),)))
    assert {f.outcome for f in (*unknown, *absent, *nothing)} == {Outcome.NOT_VERIFIED}


# ------------------------------------------------------------------ thinking
def _thought(message: dict[str, Any]) -> Call:
    return call(_reply(choices=_choice(message=message)), upstream=(post(),))


@pytest.mark.parametrize(
    "message",
    [
        {"content": TEXT, "reasoning_content": "Hm."},
        {"content": TEXT, "thinking": "Hm."},
        {"content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": TEXT}]},
    ],
)
def test_thinking_is_found_where_clients_look(message: dict[str, Any]) -> None:
    assert aimlapi.shows_thinking(_thought(message)).outcome is Outcome.MET


@pytest.mark.parametrize(
    "message",
    [
        {"content": TEXT},
        {"content": TEXT, "reasoning_content": ""},
        {"content": "", "reasoning_content": "Hm."},
        {"content": [{"type": "text", "text": TEXT}, {"type": "thinking", "thinking": "Hm."}]},
    ],
)
def test_thinking_that_is_lost_or_late_is_caught(message: dict[str, Any]) -> None:
    assert aimlapi.shows_thinking(_thought(message)).outcome is Outcome.BROKEN


def test_streamed_thinking_comes_before_the_answer() -> None:
    thought = _chunk({"reasoning_content": "Hm."})
    wired = {"upstream": (post(),)}
    right = _stream(OPENING + thought + WORDS + FINISH, **wired)
    late = _stream(OPENING + WORDS + thought + FINISH, **wired)
    lost = _stream(OPENING + WORDS + FINISH, **wired)
    assert aimlapi.shows_thinking(right).outcome is Outcome.MET
    assert aimlapi.shows_thinking(late).outcome is Outcome.BROKEN
    assert aimlapi.shows_thinking(lost).outcome is Outcome.BROKEN
    assert aimlapi.shows_thinking(_stream(GOOD)).outcome is Outcome.NOT_VERIFIED
