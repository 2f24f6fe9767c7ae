"""Rules about the balance itself: whole credits, one balance for all keys of a user, one for each workspace."""

from __future__ import annotations

from weighbridge.checks.credit_changes import balance_read, credits_in, judge
from weighbridge.checks.findings import (
    excerpt,
    holds,
    is_int,
    member,
    needs,
    not_applicable,
    outcome_of,
)
from weighbridge.evidence import Call, Observation
from weighbridge.verdict import Finding, Outcome


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
