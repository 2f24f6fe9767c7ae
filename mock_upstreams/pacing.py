"""One timer for all paced streams.

Everything due in the same millisecond is done in one callback of the loop; a stream costs one list append per
event and no task switch. Due times are absolute, so a late tick never adds up to drift.
"""

import asyncio
import heapq
import time
from collections.abc import Callable
from typing import Final

TICK_S: Final = 0.001

Step = Callable[[float], float | None]
"""Does what is due at the given monotonic time; returns the next due time, or None when nothing is left.

It must not raise: the wheel turns for all streams.
"""


class Wheel:
    """A timer wheel on `time.monotonic`; idle while nothing is waiting."""

    __slots__ = ("_armed", "_armed_for", "_base", "_current", "_loop", "_order", "_slots")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: dict[int, list[Step]] = {}
        self._order: list[int] = []
        self._base = time.monotonic()
        self._current = 0
        self._armed: asyncio.TimerHandle | None = None
        self._armed_for = 0

    def add(self, due: float, step: Step) -> None:
        """Call `step` once `due` has passed, and again as long as it names another due time."""
        self._insert(due, step)
        self._arm()

    def close(self) -> None:
        """Forget all that is still waiting."""
        if self._armed is not None:
            self._armed.cancel()
            self._armed = None
        self._slots.clear()
        self._order.clear()

    def _insert(self, due: float, step: Step) -> None:
        slot = max(int((due - self._base) / TICK_S) + 1, self._current + 1)
        waiting = self._slots.get(slot)
        if waiting is None:
            self._slots[slot] = [step]
            heapq.heappush(self._order, slot)
        else:
            waiting.append(step)

    def _arm(self) -> None:
        if not self._order:
            return
        slot = self._order[0]
        if self._armed is not None:
            if self._armed_for <= slot:
                return
            self._armed.cancel()
        self._armed_for = slot
        self._armed = self._loop.call_later(
            max(0.0, self._base + slot * TICK_S - time.monotonic()), self._run
        )

    def _run(self) -> None:
        self._armed = None
        target = int((time.monotonic() - self._base) / TICK_S)
        while self._order and self._order[0] <= target:
            self._current = heapq.heappop(self._order)
            for step in self._slots.pop(self._current):
                due = step(time.monotonic())
                if due is not None:
                    self._insert(due, step)
        self._arm()
