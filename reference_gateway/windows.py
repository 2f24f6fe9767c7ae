"""Counts of the current second: in memory for a process of its own, in the database for all that share one.

Either way a window admits its limit and not one more. Shared windows go by the clock of the database server.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable

from reference_gateway.database import Connection, Database

WINDOW_S = 1.0
_MOST_IDLE_S = 60
_SWEEP_EVERY = 1000


class Windows(ABC):
    """Fixed windows of one second, one count for each name."""

    @abstractmethod
    async def take(self, name: str, limit: int) -> float | None:
        """Count one request in; if it exceeds the limit, the seconds until the next window."""


class LocalWindows(Windows):
    """Only the counts of the current window are kept, so memory is bounded by one second's callers."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._window = -1
        self._counts: dict[str, int] = {}

    async def take(self, name: str, limit: int) -> float | None:
        now = self._clock()
        window = int(now / WINDOW_S)
        if window != self._window:
            self._window = window
            self._counts.clear()
        count = self._counts.get(name, 0)
        if count >= limit:
            return (window + 1) * WINDOW_S - now
        self._counts[name] = count + 1
        return None


# The row lock puts callers in a line. Whoever waited there over a full second counts in the window of the row.
_TAKE = """
INSERT INTO rate_windows AS w (name, second, count)
VALUES (?, floor(extract(epoch FROM clock_timestamp())), 1)
ON CONFLICT (name) DO UPDATE SET
  count = CASE WHEN w.second < excluded.second THEN 1 ELSE w.count + 1 END,
  second = greatest(w.second, excluded.second)
WHERE w.second < excluded.second OR w.count < ?
RETURNING count
"""
_LEFT = "SELECT 1 - (extract(epoch FROM clock_timestamp()) - floor(extract(epoch FROM clock_timestamp())))"
_SWEEP = "DELETE FROM rate_windows WHERE second < extract(epoch FROM clock_timestamp()) - ?"


class SharedWindows(Windows):
    """One row for each name, swept when it has been idle; PostgreSQL only."""

    def __init__(self, database: Database, limiter: str) -> None:
        self._database = database
        self._limiter = limiter
        self._taken = 0

    async def take(self, name: str, limit: int) -> float | None:
        self._taken += 1
        if self._taken % _SWEEP_EVERY == 0:
            await self._database.submit(
                lambda connection: connection.execute(_SWEEP, _MOST_IDLE_S), early=True
            )

        async def count(connection: Connection) -> float | None:
            if await connection.fetch_one(_TAKE, f"{self._limiter} {name}", limit) is not None:
                return None
            left = await connection.fetch_one(_LEFT)
            return WINDOW_S if left is None else float(left[0])

        return await self._database.submit(count, early=True, lane=f"{self._limiter} {name}")
