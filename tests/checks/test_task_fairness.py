"""The same for tasks: lag, lost answers, other people's failures and volatile members are held against nobody."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.checks.tasks_evidence import (
    balance,
    burst,
    call,
    completed,
    credited,
    document,
    failed,
    poll,
    reading,
    refusal,
    story,
)
from weighbridge.checks import tasks_credits, tasks_limits, tasks_polls, tasks_refunds, tasks_results
from weighbridge.evidence import Call, Ending, Observation
from weighbridge.verdict import Outcome

PLAIN = credited(before=1000, submitted=960, seen=960, final=960)


# ------------------------------------------------------------------ credits
@pytest.mark.parametrize(("submitted", "outcome"), [(960, Outcome.MET), (1000, Outcome.BROKEN)])
def test_a_debit_is_looked_for_where_customers_see_it_and_not_in_a_reading_that_may_lag(
    submitted: int, outcome: Outcome
) -> None:
    for hook in (960, 1000):
        readings = (reading("completed/image", "before", 1000), reading("completed/image", "submitted", hook))
        seen = replace(credited(before=1000, submitted=submitted), readings=readings)
        assert tasks_credits.debited_at_once(seen, "completed", "image").outcome is outcome


def _lost(**more: Any) -> Call:
    return call({}, situation="same-key", status=None, ending=Ending.RESET, **more)


@pytest.mark.parametrize(
    ("final", "lost", "outcome"),
    [
        (920, None, Outcome.NOT_VERIFIED),
        (960, None, Outcome.MET),
        (880, None, Outcome.BROKEN),
        (1000, None, Outcome.BROKEN),
        (920, (), Outcome.BROKEN),
    ],
)
def test_a_submission_whose_answer_was_lost_may_have_been_charged(
    final: int, lost: tuple[()] | None, outcome: Outcome
) -> None:
    reads = (balance(1000, "before", situation="same-key"), balance(final, "final", situation="same-key"))
    seen = Observation("p", (call(document(), situation="same-key"), _lost(upstream=lost), *reads))
    assert tasks_credits.charged_for_each(seen, "same-key", 40).outcome is outcome


@pytest.mark.parametrize(
    ("end", "final", "outcome"),
    [
        (failed(at=1.0, situation="failed"), 960, Outcome.BROKEN),
        (failed(at=1.0, situation="failed"), 1000, Outcome.MET),
        (completed(at=1.0, situation="failed"), 960, Outcome.NOT_VERIFIED),
        (poll("processing", at=1.0, situation="failed"), 960, Outcome.BROKEN),
    ],
    ids=["kept", "given-back", "stood-in-for", "never-ended"],
)
def test_only_a_task_that_did_not_complete_is_given_back(end: Call, final: int, outcome: Outcome) -> None:
    moments = credited("failed", before=1000, submitted=960, seen=final, final=final)
    seen = Observation("p", (*moments.calls, end))
    for rule in (
        tasks_refunds.given_back,
        tasks_refunds.restored,
        tasks_refunds.failure_is_free,
        tasks_refunds.refunded_when_seen,
    ):
        assert rule(seen, "failed", "image", PLAIN).outcome is outcome


# ------------------------------------------------------------------ the rate limit
@pytest.mark.parametrize("status", [None, 401, 403, 503])
def test_requests_that_came_past_no_limit_are_not_served(status: int | None) -> None:
    ending = Ending.COMPLETE if status else Ending.TIMEOUT
    odd = call({}, status=status, situation="burst:poll", ending=ending)
    seen = Observation("p", (*burst(9, 0), odd))
    assert tasks_limits.all_served(seen, "burst:poll").outcome is Outcome.NOT_VERIFIED
    reads = burst(21, 11, situation="burst:balance:read")
    over = replace(odd, situation="window-over:balance:read")
    assert tasks_limits.window_is_short(Observation("p", (*reads, over))).outcome is Outcome.NOT_VERIFIED
    late = replace(odd, situation="recovered:poll")
    assert tasks_limits.recovers(Observation("p", (*burst(21, 11), late))).outcome is Outcome.NOT_VERIFIED


def test_a_burst_that_was_not_answered_in_whole_did_not_exceed_the_limit() -> None:
    lost = call({}, status=None, situation="burst:poll", ending=Ending.RESET)
    seen = Observation("p", (*burst(20, 0), lost))
    assert tasks_limits.some_refused(seen, "burst:poll").outcome is Outcome.NOT_VERIFIED
    seen = Observation("p", (*burst(20, 1), lost))
    assert tasks_limits.some_refused(seen, "burst:poll").outcome is Outcome.MET
    bursts = []
    for number, at in ((1, 0.0), (2, 1.57)):
        situation = f"two-keys-{number}:poll"
        gone = call({}, status=None, situation=situation, ending=Ending.RESET, at=at)
        bursts += [*burst(19, 0, situation=situation, at=at, length=0.1), gone]
    assert tasks_limits.keys_share(Observation("p", tuple(bursts))).outcome is Outcome.NOT_VERIFIED


def test_ten_requests_show_the_full_rate_only_if_they_were_sent_within_a_second() -> None:
    assert tasks_limits.full_rate_served(Observation("p", burst(10, 0)), "burst:poll").outcome is Outcome.MET
    slow = Observation("p", burst(10, 0, length=3.0))
    assert tasks_limits.full_rate_served(slow, "burst:poll").outcome is Outcome.NOT_VERIFIED
    limited = Observation("p", burst(10, 5, length=3.0))
    assert tasks_limits.full_rate_served(limited, "burst:poll").outcome is Outcome.BROKEN
    assert tasks_limits.full_rate_served(Observation("p"), "burst:poll").outcome is Outcome.NOT_VERIFIED


@pytest.mark.parametrize(("at", "outcome"), [(31.0, Outcome.NOT_VERIFIED), (61.0, Outcome.BROKEN)])
def test_a_wait_that_was_not_waited_out_is_no_broken_promise(at: float, outcome: Outcome) -> None:
    headers = (("Content-Type", "application/json"), ("Retry-After", "60"))
    first = refusal(429, 50001, "burst:poll", headers=headers)
    again = refusal(429, 50001, "recovered:poll", at=at)
    assert tasks_limits.recovers(Observation("p", (first, again))).outcome is outcome


# ------------------------------------------------------------------ polls and results
def _answer(path: str, **more: Any) -> Call:
    error = {"code": 40401, "message": f"There is no task {path}.", "request_id": f"req_{path}"}
    body = {"error": error | more.pop("error", {}), **more}
    return call(body, status=404, situation="x:poll", path=f"/tasks/{path}", method="GET")


@pytest.mark.parametrize(
    ("foreign", "outcome"),
    [
        ({"timestamp": 3}, Outcome.MET),
        ({"timestamp": 3, "owner": "other"}, Outcome.BROKEN),
        ({"timestamp": 3, "error": {"code": 40301}}, Outcome.BROKEN),
        ({"timestamp": 3, "error": {"message": "Not yours."}}, Outcome.BROKEN),
        ({"timestamp": 3, "error": {"hint": "ask its owner"}}, Outcome.BROKEN),
        ({}, Outcome.MET),
    ],
)
def test_a_member_that_differs_from_call_to_call_tells_no_owner(
    foreign: dict[str, Any], outcome: Outcome
) -> None:
    never, other = _answer("task_2", timestamp=1), _answer("task_3", timestamp=2)
    assert tasks_polls.looks_unknown(_answer("task_1", **foreign), never, other).outcome is outcome


def test_a_member_that_is_always_the_same_for_unknown_tasks_may_tell_one() -> None:
    never, other = _answer("task_2", kind="none"), _answer("task_3", kind="none")
    found = tasks_polls.looks_unknown(_answer("task_1", kind="foreign"), never, other)
    assert found.outcome is Outcome.BROKEN


def test_a_task_of_which_no_poll_was_served_was_not_seen_to_hang() -> None:
    refused = refusal(404, 40401, "completed:poll", at=0.1)
    assert tasks_polls.ends(story(refused)).outcome is Outcome.NOT_VERIFIED
    assert tasks_polls.ends(story()).outcome is Outcome.NOT_VERIFIED
    hanging = tasks_polls.ends(story(poll("processing", at=0.1), poll("processing", at=15.1)))
    assert hanging.outcome is Outcome.BROKEN
    assert "15.1 s behind the submission" in hanging.observed


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("image/png", Outcome.MET),
        ("application/octet-stream", Outcome.MET),
        ("binary/octet-stream", Outcome.MET),
        ("text/html", Outcome.BROKEN),
    ],
)
def test_storage_may_name_its_files_as_it_likes_but_not_a_page(kind: str, outcome: Outcome) -> None:
    file = call(b"\x89PNG", situation="completed:fetch", method="GET", headers=(("Content-Type", kind),))
    found = tasks_results.is_downloadable(story(completed(at=1.0), fetches=(file,)))
    assert found.outcome is outcome
