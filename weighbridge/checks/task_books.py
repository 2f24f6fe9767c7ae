"""The credits of one account as a history of tasks: what each reading may show, and what a difference amounts to.

An accepted submission takes its price. What it stands at a reading depends on what was seen before it: seen
failed, it is an error and costs nothing (the refund comes before any poll can show failure, S3 Credits); seen
completed, or scripted to complete, it is ok and costs its price; scripted to fail and not seen yet, or with its
answer lost, it is indeterminate. The books of these operations are those of `books`, in credits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from weighbridge.checks.books import (
    Kind,
    Operation,
    State,
    additions,
    ended,
    is_failure,
    is_price,
    shortest_first,
    summary,
    unexplained,
)
from weighbridge.checks.findings import member, needs
from weighbridge.evidence import Call, Ending, Observation, Reading, RunFacts
from weighbridge.verdict import Finding, Outcome


def _submissions(calls: Iterable[Call]) -> list[Call]:
    return [call for call in calls if call.exchange.request.method == "POST"]


def _polls(calls: Iterable[Call], task: str, before: float) -> list[Call]:
    """Polls of a task that were over before a moment."""
    return [
        call
        for call in calls
        if call.exchange.request.method == "GET"
        and member(call.exchange.json, "id") == task
        and ended(call) <= before
    ]


def _operation(call: Call, calls: Sequence[Call], at: float, price: int) -> Operation:
    """A submission as it stood at a moment."""
    seen = call.exchange
    if seen.status is not None and seen.status >= 400:
        return Operation(call, State.ERROR, price, ended(call))
    task = member(seen.json, "id")
    if seen.ending is not Ending.COMPLETE or not isinstance(task, str):
        return Operation(call, State.INDETERMINATE, price, ended(call))
    polls = _polls(calls, task, at)
    heard = max((ended(poll) for poll in polls), default=ended(call))
    shown = {member(poll.exchange.json, "status") for poll in polls}
    if "failed" in shown:
        return Operation(call, State.ERROR, price, heard)
    sure = "completed" in shown or (call.scenario is not None and call.scenario.outcome == "completed")
    return Operation(call, State.OK if sure else State.INDETERMINATE, price, heard)


def operations(calls: Sequence[Call], at: float, prices: dict[str, int]) -> list[Operation]:
    """The submissions that were sent before a moment, as they stood then; one without a price cost none."""
    return [
        _operation(call, calls, at, prices.get(call.model or "", 0))
        for call in _submissions(calls)
        if call.exchange.started <= at
    ]


def kind_of(amount: int, past: Sequence[Operation], recent: Sequence[Operation], resolution: int) -> Kind:
    """What a difference of credits amounts to.

    Too little is gone where a debit is missing, or where a failed task was refunded once more; too much where a
    failed or refused one was charged, or a debit was taken twice.
    """
    if not recent:
        return Kind.ORPHAN
    if amount > 0:
        if is_failure(amount, recent, resolution):
            return Kind.CHARGED_THOUGH_FAILED
        twice = any(is_price(amount, state, past, resolution) for state in (State.OK, State.INDETERMINATE))
        return Kind.DUPLICATED if twice else Kind.WRONG_AMOUNT
    if is_price(amount, State.OK, recent, resolution):
        return Kind.MISSING
    if is_price(amount, State.ERROR, recent, resolution):
        return Kind.DUPLICATED
    return Kind.MISSING if is_price(amount, State.OK, past, resolution) else Kind.WRONG_AMOUNT


def _credits(amount: int) -> str:
    return f"{amount} credits"


def _told(call: Call) -> str:
    """What became of a submission, for the course of events."""
    status = call.exchange.status
    if status is None:
        return f"{call.exchange.ending}"
    if status >= 400 or call.scenario is None:
        return f"{status}"
    return call.scenario.outcome or f"{status}"


def credit_finding(
    calls: Sequence[Call], readings: Sequence[Reading], facts: RunFacts, notes: Iterable[str] = ()
) -> Finding:
    """Whether every reading of an account lies within what its tasks allow; the differences by class."""
    if len(readings) < 2:
        return needs("balance")
    sent = _submissions(calls)
    taken = [call for call in sent if (call.exchange.status or 0) < 400]
    if any((call.model or "") not in facts.task_prices for call in taken):
        return needs("rates")
    if any(call.scenario is None for call in taken):
        return needs("upstream")
    wrong = unexplained(
        lambda at: operations(calls, at, facts.task_prices),
        kind_of,
        readings,
        additions(notes, readings[0].situation),
    )
    required = "every reading is what the tasks allow"
    if not wrong:
        states = Counter(item.state.value for item in operations(calls, readings[-1].at, facts.task_prices))
        told = ", ".join(f"{count} {state}" for state, count in states.items())
        return Finding(Outcome.MET, required, f"{len(readings)} readings; {told or 'nothing submitted'}")
    past = [call for call in sent if call.exchange.started <= wrong[0].reading.at]
    course = f"after {len(past)} submissions ({', '.join(_told(call) for call in past)})"
    evidence = tuple(call.id for call in wrong[0].calls or past[-3:])
    return Finding(Outcome.BROKEN, required, summary(wrong, course, _credits), evidence)


def credits_agree(observation: Observation, facts: RunFacts) -> list[Finding]:
    """One finding for each generated account, the shortest history first."""
    found = []
    for label in dict.fromkeys(reading.situation for reading in observation.readings):
        calls = [call for call in observation.calls if call.situation.partition(":")[0] == label]
        if _submissions(calls):
            readings = [reading for reading in observation.readings if reading.situation == label]
            found.append((calls, credit_finding(calls, readings, facts, observation.notes)))
    return shortest_first(found)
