"""Open arrivals: starts each call when it is due, whatever became of the ones before.

One greenlet keeps the schedule of its process; every call gets a greenlet of its own and an idle connection, or
a new one. A start that finds no room below the cap is counted as dropped: it would have been a user who waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import gevent
from gevent.pool import Group

from loadtests.alarm import Alarm
from loadtests.connection import Connection
from loadtests.dialling import now
from loadtests.streaming import Calls, Outcome
from weighbridge.load.arrivals import Arrivals, share_of
from weighbridge.load.plan import Lane

#: The schedule is left at most so late after the end of the load was asked for.
_LOOK_S = 0.2


def lanes_in_turn(lanes: tuple[Lane, ...]) -> Iterator[Lane]:
    """The lanes in the ratio of their weights, spread as evenly as possible, for ever."""
    total = sum(lane.weight for lane in lanes)
    credit = dict.fromkeys(range(len(lanes)), 0)
    while True:
        for place, lane in enumerate(lanes):
            credit[place] += lane.weight
        best = max(credit, key=lambda place: credit[place])
        credit[best] -= total
        yield lanes[best]


class Opening:
    """The schedule of one process.

    Args:
        calls: runs each call.
        arrivals: the schedule of all processes together.
        place: which of how many processes this is.
        report: told every outcome.
    """

    def __init__(
        self,
        calls: Calls,
        arrivals: Arrivals,
        place: tuple[int, int],
        report: Callable[[Lane, Outcome], None],
    ) -> None:
        self._calls = calls
        self._arrivals = arrivals
        self._place = place
        self._report = report
        self._group = Group()
        self._idle: dict[str, deque[Connection]] = {lane.name: deque() for lane in calls.plan.lanes}

    def keep(self, over: Callable[[], bool], seconds: float | None) -> None:
        """Start calls until the time is up or `over` says so; running ones go on.

        Args:
            over: asked before every start.
            seconds: the length of the schedule; None for an endless one.
        """
        began = now()
        recorder = self._calls.recorder
        # Every process walks through the same lanes, so a lane's share does not depend on who has which start.
        lanes = enumerate(lanes_in_turn(self._calls.plan.lanes))
        with Alarm() as alarm:
            for number, moment in share_of(self._arrivals, *self._place):
                if seconds is not None and moment >= seconds:
                    break
                due = began + int(moment * 1e9)
                while not over() and due - now() > int(_LOOK_S * 1e9):
                    alarm.until(now() + int(_LOOK_S * 1e9))
                if over():
                    return
                alarm.until(due)
                lane = next(lane for count, lane in lanes if count == number)
                if len(self._group) >= self._arrivals.in_flight:
                    recorder.tally.dropped += 1
                    recorder.happened("dropped")
                else:
                    self._group.spawn(self._one, lane, due)

    def _one(self, lane: Lane, due: int) -> None:
        idle = self._idle[lane.name]
        outcome, connection = self._calls.run(lane, idle.pop() if idle else None, due)
        if connection is not None:
            idle.append(connection)
        self._report(lane, outcome)

    def close(self, drain_s: float) -> None:
        """Wait for running calls, cut off what is left, close all connections."""
        try:
            self._group.join(timeout=drain_s)
        finally:
            # Locust's own patience may be over first: then whoever waits here is killed, and so must they be, to be counted.
            self._group.kill(gevent.GreenletExit)
            for idle in self._idle.values():
                while idle:
                    idle.pop().close()
