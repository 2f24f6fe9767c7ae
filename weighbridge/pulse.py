"""Whether the target still lives while a run goes on.

One refused connection is a fact about one call; a target that takes none any more, or answers nothing at all,
is the end of the run: whatever would be judged from there on would be judged about a corpse.
"""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import urlsplit

from weighbridge import tolerances
from weighbridge.evidence import Ending, Exchange


class Pulse:
    """Follows up what looks like the death of a target; belongs to one event loop.

    Attributes:
        first_trouble: seconds since the run began at which the trouble began that turned out to be the end.
    """

    def __init__(self) -> None:
        self.first_trouble: float | None = None
        self._sentence: str | None = None
        self._end: asyncio.Future[str] | None = None
        self._followed: dict[str, asyncio.Task[None]] = {}
        self._silent = 0

    async def dead(self) -> str:
        """Wait for the end of the target; yields what happened, as a sentence."""
        if self._sentence is not None:
            return self._sentence
        self._end = asyncio.get_running_loop().create_future()
        return await self._end

    def feel(self, seen: Exchange, *, provoked: bool) -> None:
        """Take notice of how an exchange ended.

        Args:
            seen: the exchange.
            provoked: the probe asked the provider to fail, so silence says nothing about the target.
        """
        if seen.ending is Ending.REFUSED:
            self._follow(seen.request.url, seen.started)
        elif seen.ending is Ending.TIMEOUT and seen.status is None:
            if provoked:
                return
            self._silent += 1
            if self._silent >= tolerances.SILENT_CALLS:
                self.declare(
                    f"the target answers nothing any more: {self._silent} calls one after another got no first byte",
                    seen.started,
                )
        else:
            self._silent = 0

    def declare(self, sentence: str, since: float) -> None:
        """The target is dead: how, and the second of the run at which the trouble began."""
        if self._sentence is not None:
            return
        self._sentence, self.first_trouble = sentence, since
        if self._end is not None and not self._end.done():
            self._end.set_result(sentence)

    def _follow(self, url: str, since: float) -> None:
        place = urlsplit(url).netloc
        task = self._followed.get(place)
        if task is None or task.done():
            self._followed[place] = asyncio.create_task(self._knock(url, since), name="pulse")

    async def _knock(self, url: str, since: float) -> None:
        """Try to connect until somebody opens or patience ends."""
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            async with asyncio.timeout(tolerances.DEAD_AFTER_S):
                while True:
                    with contextlib.suppress(OSError, UnicodeError):
                        _, writer = await asyncio.open_connection(parts.hostname, port)
                        writer.close()
                        return
                    await asyncio.sleep(tolerances.KNOCK_INTERVAL_S)
        except TimeoutError:
            self.declare(f"the target died: nothing listens at {parts.netloc} any more", since)

    async def close(self) -> None:
        """End what still follows something up."""
        tasks = [task for task in self._followed.values() if not task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
