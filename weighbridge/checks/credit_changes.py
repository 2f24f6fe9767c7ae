"""How credits moved between two moments of a task's life (TBIL, BAL rows): what all rules about credits rest on.

Readings of one source are compared with each other only: those of the operator's hook where both exist, else
those of GET /balance. Moments that must be seen at once (right after a submission, right after the first
sight of `failed`) are read through the API, because a hook may lag.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from weighbridge.checks.findings import (
    is_int,
    member,
    needs,
    outcome_of,
)
from weighbridge.checks.tasks import stories, task_id
from weighbridge.evidence import Call, Observation, RunFacts
from weighbridge.verdict import Finding, Outcome


@dataclass(frozen=True, slots=True)
class Change:
    """How much was taken between two moments; negative where credits were added."""

    taken: int
    evidence: tuple[str, ...]


def balance_read(observation: Observation, situation: str, role: str | None, moment: str) -> Call | None:
    """The last read of GET /balance at a moment."""
    calls = [c for c in observation.where(f"{situation}:balance:{moment}") if c.role == role]
    return calls[-1] if calls else None


def credits_in(call: Call | None) -> int | None:
    """The credits that a balance read showed."""
    value = member(call.exchange.json, "balance") if call is not None and call.exchange.ok else None
    return value if is_int(value) else None


def change(
    observation: Observation, situation: str, role: str | None, first: str, last: str
) -> Change | Finding:
    """What was taken between two moments, or why that is not known."""
    label = f"{situation}/{role}" if role else situation
    one, other = observation.money(label, first), observation.money(label, last)
    if one is not None and other is not None:
        return Change(one.amount - other.amount, (other.after,) if other.after else ())
    calls = tuple(balance_read(observation, situation, role, moment) for moment in (first, last))
    before, after = (credits_in(call) for call in calls)
    if before is not None and after is not None:
        return Change(before - after, tuple(call.id for call in calls if call is not None))
    if all(call is None for call in calls):
        return needs(dict(observation.missing).get(situation, "balance"))
    seen = ", ".join(outcome_of(call) for call in calls if call is not None and credits_in(call) is None)
    return Finding(
        Outcome.NOT_VERIFIED, observed=f"no balance to compare: {seen or 'not read'}", inside_scope=True
    )


def in_words(taken: int) -> str:
    """A change of whole credits; negative ones were added."""
    return f"{taken} credits taken" if taken >= 0 else f"{-taken} credits added"


def judge(ok: bool, required: str, seen: str, evidence: tuple[str, ...]) -> Finding:
    """Met or broken, about money."""
    return Finding(Outcome.MET if ok else Outcome.BROKEN, required, seen, evidence)


def roles(observation: Observation, situation: str) -> tuple[str | None, ...]:
    """The roles whose submission was accepted in a situation."""
    good = (story.submission for story in stories(observation, situation))
    return tuple(call.role for call in good if task_id(call) is not None)


def watched(
    observation: Observation, situation: str, among: Sequence[str | None], moment: str = "seen"
) -> list[str | None]:
    """Those roles whose credits were read through the API at a moment, as when the end was seen; all where none were."""
    read = {call.role for call in observation.where(f"{situation}:balance:{moment}")}
    return [role for role in among if role in read] or list(among)


def nothing_accepted(observation: Observation, situation: str) -> Finding:
    """Why there is no task whose credits could be judged."""
    calls = observation.where(situation)
    if not calls:
        return needs(dict(observation.missing).get(situation, "models: a task model"))
    return Finding(
        Outcome.NOT_VERIFIED,
        observed=f"no task came about: {outcome_of(calls[0])}",
        evidence=(calls[0].id,),
        inside_scope=True,
    )


def taken_at_submission(observation: Observation, situation: str, role: str | None) -> Change | Finding:
    """The debit: what the balance shows right after the submission, or in the end where it came late."""
    at_once = change(observation, situation, role, "before", "submitted")
    if isinstance(at_once, Change) and at_once.taken > 0:
        return at_once
    late = change(observation, situation, role, "before", "final")
    return late if isinstance(late, Change) else at_once


def change_by_api(
    observation: Observation, situation: str, role: str | None, first: str, last: str
) -> Change | Finding:
    """As `change`, from GET /balance only."""
    bare = Observation(observation.probe, observation.calls, (), observation.missing)
    return change(bare, situation, role, first, last)


def price_of(facts: RunFacts, plain: Observation, role: str | None) -> int | None:
    """The price of one submission: as declared, else what a plain task of that role was seen to cost."""
    declared = facts.task_prices.get(facts.models.get(role or "", ""))
    if declared is not None:
        return declared
    seen = change(plain, "completed", role, "before", "submitted")
    return seen.taken if isinstance(seen, Change) and seen.taken > 0 else None
