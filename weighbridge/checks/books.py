"""The books of one account as a history: what was invoked, how it ended, what each reading may show.

An operation is ok (charged its price), error (charged nothing) or indeterminate (between both). From them
follow a lower and an upper bound for the money gone at any reading. Where a reading leaves them, the difference
is classed by what it amounts to, and later readings are held against the books as they then stand, so that one
mistake is reported once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import accumulate, pairwise

from weighbridge.checks.charges import usage_of
from weighbridge.checks.endings import failed, has_stop_reason, has_whole_stream
from weighbridge.checks.findings import needs, outcome_of
from weighbridge.checks.rounding import allowance
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
    """One call with the price it may have cost.

    Attributes:
        heard: when the history last told of it; the end of the call, or later where more was seen of it.
    """

    call: Call
    state: State
    price: int
    heard: float


def state_of(call: Call) -> State:
    """A whole answer is ok, also where its caller hung up behind it; an error is one; what was cut may be either."""
    seen = call.exchange
    if seen.status is not None and seen.status >= 400:
        return State.ERROR
    if has_whole_stream(call):
        return State.OK
    if seen.ending is not Ending.COMPLETE or has_stop_reason(call):
        return State.INDETERMINATE
    return State.ERROR if failed(call) else State.OK


class Kind(StrEnum):
    """What is wrong with an amount."""

    MISSING = "missing"  # a served call was not charged
    DUPLICATED = "duplicated"  # a price was taken twice
    CHARGED_THOUGH_FAILED = "charged though failed"
    ORPHAN = "orphan"  # money moved though nothing was invoked since the last reading
    WRONG_AMOUNT = "wrong amount"


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """Money that the history does not explain: `amount` is positive where too much is gone."""

    kind: Kind
    amount: int
    reading: Reading
    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Addition:
    """Money that was put in, in pico-dollars, and when that began."""

    at: float
    amount: int


#: The situation in which so many calls are in flight in one account, and how many.
CROWDED, CROWD = "crowd", 200

#: A note of a probe about money that it added: `added:LABEL<TAB>AT<TAB>PICO-DOLLARS`.
ADDED = "added:"


def additions(notes: Iterable[str], label: str) -> list[Addition]:
    """What a probe noted about one account."""
    found = (note.removeprefix(ADDED).split("\t") for note in notes if note.startswith(ADDED))
    return [Addition(float(at), int(amount)) for name, at, amount in found if name == label]


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
        done.append(Operation(call, state_of(call), price(usage, card, long_context=long), ended(call)))
    return done


#: Names a difference by the operations so far and those among them that were heard of since the last reading.
Classifier = Callable[[int, Sequence[Operation], Sequence[Operation], int], Kind]


def discrepancies(
    history: Sequence[Operation],
    readings: Sequence[Reading],
    added: Sequence[Addition] = (),
    resolution: int = 1,
) -> list[Discrepancy]:
    """Where the readings leave the bounds that the history sets, each difference once.

    Args:
        history: the operations of the account.
        readings: in the order in which they were taken; the first one is the start.
        added: money that was put in.
        resolution: differences below it are rounding, in pico-dollars.
    """

    def so_far(at: float) -> list[Operation]:
        return [item for item in history if item.call.exchange.started < at]

    return unexplained(so_far, _kind, readings, added, resolution)


def unexplained(
    so_far: Callable[[float], Sequence[Operation]],
    kind: Classifier,
    readings: Sequence[Reading],
    added: Sequence[Addition] = (),
    resolution: int = 1,
) -> list[Discrepancy]:
    """The same for operations whose state depends on what was known at a reading.

    Args:
        so_far: the operations invoked before a moment, as they stood then.
        kind: names a difference.
        readings: in the order in which they were taken; the first one is the start.
        added: money that was put in.
        resolution: differences below it cannot be seen.
    """
    found: list[Discrepancy] = []
    start, known = readings[0], 0
    for before, reading in pairwise(readings):
        past = so_far(reading.at)
        low = sum(item.price for item in past if item.state is State.OK)
        high = low + sum(item.price for item in past if item.state is State.INDETERMINATE)
        gone = start.amount - reading.amount + sum(one.amount for one in added if one.at < reading.at) - known
        amount = min(gone - low, 0) or max(gone - high, 0)
        if abs(amount) < resolution:
            continue
        known += amount
        recent = [item for item in past if item.heard > before.at]
        found.append(
            Discrepancy(
                kind(amount, past, recent, resolution),
                amount,
                reading,
                tuple(item.call for item in recent[-3:]),
            )
        )
    return found


def ended(call: Call) -> float:
    """When the call was over, on the run's clock."""
    return call.exchange.started + call.exchange.ended_at


def is_price(amount: int, state: State, among: Iterable[Operation], resolution: int = 1) -> bool:
    """Whether an operation in this state has just this price."""
    return any(abs(abs(amount) - item.price) < resolution for item in among if item.state is state)


def is_failure(amount: int, recent: Sequence[Operation], resolution: int = 1) -> bool:
    """Whether too much is the price of a failed operation, or anything at all where none but failed ones came."""
    return all(item.state is State.ERROR for item in recent) or is_price(
        amount, State.ERROR, recent, resolution
    )


def _kind(amount: int, past: Sequence[Operation], recent: Sequence[Operation], resolution: int) -> Kind:
    """What a difference amounts to, by the prices of what was invoked."""
    if not recent:
        return Kind.ORPHAN
    if amount < 0:
        return Kind.MISSING if is_price(amount, State.OK, past, resolution) else Kind.WRONG_AMOUNT
    if is_failure(amount, recent, resolution):
        return Kind.CHARGED_THOUGH_FAILED
    if any(is_price(amount, state, past, resolution) for state in (State.OK, State.INDETERMINATE)):
        return Kind.DUPLICATED
    return Kind.WRONG_AMOUNT


def ledger_findings(
    calls: Sequence[Call], readings: Sequence[Reading], facts: RunFacts, notes: Iterable[str] = ()
) -> Finding:
    """Whether every reading of an account lies within what its history allows; the differences by class."""
    if len(readings) < 2:
        return needs("balance")
    history = operations(calls, facts)
    if isinstance(history, Finding):
        return history
    added = additions(notes, readings[0].situation)
    wrong = discrepancies(history, readings, added, allowance(facts, readings[0].surface))
    required = "every reading is what the history allows"
    if not wrong:
        states = Counter(item.state.value for item in history)
        told = ", ".join(f"{count} {state}" for state, count in states.items())
        return Finding(Outcome.MET, required, f"{len(readings)} readings; {told or 'nothing invoked'}", ())
    past = [item.call for item in history if item.call.exchange.started < wrong[0].reading.at]
    course = " then ".join(f"{call.exchange.status or call.exchange.ending}" for call in past)
    told = summary(wrong, f"after {len(past)} calls ({course})", usd)
    return Finding(Outcome.BROKEN, required, told, tuple(call.id for call in wrong[0].calls))


def summary(wrong: Sequence[Discrepancy], course: str, shown: Callable[[int], str]) -> str:
    """Counts by class, then the first and the worst.

    Args:
        wrong: at least one.
        course: what came before the first.
        shown: writes an amount.
    """

    def told(item: Discrepancy) -> str:
        direction = "too much" if item.amount > 0 else "too little"
        return f"{shown(abs(item.amount))} {direction} gone, {item.kind.value}"

    counts = Counter(item.kind.value for item in wrong)
    first, worst = wrong[0], max(wrong, key=lambda item: abs(item.amount))
    parts = [
        ", ".join(f"{count} {kind}" for kind, count in counts.items()),
        f"first: {told(first)} {course}",
    ]
    return "; ".join([*parts, f"worst: {told(worst)}"] if worst is not first else parts)


def books_agree(observation: Observation, facts: RunFacts) -> list[Finding]:
    """One finding for each account of the observation, the shortest history first."""
    labels = dict.fromkeys(reading.situation for reading in observation.readings)
    found = []
    for label in labels:
        calls = [call for call in observation.calls if call.situation == label]
        readings = [reading for reading in observation.readings if reading.situation == label]
        if calls:
            found.append((calls, ledger_findings(calls, readings, facts, observation.notes)))
    served = any(state_of(call) is State.OK for calls, _ in found for call in calls)
    if found and not served and all(finding.outcome is Outcome.MET for _, finding in found):
        return [_nothing_due([call for calls, _ in found for call in calls])]
    return shortest_first(found)


def _nothing_due(calls: Sequence[Call]) -> Finding:
    """Books in which nothing had to be charged agree with a ledger that charges nobody."""
    told = f"none of {len(calls)} calls was served, so no charge was due: {outcome_of(calls[-1])}"
    return Finding(Outcome.NOT_VERIFIED, observed=told, evidence=(calls[-1].id,), inside_scope=True)


def shortest_first(found: Iterable[tuple[Sequence[Call], Finding]]) -> list[Finding]:
    """Findings of whole histories: what was shrunk comes first, and a violation names every exchange that led to it."""
    return [
        replace(finding, evidence=tuple(call.id for call in calls))
        if finding.outcome is Outcome.BROKEN
        else finding
        for calls, finding in sorted(found, key=lambda item: len(item[0]))
    ]


def crowd_agrees(observation: Observation, facts: RunFacts) -> Finding:
    """Whether the books agree with a crowd of calls in one account; tells how many were open at once."""
    lacking = dict(observation.missing).get(CROWDED)
    if lacking is not None:
        return needs(lacking)
    calls = observation.where(CROWDED)
    readings = [reading for reading in observation.readings if reading.situation == CROWDED]
    found = ledger_findings(calls, readings, facts)
    if found.outcome is Outcome.MET and not any(state_of(call) is State.OK for call in calls):
        return _nothing_due(calls)
    return replace(found, observed=f"{found.observed}; {most_in_flight(calls)} calls in flight at once")


def most_in_flight(calls: Iterable[Call]) -> int:
    """How many of the calls were open at the same time at most."""
    changes = sorted(change for call in calls for change in ((call.exchange.started, 1), (ended(call), -1)))
    return max(accumulate(step for _, step in changes), default=0)
