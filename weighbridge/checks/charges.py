"""What one account was charged between two readings, and what the rate card says it should have been.

Charges are differences of readings, so a rule needs two readings and a rate card; what it cannot see is
not verified. Amounts that its rounding cannot tell apart are the same, and an expected charge below a
hundred steps of a rounded balance is not judged.
"""

from __future__ import annotations

from dataclasses import dataclass

from weighbridge.checks.findings import needs, situation
from weighbridge.checks.rounding import resolution_of, same, too_small
from weighbridge.evidence import Call, Observation, RunFacts
from weighbridge.money import LONG_CONTEXT_ABOVE, Usage, price, usd
from weighbridge.scenario import Scenario
from weighbridge.verdict import Finding, Outcome


@dataclass(frozen=True, slots=True)
class Case:
    """The calls of one account between two readings."""

    label: str
    calls: tuple[Call, ...]
    charged: int

    @property
    def surface(self) -> str:
        """Whose balance was read."""
        return self.calls[0].surface if self.calls else "chat"

    @property
    def evidence(self) -> tuple[str, ...]:
        """Ids of the calls."""
        return tuple(call.id for call in self.calls)


def cases(
    observation: Observation, name: str, role: str | None = None, *, last: str = "after"
) -> list[Case] | Finding:
    """The cases of a situation, one for each model, or why there is none; `last` is the second reading's moment.

    A probe labels its readings `situation/role`; the calls are those of the situation and role.
    """
    found = situation(observation, name)
    if isinstance(found, Finding):
        return found
    result = []
    roles = dict.fromkeys(call.role for call in found)
    if role is not None and role not in roles:
        return needs(f"models.{role}")
    for one in roles if role is None else [role]:
        label = f"{name}/{one}"
        before, after = observation.money(label, "before"), observation.money(label, last)
        if before is None or after is None:
            return needs("balance")
        calls = tuple(call for call in found if call.role == one)
        result.append(Case(f"{name} / {calls[0].model}", calls, before.amount - after.amount))
    return result


def usage_of(scenario: Scenario) -> Usage:
    """The usage that the simulator was told to report."""
    return Usage(
        scenario.prompt_tokens or 0,
        scenario.completion_tokens or 0,
        scenario.cached or 0,
        scenario.written or 0,
        scenario.searches or 0,
    )


def case_finding(case: Case, ok: bool, required: str, observed: str) -> Finding:
    """Met or broken, about the money of a case."""
    return Finding(
        Outcome.MET if ok else Outcome.BROKEN, required, f"{observed} ({case.label})", case.evidence
    )


def unseen_charge(case: Case, expected: int, facts: RunFacts) -> Finding | None:
    """Why a charge of this size cannot be told from rounding, or None if it can."""
    if too_small(expected, facts, case.surface):
        resolution = resolution_of(facts, case.surface)
        return Finding(
            Outcome.NOT_VERIFIED,
            observed=f"a charge of {usd(expected)} is too small for a balance that shows steps of {usd(resolution)} ({case.label})",
            evidence=case.evidence,
            missing="a balance with a finer resolution",
        )
    return None


def all_served(case: Case) -> Finding | None:
    """Why the charge cannot be judged, where a call of the case was not served; None where all were."""
    failed = [call for call in case.calls if not call.exchange.ok]
    if not failed:
        return None
    return Finding(
        Outcome.NOT_VERIFIED,
        observed=f"{len(failed)} of {len(case.calls)} calls were not served ({case.label})",
        evidence=case.evidence,
        inside_scope=True,
    )


def expected_price(case: Case, facts: RunFacts, *, long_context: bool | None = None) -> int | Finding:
    """What the case's calls should cost by the rate card, or what is missing to know it.

    Args:
        case: its calls carry the scripted usage.
        facts: the rate card.
        long_context: which tier to price; None takes each call's own by the decimal reading of 272K.
    """
    total = 0
    for call in case.calls:
        if call.scenario is None or call.scenario.prompt_tokens is None:
            return needs("upstream")
        card = facts.rates.get(call.model or "")
        if card is None:
            return needs("rates")
        usage = usage_of(call.scenario)
        openai = (call.role or "").startswith("openai")
        long = (openai and usage.prompt > LONG_CONTEXT_ABOVE) if long_context is None else long_context
        try:
            total += price(usage, card, long_context=long)
        except KeyError as error:
            return needs(f"rates ({error.args[0]})")
    return total


def charge_finding(case: Case, expected: int, facts: RunFacts, tier: str = "") -> Finding:
    """Whether the balance fell by what was expected, to the last step that it shows."""
    observed = f"{usd(case.charged)}{explained(case, expected)}"
    return case_finding(
        case,
        same(case.charged, expected, facts, case.surface),
        f"a charge of {usd(expected)}{tier}",
        observed,
    )


def explained(case: Case, expected: int) -> str:
    """What a wrong charge looks like: nothing, or the price several times over (pico-dollars); else empty."""
    if case.charged == 0:
        return " (nothing was charged)"
    if expected and case.charged % expected == 0 and case.charged // expected > 1:
        return f" ({case.charged // expected} times the price)"
    return ""
