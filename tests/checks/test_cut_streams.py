"""Money of a stream that was cut: each ending sets its bounds, and a leaver's hold comes back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.checks import chat_evidence
from tests.checks.chat_evidence import DONE, FINISH, FIRST, GOOD, ROLE
from tests.checks.message_evidence import post
from weighbridge.checks import cut_streams
from weighbridge.checks.books import State, state_of
from weighbridge.evidence import Call, Ending, Observation, Reading, RunFacts, UpstreamCall
from weighbridge.scenario import Scenario
from weighbridge.verdict import Finding, Outcome, roll_up

MODEL = "claude-opus-4-8"
FACTS = RunFacts(rates={MODEL: {"input": 5, "output": 25}, chat_evidence.MODEL: {"input": 5, "output": 25}})
#: 1000 tokens in at 5 and 200 out at 25.
PRICE = 10_000
STAGE = "left-before-end"


def _event(kind: str, **members: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n"


START = _event("message_start", message={"usage": {"input_tokens": 1000}})
PIECE = _event("content_block_delta", index=0, delta={"type": "text_delta", "text": "weighed"})
DELTA = _event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 200})
STOP = _event("message_stop")
ERROR = _event("error", error={"type": "api_error", "message": "broke off"})


def seen(surface: str, body: str, ending: Ending = Ending.COMPLETE, status: int = 200) -> Call:
    found = chat_evidence.call(
        body,
        status=status,
        ending=ending,
        streamed=True,
        situation=STAGE,
        started=1.0,
        scenario=Scenario(prompt_tokens=1000, completion_tokens=200),
    )
    return replace(found, surface=surface, model=MODEL, role="anthropic")


ENDINGS: dict[str, tuple[Call, State]] = {
    "a message to its stop": (seen("messages", START + PIECE + DELTA + STOP), State.OK),
    "a message whose reader hung up at the stop": (
        seen("messages", START + PIECE + DELTA + STOP, Ending.LEFT),
        State.OK,
    ),
    "a message left in its text": (seen("messages", START + PIECE, Ending.LEFT), State.INDETERMINATE),
    "a message left behind its stop_reason": (
        seen("messages", START + PIECE + DELTA, Ending.LEFT),
        State.INDETERMINATE,
    ),
    "a message that just ends behind its stop_reason": (
        seen("messages", START + PIECE + DELTA),
        State.INDETERMINATE,
    ),
    "a message told as broken behind its stop_reason": (
        seen("messages", START + PIECE + DELTA + ERROR),
        State.ERROR,
    ),
    "a message that just ends in its text": (seen("messages", START + PIECE), State.ERROR),
    "a message left before the blank line behind its stop": (
        seen("messages", START + PIECE + DELTA + STOP.removesuffix("\n"), Ending.LEFT),
        State.INDETERMINATE,
    ),
    "a chat left before the blank line behind its end": (
        seen("chat", GOOD.removesuffix("\n"), Ending.LEFT),
        State.INDETERMINATE,
    ),
    "a call that failed before its stream": (seen("messages", "", status=500), State.ERROR),
    "a chat whose reader hung up at the end": (seen("chat", GOOD, Ending.LEFT), State.OK),
    "a chat left behind its finish": (
        seen("chat", ROLE + FIRST + FINISH, Ending.LEFT),
        State.INDETERMINATE,
    ),
    "a vendor's chat without the end mark": (seen("aimlapi", ROLE + FIRST + FINISH), State.OK),
    "a vendor's chat with an error in it": (
        seen("aimlapi", ROLE + FIRST + 'data: {"message": "broke"}\n\n' + FINISH + DONE),
        State.ERROR,
    ),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_what_a_stream_came_to_decides_what_it_may_cost(name: str) -> None:
    found, state = ENDINGS[name]
    assert state_of(found) is state


def judged(found: Call, gone: int, *, at_most: bool = False) -> Finding:
    first, last = (
        Reading(f"{STAGE}/anthropic", moment, found.surface, "fresh", amount, at)
        for moment, amount, at in (("before", 10**6, 0.0), ("after", 10**6 - gone, 9.0))
    )
    observation = Observation("p", calls=(found,), readings=(first, last))
    (finding,) = cut_streams.charged_as_it_ended(observation, FACTS, STAGE, at_most=at_most)
    return finding


WHOLE, _ = ENDINGS["a message whose reader hung up at the stop"]
HALF, _ = ENDINGS["a message left in its text"]
TOLD, _ = ENDINGS["a message told as broken behind its stop_reason"]


@pytest.mark.parametrize(
    ("found", "gone", "outcome", "kind"),
    [
        (WHOLE, PRICE, Outcome.MET, ""),
        (WHOLE, 0, Outcome.BROKEN, "missing"),
        (WHOLE, 2 * PRICE, Outcome.BROKEN, "duplicated"),
        (HALF, 0, Outcome.MET, ""),
        (HALF, PRICE // 3, Outcome.MET, ""),
        (HALF, 2 * PRICE, Outcome.BROKEN, "duplicated"),
        (HALF, PRICE + 7, Outcome.BROKEN, "wrong amount"),
        (TOLD, 0, Outcome.MET, ""),
        (TOLD, PRICE, Outcome.BROKEN, "charged though failed"),
    ],
)
def test_a_charge_outside_its_bounds_is_classed(found: Call, gone: int, outcome: Outcome, kind: str) -> None:
    finding = judged(found, gone)
    assert finding.outcome is outcome
    assert kind in finding.observed


def test_too_little_is_another_rows_matter_where_only_the_most_is_asked() -> None:
    assert judged(WHOLE, 0, at_most=True).outcome is Outcome.MET
    assert judged(WHOLE, 2 * PRICE, at_most=True).outcome is Outcome.BROKEN


def test_a_record_without_the_stages_says_so_and_passes_nothing() -> None:
    older = Observation("p", calls=(replace(WHOLE, situation="left"),))
    (finding,) = cut_streams.charged_as_it_ended(older, FACTS, STAGE)
    assert (finding.outcome, finding.inside_scope) == (Outcome.NOT_VERIFIED, False)
    (finding,) = cut_streams.over_stages(older, (STAGE,), lambda _: finding)
    assert finding.missing == "a record of these stages"


def test_no_stage_stands_for_another_that_is_not_recorded() -> None:
    seen_one = Observation("p", calls=(WHOLE,))
    met = Finding(Outcome.MET)
    found = cut_streams.over_stages(seen_one, (STAGE, "left"), lambda _: met)
    assert found[0] is met
    assert [item.missing for item in found[1:]] == ["a record of these stages"]
    assert roll_up(found).outcome is Outcome.NOT_VERIFIED


@pytest.mark.parametrize(
    ("upstream", "gone", "outcome"),
    [
        (None, 0, Outcome.MET),
        ((post(),), 0, Outcome.MET),
        ((post(status=None),), 0, Outcome.MET),
        ((), 0, Outcome.NOT_VERIFIED),
        ((post(status=429),), 0, Outcome.NOT_VERIFIED),
        ((), PRICE, Outcome.BROKEN),
        ((post(status=429),), PRICE, Outcome.BROKEN),
    ],
    ids=[
        "unseen",
        "begun",
        "waiting",
        "refused-here",
        "refused-there",
        "refused-here-charged",
        "refused-there-charged",
    ],
)
def test_that_a_call_no_provider_began_to_answer_is_free_proves_nothing(
    upstream: tuple[UpstreamCall, ...] | None, gone: int, outcome: Outcome
) -> None:
    refused = replace(seen("messages", "", status=429), upstream=upstream)
    assert judged(refused, gone, at_most=True).outcome is outcome


def test_what_a_whole_answer_costs_is_not_told_by_streams_that_nobody_held_to_the_end() -> None:
    half, whole = Observation("p", calls=(HALF,)), Observation("p", calls=(HALF, WHOLE))
    assert cut_streams.some_whole(whole, STAGE) == []
    (finding,) = cut_streams.some_whole(half, STAGE)
    assert (finding.outcome, finding.inside_scope) == (Outcome.NOT_VERIFIED, True)


def test_a_stage_that_could_not_be_reached_is_told() -> None:
    contaminated = Observation("p", calls=(), contaminated=(STAGE,))
    (finding,) = cut_streams.charged_as_it_ended(contaminated, FACTS, STAGE)
    assert "contaminated" in finding.observed
