"""Prompts and readings for money that nobody scripts, shared by the probes of each surface."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import ceil

from weighbridge.checks.real_money import reported
from weighbridge.checks.rounding import MIN_STEPS, same
from weighbridge.evidence import Call
from weighbridge.lab import Lab
from weighbridge.money import price
from weighbridge.target import Principal

#: What asks for money beyond a few cents needs the operator's word.
SPEND_GUARD = "--max-spend"
#: About a token for every two bytes in all tokenizers known; what counts is what the reply reports.
PIECE = " a"
#: So long a prompt costs a few cents at any price known; within the spend guard it may be longer.
_CHEAP, _GUARDED = 4_000, 200_000
#: Tokens beyond what a charge needs in order to show, for those who count fewer.
_ROOM = 1.5


def unscripted_roles(lab: Lab, surface: str, *, every: bool = False) -> list[str]:
    """The roles whose reported usage nobody scripts: all of a real provider, else those counted by the deployment."""
    own = lab.shared.facts.own_usage
    roles = lab.every_role(surface) if every else lab.roles(surface)
    return [role for role in roles if not lab.wired or lab.target.models[role] in own]


def visible_prompt(lab: Lab, surface: str, role: str) -> str:
    """A prompt whose charge can be told from the rounding of the balance, as far as the spend guard lets it be."""
    plain = "Name the months of the year."
    source = lab.target.balance.get(surface) or lab.target.balance.get("chat")
    rate = lab.target.rates.get(lab.target.models[role], {}).get("input", 0)
    if source is None or not rate or source.rounding == "none":
        return plain
    wanted = ceil(_ROOM * MIN_STEPS * source.resolution / rate)
    most = _CHEAP if lab.shared.max_spend is None else _GUARDED
    return plain if wanted <= 1 else plain + PIECE * min(wanted, most)


@asynccontextmanager
async def charged(lab: Lab, who: Principal, label: str) -> AsyncIterator[Callable[[Call], Call]]:
    """Reads the money before and after the call that is handed over inside."""
    before = await lab.money(who, label, "before")
    calls: list[Call] = []

    def after(call: Call) -> Call:
        calls.append(call)
        return call

    yield after
    expect = _until_due(lab, before, calls[-1]) if calls else None
    await lab.money(who, label, "after", after=calls[-1] if calls else None, expect=expect)


def _until_due(lab: Lab, before: int | None, call: Call) -> Callable[[int], bool] | None:
    """The balance shows the price of what the reply reports, in either tier; any other change may be a hold."""
    usage = reported(call) if call.exchange.ok else None
    card = lab.target.rates.get(call.model or "")
    if before is None or usage is None or card is None:
        return None
    try:
        dues = [price(usage, dict(card), long_context=long) for long in (False, True)]
    except KeyError:  # a kind of token that the card does not price
        return None
    facts = lab.shared.facts
    return lambda amount: any(same(before - amount, due, facts, call.surface) for due in dues)
