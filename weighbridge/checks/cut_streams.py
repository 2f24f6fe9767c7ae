"""What a stream may cost that was cut, by its client or by its provider: the books of one call.

How far the stream had come sets the bounds: a whole answer costs its price, a failed one nothing, and what the
caller cannot know anything up to the price.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from weighbridge.checks.books import Operation, State, discrepancies, operations, state_of, summary
from weighbridge.checks.charges import Case, cases, unseen_charge
from weighbridge.checks.failure_billing import if_begun
from weighbridge.checks.findings import needs, outcome_of, over, unjudged
from weighbridge.checks.rounding import allowance
from weighbridge.evidence import Call, Observation, RunFacts
from weighbridge.money import usd
from weighbridge.verdict import Finding, Outcome


def unrecorded(observation: Observation, name: str) -> Finding | None:
    """Why a stage cannot be judged of which the observation does not tell at all; no other stage stands for it."""
    told = {name for name, _ in observation.missing} | set(observation.contaminated)
    if name in told or "*" in told or observation.where(name):
        return None
    return needs("a record of these stages")


def over_stages(
    observation: Observation, names: Iterable[str], rule: Callable[[Call], Finding]
) -> list[Finding]:
    """One finding for each call of the stages, and one for each stage that is not told of."""
    found: list[Finding] = []
    for name in names:
        absent = unrecorded(observation, name)
        found += over(observation, (name,), rule) if absent is None else [absent]
    return found


def charged_as_it_ended(
    observation: Observation, facts: RunFacts, *names: str, at_most: bool = False
) -> list[Finding]:
    """Each call that was cut cost what its ending allows: a whole answer its price, a failed one nothing, else up to it.

    Args:
        observation: one call in one account for each model of a situation.
        facts: the rate card.
        names: the situations.
        at_most: what is too little is another row's matter.
    """
    found: list[Finding] = []
    for name in names:
        absent = unrecorded(observation, name)
        if absent is not None:
            found.append(absent)
            continue
        open_cases = cases(observation, name)
        if isinstance(open_cases, Finding):
            found.append(open_cases)
            continue
        found += [_as_it_ended(case, observation, facts, name, at_most=at_most) for case in open_cases]
    return found


def some_whole(observation: Observation, *names: str) -> list[Finding]:
    """Not verified where none of these calls brought a whole answer, so that no charge was due; else nothing."""
    calls = observation.where(*names)
    if not calls or any(state_of(call) is State.OK for call in calls):
        return []
    return [unjudged(calls[-1], f"no client held a whole answer: {outcome_of(calls[-1])}")]


def _as_it_ended(
    case: Case, observation: Observation, facts: RunFacts, name: str, *, at_most: bool
) -> Finding:
    history = operations(case.calls, facts)
    if isinstance(history, Finding):
        return history
    unseen = unseen_charge(case, sum(item.price for item in history), facts)
    return unseen or if_begun(case, _within(case, history, observation, facts, name, at_most=at_most))


def _within(
    case: Case,
    history: list[Operation],
    observation: Observation,
    facts: RunFacts,
    name: str,
    *,
    at_most: bool,
) -> Finding:
    label = f"{name}/{case.calls[0].role}"
    readings = [item for item in observation.readings if item.situation == label]
    wrong = discrepancies(history, readings, resolution=allowance(facts, case.surface))
    told = ", ".join(f"{item.state} at {usd(item.price)}" for item in history)
    observed = f"{usd(case.charged)} charged ({case.label}: {told})"
    if all(at_most and item.amount < 0 for item in wrong):
        return Finding(Outcome.MET, "a charge that its ending allows", observed, case.evidence)
    observed = f"{observed}; {summary(wrong, f'after {outcome_of(case.calls[-1])}', usd)}"
    return Finding(Outcome.BROKEN, "a charge that its ending allows", observed, case.evidence)
