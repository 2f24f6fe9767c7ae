"""Failures of one model, one after the other, between calls that show it healthy.

Not a probe; the failure probes of three surfaces go through here. One plain call before the first failure and
one after the last (the customer's own repetition, if that ends the row) are enough for a gateway that keeps a
failing model in service. One that takes it out of
service is noticed by a call in between that should have been served; then everything is done again with a
plain call, and if need be a wait, before each failure, and what was seen first is set aside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from weighbridge.lab import Lab
from weighbridge.scenario import Scenario

#: Failures that the customer answers by sending the same again, as the documents advise.
REPEATED = ("upstream-500", "broken-stream")
#: What the repetition costs, so that a second bill cannot hide in a rounding.
_GOOD = Scenario(prompt_tokens=40_000, completion_tokens=2_000)
#: Set aside: seen while the model was out of service.
UNSTEADY = "unsteady:"


async def fail_each(
    lab: Lab,
    surface: str,
    role: str,
    failures: Mapping[str, tuple[Scenario, bool]],
    repeated: tuple[str, ...] = REPEATED,
) -> None:
    """Every failure in an account of its own where accounts can be made, with its money read around it.

    Args:
        lab: of the probe.
        surface: where.
        role: which model; it is held alone meanwhile.
        failures: situation -> (scenario, streamed).
        repeated: those after which the same is sent again.
    """
    async with lab.model_alone(lab.target.models[role]):
        async with lab.alone(surface) as who:
            if not await lab.healthy(surface, role, "failures", who):
                lab.contaminated.extend(failures)
                return
        seen = len(lab.calls), len(lab.readings)
        steady = True
        for name in failures:
            steady &= await _fail(lab, surface, role, name, *failures[name], again=name in repeated)
        if steady and name not in repeated:
            async with lab.alone(surface) as who:
                steady = (await lab.ask(surface, role, "failures:healthy", who)).exchange.ok
        if steady:
            return
        _set_aside(lab, role, *seen)
        for name in failures:
            await _fail(lab, surface, role, name, *failures[name], again=name in repeated, careful=True)


async def _fail(
    lab: Lab,
    surface: str,
    role: str,
    situation: str,
    scenario: Scenario,
    stream: bool,
    *,
    again: bool,
    careful: bool = False,
) -> bool:
    """One failure, and its repetition where it has one; whether a call that should be served was."""
    ask = lab.message if surface == "messages" else partial(lab.chat, surface=surface)
    async with lab.alone(surface) as who:
        if careful and not await lab.healthy(surface, role, situation, who):
            return False
        label = f"{situation}/{role}"
        before = await lab.money(who, label, "before", settled=True)
        call = await ask(role, situation, who, scenario=scenario, stream=stream)
        if before is not None:
            await lab.money(who, label, "after", after=call)
        if not again:
            return True
        second = await ask(role, f"{situation}:second", who, scenario=_GOOD)
        if before is not None:
            await lab.money(who, label, "repeated", after=second)
        return second.exchange.ok


def _set_aside(lab: Lab, role: str, calls: int, readings: int) -> None:
    for number in range(calls, len(lab.calls)):
        call = lab.calls[number]
        if call.role == role:
            lab.calls[number] = replace(call, situation=f"{UNSTEADY}{call.situation}")
    for number in range(readings, len(lab.readings)):
        reading = lab.readings[number]
        if reading.situation.endswith(f"/{role}"):
            lab.readings[number] = replace(reading, situation=f"{UNSTEADY}{reading.situation}")
