"""Keeps calls below a limit that the target declares: a slot for each call, evenly spaced, first come first served."""

from __future__ import annotations

import gevent

from loadtests.dialling import now


class Pacer:
    """At most `rate` calls a second through `turn`, over any window that begins with a call."""

    def __init__(self, rate: float) -> None:
        self._gap = int(1_000_000_000 / rate)
        self._next = 0

    def turn(self) -> bool:
        """Wait for the next free slot; whether there was anything to wait for."""
        at = now()
        slot = max(at, self._next)
        self._next = slot + self._gap
        if slot > at:
            gevent.sleep((slot - at) / 1e9)
        return slot > at
