"""Rules about money on the chat surfaces for calls that brought no whole answer: refused, broken, repeated, left."""

from __future__ import annotations

from collections.abc import Iterable

from weighbridge.checks.charges import Case, case_finding, cases, expected_price, explained, unseen_charge
from weighbridge.checks.endings import answer_lost, failed
from weighbridge.checks.findings import is_int, member, needs, outcome_of, unjudged
from weighbridge.checks.limits import unless_limited
from weighbridge.checks.rounding import allowance, same
from weighbridge.evidence import Call, Observation, RunFacts
from weighbridge.money import Usage, price, usd
from weighbridge.verdict import Finding, Outcome


def charged_nothing_if_failed(observation: Observation, facts: RunFacts, name: str) -> list[Finding]:
    """Calls that failed cost nothing; a call that was served after all may have its price and is not judged."""
    found = cases(observation, name)
    if isinstance(found, Finding):
        return [found]
    findings = []
    for case in found:
        served = next((call for call in case.calls if not failed(call)), None)
        if served is not None:
            findings.append(
                Finding(
                    Outcome.NOT_VERIFIED,
                    observed=f"the call did not fail: {outcome_of(served)} ({case.label})",
                    evidence=case.evidence,
                    inside_scope=True,
                )
            )
            continue
        findings.append(
            case_finding(
                case,
                same(case.charged, 0, facts, case.surface),
                "a failed call is charged nothing",
                f"{usd(case.charged)} charged",
            )
        )
    return findings


def refusals_cost_nothing(
    observation: Observation, facts: RunFacts, label: str, names: tuple[str, ...], *, whole: bool = False
) -> Finding:
    """One account over several calls that should be refused: it paid for those that were served, and no more.

    Args:
        observation: calls and the readings `before` and `after` under the label.
        facts: the rate card, for calls that were served against expectation.
        label: of the readings.
        names: situations of the account that should be refused.
        whole: all calls of the observation were made by this account, also those of other situations.
    """
    before, after = observation.money(label, "before"), observation.money(label, "after")
    if before is None or after is None:
        return needs("balance")
    refused = [call for call in observation.where(*names) if (call.exchange.status or 0) >= 400]
    if not refused:
        return Finding(Outcome.NOT_VERIFIED, observed="no call was refused", inside_scope=True)
    made = observation.calls if whole else observation.where(*names)
    due = _due_for_served(made, facts)
    if isinstance(due, Finding):
        return due
    moved = before.amount - after.amount
    return _unless_lost(made, moved, due) or Finding(
        Outcome.MET if same(moved, due, facts, refused[0].surface) else Outcome.BROKEN,
        "refused calls change no balance",
        f"{usd(moved - due)} charged beyond the served calls, over {len(refused)} refused calls",
        tuple(call.id for call in refused[:5]),
    )


def _unless_lost(calls: Iterable[Call], moved: int, due: int) -> Finding | None:
    """Why too much is no violation: a call whose answer the wire took may have been served, and costs then."""
    lost = [call for call in calls if answer_lost(call)]
    if not lost or moved <= due:
        return None
    told = (
        f"{usd(moved - due)} charged beyond the served calls, and the answers to {len(lost)} calls were lost"
    )
    return unjudged(lost[0], f"{told}: {outcome_of(lost[0])}")


def _due_for_served(calls: Iterable[Call], facts: RunFacts) -> int | Finding:
    """What the served ones among these calls should have cost, by the usage that they report."""
    total = 0
    for call in calls:
        if not call.exchange.ok:
            continue
        card = facts.rates.get(call.model or "")
        usage = member(call.exchange.json, "usage")
        counts = (
            member(usage, "prompt_tokens") or member(usage, "input_tokens"),
            member(usage, "completion_tokens") or member(usage, "output_tokens"),
        )
        if card is None or not all(is_int(count) for count in counts):
            return needs("rates")
        total += price(Usage(*counts), card, long_context=False)
    return total


def billed_once(observation: Observation, facts: RunFacts, name: str) -> list[Finding]:
    """A failed call and its successful repetition together cost the price of one."""
    repeated = dict.fromkeys(call.role for call in observation.where(f"{name}:second"))
    found = [cases(observation, name, role, last="repeated") for role in repeated]
    missing = [item for item in found or [cases(observation, name)] if isinstance(item, Finding)]
    if missing:
        return missing
    findings = []
    for case in (case for item in found if not isinstance(item, Finding) for case in item):
        second = observation.where(f"{name}:second", role=case.calls[0].role)
        if not second or not second[0].exchange.ok:
            findings.append(
                Finding(
                    Outcome.NOT_VERIFIED,
                    observed=f"the repetition was not served ({case.label})",
                    inside_scope=True,
                )
            )
            continue
        expected = expected_price(Case(case.label, second, 0), facts)
        if isinstance(expected, Finding):
            findings.append(expected)
            continue
        findings.append(
            unseen_charge(case, expected, facts)
            or case_finding(
                case,
                same(case.charged, expected, facts, case.surface),
                f"failed call and repetition cost {usd(expected)} together",
                f"{usd(case.charged)}{explained(case, expected)}",
            )
        )
    return findings


def burst_charged_only_served(observation: Observation, facts: RunFacts) -> list[Finding]:
    """Over a burst that met 429s, the account paid for the served calls and for nothing else."""
    blocked = unless_limited(observation)
    if blocked is not None:
        return [blocked]
    before, after = observation.money("group-burst", "before"), observation.money("group-burst", "after")
    if before is None or after is None:
        return [needs("balance")]
    calls = observation.where("group-burst", "group-other", "group-recovered")
    total = _due_for_served(calls, facts)
    if isinstance(total, Finding):
        return [total]
    refused = tuple(call for call in calls if call.exchange.status == 429)[:3]
    case = Case("group-burst", refused, before.amount - after.amount)
    return [
        unseen_charge(case, total, facts)
        or _unless_lost(calls, case.charged, total)
        or case_finding(
            case,
            same(case.charged, total, facts, case.surface),
            f"only served calls are charged: {usd(total)}",
            f"{usd(case.charged)} charged",
        )
    ]


def if_begun(case: Case, found: Finding) -> Finding:
    """What was found; where no provider began to answer, a charge in order proves nothing, and is not verified."""
    if found.outcome is not Outcome.MET or any(call.upstream is None for call in case.calls):
        return found
    statuses = [post.status for call in case.calls for post in call.upstream or () if post.is_model_call]
    if any(status is None or status < 400 for status in statuses):
        return found
    if statuses:
        told = f"the provider refused the call with {statuses[0]}"
    else:
        told = f"the call reached no provider: {outcome_of(case.calls[-1])}"
    return Finding(
        Outcome.NOT_VERIFIED,
        observed=f"{told} ({case.label})",
        evidence=case.evidence,
        inside_scope=True,
    )


def at_most_the_price(observation: Observation, facts: RunFacts, name: str) -> list[Finding]:
    """A client that left is charged between nothing and the whole price, once."""
    open_cases = cases(observation, name)
    if isinstance(open_cases, Finding):
        return [open_cases]
    findings = []
    for case in open_cases:
        expected = expected_price(case, facts)
        step = allowance(facts, case.surface)
        found = (
            expected
            if isinstance(expected, Finding)
            else unseen_charge(case, expected, facts)
            or case_finding(
                case,
                -step < case.charged < expected + step,
                f"at most {usd(expected)}",
                f"{usd(case.charged)} charged",
            )
        )
        findings.append(if_begun(case, found))
    return findings
