"""Rules about the rate limit: a burst must be one, and an edge between windows is not held against a target."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.checks.tasks_evidence import balance, burst, call, document, provider, refusal
from weighbridge.checks import tasks_limits
from weighbridge.evidence import Call, Observation
from weighbridge.verdict import Outcome


def _seen(*calls: Call) -> Observation:
    return Observation("p", calls)


def test_429_within_the_limit_is_caught() -> None:
    assert tasks_limits.all_served(_seen(*burst(10, 0)), "burst:poll").outcome is Outcome.MET
    assert tasks_limits.all_served(_seen(*burst(10, 1)), "burst:poll").outcome is Outcome.BROKEN


def test_404_is_served_as_far_as_the_limit_is_concerned() -> None:
    seen = _seen(*(refusal(404, 40401, "burst:poll") for _ in range(10)))
    assert tasks_limits.all_served(seen, "burst:poll").outcome is Outcome.MET


def test_burst_without_a_429_is_caught() -> None:
    assert tasks_limits.some_refused(_seen(*burst(21, 1)), "burst:poll").outcome is Outcome.MET
    assert tasks_limits.some_refused(_seen(*burst(21, 0)), "burst:poll").outcome is Outcome.BROKEN


def test_burst_that_took_too_long_proves_nothing() -> None:
    slow = _seen(*burst(21, 0, length=1.4))
    assert tasks_limits.some_refused(slow, "burst:poll").outcome is Outcome.NOT_VERIFIED


@pytest.mark.parametrize(
    ("value", "outcome"),
    [
        ("1", Outcome.MET),
        ("0.5", Outcome.MET),
        ("0", Outcome.BROKEN),
        ("-1", Outcome.BROKEN),
        ("soon", Outcome.BROKEN),
        ("inf", Outcome.BROKEN),
        ("Sat, 21 Nov 2026 10:00:00 GMT", Outcome.BROKEN),
    ],
)
def test_retry_after_is_a_positive_number_of_seconds(value: str, outcome: Outcome) -> None:
    headers = (("Content-Type", "application/json"), ("retry-after", value))
    assert tasks_limits.says_when_in_seconds(refusal(429, 50001, headers=headers)).outcome is outcome


def test_missing_retry_after_is_reported_once() -> None:
    bare = refusal(429, 50001)
    assert tasks_limits.says_when(bare).outcome is Outcome.BROKEN
    assert tasks_limits.says_when_in_seconds(bare).outcome is Outcome.NOT_VERIFIED


def test_recovery_may_take_one_second_more_than_announced() -> None:
    served = call(document(), situation="recovered:poll", at=2.5)
    late = [refusal(429, 50001, "recovered:poll", at=1.4), served]
    assert tasks_limits.recovers(_seen(*burst(21, 11), *late)).outcome is Outcome.MET
    stuck = replace(refusal(429, 50001, "recovered:poll", at=2.5))
    assert tasks_limits.recovers(_seen(*burst(21, 11), late[0], stuck)).outcome is Outcome.BROKEN


def test_recovery_is_not_judged_where_nothing_was_refused() -> None:
    assert tasks_limits.recovers(_seen(*burst(21, 0))).outcome is Outcome.NOT_VERIFIED


def test_neighbour_who_is_refused_is_caught() -> None:
    reads = [balance(1, "read", situation="neighbour") for _ in range(5)]
    assert tasks_limits.neighbour_served(_seen(*burst(21, 11), *reads)).outcome is Outcome.MET
    hit = refusal(429, 50001, "neighbour:balance:read")
    assert tasks_limits.neighbour_served(_seen(*burst(21, 11), *reads, hit)).outcome is Outcome.BROKEN
    assert tasks_limits.neighbour_served(_seen(*burst(21, 0), *reads)).outcome is Outcome.NOT_VERIFIED


def test_long_block_after_a_burst_is_caught() -> None:
    reads = burst(21, 11, situation="burst:balance:read")
    fine = balance(1, "read", situation="window-over", at=2.3)
    assert tasks_limits.window_is_short(_seen(*reads, fine)).outcome is Outcome.MET
    blocked = refusal(429, 50001, "window-over:balance:read", at=2.3)
    assert tasks_limits.window_is_short(_seen(*reads, blocked)).outcome is Outcome.BROKEN


def _pair(first: int, second: int, *, apart: float = 1.47, length: float = 0.1) -> Observation:
    """Two bursts of twenty requests over two keys, with so many refusals each."""
    one = burst(20, first, situation="two-keys-1:poll", length=length)
    two = burst(20, second, situation="two-keys-2:poll", length=length, at=apart + length)
    return _seen(*one, *two)


def test_limit_per_key_is_caught() -> None:
    assert tasks_limits.keys_share(_pair(0, 0)).outcome is Outcome.BROKEN


def test_edge_of_windows_in_one_of_two_bursts_is_spared() -> None:
    assert tasks_limits.keys_share(_pair(0, 10)).outcome is Outcome.MET
    assert tasks_limits.keys_share(_pair(10, 0)).outcome is Outcome.MET


@pytest.mark.parametrize(("apart", "length"), [(1.47, 0.6), (1.95, 0.06), (0.98, 0.05)])
def test_bursts_that_one_edge_could_fall_into_prove_nothing(apart: float, length: float) -> None:
    assert tasks_limits.keys_share(_pair(0, 0, apart=apart, length=length)).outcome is Outcome.NOT_VERIFIED


def test_one_burst_of_two_keys_without_429_proves_nothing() -> None:
    seen = _seen(*burst(20, 0, situation="two-keys-1:poll", length=0.1))
    assert tasks_limits.keys_share(seen).outcome is Outcome.NOT_VERIFIED


def _submissions(final: int, *, leak: bool = False, wired: bool = True) -> Observation:
    good = [call(document(), situation="burst", upstream=[provider("submit")]) for _ in range(10)]
    seen = None if not wired else [provider("submit")] if leak else []
    refused = [refusal(429, 50001, "burst", upstream=seen) for _ in range(11)]
    reads = (balance(1000, "before", situation="burst"), balance(final, "final", situation="burst"))
    return _seen(*good, *refused, *reads)


def _worst(seen: Observation) -> set[Outcome]:
    return {finding.outcome for finding in tasks_limits.leaves_no_trace(seen, 40)}


def test_trace_of_a_rate_limited_submission_is_caught() -> None:
    assert _worst(_submissions(600)) == {Outcome.MET}
    assert _worst(_submissions(600, leak=True)) == {Outcome.MET, Outcome.BROKEN}
    assert _worst(_submissions(160)) == {Outcome.MET, Outcome.BROKEN}


def test_trace_at_the_provider_is_not_judged_where_it_is_not_seen() -> None:
    unwired = _submissions(600, wired=False)
    assert _worst(unwired) == {Outcome.MET, Outcome.NOT_VERIFIED}
    found = tasks_limits.leaves_no_trace(unwired, 40)
    assert {finding.missing for finding in found[:-1]} == {"upstream"}
    assert _worst(_submissions(160, wired=False)) == {Outcome.NOT_VERIFIED, Outcome.BROKEN}


def test_window_kind_is_reported_and_never_accuses() -> None:
    assert tasks_limits.window_kind(_seen(*burst(21, 11))).outcome is Outcome.MET
    assert "edge of fixed windows" in tasks_limits.window_kind(_seen(*burst(21, 6))).observed
    assert tasks_limits.window_kind(_seen(*burst(21, 0))).outcome is Outcome.NOT_APPLICABLE


def test_missing_second_user_is_named() -> None:
    seen = Observation("p", burst(21, 11), missing=(("neighbour:balance:read", "second_user"),))
    assert tasks_limits.neighbour_served(seen).missing == "second_user"
