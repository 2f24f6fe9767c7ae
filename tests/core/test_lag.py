"""What our own process did not see in time is not blamed on a target."""

import asyncio
import time
from dataclasses import replace

import pytest

from tests.checks.chat_evidence import DONE, FINISH, FIRST, SECOND, call
from weighbridge.checks.streams import read_late, relayed_as_produced
from weighbridge.lag import LagMeter
from weighbridge.scenario import Scenario
from weighbridge.verdict import Outcome


def test_a_standstill_of_the_loop_is_noticed() -> None:
    async def main() -> tuple[float, float]:
        meter = LagMeter()
        async with meter.running():
            await asyncio.sleep(0.05)
            began = time.perf_counter()
            time.sleep(0.3)  # noqa: ASYNC251 - the standstill itself
            await asyncio.sleep(0.05)
            return meter.longest(began), meter.longest(time.perf_counter())

    during, after = asyncio.run(main())
    assert during > 0.2
    assert after == 0.0


@pytest.mark.parametrize(
    ("lag", "outcome"), [(0.0, Outcome.BROKEN), (0.1, Outcome.BROKEN), (0.5, Outcome.NOT_VERIFIED)]
)
def test_pieces_that_arrived_at_once_are_no_finding_after_a_standstill(lag: float, outcome: Outcome) -> None:
    script = Scenario(chunks=21, gap_ms=30)
    stream = call(FIRST + SECOND + FINISH + DONE, kind="text/event-stream", streamed=True, scenario=script)
    assert relayed_as_produced(replace(stream, lag=lag)).outcome is outcome
    assert read_late(replace(stream, lag=9.9), spread=0.6, produced=0.6) is None
