"""Figures of worker processes on their way to locust's master: complete, or named as missing.

Locust's own master listens for half a second after it told its workers to end, then it stops listening, whatever they
still have to say; a worker whose last calls take longer, or that gets no processor, loses its last report, and
nobody is told. So here every worker hands in the whole of its figures once its last call is over, again and
again until the master says that it has them; the master ends its workers first and waits (bounded) for all of these.
What workers report on the way is for the progress, and for what is left of a worker that died.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import gevent
import psutil
from gevent.event import AsyncResult
from gevent.lock import BoundedSemaphore
from locust import runners
from locust.exception import RPCError
from locust.rpc.protocol import Message

from loadtests.recorder import MAX_SLICES, Recorder
from weighbridge.load.figures import Tally

#: From a worker: it takes part. From the master: end the load and hand in. From a worker: all of it. The master has it.
BEGUN, END, WHOLE, RECEIVED = (f"weighbridge_{name}" for name in ("begun", "end", "whole", "received"))
#: From the master: so many workers take part. From a worker: which share of the starts is mine? From the master: this one.
WORKERS, SHARE_WANTED, SHARE = (f"weighbridge_{name}" for name in ("workers", "share_wanted", "share"))
_FIELD = "weighbridge"
#: Beyond the time for running calls, workers get this long to hand in.
LAST_REPORT_S = 20.0
_AGAIN_S = 1.0
_LOOK_S = 0.1
#: Missed heartbeats (one a second) before locust takes a worker's users away and, where it is the last one, ends the
#: test. Its own three are less than what a busy machine can hold a process up.
_HEARTBEATS = 20


class Worker:
    """This process is a worker: keeps its figures until the master has them.

    Attributes:
        whole: everything of the running test that is not in the recorder's own tally any more.
    """

    def __init__(self, runner: Any, recorder: Recorder, told_workers: Callable[[int], None]) -> None:
        self.whole = Tally()
        self._runner = runner
        self._told_workers = told_workers
        self._share: AsyncResult[tuple[int, int]] = AsyncResult()
        self._recorder = recorder
        self._run = 0
        self._over = False
        self._received = 0
        self._turn = BoundedSemaphore()
        runner.register_message(END, self._end, concurrent=True)
        runner.register_message(RECEIVED, self._was_received)
        runner.register_message(WORKERS, self._workers)
        runner.register_message(SHARE, self._shared)

    def begin(self) -> None:
        """A test begins; in the web UI one may follow another."""
        self._run += 1
        self._over = False
        self.whole = Tally()
        self._runner.send_message(BEGUN, {"run": self._run, "pid": os.getpid()})

    def share(self) -> tuple[int, int]:
        """Which of how many shares of an open load's starts this process makes; only the master knows how many there are.

        Raises:
            gevent.Timeout: the master does not say.
        """
        self._share = AsyncResult()
        self._runner.send_message(SHARE_WANTED)
        share: tuple[int, int] = self._share.get(timeout=LAST_REPORT_S)
        return share

    def report(self, data: dict[str, Any]) -> None:
        """Add what happened since the last report to a regular report."""
        data[_FIELD] = {"run": self._run, "pid": os.getpid(), "part": self.collect()}

    def collect(self) -> dict[str, Any]:
        """Move what the recorder counted into the whole; what was moved."""
        self._recorder.fold()
        part = self._recorder.tally.take()
        self.whole.merge(part)
        while len(self.whole.slices) > MAX_SLICES:
            del self.whole.slices[min(self.whole.slices)]
        return part

    def stopped(self) -> None:
        """The last call is over."""
        self._over = True
        try:
            self._send()
        except RPCError:
            return  # it is sent again when the master asks, and before this process ends

    def hand_in(self) -> bool:
        """Before this process ends: stop, and hand in until the master has it; whether it has."""
        self._runner.quit()
        if not self._run:
            return True
        # A signal makes locust shut down in a greenlet of its own, and in the main one as soon as the runner has ended.
        with self._turn, gevent.Timeout(LAST_REPORT_S, exception=False):
            while self._received < self._run:
                try:
                    self._send()
                    with gevent.Timeout(_AGAIN_S, exception=False):
                        # Locust's own reader has ended with its runner.
                        while self._received < self._run:
                            message = self._runner.client.recv()
                            if message.type == RECEIVED:
                                self._was_received(message)
                except RPCError:
                    gevent.sleep(_AGAIN_S)
        return self._received >= self._run

    def _send(self) -> None:
        self.collect()
        made: Any = Message  # locust leaves it untyped
        whole = {"run": self._run, "pid": os.getpid(), "whole": self.whole.as_json()}
        self._runner.client.send(made(WHOLE, whole, self._runner.client_id))

    def _end(self, **_: Any) -> None:
        if self._over:
            self._send()
        elif self._runner.state != runners.STATE_CLEANUP:
            self._runner.stop()

    def _workers(self, msg: Any, **_: Any) -> None:
        self._told_workers(msg.data["workers"])

    def _shared(self, msg: Any, **_: Any) -> None:
        self._share.set((msg.data["share"], msg.data["shares"]))

    def _was_received(self, msg: Any, **_: Any) -> None:
        self._received = max(self._received, msg.data["run"])


@dataclass
class _Told:
    """What one worker told of the running test."""

    pid: int | None = None
    run: int = -1
    parts: Tally = field(default_factory=Tally)
    whole: Tally | None = None


class Master:
    """This process is the master: collects, waits for the last word of each worker, and knows who never gave it."""

    def __init__(self, runner: Any, keepers: int) -> None:
        self._runner = runner
        self._keepers = keepers
        self._shares = itertools.count()
        self._told: dict[str, _Told] = {}
        self._before: dict[str, int] = {}
        self._ended = False
        self._children: set[int] = set()
        runner.register_message(BEGUN, self._begun)
        runner.register_message(WHOLE, self._whole)
        runner.register_message(SHARE_WANTED, self._share_wanted)
        runners.HEARTBEAT_LIVENESS = _HEARTBEATS
        for client in runner.clients.values():
            client.heartbeat = _HEARTBEATS

    def begin(self) -> None:
        """A test begins, with all workers that are there."""
        # What is still on its way from the test before is told by its number.
        self._before |= {worker: told.run for worker, told in self._told.items()}
        present = (item for item in self._runner.clients.values() if item.state != runners.STATE_MISSING)
        self._told = {client.id: _Told() for client in present}
        self._children = _living_children()
        self._ended = False
        self._shares = itertools.count()
        for worker in self._told:
            self._runner.send_message(WORKERS, {"workers": len(self._told)}, client_id=worker)

    def joined(self, worker: str) -> None:
        """A worker connected; while a test runs it takes part."""
        if self._runner.state in {runners.STATE_SPAWNING, runners.STATE_RUNNING}:
            self._told.setdefault(worker, _Told())

    def reported(self, worker: str, data: dict[str, Any]) -> None:
        """Count a regular report."""
        if _FIELD in data and (told := self._of(worker, data[_FIELD])) is not None:
            told.parts.merge(data[_FIELD]["part"])

    def gather(self) -> None:
        """End the workers' load, and wait until all that can have handed in."""
        bound = (self._runner.environment.stop_timeout or 0) + LAST_REPORT_S
        asked = float("-inf")
        try:
            with gevent.Timeout(bound, exception=False):
                while waiting := list(self._waiting()):
                    if time.monotonic() - asked >= _AGAIN_S:
                        asked = time.monotonic()
                        for worker in waiting:
                            self._runner.send_message(END, client_id=worker)
                    gevent.sleep(_LOOK_S)
        finally:
            self._ended = True

    def missing(self) -> list[str]:
        """Who did not hand in; while the test runs, who is not heard of."""
        silent = []
        for worker, told in self._told.items():
            client = self._runner.clients.get(worker)
            lost = client is None or client.state == runners.STATE_MISSING
            if told.whole is None and (self._ended or lost):
                silent.append(worker if told.pid is None else f"{worker} (process {told.pid})")
        return silent

    @property
    def workers(self) -> int:
        """How many take part in the test."""
        return len(self._told)

    def tally(self) -> Tally:
        """All figures so far."""
        merged = Tally()
        for told in self._told.values():
            merged.merge((told.whole or told.parts).as_json())
        return merged

    def _waiting(self) -> Iterator[str]:
        """Who still can hand in: a worker that quit did so before it said that it quits."""
        dead = self._children - _living_children()
        for worker, told in self._told.items():
            if told.whole is None and worker in self._runner.clients and told.pid not in dead:
                yield worker

    def _of(self, worker: str, told: dict[str, Any]) -> _Told | None:
        if told["run"] <= self._before.get(worker, -1):
            return None
        found = self._told.setdefault(worker, _Told())
        found.pid, found.run = told["pid"], told["run"]
        return found

    def _share_wanted(self, msg: Any, **_: Any) -> None:
        # Locust spawns no more keepers of the schedule than users were asked for.
        shares = max(min(self._keepers, self._runner.target_user_count), 1)
        share = {"share": next(self._shares) % shares, "shares": shares}
        self._runner.send_message(SHARE, share, client_id=msg.node_id)

    def _begun(self, msg: Any, **_: Any) -> None:
        self._of(msg.node_id, msg.data)

    def _whole(self, msg: Any, **_: Any) -> None:
        told = self._of(msg.node_id, msg.data)
        if told is not None:
            told.whole = Tally()
            told.whole.merge(msg.data["whole"])
        self._runner.send_message(RECEIVED, {"run": msg.data["run"]}, client_id=msg.node_id)


def _living_children() -> set[int]:
    """The workers that locust forked from this process; one that ended is reaped by gevent."""
    found = set()
    for item in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if item.status() != psutil.STATUS_ZOMBIE:
                found.add(item.pid)
    return found
