"""Money and the prompt cache on the messages surface.

Every money case has an account of its own where accounts can be made, so cases run side by side; with one
key they take turns. Usage is scripted so that each charge is large against any rounding of the balance.
The cache is probed with real repeats: a document that no earlier run can have sent, then the same again.
"""

from __future__ import annotations

import asyncio
from typing import Any

from weighbridge.evidence import Call
from weighbridge.lab import Lab, probe
from weighbridge.probes.charging import charge
from weighbridge.scenario import Scenario
from weighbridge.target import Principal

#: Long enough to be cacheable everywhere: providers ask for 1,024 to 4,096 tokens (Anthropic format).
_DOCUMENT_LINES = 420

_WRITTEN = Scenario(prompt_tokens=100_000, completion_tokens=1_000, written=80_000)
_CACHED = Scenario(prompt_tokens=100_000, completion_tokens=1_000, cached=80_000)
_BOTH = Scenario(prompt_tokens=150_000, completion_tokens=3_000, cached=60_000, written=50_000)
_SEARCHES = Scenario(prompt_tokens=10_000, completion_tokens=500, searches=2)


#: situation -> (what the provider reports, streamed, kinds of rate that pricing it takes)
CHARGES: dict[str, tuple[Scenario, bool, frozenset[str]]] = {
    "charge": (Scenario(prompt_tokens=120_001, completion_tokens=7_003), False, frozenset()),
    "charge-streamed": (Scenario(prompt_tokens=120_001, completion_tokens=7_003), True, frozenset()),
    "charge-written": (_WRITTEN, False, frozenset({"cache_write"})),
    "charge-cached": (_CACHED, False, frozenset({"cache_read"})),
    "charge-both": (_BOTH, False, frozenset({"cache_read", "cache_write"})),
    "charge-both-streamed": (_BOTH, True, frozenset({"cache_read", "cache_write"})),
    "charge-search": (_SEARCHES, False, frozenset({"web_search"})),
    "charge-search-streamed": (_SEARCHES, True, frozenset({"web_search"})),
}


@probe("messages", needs=("upstream", "balance", "rates"))
async def message_charges(lab: Lab) -> None:
    """Charges by each of the four counters, streamed and not, and by web searches."""
    cards = {role: lab.target.rates.get(lab.target.models[role], {}) for role in lab.roles("messages")}
    async with asyncio.TaskGroup() as group:
        for situation, (scenario, stream, kinds) in CHARGES.items():
            priced = [role for role, card in cards.items() if kinds <= card.keys()]
            if not priced:
                lab.miss(situation, f"rates ({', '.join(sorted(kinds))})")
            for role in priced:
                group.create_task(charge(lab, "messages", role, situation, scenario, stream=stream))


def document(nonce: str) -> list[dict[str, Any]]:
    """A system block to cache. The nonce stands first, so no earlier run can have cached any prefix of it."""
    lines = (
        f"{nonce} clause {number}: the load is weighed before it passes." for number in range(_DOCUMENT_LINES)
    )
    return [{"type": "text", "text": "\n".join(lines), "cache_control": {"type": "ephemeral"}}]


@probe("messages")
async def message_cache(lab: Lab) -> None:
    """Write, repeat, another question, another document, another account: one after the other."""
    role = lab.roles("messages")[0]
    nonce = lab.shared.ids()
    first, other = document(nonce), document(f"{nonce}-changed")
    async with lab.sharing("messages") as who:
        await _cached(lab, role, "cache-first", who, first)
        await _cached(lab, role, "cache-repeat", who, first)
        await _cached(lab, role, "cache-other-question", who, first, prompt="How many clauses are there?")
        await _cached(lab, role, "cache-changed", who, other)
    for surface in ("messages", "chat"):
        if f"{surface}.second_user" in lab.target.principals:
            stranger = lab.declared(surface, "second_user")
            break
    else:
        if not lab.has("messages", "accounts"):
            lab.miss("cache-other-account", "second_user")
            return
        stranger = await lab.make_account("messages")
    await _cached(lab, role, "cache-other-account", stranger, first)


async def _cached(
    lab: Lab,
    role: str,
    situation: str,
    who: Principal,
    system: list[dict[str, Any]],
    prompt: str = "Summarise the clauses.",
) -> Call:
    return await lab.message(role, situation, who, prompt=prompt, change={"system": system})
