"""The timer of the reference servers: callbacks in slots of a millisecond, one loop timer for all of them."""

import asyncio
from collections import defaultdict
from collections.abc import Callable

_SLOT_S = 0.001


class SlotTimer:
    """`call(due, function)` calls once after `due` (loop time); sleeps when nothing is waiting."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._slots: defaultdict[int, list[Callable[[], None]]] = defaultdict(list)
        self._done = 0
        self._waiting = 0

    def call(self, due: float, function: Callable[[], None]) -> None:
        if not self._waiting:
            self._done = int(self._loop.time() / _SLOT_S)
            self._loop.call_later(_SLOT_S, self._tick)
        self._slots[max(int(due / _SLOT_S) + 1, self._done + 1)].append(function)
        self._waiting += 1

    def _tick(self) -> None:
        until = int(self._loop.time() / _SLOT_S)
        while self._done < until:
            self._done += 1
            for function in self._slots.pop(self._done, ()):
                self._waiting -= 1
                function()
        if self._waiting:
            self._loop.call_at((self._done + 1) * _SLOT_S, self._tick)
