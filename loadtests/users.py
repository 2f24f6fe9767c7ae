"""Locust users: each task is one call, and each call fires one request event.

Latencies other than the whole duration are kept in histograms of our own; as extra request events they
would be added up with the calls in every total that locust shows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import gevent
from locust import LoadTestShape, User, constant, task
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING

from loadtests.connection import Connection
from loadtests.opening import Opening
from loadtests.streaming import Calls, Outcome
from weighbridge.load.figures import Failure
from weighbridge.load.plan import Lane, LoadPlan
from weighbridge.load.shapes import level_at

#: After a call that failed at once, a closed loop would spin; a real client waits as well.
PAUSE_S = 0.1
_KIND_NAMES = {"plain-messages": "PlainMessages"}


class CallFailed(Exception):  # noqa: N818 - locust shows its name beside the class of failure
    """A call that was not whole; only the class, so that locust's table of errors stays short."""


class GatewayUser(User):
    """Makes calls of one lane. Each lane of the plan becomes a class of its own (`users_of`)."""

    abstract = True
    wait_time = constant(0)
    #: Set when the load is set up, before any user exists.
    calls: ClassVar[Calls]
    lane: ClassVar[Lane]

    def on_start(self) -> None:
        """A user begins without a connection, and not at the very moment when others do.

        locust starts the users of a second all at once. Users that begin together stay together, call after call, and
        their reads then stand in line behind one another: the line would be reported as the target's.
        """
        self.connection: Connection | None = None
        gevent.sleep(self.calls.wait_to_begin())

    def on_stop(self) -> None:
        """Leave no connection open."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def stop(self, force: bool = False) -> bool:
        """As locust's, but a user between two calls ends by itself, as one in a call does, and may be asked twice.

        locust kills a user that waits. Between two calls that takes a moment here, in which the next one may begin: it
        would be killed with it, although it has been sent.
        """
        if force or self._state is None:
            return bool(super().stop(force))
        self._state = LOCUST_STATE_STOPPING
        return False

    @task
    def one_call(self) -> None:
        """One call, reported as one request."""
        lent, self.connection = self.connection, None
        outcome, self.connection = self.calls.run(self.lane, lent)
        report(self, self.lane, outcome)
        if outcome.failure in _QUICK:
            gevent.sleep(PAUSE_S)


class ArrivalUser(User):
    """Keeps the schedule of an open load, once in each client process; it is no user that waits for its answers."""

    abstract = True
    wait_time = constant(0)
    calls: ClassVar[Calls]
    drain_s: ClassVar[float] = 10.0
    #: Which of how many shares of the starts this process makes; asked as the schedule begins.
    share: ClassVar[Callable[[], tuple[int, int]]] = staticmethod(lambda: (0, 1))

    @task
    def keep_the_schedule(self) -> None:
        """Start calls until the load is over."""
        plan = self.calls.plan
        assert plan.arrivals is not None  # noqa: S101 - the class is only offered with a schedule
        opening = Opening(
            self.calls,
            plan.arrivals,
            type(self).share(),
            lambda lane, outcome: report(self, lane, outcome),
        )
        try:
            opening.keep(lambda: self._state != LOCUST_STATE_RUNNING, plan.duration or None)
        finally:
            opening.close(self.drain_s)
        while self._state == LOCUST_STATE_RUNNING:
            gevent.sleep(0.1)


def report(user: User, lane: Lane, outcome: Outcome) -> None:
    """Tell locust of one call."""
    user.environment.events.request.fire(
        request_type="SSE" if lane.streamed else "TASK" if lane.follow else "POST",
        name=lane.name,
        response_time=outcome.seconds * 1000,
        response_length=outcome.length,
        exception=None if outcome.failure is None else CallFailed(outcome.failure.value),
        context=user.context(),
    )


def users_of(plan: LoadPlan) -> dict[str, type[User]]:
    """The user classes that locust is to spawn: one for each lane, or the keeper of the schedule."""
    if plan.arrivals is not None:
        return {"ArrivalUser": _made("ArrivalUser", ArrivalUser, fixed_count=plan.processes)}
    names: dict[str, type[User]] = {}
    for lane in plan.lanes:
        detail = "".join(part.capitalize() for part in _words(lane.name.removeprefix(lane.kind)))
        name = f"{_KIND_NAMES.get(lane.kind, lane.kind.capitalize())}{detail}User"
        names[name] = _made(name, GatewayUser, lane=lane, weight=lane.weight)
    return names


def _words(text: str) -> list[str]:
    return "".join(letter if letter.isalnum() else " " for letter in text).split()


def _made(name: str, base: type[User], **attributes: Any) -> type[User]:
    metaclass: Any = type(base)
    made: type[User] = metaclass(name, (base,), {"abstract": False, **attributes})
    return made


def shape_of(plan: LoadPlan) -> type[LoadTestShape] | None:
    """The shape class for a closed load whose users come and go; None for a plain one."""
    if not plan.shape or plan.arrivals is not None:
        return None

    class Levels(LoadTestShape):
        """Users by the levels of the plan, asked for once a second."""

        def tick(self) -> tuple[int, float] | None:
            moment = self.get_run_time()  # type: ignore[no-untyped-call]  # locust leaves it so
            if moment >= plan.duration:
                return None
            # Looked up at the end of the coming second, so that the crowd is there when the level is.
            users = round(plan.users * level_at(plan.shape, min(moment + 1, plan.duration)))
            return max(users, 1), float(max(plan.users, 1))

    return Levels


_QUICK = frozenset(
    {
        Failure.CONNECT,
        Failure.TLS,
        Failure.HTTP_429,
        Failure.HTTP_4XX,
        Failure.HTTP_5XX,
        Failure.HTTP_OTHER,
        Failure.BAD_HTTP,
        Failure.NOT_SSE,
        Failure.RESET,
        Failure.EMPTY,
    }
)
