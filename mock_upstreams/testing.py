"""Assertions about callers, for tests: each says what was expected, what was seen, and in which entries.

    entries = simulator.journal.since(0)            # or what /_wb/journal hands out
    assert_retry_after_respected(entries)
    assert_no_retry_storm(entries, most=3, within_s=10)

An assertion fails as well when its situation never arose: a test that provoked nothing has shown nothing.
"""

from typing import Final

from mock_upstreams import judging
from mock_upstreams.judging import Departure, Entries

_SHOWN: Final = 5


def _require(observed: bool, what: str, remedy: str) -> None:
    if not observed:
        raise AssertionError(f"nothing to judge: the journal has no {what}; {remedy}")


def _fail(problem: str, lines: list[str]) -> None:
    if lines:
        more = [f"... and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
        raise AssertionError("\n  ".join([problem, *lines[:_SHOWN], *more]))


def assert_retry_after_respected(entries: Entries, id: str | None = None) -> None:  # noqa: A002 - the journal's word
    """No call came again before the time that Retry-After had asked for. Not to come again at all is fine."""
    __tracebackhide__ = True
    found = judging.retry_after(entries, id)
    _require(
        found.observed,
        "answer with Retry-After",
        "script one: [[wb:ID;fault=status;status=429;retry_after=1]]",
    )
    _fail(
        "Retry-After was not respected:",
        [
            f"{wait.id}: entry {wait.seq} asked for {wait.asked_s:g} s, entry {wait.next_seq} came after "
            f"{wait.waited_s:.3f} s"
            for wait in found.broken
        ],
    )


def assert_no_retry_storm(
    entries: Entries,
    id: str | None = None,  # noqa: A002 - the journal's word
    *,
    most: int = 4,
    within_s: float = 10.0,
) -> None:
    """No id was called more than `most` times within any `within_s` seconds."""
    __tracebackhide__ = True
    found = judging.repeats(entries, id, most=most, within_s=within_s)
    _require(found.observed, "call with an id", "let the call carry [[wb:ID]]")
    _fail(
        f"retry storm: more than {most} calls of one id within {within_s:g} s:",
        [
            f"{storm.id}: {storm.calls} calls, at "
            + ", ".join(f"{at:.3f}" for at in storm.arrivals_s[:10])
            + (" s" if storm.calls <= 10 else ", ... s")
            for storm in found.storms
        ],
    )


def assert_truncation_noticed(
    entries: Entries,
    id: str | None = None,  # noqa: A002 - the journal's word
    *,
    reported: bool,
) -> None:
    """A cut answer was not taken for a whole one.

    `reported` says whether the caller told of a failure (raised, or answered with an error): the journal shows whether
    it asked again, but not what it told others.
    """
    __tracebackhide__ = True
    found = judging.truncations(entries, id)
    _require(
        found.observed,
        "answer that was cut",
        "script one: [[wb:ID;fault=end_early;after=3]]",
    )
    if not reported:
        _fail(
            "a truncated answer was taken for a whole one: no error was reported, and the caller did not ask again:",
            [
                f"{cut.id}: entry {cut.seq} was cut by {cut.fault} after {cut.events_sent} events"
                for cut in found.left_at_that
            ],
        )


def assert_no_hang(
    entries: Entries,
    id: str | None = None,  # noqa: A002 - the journal's word
    *,
    limit_s: float,
    now_s: float | None = None,
) -> None:
    """The caller left every silent answer within `limit_s` seconds, so it has a read timeout.

    `now_s` (`time.monotonic()` on the simulator's machine) brings in silences that still go on.
    """
    __tracebackhide__ = True
    found = judging.hangs(entries, id, now_s=now_s)
    _require(found.observed, "answer that fell silent", "script one: [[wb:ID;fault=stall]]")
    _fail(
        f"the caller hung on a silent answer, longer than {limit_s:g} s:",
        [
            f"{one.id}: entry {one.seq}: listened for {one.listened_s:.3f} s"
            + ("" if one.left else " and did not leave by itself")
            for one in found.longer_than(limit_s)
        ],
    )


def assert_stayed(entries: Entries, id: str | None = None) -> None:  # noqa: A002 - the journal's word
    """The caller read every answer to the end that the simulator made."""
    __tracebackhide__ = True
    found = judging.departures(entries, id)
    _require(bool(found), "call with an id", "let the call carry [[wb:ID]]")
    _fail(
        "the caller did not stay until the end of its answers:",
        [_departure(one) for one in found if one.how != "stayed"],
    )


def assert_left(entries: Entries, id: str | None = None, *, within_s: float | None = None) -> None:  # noqa: A002 - as above
    """The caller closed every call before its end; with `within_s`, that soon after the last byte was sent."""
    __tracebackhide__ = True
    found = judging.departures(entries, id)
    _require(bool(found), "call with an id", "let the call carry [[wb:ID]]")
    late = [
        one
        for one in found
        if one.how != "left" or (within_s is not None and one.quiet_s is not None and one.quiet_s > within_s)
    ]
    _fail("the caller did not leave as it should have:", [_departure(one) for one in late])


def _departure(one: Departure) -> str:
    when = "" if one.after_s is None else f" after {one.after_s:.3f} s"
    return f"{one.id}: entry {one.seq}: {one.how}{when}, {one.events_sent} events sent"
