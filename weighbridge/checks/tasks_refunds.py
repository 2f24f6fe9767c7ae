"""Rules about credits that come back when a task fails: all of them, once, and visible with the failure."""

from __future__ import annotations

from collections.abc import Sequence

from weighbridge.checks.credit_changes import Change, change, change_by_api, in_words, judge, roles
from weighbridge.checks.findings import unjudged
from weighbridge.checks.tasks import status_of, stories
from weighbridge.checks.tasks_credits import takes_nothing
from weighbridge.evidence import Call, Observation
from weighbridge.verdict import Finding, Outcome


def _debit_seen(role: str | None, observations: Sequence[Observation]) -> bool:
    """Whether any task of that role was seen to take credits, at whatever moment."""
    for observation in observations:
        taken = dict.fromkeys(call.situation for call in observation if call.role == role)
        for situation in (name for name in taken if ":" not in name):
            for moment in ("submitted", "seen", "final"):
                seen = change(observation, situation, role, "before", moment)
                if isinstance(seen, Change) and seen.taken > 0:
                    return True
    return False


def _ends(observation: Observation, situation: str, role: str | None) -> list[Call]:
    """The ends that were seen of a role's tasks in a situation."""
    mine = (story for story in stories(observation, situation) if story.submission.role == role)
    return [story.end for story in mine if story.end is not None]


def _of_a_debit(
    found: Finding, observation: Observation, situation: str, role: str | None, *others: Observation
) -> Finding:
    """The finding about a refund, but none of a task that went well, nor one that is met for want of a debit.

    A provider that fails may have been stood in for. A task that failed before the first reading may have been
    refunded by then, so a debit that another task of the role showed will do.
    """
    well = next((end for end in _ends(observation, situation, role) if status_of(end) == "completed"), None)
    if well is not None:
        return unjudged(well, "the task completed, so there is nothing to give back")
    if found.outcome is not Outcome.MET or _debit_seen(role, (observation, *others)):
        return found
    return Finding(
        Outcome.NOT_VERIFIED,
        observed=f"no debit was seen, so no refund can be ({role})",
        evidence=found.evidence,
        inside_scope=True,
    )


def given_back(observation: Observation, situation: str, role: str | None, *others: Observation) -> Finding:
    """Something of the debit came back."""
    debit = change(observation, situation, role, "before", "submitted")
    left = change(observation, situation, role, "before", "final")
    if isinstance(debit, Finding):
        return debit
    if isinstance(left, Finding):
        return left
    seen = f"{in_words(debit.taken)} at submission, {in_words(left.taken)} in the end ({situation}, {role})"
    ok = left.taken <= 0 or left.taken < debit.taken
    found = judge(ok, "the debit of a failed task is given back", seen, left.evidence)
    return _of_a_debit(found, observation, situation, role, *others)


def refunded_when_seen(
    observation: Observation, situation: str, role: str | None, *others: Observation
) -> Finding:
    """A balance read right after the first sight of `failed` shows no debit any more."""
    seen = change_by_api(observation, situation, role, "before", "seen")
    if isinstance(seen, Finding):
        return seen
    required = "the refund is in the balance when failed is first seen"
    found = judge(seen.taken <= 0, required, f"{in_words(seen.taken)} ({situation}, {role})", seen.evidence)
    return _of_a_debit(found, observation, situation, role, *others)


def refunded_once(
    observation: Observation, situation: str, role: str | None, *others: Observation
) -> Finding:
    """Not more came back than was taken."""
    seen = change(observation, situation, role, "before", "final")
    if isinstance(seen, Finding):
        return seen
    required = "one refund, however often is polled"
    found = judge(seen.taken >= 0, required, f"{in_words(seen.taken)} ({situation}, {role})", seen.evidence)
    return _of_a_debit(found, observation, situation, role, *others)


def restored(observation: Observation, situation: str, role: str | None, *others: Observation) -> Finding:
    """In the end the balance is what it was before; a debit may have been seen among the others."""
    seen = change(observation, situation, role, "before", "final")
    if isinstance(seen, Finding):
        return seen
    required = "in the end the balance is as before"
    found = judge(seen.taken == 0, required, f"{in_words(seen.taken)} ({situation}, {role})", seen.evidence)
    return _of_a_debit(found, observation, situation, role, *others)


def failure_is_free(
    observation: Observation, situation: str, role: str | None, *others: Observation
) -> Finding:
    """An accepted task that failed got its debit back; a submission that was refused took nothing."""
    if role in roles(observation, situation):
        return restored(observation, situation, role, *others)
    return takes_nothing(observation, situation, role, what="a refused submission")


def race_refunded_once(observation: Observation, role: str | None, *others: Observation) -> Finding:
    """Many polls around the failure, and the balance is as before; a few served polls are no race."""
    polls = [call for call in observation.where("race:poll") if call.exchange.ok]
    if len(polls) < 10:
        return Finding(
            Outcome.NOT_VERIFIED,
            observed=f"only {len(polls)} polls were served around the failure",
            missing="accounts: a hook that takes {requests_per_second}",
        )
    return restored(observation, "race", role, *others)
