"""Money where nobody scripts the usage: a real provider, or a deployment that counts tokens itself.

The bill is held against the usage that the reply reports. The long-context boundary takes a real long prompt,
which is sent only within the operator's `--max-spend`.
"""

from __future__ import annotations

from weighbridge.lab import Lab, probe

#: What asks for money beyond a few cents needs the operator's word.
SPEND_GUARD = "--max-spend"
#: About a token for every two bytes in all tokenizers known; what counts is what the reply reports.
LONG_PROMPTS = {"real-below": " a" * 262_000, "real-above": " a" * 292_000}


@probe("chat", needs=("balance", "rates"))
async def chat_real_money(lab: Lab) -> None:
    """One plain charge for each model whose usage is not scripted; long prompts within the spend guard."""
    own = lab.shared.facts.own_usage
    roles = [role for role in lab.roles("chat") if not lab.wired or lab.target.models[role] in own]
    if not roles:
        lab.miss("*", "usage: own, or a real provider")
        return
    for role in roles:
        await _charged(lab, role, "real-charge", "Name the months of the year.")
        if not role.startswith("openai"):
            continue
        for situation, prompt in LONG_PROMPTS.items():
            if lab.shared.max_spend is None:
                lab.miss(situation, SPEND_GUARD)
            else:
                await _charged(lab, role, situation, prompt)


async def _charged(lab: Lab, role: str, situation: str, prompt: str) -> None:
    async with lab.alone("chat") as who:
        label = f"{situation}/{role}"
        before = await lab.money(who, label, "before")
        call = await lab.chat(role, situation, who, prompt=prompt)
        changed = None if before is None else (lambda amount: amount != before)
        await lab.money(who, label, "after", after=call, expect=changed)
