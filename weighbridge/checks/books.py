"""The books of one account as a history: what was invoked, how it ended, what each reading may show.

An operation is ok (charged its price), error (charged nothing) or indeterminate (between both). From
them follow a lower and an upper bound for the money gone at any reading; a reading outside is broken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from weighbridge.checks.billing import usage_of
from weighbridge.checks.findings import needs
from weighbridge.checks.streams import read
from weighbridge.evidence import Call, Ending, Observation, Reading, RunFacts
from weighbridge.money import LONG_CONTEXT_ABOVE, price, usd
from weighbridge.verdict import Finding, Outcome


class State(StrEnum):
    """How an operation ended, as far as its caller can know."""

    OK = "ok"
    ERROR = "error"
    INDETERMINATE = "indeterminate"


@dataclass(frozen=True, slots=True)
class Operation:
    """One call with the price it may have cost."""

    call: Call
    state: State
    price: int


def state_of(call: Call) -> State:
    """A whole answer is ok, an error reply is an error; what was cut may have been either."""
    seen = call.exchange
    if seen.status is not None and seen.status >= 400:
        return State.ERROR
    if seen.ending is not Ending.COMPLETE:
        return State.INDETERMINATE
    if call.streamed:
        stream = read(call)
        if stream.errors or not stream.finishes:
            return State.ERROR
    return State.OK


def operations(calls: Sequence[Call], facts: RunFacts) -> list[Operation] | Finding:
    """The operations of a history, priced by the rate card, or what is missing to price them."""
    done = []
    for call in calls:
        if call.scenario is None:
            return needs("upstream")
        card = facts.rates.get(call.model or "")
        if card is None:
            return needs("rates")
        usage = usage_of(call.scenario)
        long = (call.role or "").startswith("openai") and usage.prompt > LONG_CONTEXT_ABOVE
        done.append(Operation(call, state_of(call), price(usage, card, long_context=long)))
    return done


def ledger_findings(calls: Sequence[Call], readings: Sequence[Reading], facts: RunFacts) -> Finding:
    """Whether every reading of an account lies within what its history allows."""
    if len(readings) < 2:
        return needs("balance")
    history = operations(calls, facts)
    if isinstance(history, Finding):
        return history
    start = readings[0].amount
    for reading in readings[1:]:
        past = [item for item in history if item.call.exchange.started < reading.at]
        low = sum(item.price for item in past if item.state is State.OK)
        high = low + sum(item.price for item in past if item.state is State.INDETERMINATE)
        gone = start - reading.amount
        if not low <= gone <= high:
            told = " then ".join(f"{item.call.exchange.status or item.call.exchange.ending}" for item in past)
            return Finding(
                Outcome.BROKEN,
                f"{usd(low)} gone" if low == high else f"between {usd(low)} and {usd(high)} gone",
                f"{usd(gone)} gone after {len(past)} calls ({told})",
                tuple(item.call.id for item in past[-3:]),
            )
    return Finding(Outcome.MET, "every reading is what the history allows", f"{len(readings)} readings", ())


def books_agree(observation: Observation, facts: RunFacts) -> list[Finding]:
    """One finding for each generated account."""
    labels = dict.fromkeys(reading.situation for reading in observation.readings)
    findings = []
    for label in labels:
        calls = [call for call in observation.calls if call.situation == label]
        readings = [reading for reading in observation.readings if reading.situation == label]
        if calls:
            findings.append(ledger_findings(calls, readings, facts))
    return findings
