"""How long our own event loops stood still, and when: what a verdict about pace must not blame on a target.

A process that gets no CPU reads late, and what was sent in pieces then arrives at once. The meter sleeps for
short ticks and notes each one that took too long; a call keeps the longest standstill that fell into it. Where the
target is a process of ours as well, its standstills are noted beside our own: `time.perf_counter` is one clock for all
processes of a machine.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

#: Between two looks at the clock.
_TICK_S = 0.02
#: Shorter ones move no verdict.
_NOTED_S = 0.05
_KEPT = 2000


class LagMeter:
    """Standstills of the running event loop, and of others that are told to it."""

    def __init__(self, tell: Callable[[float, float], None] | None = None) -> None:
        """`tell` is called with the beginning and the end of each standstill of the running loop."""
        self._stood: deque[tuple[float, float]] = deque(maxlen=_KEPT)
        self._tell = tell or self.note

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
                self._tell(began, began + _TICK_S + late)

    def note(self, start: float, end: float) -> None:
        """Keep a standstill, in moments of `time.perf_counter`."""
        self._stood.append((start, end))

    def longest(self, since: float, until: float = float("inf")) -> float:
        """Seconds of the longest standstill that reached into the time between two moments of `time.perf_counter`."""
        return max(
            (
                min(end, until) - max(start, since)
                for start, end in self._stood
                if end > since and start < until
            ),
            default=0.0,
        )
