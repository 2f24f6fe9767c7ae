"""Two clocks on one axis: when the simulator did something, in seconds of the run.

Each ping says that the simulator's clock showed a value somewhere between two moments of ours, so the start
of our run on its clock lies in an interval. Intersecting the intervals of many pings, from the beginning and
the end of a run, leaves a small one; its half width is the uncertainty. Where clocks drifted so far apart
that no value fits all pings, the uncertainty grows by the gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ping:
    """One look at the simulator's clock.

    Attributes:
        sent: seconds of the run before which it was not read.
        answered: seconds of the run after which it was not read.
        shown_ns: what it showed.
    """

    sent: float
    answered: float
    shown_ns: int


@dataclass(frozen=True, slots=True)
class Clock:
    """Where the run began on the simulator's clock.

    Attributes:
        origin_ns: the simulator's clock at second 0 of the run.
        uncertainty_s: how far off that may be, either way.
        pings: how many looks it rests on.
    """

    origin_ns: int
    uncertainty_s: float
    pings: int

    def at(self, shown_ns: int) -> float:
        """Seconds of the run at which the simulator's clock showed this."""
        return (shown_ns - self.origin_ns) / 1e9


def align(pings: Sequence[Ping]) -> Clock | None:
    """The clock that fits these pings best, or None without any."""
    if not pings:
        return None
    reference = pings[0].shown_ns
    shown = [(ping.shown_ns - reference) / 1e9 for ping in pings]
    earliest = max(at - ping.answered for at, ping in zip(shown, pings, strict=True))
    latest = min(at - ping.sent for at, ping in zip(shown, pings, strict=True))
    middle, half = (earliest + latest) / 2, (latest - earliest) / 2
    if half < 0:
        half = -half + min(ping.answered - ping.sent for ping in pings) / 2
    return Clock(reference + round(middle * 1e9), half, len(pings))
