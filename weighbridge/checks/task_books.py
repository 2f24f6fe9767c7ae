"""The credits of one account as a history of tasks: what each reading may show.

An accepted submission takes its price. What it costs at a reading depends on what was seen before it: seen
failed, nothing (the refund comes before any poll can show failure, S3 Credits); seen completed, or scripted
to complete, its price; scripted to fail and not seen yet, between nothing and its price.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from weighbridge.checks.books import additions
from weighbridge.checks.findings import member, needs
from weighbridge.evidence import Call, Ending, Observation, Reading, RunFacts
from weighbridge.verdict import Finding, Outcome


@dataclass(frozen=True, slots=True)
class Bounds:
    """Least and most credits that may be gone."""

    low: int
    high: int


def _submissions(calls: Sequence[Call]) -> list[Call]:
    return [call for call in calls if call.exchange.request.method == "POST"]


def _seen_failed(calls: Sequence[Call], task: str, before: float) -> bool:
    """Whether a poll that ended before a moment showed the task as failed."""
    return any(
        call.exchange.request.method == "GET"
        and member(call.exchange.json, "id") == task
        and member(call.exchange.json, "status") == "failed"
        and call.exchange.started + call.exchange.ended_at <= before
        for call in calls
    )


def bounds(calls: Sequence[Call], at: float, prices: dict[str, int]) -> Bounds | Finding:
    """What may be gone at a moment, or what is missing to know it."""
    low = high = 0
    for call in _submissions(calls):
        task = member(call.exchange.json, "id")
        lost = call.exchange.ending is Ending.LEFT
        if call.exchange.started > at or not (lost or (call.exchange.ok and isinstance(task, str))):
            continue
        price = prices.get(call.model or "")
        if price is None or call.scenario is None:
            return needs("rates" if price is None else "upstream")
        if lost:  # whether it was accepted nobody knows, so it may have cost its price or nothing
            high += price
            continue
        if _seen_failed(calls, task, at):
            continue
        high += price
        if call.scenario.outcome == "completed":
            low += price
    return Bounds(low, high)


def credit_finding(
    calls: Sequence[Call], readings: Sequence[Reading], facts: RunFacts, notes: Iterable[str] = ()
) -> Finding:
    """Whether every reading of an account lies within what its tasks allow."""
    if len(readings) < 2:
        return needs("balance")
    start = readings[0].amount
    added = additions(notes, readings[0].situation)
    for reading in readings[1:]:
        allowed = bounds(calls, reading.at, facts.task_prices)
        if isinstance(allowed, Finding):
            return allowed
        put_in = sum(one.amount for one in added if one.at < reading.at)
        gone = start - reading.amount + put_in
        if not allowed.low <= gone <= allowed.high:
            past = [call for call in _submissions(calls) if call.exchange.started <= reading.at]
            told = ", ".join((call.scenario.outcome or "?") if call.scenario else "refused" for call in past)
            return Finding(
                Outcome.BROKEN,
                f"{allowed.low} credits gone"
                if allowed.low == allowed.high
                else f"{allowed.low} to {allowed.high} credits gone",
                f"{gone} credits gone after {len(past)} submissions ({told})",
                tuple(call.id for call in past[-3:]),
            )
    return Finding(Outcome.MET, "every reading is what the tasks allow", f"{len(readings)} readings")


def credits_agree(observation: Observation, facts: RunFacts) -> list[Finding]:
    """One finding for each generated account."""
    findings = []
    for label in dict.fromkeys(reading.situation for reading in observation.readings):
        calls = [call for call in observation.calls if call.situation.partition(":")[0] == label]
        if _submissions(calls):
            readings = [reading for reading in observation.readings if reading.situation == label]
            findings.append(credit_finding(calls, readings, facts, observation.notes))
    return findings
