"""Requests combined from documented members: which member a refusal is laid to, and what is drawn."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.checks.chat_evidence import call
from weighbridge.checks.combinations import EFFORTS, VALID, accepted_in_conversation, accepted_with, ranges_of
from weighbridge.evidence import Call, Observation
from weighbridge.probes.chat_combinations import VIOLATIONS, Combination, members, without_needless
from weighbridge.verdict import Finding, Outcome

_USER = {"role": "user", "content": "Say hello."}
_REFUSAL = {"error": {"code": "INVALID_REQUEST", "message": "no"}}


def _combined(status: int, *, turns: int = 1, role: str = "openai", **chosen: Any) -> Call:
    request = {"model": "m", "messages": [_USER] * turns, **chosen}
    body = {"id": "x"} if status == 200 else _REFUSAL
    return call(body, status=status, request=request, situation=VALID, role=role)


def _seen(*calls: Call) -> Observation:
    return Observation("chat_combinations", calls=calls)


def _outcomes(findings: list[Finding]) -> set[Outcome]:
    return {finding.outcome for finding in findings}


def test_a_refusal_is_laid_to_the_members_of_the_smallest_refused_request() -> None:
    seen = _seen(
        _combined(200, temperature=1.0),
        _combined(400, top_p=0.5, temperature=1.0, frequency_penalty=1.0),
        _combined(400, top_p=0.5),
        _combined(200, frequency_penalty=1.0),
    )
    assert _outcomes(accepted_with(seen, "top_p", "openai")) == {Outcome.BROKEN}
    assert _outcomes(accepted_with(seen, "temperature", "openai")) == {Outcome.MET}
    assert _outcomes(accepted_with(seen, "frequency_penalty", "openai")) == {Outcome.MET}
    assert len(accepted_with(seen, "top_p", "openai")) == 1


def test_a_member_of_one_family_is_not_blamed_for_the_other() -> None:
    seen = _seen(_combined(400, role="anthropic", temperature=0.5), _combined(200, temperature=0.5))
    assert _outcomes(accepted_with(seen, "temperature", "openai")) == {Outcome.MET}
    assert _outcomes(accepted_with(seen, "temperature", "anthropic")) == {Outcome.BROKEN}


def test_a_sister_model_counts_for_its_family() -> None:
    seen = _seen(_combined(400, role="anthropic_sonnet", temperature=0.5))
    assert _outcomes(accepted_with(seen, "temperature", "anthropic")) == {Outcome.BROKEN}


def test_without_a_model_of_the_family_nothing_is_verified() -> None:
    findings = accepted_with(_seen(_combined(200, top_p=0.5)), "temperature", "anthropic")
    assert [(item.outcome, item.missing) for item in findings] == [(Outcome.NOT_VERIFIED, "models.anthropic")]


def test_earlier_turns_are_blamed_only_where_the_smallest_refused_request_has_them() -> None:
    long = _seen(_combined(200, top_p=0.1), _combined(400, turns=3))
    assert _outcomes(accepted_in_conversation(long)) == {Outcome.BROKEN}
    other = _seen(
        _combined(400, top_p=0.1), _combined(400, turns=3, top_p=0.1, temperature=1), _combined(200, turns=3)
    )
    assert _outcomes(accepted_in_conversation(other)) == {Outcome.MET}


@pytest.mark.parametrize("family", ["openai", "anthropic"])
@settings(max_examples=50, database=None, deadline=None)
@given(data=st.data())
def test_what_is_drawn_as_valid_is_within_the_documented_ranges(family: str, data: st.DataObject) -> None:
    ranges = ranges_of(family)
    for name, values in members(family).items():
        value = data.draw(values)
        if name in ranges:
            low, high = ranges[name]
            assert low <= value <= high
        else:
            assert value in EFFORTS or 1 <= value <= 4_096


@pytest.mark.parametrize("situation", [name for name, item in VIOLATIONS.items() if item.values is not None])
@settings(max_examples=50, database=None, deadline=None)
@given(data=st.data())
def test_what_is_drawn_as_wrong_is_wrong(situation: str, data: st.DataObject) -> None:
    violation = VIOLATIONS[situation]
    assert violation.values is not None
    for family in violation.families:
        value = data.draw(violation.values(ranges_of(family)))
        bounds = ranges_of(family).get(violation.member)
        if bounds is not None:
            assert not bounds[0] <= value <= bounds[1]
        elif violation.member == "max_tokens" and isinstance(value, (int, float)):
            assert value < 1 or value != int(value)
        elif violation.member == "max_tokens":
            assert isinstance(value, (str, list, dict))
        elif violation.member == "messages":
            assert not isinstance(value, list)
        elif violation.member == "reasoning_effort":
            assert value not in EFFORTS


def test_a_refused_request_loses_what_it_is_refused_without() -> None:
    """It is refused for one value, or for two that meet; the rest goes."""
    whole = Combination(
        "openai", {"top_p": 0.123, "temperature": 1.0, "presence_penalty": 2}, [_USER], stream=True
    )

    def fine(combination: Combination) -> bool:
        return combination.chosen.get("top_p") != 0.123

    def meeting(combination: Combination) -> bool:
        return not {"top_p", "temperature"} <= set(combination.chosen)

    def conversations(combination: Combination) -> bool:
        return not combination.turns

    assert without_needless(whole, fine) == Combination("openai", {"top_p": 0.123}, [], stream=False)
    assert set(without_needless(whole, meeting).chosen) == {"top_p", "temperature"}
    assert without_needless(whole, conversations) == Combination("openai", {}, [_USER], stream=False)
