"""One stream from request to outcome: send, time, classify, count, record.

Independent of locust: `Streams.run` is driven by a locust user, and by tests.
"""

from __future__ import annotations

import itertools
import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import gevent

from loadtests.chat import ChatStream
from loadtests.connection import Connection, End
from loadtests.dialect import EventStream, failure_of
from loadtests.dialling import ConnectError, Endpoint, now
from loadtests.messages import MessageStream
from loadtests.recorder import Recorder, StreamRecord
from weighbridge.evidence import Ending, Headers, header
from weighbridge.load.figures import Failure, Tally
from weighbridge.load.plan import LoadPlan

#: How the streams of a surface are read.
DIALECTS: Mapping[str, type[EventStream]] = {"chat": ChatStream, "messages": MessageStream}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one stream; `failure` is None for a whole one."""

    id: str
    failure: Failure | None
    detail: str
    seconds: float
    length: int


class _Timed:
    """Reads one response: marks its moments, feeds the stream, keeps the bytes."""

    __slots__ = (
        "_bytes_left",
        "_recorder",
        "_tally",
        "chunks",
        "first_at",
        "head_at",
        "headers",
        "last_at",
        "length",
        "measured",
        "started",
        "status",
        "stream",
    )

    def __init__(self, stream: EventStream, recorder: Recorder, keep_bytes: int) -> None:
        self.stream = stream
        self._recorder = recorder
        self._tally: Tally = recorder.tally
        self._bytes_left = keep_bytes
        self.started = now()
        self.measured = recorder.measures(self.started)
        self.status: int | None = None
        self.headers: Headers = ()
        self.head_at: int | None = None
        self.first_at: int | None = None
        self.last_at = 0
        self.length = 0
        self.chunks: list[tuple[int, bytes]] = []

    def on_head(self, at: int, status: int, headers: Headers) -> None:
        self.status = status
        self.headers = headers
        self.head_at = at
        if self.measured and 200 <= status < 300:
            self._tally.histograms["ttfb"].record((at - self.started) // 1000)

    def on_body(self, at: int, data: bytes) -> None:
        self.length += len(data)
        if self._bytes_left > 0:
            self._bytes_left -= len(data)
            self.chunks.append((at, data))
        if self.status is None or not 200 <= self.status < 300:
            return
        count = self.stream.feed(data)
        if not count:
            return
        self._recorder.chunks += count
        if self.measured:
            tally = self._tally
            tally.chunks += count
            tally.coalesced += count - 1
            if self.first_at is None:
                tally.histograms["ttft"].record((at - self.started) // 1000)
            else:
                tally.histograms["icl"].record((at - self.last_at) // 1000)
        if self.first_at is None:
            self.first_at = at
        self.last_at = at

    @property
    def whole_record(self) -> bool:
        """Whether all bytes that arrived were kept."""
        return self._bytes_left >= 0


class Streams:
    """Runs streams by one plan; shared by all users of a process."""

    def __init__(self, plan: LoadPlan, recorder: Recorder) -> None:
        parts = urlsplit(plan.url)
        secure = parts.scheme == "https"
        self.plan = plan
        self.recorder = recorder
        self.endpoint = Endpoint(
            parts.hostname or "", parts.port or (443 if secure else 80), _context(plan) if secure else None
        )
        self._dialect = DIALECTS[plan.surface]
        self._head = plan.head()
        prefix = f"l{os.urandom(4).hex()}"
        numbers = itertools.count(1)
        self._ids: Callable[[], str] = lambda: f"{prefix}-{next(numbers)}"

    def run(self, connection: Connection | None) -> tuple[Outcome, Connection | None]:
        """One stream; never raises for what the peer does.

        Args:
            connection: what the last call returned, to be used again.

        Returns:
            the outcome, and the connection if it can be used again.
        """
        recorder, tally = self.recorder, self.recorder.tally
        stream_id = self._ids()
        tally.started += 1
        ending_known = False
        try:
            body = self.plan.body_of(stream_id)
            request = b"%b%d\r\n\r\n%b" % (self._head, len(body), body)
            if connection is None or not connection.still_open():
                opening = now()
                try:
                    connection = self._open(recorder.measures(opening))
                except ConnectError as error:
                    ending_known = True
                    return self._unconnected(stream_id, opening, error), None
            stream = self._dialect(self.plan.text_of(stream_id))
            timed = _Timed(stream, recorder, self.plan.keep_bytes)
            end = connection.exchange(request, timed, self.plan.bounds)
            ending_known = True
            outcome = self._settle(stream_id, timed, end, reused=connection.used > 1)
        except gevent.GreenletExit:
            if not ending_known:
                # The test is over and this stream was cut off by us: it says nothing about the target.
                tally.unfinished += 1
            raise
        except Exception as error:
            tally.bugs.append(f"{type(error).__name__}: {error}")
            if connection is not None:
                connection.close()
            raise
        finally:
            recorder.streams += 1
        if not self.plan.keep_alive or not connection.reusable:
            connection.close()
            return outcome, None
        return outcome, connection

    def _open(self, measured: bool) -> Connection:
        made = Connection(self.endpoint, self.plan.bounds.connect)
        tally = self.recorder.tally
        tally.connections += 1
        if measured:
            tally.histograms["connect"].record(made.connect_ns // 1000)
            if made.tls_ns is not None:
                tally.histograms["tls"].record(made.tls_ns // 1000)
        return made

    def _unconnected(self, stream_id: str, started: int, error: ConnectError) -> Outcome:
        ended = now()
        ending = Ending.TIMEOUT if error.failure is Failure.TIMEOUT_CONNECT else Ending.REFUSED
        self.recorder.tally.failures[error.failure] += 1
        self.recorder.keep(
            StreamRecord(stream_id, started, ended, None, None, (), (), ending, str(error), error.failure)
        )
        return Outcome(stream_id, error.failure, str(error), (ended - started) / 1e9, 0)

    def _settle(self, stream_id: str, timed: _Timed, end: End, *, reused: bool) -> Outcome:
        """Classify, count, record."""
        tally = self.recorder.tally
        stream = timed.stream
        content_type = (header(timed.headers, "content-type") or "").partition(";")[0].strip().lower()
        stream.close(whole=end.ending is Ending.COMPLETE)
        failure, why = failure_of(stream, end.ending, timed.status, content_type, end.timeout)
        detail = "; ".join(part for part in (why, end.detail) if part)
        if failure is not None and timed.status is None and reused:
            detail += " (on a connection that had served before)"
        if failure is None:
            tally.completed += 1
            if timed.measured:
                tally.histograms["e2e"].record((end.at - timed.started) // 1000)
        else:
            tally.failures[failure] += 1
        self.recorder.keep(
            StreamRecord(
                id=stream_id,
                started=timed.started,
                ended=end.at,
                head=timed.head_at,
                status=timed.status,
                headers=timed.headers,
                chunks=tuple(timed.chunks),
                ending=end.ending if timed.whole_record else Ending.TOO_LARGE,
                detail=detail,
                failure=failure,
            )
        )
        return Outcome(stream_id, failure, detail, (end.at - timed.started) / 1e9, timed.length)


def _context(plan: LoadPlan) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=plan.ca_file)
    if not plan.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
