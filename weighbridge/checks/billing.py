"""Rules about money on the chat surfaces for calls that were served: the price by rate, tier and cache."""

from __future__ import annotations

from dataclasses import replace

from weighbridge.checks.charges import (
    all_served,
    case_finding,
    cases,
    charge_finding,
    expected_price,
    unseen_charge,
)
from weighbridge.checks.findings import needs
from weighbridge.checks.rounding import same
from weighbridge.evidence import Observation, RunFacts
from weighbridge.money import usd
from weighbridge.verdict import Finding, Outcome


def charged_the_price(
    observation: Observation,
    facts: RunFacts,
    name: str,
    *,
    long_context: bool | None = None,
    role: str | None = None,
) -> list[Finding]:
    """The balance fell by exactly the price of the reported usage."""
    found = cases(observation, name, role)
    if isinstance(found, Finding):
        return [found]
    findings = []
    for case in found:
        expected = expected_price(case, facts, long_context=long_context)
        if isinstance(expected, Finding):
            findings.append(expected)
            continue
        blocked = all_served(case) or unseen_charge(case, expected, facts)
        tier = {None: "", True: " at the long-context rate", False: " at the standard rate"}[long_context]
        findings.append(blocked or charge_finding(case, expected, facts, tier))
    return findings


def tier_is_reported(observation: Observation, facts: RunFacts, name: str) -> list[Finding]:
    """Between the two readings of 272K: which tier was charged. Reports, never accuses."""
    found = cases(observation, name)
    if isinstance(found, Finding):
        return [found]
    findings = []
    for case in found:
        standard = expected_price(case, facts, long_context=False)
        long = expected_price(case, facts, long_context=True)
        if isinstance(standard, Finding) or isinstance(long, Finding):
            findings.append(standard if isinstance(standard, Finding) else needs("rates"))
            continue
        readings = (
            (standard, "standard rate: 272K is read as 278,528"),
            (long, "long-context rate: 272K is read as 272,000"),
        )
        reading = next(
            (text for amount, text in readings if same(case.charged, amount, facts, case.surface)), None
        )
        findings.append(
            unseen_charge(case, standard, facts)
            or case_finding(
                case,
                reading is not None,
                "one of the two tiers",
                reading or f"{usd(case.charged)}, neither tier",
            )
        )
    return findings


def written_at_its_rate(observation: Observation, facts: RunFacts, name: str) -> list[Finding]:
    """Tokens written to a cache pay the write rate; a surface without a counter for them may take W = 0 (C5)."""
    found = cases(observation, name)
    if isinstance(found, Finding):
        return [found]
    findings = []
    for case in found:
        expected = expected_price(case, facts)
        if isinstance(expected, Finding):
            findings.append(expected)
            continue
        plain = tuple(
            replace(call, scenario=replace(call.scenario, written=None))
            for call in case.calls
            if call.scenario
        )
        unwritten = expected_price(replace(case, calls=plain), facts)
        required = f"a charge of {usd(expected)}, written tokens at the cache-write rate"
        blocked = all_served(case) or unseen_charge(case, expected, facts)
        if blocked is not None:
            findings.append(blocked)
            continue
        exact = same(case.charged, expected, facts, case.surface)
        if isinstance(unwritten, int) and same(case.charged, unwritten, facts, case.surface) and not exact:
            observed = (
                f"{usd(case.charged)}: written tokens at the input rate (reading C5, W = 0) ({case.label})"
            )
            findings.append(Finding(Outcome.ALTERNATIVE, required, observed, case.evidence))
            continue
        findings.append(case_finding(case, exact, required, usd(case.charged)))
    return findings


def read_rate_is_lower(facts: RunFacts) -> list[Finding]:
    """The declared cache-read rate is below the input rate; what is really charged is judged by CBIL-06."""
    cards = {model: card for model, card in facts.rates.items() if "cache_read" in card}
    if not cards:
        return [needs("rates (cache_read)")]
    return [
        Finding(
            Outcome.MET if card["cache_read"] < card["input"] else Outcome.BROKEN,
            "the cache-read rate is below the input rate",
            f"{card['cache_read']} against {card['input']} pico-dollars per token ({model})",
        )
        for model, card in cards.items()
    ]
