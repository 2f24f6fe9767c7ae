"""Who may use what at the same time, and how fast: leases on principals and models, and pacing.

A probe that reads money or provokes a limit holds its principal alone; one that makes an upstream fail
holds its model alone. Everything else shares. Pacing keeps each principal below its declared rate, so
that only a rate-limit check ever provokes a 429.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from weighbridge import tolerances
from weighbridge.errors import HarnessError


@asynccontextmanager
async def _bounded() -> AsyncIterator[None]:
    """Turn a wait that cannot end into an error that names itself."""
    try:
        async with asyncio.timeout(tolerances.LEASE_WAIT_S):
            yield
    except TimeoutError:
        raise HarnessError(
            f"a lease was not given back within {tolerances.LEASE_WAIT_S:g} s: two probes wait for each other"
        ) from None


class SharedLock:
    """Many holders at once, or one alone; whoever waits to be alone is served before new sharers."""

    def __init__(self) -> None:
        self._condition = asyncio.Condition()
        self._sharers = 0
        self._alone = False
        self._waiting = 0

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Hold it together with others."""
        async with _bounded(), self._condition:
            await self._condition.wait_for(lambda: not self._alone and not self._waiting)
            self._sharers += 1
        try:
            yield
        finally:
            async with self._condition:
                self._sharers -= 1
                self._condition.notify_all()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Hold it with nobody else."""
        async with _bounded(), self._condition:
            self._waiting += 1
            try:
                await self._condition.wait_for(lambda: not self._alone and not self._sharers)
                self._alone = True
            finally:
                self._waiting -= 1
                self._condition.notify_all()
        try:
            yield
        finally:
            async with self._condition:
                self._alone = False
                self._condition.notify_all()


class Pace:
    """Keeps one principal to a rate and a number of calls in flight.

    The rate is an even spacing: `n` calls never start within `(n - 1) / rate` seconds, whatever the
    alignment of the target's windows.
    """

    def __init__(self, requests_per_second: float, in_flight: int) -> None:
        self._gap = 1.0 / requests_per_second
        self._next = 0.0
        self._slots = asyncio.Semaphore(in_flight)

    def slow_down(self) -> None:
        """Halve the rate, after the target said 429 although nobody provoked it; never below the floor."""
        self._gap = min(self._gap * 2, tolerances.SLOWEST_GAP_S)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for the turn, then hold one of the slots."""
        async with self._slots:
            now = asyncio.get_running_loop().time()
            start = max(now, self._next)
            self._next = start + self._gap
            if start > now:
                await asyncio.sleep(start - now)
            yield
