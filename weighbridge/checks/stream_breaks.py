"""Three facts about a stream whose provider broke: was it signalled, was a finish made up, was [DONE] sent.

Gateways differ in all three, so they are three rules; what a stream may hold is in `streams`.
"""

from __future__ import annotations

from collections.abc import Callable

from weighbridge.checks.findings import holds, met, needs, outcome_of
from weighbridge.checks.streams import Transcript, read
from weighbridge.evidence import Call, Ending
from weighbridge.suite import Rule
from weighbridge.verdict import Finding


def _broken_upstream(rule: Callable[[Call, Transcript], Finding]) -> Rule:
    def guarded(call: Call) -> Finding:
        if call.scenario is None:
            return needs("upstream")
        if call.exchange.status != 200:
            return met(call, "no normal ending", f"no stream at all: {outcome_of(call)}")
        return rule(call, read(call))

    return guarded


@_broken_upstream
def no_made_up_finish(call: Call, stream: Transcript) -> Finding:
    """No finish_reason that the provider never sent."""
    reasons = [reason for _, _, reason in stream.finishes]
    return holds(
        call,
        not reasons,
        "no finish_reason after a broken upstream",
        f"finish_reason {reasons[:1]} made up" if reasons else "none",
    )


@_broken_upstream
def no_done_after_break(call: Call, stream: Transcript) -> Finding:
    """No terminator after a broken upstream."""
    return holds(
        call,
        not stream.dones,
        "no [DONE] after a broken upstream",
        "[DONE] was sent" if stream.dones else "none",
    )


@_broken_upstream
def no_normal_ending(call: Call, stream: Transcript) -> Finding:
    """Neither a finish nor a terminator: a client can tell that the text is not whole."""
    made_up = [reason for _, _, reason in stream.finishes]
    parts = ([f"finish_reason {made_up[0]!r}"] if made_up else []) + (["[DONE]"] if stream.dones else [])
    signalled = "an error event came too" if stream.errors else "and no error was signalled"
    return holds(
        call,
        not (made_up and stream.dones),
        "a stream that the provider broke does not end as a normal one",
        f"{' and '.join(parts)} were made up, {signalled}" if parts else "no normal ending",
    )


@_broken_upstream
def break_is_signalled(call: Call, stream: Transcript) -> Finding:
    """An error event, or a connection that did not end cleanly."""
    cut = call.exchange.ending is not Ending.COMPLETE
    observed = "an error event" if stream.errors else f"connection {call.exchange.ending}"
    return holds(
        call,
        bool(stream.errors) or cut,
        "the break is signalled: an error event or a broken connection",
        observed,
    )
