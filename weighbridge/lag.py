"""How long our own event loop stood still, and when: what a verdict about pace must not blame on a target.

A process that gets no CPU reads late, and what was sent in pieces then arrives at once. The meter sleeps for
short ticks and notes each one that took too long; a call keeps the longest standstill that fell into it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

#: Between two looks at the clock.
_TICK_S = 0.02
#: Shorter ones move no verdict.
_NOTED_S = 0.05
_KEPT = 2000


class LagMeter:
    """Standstills of the running event loop."""

    def __init__(self) -> None:
        self._stood: deque[tuple[float, float]] = deque(maxlen=_KEPT)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch the loop meanwhile."""
        watch = asyncio.create_task(self._watch(), name="lag")
        try:
            yield
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(_TICK_S)
            late = time.perf_counter() - began - _TICK_S
            if late > _NOTED_S:
                self._stood.append((began, began + _TICK_S + late))

    def longest(self, since: float) -> float:
        """Seconds of the longest standstill that reached into the time since a moment of `time.perf_counter`."""
        return max((end - max(start, since) for start, end in self._stood if end > since), default=0.0)
