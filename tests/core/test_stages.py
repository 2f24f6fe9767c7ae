"""The order in which the probes of a run begin: stage by stage, and in each those first that mostly wait."""

from __future__ import annotations

import asyncio

from weighbridge.embedded_target import EMBEDDED_SHAPE
from weighbridge.engine import Settings, prepare, run_probes
from weighbridge.evidence import Observation
from weighbridge.lab import Lab
from weighbridge.registry import Probe, Stage


def test_stages_follow_each_other_and_who_waits_begins_first_in_its_stage() -> None:
    begun: list[str] = []

    def probe(name: str, stage: Stage, *, waits: bool = False) -> Probe:
        async def function(_lab: Lab) -> None:
            begun.append(name)
            await asyncio.sleep(0)

        return Probe(name, "chat", stage, function, waits=waits)

    wanted = [
        probe("late", Stage.FAILING),
        probe("one", Stage.HEALTHY),
        probe("two", Stage.HEALTHY),
        probe("window", Stage.HEALTHY, waits=True),
        probe("last", Stage.GENERATED),
    ]
    seen: dict[str, Observation] = {}
    told: list[int] = []

    async def main() -> str:
        return await run_probes(
            prepare(EMBEDDED_SHAPE, Settings()), wanted, seen, lambda done, _total, _what: told.append(done)
        )

    assert asyncio.run(main()) == ""
    assert begun == ["window", "one", "two", "late", "last"]
    assert told == [1, 2, 3, 4, 5]
    assert all(item.error is None for item in seen.values())
