"""Money on /v1/messages where nobody scripts the usage: the bill against the counters that the reply reports."""

from __future__ import annotations

from typing import Any

from weighbridge.lab import Lab, probe
from weighbridge.probes.message_billing import document
from weighbridge.probes.real_prompts import charged, unscripted_roles, visible_prompt
from weighbridge.target import Principal


@probe("messages", needs=("balance", "rates"), unscripted=True)
async def message_real_money(lab: Lab) -> None:
    """A plain and a streamed charge, and a document that is written to the prompt cache and read from it."""
    roles = unscripted_roles(lab, "messages")
    if not roles:
        lab.miss("*", "usage: own, or a real provider")
        return
    for role in roles:
        prompt = visible_prompt(lab, "messages", role)
        card = lab.target.rates.get(lab.target.models[role], {})
        async with lab.alone("messages") as who:
            await _charged(lab, role, "real-charge", who, prompt=prompt)
            await _charged(lab, role, "real-streamed", who, prompt=prompt, stream=True)
            if not {"cache_read", "cache_write"} <= card.keys():
                lab.miss("real-written", "rates (cache_read, cache_write)")
                lab.miss("real-read", "rates (cache_read, cache_write)")
                continue
            marked = {"system": document(lab.shared.ids())}
            for situation in ("real-written", "real-read"):
                await _charged(lab, role, situation, who, prompt="Summarise the clauses.", change=marked)


async def _charged(lab: Lab, role: str, situation: str, who: Principal, **options: Any) -> None:
    async with charged(lab, who, f"{situation}/{role}") as after:
        after(await lab.message(role, situation, who, **options))
