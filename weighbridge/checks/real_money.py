"""Rules about charges whose usage nobody scripted: the bill against what the reply itself reports."""

from __future__ import annotations

from weighbridge.checks.billing import Case, cases, charge_finding, unseen_charge
from weighbridge.checks.findings import member, needs
from weighbridge.evidence import Call, Observation, RunFacts
from weighbridge.money import LONG_CONTEXT_ABOVE, LONG_CONTEXT_BINARY, Usage, price
from weighbridge.usage import reported_usage
from weighbridge.verdict import Finding, Outcome


def _usage(call: Call) -> Usage | None:
    """Tokens as the reply reports them, cached ones included."""
    found = reported_usage(call)
    if found is None:
        return None
    cached = member(call.exchange.json, "usage", "prompt_tokens_details", "cached_tokens")
    return Usage(found[0], found[1], cached if isinstance(cached, int) else 0)


def charged_by_report(
    observation: Observation, facts: RunFacts, name: str, *, long_context: bool | None = None
) -> list[Finding]:
    """The balance fell by the price of the usage that the reply reports.

    Args:
        observation: of the probe that sent real prompts.
        facts: the rate card.
        name: the situation.
        long_context: the tier that the prompt was made for; a prompt that came out on the other side of the
            boundary, or between its two readings, decides nothing.
    """
    found = cases(observation, name)
    if isinstance(found, Finding):
        return [found]
    return [_one(case, facts, long_context) for case in found]


def _one(case: Case, facts: RunFacts, long_context: bool | None) -> Finding:
    call = case.calls[-1]
    card = facts.rates.get(call.model or "")
    if card is None:
        return needs("rates")
    usage = _usage(call)
    if not call.exchange.ok or usage is None:
        return Finding(
            Outcome.NOT_VERIFIED,
            observed=f"the call was not served, or its reply reports no usage ({case.label})",
            evidence=case.evidence,
            missing="a served call with usage",
        )
    inside = usage.prompt <= LONG_CONTEXT_ABOVE if not long_context else usage.prompt > LONG_CONTEXT_BINARY
    if not inside:
        return Finding(
            Outcome.NOT_VERIFIED,
            observed=f"the prompt came out at {usage.prompt} tokens ({case.label})",
            evidence=case.evidence,
            missing="a prompt on that side of the boundary",
        )
    try:
        expected = price(usage, dict(card), long_context=bool(long_context))
    except KeyError as error:
        return needs(f"rates ({error.args[0]})")
    return unseen_charge(case, expected, facts) or charge_finding(case, expected, facts)
