"""Money on chat where nobody scripts the usage: a real provider, or a deployment that counts tokens itself.

The bill is held against the usage that the reply reports. The long-context boundary takes a real long prompt,
which is sent only within the operator's `--max-spend`.
"""

from __future__ import annotations

from weighbridge.evidence import Call
from weighbridge.lab import Lab, probe
from weighbridge.probes.real_prompts import PIECE, SPEND_GUARD, charged, unscripted_roles, visible_prompt
from weighbridge.usage import reported_usage

_BELOW, _ABOVE = 262_000, 292_000
#: Where nothing is to be shown below the boundary, so many pieces say how a model counts.
_SAMPLE = 4_000
#: The longer prompt is sized by the count of the shorter one, for those who count characters; up to this factor.
_MOST_STRETCH = 4.0


@probe("chat", needs=("balance", "rates"), unscripted=True)
async def chat_real_money(lab: Lab) -> None:
    """A plain and a streamed charge for each model whose usage is not scripted; long prompts within the spend guard."""
    roles = unscripted_roles(lab, "chat")
    if not roles:
        lab.miss("*", "usage: own, or a real provider")
        return
    for role in unscripted_roles(lab, "chat", every=True):
        await _charged(lab, role, "real-charge", visible_prompt(lab, "chat", role))
    for role in roles:
        await _charged(lab, role, "real-streamed", visible_prompt(lab, "chat", role), stream=True)
        if lab.shared.max_spend is None:
            for name in ("real-below", "real-above") if role.startswith("openai") else ("real-long-claude",):
                lab.miss(name, SPEND_GUARD)
            continue
        sample, name = (_BELOW, "real-above") if role.startswith("openai") else (_SAMPLE, "real-long-claude")
        sized = "real-below" if role.startswith("openai") else "real-sized"
        counted = reported_usage(await _charged(lab, role, sized, PIECE * sample))
        stretch = sample / counted[0] if counted is not None and counted[0] else 1.0
        pieces = int(_ABOVE * min(max(stretch, 1.0), _MOST_STRETCH))
        await _charged(lab, role, name, PIECE * pieces)


async def _charged(lab: Lab, role: str, situation: str, prompt: str, *, stream: bool = False) -> Call:
    asked = {"stream_options": {"include_usage": True}} if stream else {}
    async with lab.alone("chat") as who, charged(lab, who, f"{situation}/{role}") as after:
        return after(await lab.chat(role, situation, who, prompt=prompt, stream=stream, change=asked))
