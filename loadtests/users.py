"""Locust users: each task is one stream, and each stream fires one request event.

Latencies other than the whole duration are kept in histograms of our own; as extra request events they
would be added up with the streams in every total that locust shows.
"""

from __future__ import annotations

from typing import ClassVar

import gevent
from locust import User, constant, task

from loadtests.connection import Connection
from loadtests.streaming import Streams
from weighbridge.load.figures import Failure

#: After a stream that failed at once, a closed loop would spin; a real client waits as well.
PAUSE_S = 0.1


class StreamFailed(Exception):  # noqa: N818 - locust shows its name beside the class of failure
    """A stream that was not whole; only the class, so that locust's table of errors stays short."""


class SSEUser(User):
    """Reads event streams one after the other, over one connection where the plan allows it."""

    abstract = True
    wait_time = constant(0)
    #: Set when the load is set up, before any user exists.
    streams: ClassVar[Streams]

    def on_start(self) -> None:
        """A user begins without a connection."""
        self.connection: Connection | None = None

    def on_stop(self) -> None:
        """Leave no connection open."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def one_stream(self) -> None:
        """One stream, reported as one request."""
        lent, self.connection = self.connection, None
        outcome, self.connection = self.streams.run(lent)
        self.environment.events.request.fire(
            request_type="SSE",
            name=self.streams.plan.surface,
            response_time=outcome.seconds * 1000,
            response_length=outcome.length,
            exception=None if outcome.failure is None else StreamFailed(outcome.failure.value),
            context=self.context(),
        )
        if outcome.failure in _QUICK:
            gevent.sleep(PAUSE_S)


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


class StreamUser(SSEUser):
    """Streams answers of the surface that the plan names."""

    @task
    def stream(self) -> None:
        """One streamed answer."""
        self.one_stream()
