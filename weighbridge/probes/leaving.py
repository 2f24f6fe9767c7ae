"""A client that leaves a priced stream, at every stage of it.

Not a probe; those of /v1/messages and AI/ML API go through here. Each stage has an account of its own where accounts
can be made, with its money read around it, so that a charge, a second one, or a hold that is never given back shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from weighbridge import tolerances
from weighbridge.evidence import Call
from weighbridge.lab import Lab
from weighbridge.money import Usage, price
from weighbridge.scenario import Scenario
from weighbridge.target import Principal
from weighbridge.wire import Leave

LAST_WORD = "weighed-to-the-end"
#: Four seconds: a gateway that stops its provider within its bound does so before the end. No longer, since one that
#: reads on to the end may keep its hold until then, and the money is read behind that.
ENDLESS = Scenario(chunks=200, gap_ms=20, prompt_tokens=80_000, completion_tokens=4_000)
#: As long, and cheaper than what gateways hold back for a call: a hold that stays is more than the price.
_CHEAP = replace(ENDLESS, prompt_tokens=200, completion_tokens=50)
_WHOLE = Scenario(
    text=f"A word or two and then {LAST_WORD}",
    chunks=4,
    gap_ms=20,
    prompt_tokens=80_000,
    completion_tokens=4_000,
)
#: Slow enough to tell whether pieces are relayed as they come.
_SLOW = Scenario(chunks=21, gap_ms=30, ttft_ms=0, prompt_tokens=80_000, completion_tokens=4_000)


@dataclass(frozen=True, slots=True)
class Marks:
    """Bytes that tell a client where a stream stands.

    Attributes:
        finish: of the event that says why the model stopped.
        end: of the end mark.
    """

    finish: bytes
    end: bytes


#: The stages in which nothing of the answer was delivered.
NOTHING_YET = ("left-before-headers", "left-after-headers")
#: Those at which the provider is still at work.
AT_WORK = (*NOTHING_YET, "left")
#: Those at which the caller may hold the whole answer.
AT_THE_END = ("left-before-end", "left-after-end")
STAGES = (*AT_WORK, *AT_THE_END)
#: The last stage, which also shows the pace of a stream.
PACED = "slow+left-after-end"


def _stages(marks: Marks) -> Mapping[str, tuple[Scenario, Leave]]:
    """Situation -> (what the provider does, when the client hangs up)."""
    return {
        # In one write at the end: seconds pass before the provider's headers are there, whatever its dialect.
        "left-before-headers": (replace(_CHEAP, fault="one_write"), Leave(after_s=tolerances.PASSED_ON_S)),
        "left-after-headers": (_CHEAP, Leave(after_chunks=0)),
        "left": (ENDLESS, Leave(after_chunks=3)),
        "left-before-end": (_WHOLE, Leave(at=marks.finish)),
        PACED: (_SLOW, Leave(at=marks.end)),
    }


async def leave_at_each_stage(lab: Lab, surface: str, role: str, marks: Marks) -> None:
    """Leave one call at each stage, side by side.

    Args:
        lab: of the probe.
        surface: `messages` or `aimlapi`.
        role: which model.
        marks: of the dialect.
    """
    await asyncio.gather(
        *(_leave(lab, surface, role, name, *stage) for name, stage in _stages(marks).items())
    )


async def _leave(lab: Lab, surface: str, role: str, name: str, script: Scenario, leave: Leave) -> None:
    ask = lab.message if surface == "messages" else partial(lab.chat, surface=surface)
    label = f"{name.rpartition('+')[2]}/{role}"
    async with lab.alone(surface) as who:
        before = await lab.money(who, label, "before")
        call = await ask(role, name, who, scenario=script, stream=True, leave=leave)
        if before is None:
            return
        if name in AT_WORK:
            await asyncio.sleep(tolerances.LEAVING_NOTICED_S)
        await money_after_leaving(lab, who, label, before, call)


async def money_after_leaving(lab: Lab, who: Principal, label: str, before: int, call: Call) -> None:
    """Read what a call cost whose client left.

    What was held comes back when the target has noticed; at the latest, where it reads its provider to the end, when
    the script is over. So more than the price is waited upon for that long, and the rest for the settle time.

    Args:
        lab: of the probe.
        who: the account.
        label: of the readings.
        before: what the account held before the call.
        call: that was left.
    """
    script, card = call.scenario, lab.target.rates.get(call.model or "")
    if script is None or card is None:
        await lab.money(who, label, "after", after=call)
        return
    most = price(
        Usage(script.prompt_tokens or 0, script.completion_tokens or 0), dict(card), long_context=False
    )
    lasts = ((script.ttft_ms or 0) + (script.chunks or 0) * (script.gap_ms or 0)) / 1000
    await lab.money(
        who,
        label,
        "after",
        after=call,
        expect=lambda amount: before - amount <= most,
        within=lasts + tolerances.CLIENT_LEFT_S,
    )
