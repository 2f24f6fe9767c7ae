"""Rules about credits: whole numbers read before and after each step (TBIL, BAL rows).

Readings of one source are compared with each other only: those of the operator's hook where both exist, else
those of GET /balance. Moments that must be seen at once (right after a submission, right after the first
sight of `failed`) are read through the API, because a hook may lag.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from weighbridge.checks.findings import (
    excerpt,
    holds,
    is_int,
    member,
    needs,
    not_applicable,
    outcome_of,
    unjudged,
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


def _say(taken: int) -> str:
    return f"{taken} credits taken" if taken >= 0 else f"{-taken} credits added"


def judge(ok: bool, required: str, seen: str, evidence: tuple[str, ...]) -> Finding:
    """Met or broken, about money."""
    return Finding(Outcome.MET if ok else Outcome.BROKEN, required, seen, evidence)


def takes_nothing(observation: Observation, situation: str, role: str | None, *, what: str) -> Finding:
    """The balance is the same before and in the end."""
    seen = change(observation, situation, role, "before", "final")
    if isinstance(seen, Finding):
        return seen
    return judge(
        seen.taken == 0, f"{what} takes no credits", f"{_say(seen.taken)} ({situation})", seen.evidence
    )


def roles(observation: Observation, situation: str) -> tuple[str | None, ...]:
    """The roles whose submission was accepted in a situation."""
    good = (story.submission for story in stories(observation, situation))
    return tuple(call.role for call in good if task_id(call) is not None)


def watched(observation: Observation, situation: str, among: Sequence[str | None]) -> list[str | None]:
    """Those roles whose credits were read through the API when the end was seen; all where none were."""
    read = {call.role for call in observation.where(f"{situation}:balance:seen")}
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


def debited(observation: Observation, situation: str, role: str | None) -> Finding:
    """Credits were taken, sooner or later."""
    seen = taken_at_submission(observation, situation, role)
    if isinstance(seen, Finding):
        return seen
    return judge(
        seen.taken > 0, "credits are taken", f"{_say(seen.taken)} ({situation}, {role})", seen.evidence
    )


def debited_at_once(observation: Observation, situation: str, role: str | None) -> Finding:
    """The debit shows in a balance read right after the submission was answered."""
    seen = change(observation, situation, role, "before", "submitted")
    if isinstance(seen, Finding):
        return seen
    required = "credits are taken when the submission is answered"
    return judge(seen.taken > 0, required, f"{_say(seen.taken)} ({situation}, {role})", seen.evidence)


def polls_are_free(observation: Observation, situation: str, role: str | None) -> Finding:
    """Polls after the end take nothing more."""
    seen = change_by_api(observation, situation, role, "seen", "final")
    if isinstance(seen, Finding):
        return seen
    return judge(
        seen.taken <= 0, "polls take no credits", f"{_say(seen.taken)} ({situation}, {role})", seen.evidence
    )


def not_refunded(observation: Observation, situation: str, role: str | None) -> Finding:
    """A completed task keeps its debit: nothing comes back after it was seen at submission."""
    at_once = change(observation, situation, role, "before", "submitted")
    in_the_end = change(observation, situation, role, "before", "final")
    if isinstance(at_once, Finding):
        return at_once
    if isinstance(in_the_end, Finding):
        return in_the_end
    seen = f"{_say(at_once.taken)} at submission, {_say(in_the_end.taken)} in the end ({situation}, {role})"
    ok = in_the_end.taken >= at_once.taken and in_the_end.taken > 0
    return judge(ok, "no refund for a completed task", seen, in_the_end.evidence)


def costs(observation: Observation, situation: str, role: str | None, price: int | None) -> Finding:
    """The debit is the declared price of the model."""
    if price is None:
        return needs("rates")
    seen = taken_at_submission(observation, situation, role)
    if isinstance(seen, Finding):
        return seen
    return judge(
        seen.taken == price,
        f"{price} credits, as declared",
        f"{_say(seen.taken)} ({situation}, {role})",
        seen.evidence,
    )


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


def _of_a_debit(found: Finding, role: str | None, *observations: Observation) -> Finding:
    """The finding about a refund, but none that is met only because nothing was ever taken.

    A task that failed before the first reading may have been refunded by then, so a debit that another task
    of the role showed will do.
    """
    if found.outcome is not Outcome.MET or _debit_seen(role, observations):
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
    seen = f"{_say(debit.taken)} at submission, {_say(left.taken)} in the end ({situation}, {role})"
    ok = left.taken <= 0 or left.taken < debit.taken
    found = judge(ok, "the debit of a failed task is given back", seen, left.evidence)
    return _of_a_debit(found, role, observation, *others)


def refunded_when_seen(
    observation: Observation, situation: str, role: str | None, *others: Observation
) -> Finding:
    """A balance read right after the first sight of `failed` shows no debit any more."""
    seen = change_by_api(observation, situation, role, "before", "seen")
    if isinstance(seen, Finding):
        return seen
    required = "the refund is in the balance when failed is first seen"
    found = judge(seen.taken <= 0, required, f"{_say(seen.taken)} ({situation}, {role})", seen.evidence)
    return _of_a_debit(found, role, observation, *others)


def change_by_api(
    observation: Observation, situation: str, role: str | None, first: str, last: str
) -> Change | Finding:
    """As `change`, from GET /balance only."""
    bare = Observation(observation.probe, observation.calls, (), observation.missing)
    return change(bare, situation, role, first, last)


def refunded_once(
    observation: Observation, situation: str, role: str | None, *others: Observation
) -> Finding:
    """Not more came back than was taken."""
    seen = change(observation, situation, role, "before", "final")
    if isinstance(seen, Finding):
        return seen
    required = "one refund, however often is polled"
    found = judge(seen.taken >= 0, required, f"{_say(seen.taken)} ({situation}, {role})", seen.evidence)
    return _of_a_debit(found, role, observation, *others)


def restored(observation: Observation, situation: str, role: str | None, *others: Observation) -> Finding:
    """In the end the balance is what it was before; a debit may have been seen among the others."""
    seen = change(observation, situation, role, "before", "final")
    if isinstance(seen, Finding):
        return seen
    required = "in the end the balance is as before"
    found = judge(seen.taken == 0, required, f"{_say(seen.taken)} ({situation}, {role})", seen.evidence)
    return _of_a_debit(found, role, observation, *others)


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


def whole_credits(call: Call) -> Finding:
    """200 {balance: integer}."""
    body = call.exchange.json
    ok = call.exchange.status == 200 and is_int(member(body, "balance"))
    text = excerpt(call.exchange.response.text) if call.exchange.response else ""
    return holds(call, ok, "200 with balance as an integer", f"{outcome_of(call)} {text}".strip())


def whole_number(call: Call) -> Finding:
    """Wherever a balance is read, it is a whole number."""
    value = member(call.exchange.json, "balance")
    if value is None:
        return not_applicable("a read without a balance is judged elsewhere")
    return holds(call, is_int(value), "balance is a whole number", f"balance is {value!r}")


def same_through_second_key(observation: Observation) -> Finding:
    """Both keys of a user show one balance."""
    ours, other = (balance_read(observation, "balance", None, moment) for moment in ("final", "second-key"))
    if other is None:
        return needs(dict(observation.missing).get("balance:second-key", "second_key"))
    one, two = credits_in(ours), credits_in(other)
    if one is None or two is None:
        return Finding(
            Outcome.NOT_VERIFIED,
            observed=f"no balance: {outcome_of(other)}",
            evidence=(other.id,),
            inside_scope=True,
        )
    return holds(other, one == two, f"the balance through any key of the user: {one}", str(two))


def price_of(facts: RunFacts, plain: Observation, role: str | None) -> int | None:
    """The price of one submission: as declared, else what a plain task of that role was seen to cost."""
    declared = facts.task_prices.get(facts.models.get(role or "", ""))
    if declared is not None:
        return declared
    seen = change(plain, "completed", role, "before", "submitted")
    return seen.taken if isinstance(seen, Change) and seen.taken > 0 else None


def charged_for_each(observation: Observation, situation: str, price: int | None) -> Finding:
    """As many prices were taken as submissions were accepted, and nothing for the others."""
    calls = observation.where(situation)
    good = [call for call in calls if task_id(call) is not None]
    if not calls or not good:
        return nothing_accepted(observation, situation)
    if price is None:
        return needs("rates")
    seen = change(observation, situation, good[0].role, "before", "final")
    if isinstance(seen, Finding):
        return seen
    required = f"{price} credits for each of {len(good)} accepted submissions"
    text = f"{_say(seen.taken)} for {len(calls)} submissions, {len(good)} accepted"
    return judge(seen.taken == price * len(good), required, text, seen.evidence)


def workspaces_apart(observation: Observation) -> list[Finding]:
    """Spending on one side moves that side's balance and leaves the other one as it is."""
    names = ("workspaces/chat", "workspaces/tasks")
    moments = ("before", "between", "final")
    readings = {(name, moment): observation.money(name, moment) for name in names for moment in moments}
    amounts = {key: reading.amount for key, reading in readings.items() if reading is not None}
    if len(amounts) < len(readings):
        return [needs(dict(observation.missing).get("workspaces", "balance"))]
    evidence = tuple(call.id for call in observation.where("workspaces"))
    findings = []
    for spender, other, first, last in ((*names, *moments[:2]), (*reversed(names), *moments[1:])):
        spent = amounts[spender, first] - amounts[spender, last]
        moved = amounts[other, first] - amounts[other, last]
        if spent <= 0:
            findings.append(
                Finding(Outcome.NOT_VERIFIED, observed=f"nothing was spent in {spender}", inside_scope=True)
            )
        else:
            required = f"spending in {spender} leaves {other} as it is"
            findings.append(judge(moved == 0, required, f"{moved} taken there", evidence))
    return findings


def affordable_only(observation: Observation) -> Finding:
    """Exactly as many submissions succeed as the credits pay; the others are refused with 402."""
    calls = observation.where("overdraft")
    if not calls:
        return needs(dict(observation.missing).get("overdraft", "accounts"))
    wanted = next(
        (int(note.partition(": ")[2]) for note in observation.notes if note.startswith("affordable: ")), 0
    )
    good = [call for call in calls if call.exchange.ok]
    odd = [call for call in calls if not call.exchange.ok and call.exchange.status != 402]
    if odd:
        return Finding(
            Outcome.NOT_VERIFIED,
            observed=f"a submission was answered otherwise: {outcome_of(odd[0])}",
            evidence=(odd[0].id,),
            inside_scope=True,
        )
    required = f"exactly {wanted} of {len(calls)} parallel submissions succeed"
    return judge(len(good) == wanted, required, f"{len(good)} succeeded", tuple(call.id for call in calls))


def never_negative(observation: Observation, situation: str) -> Finding:
    """After an overdraft attempt the balance is not below zero."""
    calls = observation.where(f"{situation}:balance:final")
    amount = credits_in(calls[-1]) if calls else None
    if amount is None:
        return needs("balance")
    return holds(calls[-1], amount >= 0, "no negative balance", str(amount))


def counted_prices(observation: Observation, facts: RunFacts) -> list[Finding]:
    """A submission of several units costs as many declared prices."""
    findings = []
    for call in observation.where("counted"):
        label = f"counted/{call.role}"
        before, after = observation.money(label, "before"), observation.money(label, "after")
        if before is None or after is None:
            return [needs("balance")]
        if task_id(call) is None:
            findings.append(unjudged(call, f"not accepted: {outcome_of(call)}"))
            continue
        units = member(json.loads(call.exchange.request.body), facts.task_price_per[call.model or ""])
        expected = facts.task_prices[call.model or ""] * units
        taken = before.amount - after.amount
        findings.append(
            holds(call, taken == expected, f"{expected} credits for {units} units", f"{taken} credits")
        )
    return findings
