"""What is no fault of the target's is held against nobody, and what was not observed passes nowhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.checks.chat_evidence import GOOD, MODEL, call, post, reading, stream
from weighbridge.checks import (
    errors,
    failure_billing,
    limits,
    message_errors,
    posts,
    replies,
    stream_breaks,
)
from weighbridge.checks.books import CROWDED, books_agree, crowd_agrees
from weighbridge.engine import join, never_seen
from weighbridge.evidence import (
    Call,
    Chunk,
    Ending,
    Exchange,
    Observation,
    Request,
    Response,
    RunFacts,
    UpstreamCall,
)
from weighbridge.redaction import Secrets
from weighbridge.retry_after import announced_wait
from weighbridge.scenario import Scenario
from weighbridge.suite import Judge, NotJudged, Violation
from weighbridge.throttling import limited_twice
from weighbridge.verdict import Outcome

ERROR = {"error": {"message": "no", "type": "invalid_request_error", "code": "x"}}
OK = {"usage": {"prompt_tokens": 10, "completion_tokens": 1}}
FACTS = RunFacts(rates={MODEL: {"input": 5, "output": 30}})
PRICE = 10 * 5 + 1 * 30


# ------------------------------------------------------------------ models that the simulator does not see
def _scripted(model: str, number: int) -> Call:
    return replace(call(OK, scenario=Scenario(text="scripted"), id_=f"{model}-{number}"), model=model)


def test_a_model_that_never_reached_the_simulator_has_neither_upstream_nor_script() -> None:
    calls = [_scripted(model, number) for model in ("wired", "elsewhere") for number in (1, 2)]
    seen: dict[str, tuple[UpstreamCall, ...]] = {"wired-1": (post(),)}
    dark = never_seen(calls, seen)
    assert dark == ("elsewhere",)
    joined = join(Observation("p", tuple(calls)), seen, dark)
    assert [(one.model, one.scenario is None, one.upstream) for one in joined] == [
        ("wired", False, (post(),)),
        ("wired", False, ()),
        ("elsewhere", True, None),
        ("elsewhere", True, None),
    ]


def test_a_model_that_was_never_served_is_not_taken_for_one_that_the_simulator_does_not_see() -> None:
    assert never_seen([call(ERROR, status=500, id_="a")], {}) == ()


def test_a_whole_stream_of_a_provider_that_heard_of_no_script_is_no_made_up_ending() -> None:
    healthy = stream(GOOD, scenario=Scenario(fault="reset", after=2), upstream=(post(),))
    (dark,) = join(Observation("p", (replace(healthy, upstream=None),)), {}, (MODEL,))
    for rule in (
        stream_breaks.is_signalled,
        stream_breaks.finish_is_not_made_up,
        stream_breaks.done_is_not_the_only_word,
    ):
        assert rule(healthy).outcome is Outcome.BROKEN
        assert rule(dark).missing == "upstream"


def test_a_break_that_no_provider_was_asked_for_proves_nothing() -> None:
    refused = call(ERROR, status=400, streamed=True, scenario=Scenario(fault="reset"), upstream=())
    assert stream_breaks.is_signalled(refused).outcome is Outcome.NOT_VERIFIED
    assert stream_breaks.is_signalled(replace(refused, upstream=(post(),))).outcome is Outcome.MET


# ------------------------------------------------------------------ a 429 that nobody was after
def _judged(seen: Call) -> Outcome:
    judge = Judge(RunFacts(), limited_twice([Observation("p", (seen,))]))
    try:
        judge.each([seen], errors.status(400))
    except (NotJudged, Violation) as outcome:
        return outcome.finding.outcome
    return judge.verdict().outcome


def test_a_second_unprovoked_429_is_evidence_for_nothing_else() -> None:
    refused = call(ERROR, status=429)
    assert _judged(replace(refused, retried="w-1")) is Outcome.NOT_VERIFIED
    assert _judged(refused) is Outcome.BROKEN
    assert _judged(replace(call(ERROR, status=422), retried="w-1")) is Outcome.BROKEN
    assert _judged(replace(call(ERROR, status=400), retried="w-1")) is Outcome.MET


def test_who_is_told_of_an_empty_account_by_429_is_told_wrongly_however_often() -> None:
    assert _judged(replace(call(ERROR, status=429, situation="broke"), retried="w-1")) is Outcome.BROKEN


# ------------------------------------------------------------------ bursts
def _group_burst(*statuses: int | None, gap: float = 0.0, wait: str | None = None) -> list[Call]:
    headers = () if wait is None else (("Retry-After", wait),)
    return [
        call(
            ERROR if status == 429 else OK,
            status=status,
            situation="group-burst",
            started=number * gap,
            headers=headers if status == 429 else (),
            ending=Ending.RESET if status is None else Ending.COMPLETE,
        )
        for number, status in enumerate(statuses)
    ]


@pytest.mark.parametrize(
    ("burst", "outcome"),
    [
        (_group_burst(*[200] * 11), Outcome.BROKEN),
        (_group_burst(*[200] * 11, gap=0.2), Outcome.NOT_VERIFIED),
        (_group_burst(*[200] * 10, 429, gap=0.2), Outcome.MET),
        (_group_burst(*[200] * 10, None), Outcome.NOT_VERIFIED),
        (_group_burst(*[200] * 9, None, 429), Outcome.MET),
        (_group_burst(*[200] * 10, 503), Outcome.BROKEN),
    ],
    ids=["never", "too-slow", "slow-and-limited", "one-lost", "lost-and-limited", "503"],
)
def test_a_burst_counts_as_one_if_it_was_served_within_a_second(burst: list[Call], outcome: Outcome) -> None:
    assert limits.burst_meets_429(Observation("p", tuple(burst))).outcome is outcome


def test_a_burst_of_messages_that_were_refused_for_their_group_member_says_nothing_about_its_rate() -> None:
    refused = tuple(call(ERROR, status=400, situation="group-limit") for _ in range(11))
    assert message_errors.burst_is_limited(Observation("p", refused)).outcome is Outcome.NOT_VERIFIED


@pytest.mark.parametrize(
    ("wait", "later", "status", "outcome"),
    [
        (None, 2.2, 200, Outcome.MET),
        (None, 2.2, 429, Outcome.BROKEN),
        ("5", 6.3, 200, Outcome.MET),
        ("5", 6.3, 429, Outcome.BROKEN),
        ("60", 31.0, 429, Outcome.NOT_VERIFIED),
        ("60", 31.0, 503, Outcome.BROKEN),
    ],
)
def test_a_group_is_given_the_time_that_it_announced(
    wait: str | None, later: float, status: int, outcome: Outcome
) -> None:
    again = call(OK if status == 200 else ERROR, status=status, situation="group-recovered", started=later)
    seen = Observation("p", (*_group_burst(200, 429, wait=wait), again))
    assert [found.outcome for found in limits.group_recovers(seen)] == [outcome]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ((("Retry-After", "7"),), 7.0),
        ((("Retry-After", "1.5"),), 1.5),
        (
            (
                ("Date", "Sun, 22 Nov 2026 10:00:00 GMT"),
                ("Retry-After", "Sun, 22 Nov 2026 10:00:09 GMT"),
            ),
            9.0,
        ),
        ((("Retry-After", "Sun, 22 Nov 2026 10:00:09 GMT"),), None),
        ((("Retry-After", "soon"),), None),
        ((("Retry-After", "-1"),), None),
        ((("Retry-After", "inf"),), None),
        ((("Retry-After", "nan"),), None),
        ((), None),
    ],
)
def test_a_wait_is_announced_in_seconds_or_as_a_date(
    headers: tuple[tuple[str, str], ...], seconds: float | None
) -> None:
    assert announced_wait(call(ERROR, status=429, headers=headers).exchange) == seconds


# ------------------------------------------------------------------ groups and their channels
def _grouped(**channels: str | None) -> Observation:
    calls = []
    for name, channel in channels.items():
        situation = "group-none" if name == "none" else f"group:{name}"
        through = () if channel is None else (replace(post(), upstream=channel),)
        calls.append(call(OK, situation=situation, upstream=through))
    return Observation("p", tuple(calls))


@pytest.mark.parametrize(
    ("seen", "outcome"),
    [
        (_grouped(default="a", side="b"), Outcome.MET),
        (_grouped(default="a", side="a"), Outcome.BROKEN),
        (_grouped(default="a"), Outcome.NOT_VERIFIED),
        (_grouped(default="a", side=None), Outcome.NOT_VERIFIED),
    ],
    ids=["apart", "without-effect", "one-group", "one-lost"],
)
def test_channels_are_compared_only_where_two_groups_were_served(seen: Observation, outcome: Outcome) -> None:
    assert {found.outcome for found in limits.groups_use_their_channels(seen)} == {outcome}


@pytest.mark.parametrize(
    ("seen", "outcome"),
    [
        (_grouped(none="a", default="a", side="b"), Outcome.MET),
        (_grouped(none="b", default="a", side="b"), Outcome.BROKEN),
        (_grouped(none="c", default="a", side="b"), Outcome.NOT_VERIFIED),
        (_grouped(none=None, default="a", side="b"), Outcome.NOT_VERIFIED),
    ],
    ids=["default", "of-another-group", "of-a-pool", "lost"],
)
def test_a_pool_of_several_channels_is_no_other_group(seen: Observation, outcome: Outcome) -> None:
    assert [found.outcome for found in limits.none_equals_default(seen)] == [outcome]


# ------------------------------------------------------------------ names of models
DATED = "gpt-5.5-2026-04-23"


@pytest.mark.parametrize(
    ("plain", "streamed", "outcome"),
    [
        (MODEL, MODEL, Outcome.MET),
        (DATED, DATED, Outcome.MET),
        (DATED, MODEL, Outcome.MET),
        (MODEL, DATED, Outcome.BROKEN),
        (None, MODEL, Outcome.MET),
        (None, DATED, Outcome.NOT_VERIFIED),
    ],
)
def test_only_who_echoes_the_model_has_to_do_so_in_streams(
    plain: str | None, streamed: str, outcome: Outcome
) -> None:
    calls = [stream(GOOD.replace(MODEL, streamed))]
    calls += [] if plain is None else [call({"model": plain})]
    found = replies.echoes_in_streams_too(Observation("p", tuple(calls)))
    assert [one.outcome for one in found] == [outcome]


# ------------------------------------------------------------------ calls without an answer
@pytest.mark.parametrize("rule", [posts.none_if_refused, posts.none_if_401, posts.none_at_all])
def test_a_call_without_an_answer_was_not_refused(rule: Any) -> None:
    lost = call("", status=None, ending=Ending.RESET, upstream=())
    assert rule(lost).outcome is Outcome.NOT_VERIFIED
    assert rule(call(ERROR, status=401, upstream=())).outcome is Outcome.MET
    assert rule(call(ERROR, status=401, upstream=(post(),))).outcome is Outcome.BROKEN


def _refusals(*calls: Call, gone: int) -> Outcome:
    readings = (reading(1000, "before", label="bad"), reading(1000 - gone, "after", label="bad"))
    seen = Observation("p", calls, readings)
    return failure_billing.refusals_cost_nothing(seen, FACTS, "bad", ("plain",)).outcome


def test_what_a_call_cost_whose_answer_was_lost_is_not_known() -> None:
    refused = call(ERROR, status=400)
    lost = call("", status=None, ending=Ending.RESET)
    cut = call('{"usage": {"prompt', ending=Ending.CLOSED)
    unconnected = call("", status=None, ending=Ending.REFUSED)
    for served in (lost, cut):
        assert _refusals(refused, served, gone=PRICE) is Outcome.NOT_VERIFIED
        assert _refusals(refused, served, gone=0) is Outcome.MET
        assert _refusals(refused, replace(served, upstream=()), gone=PRICE) is Outcome.BROKEN
    assert _refusals(refused, unconnected, gone=PRICE) is Outcome.BROKEN
    assert _refusals(refused, gone=PRICE) is Outcome.BROKEN


# ------------------------------------------------------------------ keys that a target hides itself
def _kept(*pieces: str) -> Exchange:
    known = Secrets(frozenset({"sk-secret-0123456789"}))
    request = Request("POST", "http://gw/v1/chat/completions", (), b"")
    chunks = tuple(Chunk(float(at), piece.encode()) for at, piece in enumerate(pieces))
    return known.exchange(Exchange("w-1", request, Response(401, (), chunks), Ending.COMPLETE, 0.0, 1.0))


@pytest.mark.parametrize(
    ("pieces", "outcome"),
    [
        (('{"error": "bad key sk-secret-0123456789"}',), Outcome.BROKEN),
        (('{"error": "bad key <redacted>"}',), Outcome.MET),
        (('{"error": "bad key <reda', 'cted>"}'), Outcome.MET),
        (('{"error": "<redacted>', ' or sk-secret-0123456789"}'), Outcome.BROKEN),
        (('{"error": "bad key"}',), Outcome.MET),
    ],
    ids=["echoed", "hidden", "hidden-in-two-pieces", "both", "neither"],
)
def test_a_target_that_hides_the_key_with_our_own_word_repeats_none(
    pieces: tuple[str, ...], outcome: Outcome
) -> None:
    kept = _kept(*pieces)
    assert kept.response is not None
    assert b"sk-secret" not in kept.response.body
    seen = replace(call({}, status=401), exchange=kept)
    assert errors.keeps_key_out_of_body(seen).outcome is outcome


# ------------------------------------------------------------------ books without a charge
def _crowd(status: int, gone: int) -> Observation:
    script = Scenario(prompt_tokens=10, completion_tokens=1)
    calls = tuple(
        call(OK if status == 200 else ERROR, status=status, situation=CROWDED, scenario=script, started=0.1)
        for _ in range(3)
    )
    readings = (reading(1000, "before", label=CROWDED), reading(1000 - gone, "after", 1.0, label=CROWDED))
    return Observation("p", calls, readings)


def test_books_in_which_nothing_was_due_agree_with_a_ledger_that_charges_nobody() -> None:
    for agree in (crowd_agrees, lambda seen, facts: books_agree(seen, facts)[0]):
        assert agree(_crowd(200, 3 * PRICE), FACTS).outcome is Outcome.MET
        assert agree(_crowd(200, 0), FACTS).outcome is Outcome.BROKEN
        assert agree(_crowd(429, 0), FACTS).outcome is Outcome.NOT_VERIFIED
        assert agree(_crowd(429, PRICE), FACTS).outcome is Outcome.BROKEN
