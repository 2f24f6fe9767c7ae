"""One charge of one call, with the money read around it. Not a probe; those about money on chat and messages go through here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from weighbridge.checks.charges import Case, expected_price
from weighbridge.checks.rounding import same
from weighbridge.evidence import Call
from weighbridge.lab import Lab
from weighbridge.scenario import Scenario
from weighbridge.verdict import Finding


async def charge(
    lab: Lab, surface: str, role: str, situation: str, scenario: Scenario, *, stream: bool = False
) -> None:
    """One call in an account of its own where accounts can be made.

    Args:
        lab: of the probe.
        surface: `chat` or `messages`.
        role: which model.
        situation: of the call; its readings are `situation/role`.
        scenario: what the provider reports.
        stream: whether it is streamed.
    """
    ask = lab.message if surface == "messages" else lab.chat
    async with lab.alone(surface) as who:
        label = f"{situation}/{role}"
        before = await lab.money(who, label, "before")
        call = await ask(role, situation, who, scenario=scenario, stream=stream)
        await lab.money(who, label, "after", after=call, expect=until_due(lab, before, [call]))


def until_due(lab: Lab, before: int | None, calls: Sequence[Call]) -> Callable[[int], bool] | None:
    """What ends the wait for a charge before the settle time is over: that the balance shows what is due.

    Any other change may be a hold that is still to be settled, or the first of several charges. Where the deployment
    counts tokens itself nothing is known to be due, and a change is all there is to wait for.

    Args:
        lab: of the probe.
        before: what the account held before the calls, in pico-dollars; None where that could not be read.
        calls: all that it is charged for.
    """
    facts = lab.shared.facts
    if before is None or not calls:
        return None
    if any(call.model in facts.own_usage for call in calls):
        return lambda amount: amount != before
    due = expected_price(Case("", tuple(calls), 0), facts)
    if isinstance(due, Finding):
        return None
    return lambda amount: same(before - amount, due, facts, calls[0].surface)
