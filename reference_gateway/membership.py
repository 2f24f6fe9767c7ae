"""Who is at work on a shared database: every process is listed, renews its lease, and takes over from those that are gone.

A worker is gone when the server has lost its session (it was killed) or when its lease has run out (it hangs). Then its
open holds are given back and its tasks get a new owner, each exactly once, whoever of the others is first. A worker that
finds its own lease run out does not send anything to a provider any more until it is listed again.
With SQLite there is one process, so at its start everybody else is gone.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from reference_gateway.database import Database, StorageError

_log = logging.getLogger(__name__)
_BEATS_PER_LEASE = 3
# A worker that was killed is seen at the next beat, however long a hanging one is given.
_LONGEST_BEAT_S = 1.0


class Membership:
    """Owns the beat. `on_orphans` is called after each look at who is gone."""

    def __init__(self, database: Database, lease_s: float) -> None:
        self._database = database
        self._lease_s = lease_s
        self._beating: asyncio.Task[None] | None = None
        self._renewed = float("-inf")

    async def join(self) -> None:
        """Be listed, and strike off who is gone; raises `StorageError`."""
        began = time.monotonic()
        await self._database.enlist()
        self._renewed = began
        await self._database.submit(lambda connection: self._database.bury(connection, self._lease_s))

    def start(self, on_orphans: Callable[[], Awaitable[object]]) -> None:
        """Keep the lease and look after orphans, if others share the database."""
        if self._database.shared:
            self._beating = asyncio.create_task(self._beat(on_orphans), name="membership")

    async def stop(self) -> None:
        """Leave: what is unfinished is open to the others, or to the next start."""
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
        try:
            await self._database.submit(
                lambda connection: connection.execute(
                    "DELETE FROM workers WHERE worker = ?", self._database.worker
                )
            )
        except StorageError as error:
            _log.warning("left without a word: %s", error)

    def holds_lease(self) -> bool:
        """Whether nobody can have taken over from this worker."""
        return not self._database.shared or time.monotonic() < self._renewed + self._lease_s

    async def _beat(self, on_orphans: Callable[[], Awaitable[object]]) -> None:
        while True:
            await asyncio.sleep(min(self._lease_s / _BEATS_PER_LEASE, _LONGEST_BEAT_S))
            try:
                await self.join()
                await on_orphans()
            except StorageError as error:
                _log.warning("the lease could not be renewed: %s", error)
