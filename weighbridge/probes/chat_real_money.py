"""Money where nobody scripts the usage: a real provider, or a deployment that counts tokens itself.

The bill is held against the usage that the reply reports. The long-context boundary takes a real long prompt,
which is sent only within the operator's `--max-spend`.
"""

from __future__ import annotations

from weighbridge.evidence import Call
from weighbridge.lab import Lab, probe
from weighbridge.usage import reported_usage

#: What asks for money beyond a few cents needs the operator's word.
SPEND_GUARD = "--max-spend"
#: About a token for every two bytes in all tokenizers known; what counts is what the reply reports.
_PIECE, _BELOW, _ABOVE = " a", 262_000, 292_000
#: The longer prompt is sized by the count of the shorter one, for those who count characters; up to this factor.
_MOST_STRETCH = 4.0


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
        if lab.shared.max_spend is None:
            lab.miss("real-below", SPEND_GUARD)
            lab.miss("real-above", SPEND_GUARD)
            continue
        below = reported_usage(await _charged(lab, role, "real-below", _PIECE * _BELOW))
        stretch = _BELOW / below[0] if below is not None and below[0] else 1.0
        pieces = int(_ABOVE * min(max(stretch, 1.0), _MOST_STRETCH))
        await _charged(lab, role, "real-above", _PIECE * pieces)


async def _charged(lab: Lab, role: str, situation: str, prompt: str) -> Call:
    async with lab.alone("chat") as who:
        label = f"{situation}/{role}"
        before = await lab.money(who, label, "before")
        call = await lab.chat(role, situation, who, prompt=prompt)
        changed = None if before is None else (lambda amount: amount != before)
        await lab.money(who, label, "after", after=call, expect=changed)
        return call
