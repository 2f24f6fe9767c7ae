"""A process of ours in which the target lives: its death ends a run, and its standstills are not the target's fault."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Protocol

from weighbridge.evidence import Call, Observation
from weighbridge.lag import LagMeter
from weighbridge.workbench import Shared


class Beside(Protocol):
    """A process of ours in which the target lives.

    Attributes:
        lag: where the standstills of its event loop are noted.
    """

    lag: LagMeter

    async def ended(self) -> str:
        """Wait for it to end though nobody asked it to; returns how, as a sentence."""


@asynccontextmanager
async def watched(beside: Beside | None, shared: Shared) -> AsyncIterator[None]:
    """End the run at once when the process ends that the target lives in."""
    if beside is None:
        yield
        return

    async def watch() -> None:
        sentence = await beside.ended()
        shared.pulse.declare(sentence, time.perf_counter() - shared.epoch)

    watching = asyncio.create_task(watch(), name="beside")
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait({watching})


def held_up(observation: Observation, shared: Shared) -> Observation:
    """The observation with the longest standstill of an event loop of ours that fell into each call.

    Known only afterwards: another process tells of its own when it is over.
    """

    def longest(call: Call) -> float:
        began = shared.epoch + call.exchange.started
        return shared.lag.longest(began, began + call.exchange.ended_at)

    stood = [longest(call) for call in observation.calls]
    if not any(stood):
        return observation
    return replace(
        observation,
        calls=tuple(
            replace(call, lag=lag) if lag else call
            for call, lag in zip(observation.calls, stood, strict=True)
        ),
    )
