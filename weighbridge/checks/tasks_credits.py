"""Rules about credits that tasks take: when, how many, and for which submissions (TBIL rows)."""

from __future__ import annotations

import json

from weighbridge.checks.credit_changes import (
    change,
    change_by_api,
    credits_in,
    in_words,
    judge,
    nothing_accepted,
    taken_at_submission,
)
from weighbridge.checks.endings import answer_lost
from weighbridge.checks.findings import (
    holds,
    member,
    needs,
    outcome_of,
    unjudged,
)
from weighbridge.checks.tasks import task_id
from weighbridge.evidence import Observation, RunFacts
from weighbridge.verdict import Finding, Outcome


def takes_nothing(observation: Observation, situation: str, role: str | None, *, what: str) -> Finding:
    """The balance is the same before and in the end."""
    seen = change(observation, situation, role, "before", "final")
    if isinstance(seen, Finding):
        return seen
    return judge(
        seen.taken == 0, f"{what} takes no credits", f"{in_words(seen.taken)} ({situation})", seen.evidence
    )


def debited(observation: Observation, situation: str, role: str | None) -> Finding:
    """Credits were taken, sooner or later."""
    seen = taken_at_submission(observation, situation, role)
    if isinstance(seen, Finding):
        return seen
    return judge(
        seen.taken > 0, "credits are taken", f"{in_words(seen.taken)} ({situation}, {role})", seen.evidence
    )


def debited_at_once(observation: Observation, situation: str, role: str | None) -> Finding:
    """The debit shows in GET /balance right after the submission was answered; the operator's reading may lag."""
    seen = change_by_api(observation, situation, role, "before", "submitted")
    if isinstance(seen, Finding):
        return seen
    required = "credits are taken when the submission is answered"
    return judge(seen.taken > 0, required, f"{in_words(seen.taken)} ({situation}, {role})", seen.evidence)


def polls_are_free(observation: Observation, situation: str, role: str | None) -> Finding:
    """Polls after the end take nothing more."""
    seen = change_by_api(observation, situation, role, "seen", "final")
    if isinstance(seen, Finding):
        return seen
    return judge(
        seen.taken <= 0,
        "polls take no credits",
        f"{in_words(seen.taken)} ({situation}, {role})",
        seen.evidence,
    )


def not_refunded(observation: Observation, situation: str, role: str | None) -> Finding:
    """A completed task keeps its debit: nothing comes back after it was seen at submission."""
    at_once = change(observation, situation, role, "before", "submitted")
    in_the_end = change(observation, situation, role, "before", "final")
    if isinstance(at_once, Finding):
        return at_once
    if isinstance(in_the_end, Finding):
        return in_the_end
    seen = f"{in_words(at_once.taken)} at submission, {in_words(in_the_end.taken)} in the end ({situation}, {role})"
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
        f"{in_words(seen.taken)} ({situation}, {role})",
        seen.evidence,
    )


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
    text = f"{in_words(seen.taken)} for {len(calls)} submissions, {len(good)} accepted"
    lost = [call for call in calls if answer_lost(call)]
    if lost and price * len(good) < seen.taken <= price * (len(good) + len(lost)):
        return unjudged(lost[0], f"{text}; what became of {len(lost)} without an answer is not known")
    return judge(seen.taken == price * len(good), required, text, seen.evidence)


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
