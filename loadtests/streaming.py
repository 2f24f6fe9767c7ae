"""One call from request to outcome: send, time, classify, count, record.

Independent of locust: `Calls.run` is driven by a locust user, by open arrivals, and by tests.
"""

from __future__ import annotations

import itertools
import operator
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

import gevent

from loadtests.chat import ChatStream
from loadtests.connection import Connection, End
from loadtests.dialect import EventStream, excerpt, failure_of
from loadtests.dialling import ConnectError, endpoint_of, now
from loadtests.hanging import WholeCalls
from loadtests.messages import MessageStream
from loadtests.pacing import Pacer
from loadtests.recorder import CallRecord, Recorder
from loadtests.timed import Timed
from loadtests.whole import Whole, judge_answer, usage_of
from weighbridge.evidence import Ending, header
from weighbridge.load.figures import SCHEDULE, Failure
from weighbridge.load.plan import Condition, Lane, LoadPlan

_GOLDEN = (5**0.5 - 1) / 2
#: How the streams of a surface are read.
DIALECTS: Mapping[str, type[EventStream]] = {"chat": ChatStream, "messages": MessageStream}
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one call; `failure` is None for a whole one."""

    id: str
    failure: Failure | None
    detail: str
    seconds: float
    length: int


class Calls:
    """Runs calls by one plan; shared by all users of a process."""

    def __init__(self, plan: LoadPlan, recorder: Recorder) -> None:
        self.plan = plan
        self.recorder = recorder
        self._heads = {lane.name: lane.head(keep_alive=plan.keep_alive) for lane in plan.lanes}
        self._endpoints = {lane.name: endpoint_of(plan, lane) for lane in plan.lanes}
        self._pacers: dict[tuple[str, str], Pacer] = {}
        self._processes = plan.processes
        self._whole = {lane.name: WholeCalls() for lane in plan.lanes}
        prefix = f"l{os.urandom(4).hex()}"
        numbers = itertools.count(1)
        self._ids: Callable[[], str] = lambda: f"{prefix}-{next(numbers)}"
        self._begun = itertools.count()

    def run(
        self, lane: Lane, connection: Connection | None, due: int | None = None
    ) -> tuple[Outcome, Connection | None]:
        """One call; never raises for what the peer does.

        Args:
            lane: which kind of call.
            connection: what the last call of this lane returned, to be used again.
            due: when an open load meant it to start, on the clock `now`; None in a closed one.

        Returns:
            the outcome, and the connection if it can be used again.
        """
        recorder, tally = self.recorder, self.recorder.tally
        call_id = self._ids()
        try:
            self._pace(lane)
        except gevent.GreenletExit:
            if connection is not None:
                connection.close()
            raise
        if due is not None and recorder.measures(due):
            tally.histograms[SCHEDULE].record((now() - due) // 1000)
        tally.started += 1
        recorder.in_flight += 1
        recorder.happened("started")
        settled = False
        opening = now()
        try:
            try:
                connection = self._connected(lane, connection)
            except ConnectError as error:
                settled = True
                return self._unconnected(lane, call_id, opening, error), None
            body = lane.body_of(call_id)
            request = b"%b%d\r\n\r\n%b" % (self._heads[lane.name], len(body), body)
            if lane.streamed:
                outcome = self._stream(lane, call_id, connection, request, due)
            elif lane.follow:
                outcome, connection = self._task(lane, call_id, connection, request, due)
            else:
                outcome = self._plain(lane, call_id, connection, request, due)
            settled = True
        except gevent.GreenletExit:
            if not settled:
                self._cut_off(lane, call_id, opening)
            raise
        except Exception as error:
            recorder.tally.bugs.append(f"{type(error).__name__}: {error}")
            if connection is not None:
                connection.close()
            raise
        finally:
            recorder.in_flight -= 1
        if outcome.failure is None:
            self._whole[lane.name].took(now() - opening)
        if not self.plan.keep_alive or not connection.reusable:
            connection.close()
            return outcome, None
        return outcome, connection

    def _cut_off(self, lane: Lane, call_id: str, opening: int) -> None:
        """The test is over and this call was cut off by us: it says nothing of the target, unless it was hanging."""
        ended = now()
        why = self._whole[lane.name].why_hanging(ended - opening)
        if not why:
            self.recorder.tally.unfinished += 1
            return
        failure = Failure.TIMEOUT_TOTAL
        self.recorder.ended(lane.name, failure)
        self._judge_good(lane, failure, {}, measured=self.recorder.measures(opening))
        self.recorder.keep(
            CallRecord(call_id, lane.name, opening, ended, None, None, (), (), Ending.TIMEOUT, why, failure)
        )

    # ---------------------------------------------------------------- before the request
    def wait_to_begin(self) -> float:
        """How long the next user shall wait before its first call, in seconds below one; the first waits for nothing.

        Multiples of the golden section: however many users come in the same second, they are spread evenly over it.
        """
        return next(self._begun) * _GOLDEN % 1.0

    def shared_by(self, processes: int) -> None:
        """So many processes share the declared limits; on a machine of its own a process cannot know."""
        self._processes = processes
        self._pacers.clear()

    def _pace(self, lane: Lane) -> None:
        """Wait for the turn that a declared limit grants."""
        if lane.pace is None:
            return
        key = (lane.principal if lane.follow else lane.name, lane.surface)
        if key not in self._pacers:
            self._pacers[key] = Pacer(lane.pace / self._processes)
        self.recorder.tally.paced += self._pacers[key].turn()

    def _connected(self, lane: Lane, connection: Connection | None) -> Connection:
        if connection is not None and connection.still_open():
            return connection
        measured = self.recorder.measures(now())
        made = Connection(self._endpoints[lane.name], self.plan.bounds.connect)
        tally = self.recorder.tally
        tally.connections += 1
        if measured:
            tally.histograms["connect"].record(made.connect_ns // 1000)
            if made.tls_ns is not None:
                tally.histograms["tls"].record(made.tls_ns // 1000)
        return made

    def _unconnected(self, lane: Lane, call_id: str, started: int, error: ConnectError) -> Outcome:
        ended = now()
        ending = Ending.TIMEOUT if error.failure is Failure.TIMEOUT_CONNECT else Ending.REFUSED
        self.recorder.ended(lane.name, error.failure)
        self._judge_good(lane, error.failure, {}, measured=self.recorder.measures(started))
        self.recorder.keep(
            CallRecord(
                call_id, lane.name, started, ended, None, None, (), (), ending, str(error), error.failure
            )
        )
        return Outcome(call_id, error.failure, str(error), (ended - started) / 1e9, 0)

    # ---------------------------------------------------------------- the kinds of calls
    def _stream(
        self, lane: Lane, call_id: str, connection: Connection, request: bytes, due: int | None
    ) -> Outcome:
        stream = DIALECTS[lane.surface](lane.text_of(call_id))
        sent = now()
        timed = Timed(stream, self.recorder, self.plan.keep_bytes, sent if due is None else due, sent)
        end = connection.exchange(request, timed, self.plan.bounds)
        content_type = (header(timed.headers, "content-type") or "").partition(";")[0].strip().lower()
        stream.close(whole=end.ending is Ending.COMPLETE)
        failure, why = failure_of(stream, end.ending, timed.status, content_type, end.timeout)
        detail = "; ".join(part for part in (why, end.detail) if part)
        if failure is not None and timed.status is None and connection.used > 1:
            detail += " (on a connection that had served before)"
        tokens = stream.usage.get("completion", 0)
        if tokens <= 0:
            tokens = stream.chunks
        felt = timed.latencies(tokens, end.at)
        self._settle_stream(lane, timed, failure, felt, tokens)
        if self.recorder.has_room(failure):
            self.recorder.keep(
                CallRecord(
                    id=call_id,
                    lane=lane.name,
                    started=sent,
                    ended=end.at,
                    head=timed.head_at,
                    status=timed.status,
                    headers=timed.headers,
                    chunks=timed.chunks,
                    ending=end.ending if timed.whole_record else Ending.TOO_LARGE,
                    detail=detail,
                    failure=failure,
                )
            )
        return Outcome(call_id, failure, detail, (end.at - timed.origin) / 1e9, timed.length)

    def _settle_stream(
        self, lane: Lane, timed: Timed, failure: Failure | None, felt: Mapping[str, int], tokens: int
    ) -> None:
        recorder, tally = self.recorder, self.recorder.tally
        recorder.ended(lane.name, failure)
        if failure is None:
            usage = timed.stream.usage
            recorder.told_tokens(tokens, by_usage=usage.get("completion") == tokens)
            if usage:
                recorder.told_usage(lane.model, usage)
        if timed.measured:
            for name in ("tpot", "e2e", "stall"):
                if failure is None and name in felt:
                    tally.histograms[name].record(felt[name])
            counts = tally.lane(lane.name)
            if "ttft" in felt:
                counts.ttft.record(felt["ttft"])
            if failure is None:
                counts.e2e.record(felt["e2e"])
        self._judge_good(lane, failure, felt, measured=timed.measured)

    def _judge_good(
        self, lane: Lane, failure: Failure | None, felt: Mapping[str, int], *, measured: bool
    ) -> None:
        """Count whether a stream met each goodput gate's conditions; a failed one meets none."""
        if not (measured and lane.streamed and self.plan.goodput):
            return
        tally = self.recorder.tally
        tally.judged += 1
        for name, conditions in self.plan.goodput.items():
            met = failure is None and all(_meets(item, felt) for item in conditions)
            tally.good[name] += met

    def _plain(
        self, lane: Lane, call_id: str, connection: Connection, request: bytes, due: int | None
    ) -> Outcome:
        sent = now()
        origin = sent if due is None else due
        reply = Whole()
        end = connection.exchange(request, reply, self.plan.bounds)
        answer, failure, why = reply.document(end)
        if answer is not None:
            failure, why = judge_answer(answer, lane.surface, lane.text_of(call_id))
        if answer is not None and failure is None:
            usage = usage_of(answer, lane.surface)
            if "completion" in usage:
                self.recorder.told_tokens(usage["completion"], by_usage=True)
                self.recorder.told_usage(lane.model, usage)
        return self._whole_call(lane, call_id, "plain", (origin, sent), reply, end, failure, why)

    def _task(
        self, lane: Lane, call_id: str, connection: Connection, request: bytes, due: int | None
    ) -> tuple[Outcome, Connection]:
        """Submit, then look at it at the declared pace until it ends; with the connection that it ended on."""
        sent = now()
        origin = sent if due is None else due
        reply = Whole()
        end = connection.exchange(request, reply, self.plan.bounds)
        answer, failure, why = reply.document(end)
        task = answer.get("id") if answer is not None else None
        if answer is not None and not (isinstance(task, str) and task):
            failure, why = Failure.MALFORMED, "an accepted task without an id"
        self._measure("submit", origin, end.at, failure)
        limit = sent + int(lane.done_s * 1e9)
        try:
            while failure is None:
                gevent.sleep(lane.poll_s)
                self._pace(lane)
                reply = Whole()
                try:
                    connection = self._connected(lane, connection)
                except ConnectError as error:
                    end, failure, why = (
                        End(Ending.REFUSED, now(), str(error)),
                        error.failure,
                        "asking for the task",
                    )
                    break
                asked = now()
                end = connection.exchange(
                    lane.get(lane.follow + quote(str(task), safe="")), reply, self.plan.bounds
                )
                answer, failure, why = reply.document(end, of_a_task=True)
                self._measure("poll", asked, end.at, failure)
                status = answer.get("status") if answer is not None else None
                if status == "completed":
                    break
                if status == "failed":
                    failure, why = Failure.TASK_FAILED, f"the task ended as failed: {excerpt(reply.body)}"
                elif failure is None and now() > limit:
                    failure, why = Failure.TIMEOUT_TOTAL, f"the task did not end within {lane.done_s:g} s"
        except BaseException:
            connection.close()
            raise
        outcome = self._whole_call(lane, call_id, "task", (origin, sent), reply, end, failure, why)
        return outcome, connection

    def _measure(self, name: str, origin: int, ended: int, failure: Failure | None) -> None:
        if failure is None and self.recorder.measures(origin):
            self.recorder.tally.histograms[name].record((ended - origin) // 1000)

    def _whole_call(
        self,
        lane: Lane,
        call_id: str,
        metric: str,
        times: tuple[int, int],
        reply: Whole,
        end: End,
        failure: Failure | None,
        why: str,
    ) -> Outcome:
        """Count and record a call that is answered in one piece."""
        origin, sent = times
        detail = "; ".join(part for part in (why, end.detail) if part)
        self.recorder.ended(lane.name, failure)
        self._measure(metric, origin, end.at, failure)
        if failure is None and self.recorder.measures(origin):
            self.recorder.tally.lane(lane.name).e2e.record((end.at - origin) // 1000)
        if failure is not None:
            self.recorder.keep(
                CallRecord(
                    call_id,
                    lane.name,
                    sent,
                    end.at,
                    reply.head_at,
                    reply.status,
                    reply.headers,
                    tuple(reply.chunks),
                    end.ending,
                    detail,
                    failure,
                )
            )
        return Outcome(call_id, failure, detail, (end.at - origin) / 1e9, reply.length)


def _meets(condition: Condition, felt: Mapping[str, int]) -> bool:
    """Whether one stream meets a condition; where all content came at once there was no gap to wait in."""
    at_once = 0 if condition.metric in {"stall", "tpot"} and "ttft" in felt else None
    value = felt.get(condition.metric, at_once)
    return value is not None and _COMPARE[condition.comparison](value, condition.bound)
