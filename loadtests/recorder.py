"""What one client process keeps: its counters, a bounded sample of whole calls, failed calls.

Latencies count only for calls that began (or were due) after the warm-up; whether a call was whole counts always.
The latencies of a slice of time are kept apart and folded into the whole when somebody asks for figures, so the
timeline costs nothing while a stream is read. The hub watch notes how late the event loop comes round, which
bounds the error of every timestamp here.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent

from loadtests.dialling import now
from weighbridge.evidence import Ending, Headers
from weighbridge.load.figures import LAG, ClientProcess, Failure, Slice, Tally, row_of
from weighbridge.load.histogram import Histogram

_TURN_S = 0.02
_TURN_NS = 20_000_000
#: So many gaps are counted at once, which takes a tenth of a millisecond.
MOST_GAPS = 256
#: A load without a known end keeps this many slices of time, the latest ones.
MAX_SLICES = 360
#: So many slices that are over may wait to be folded; a long load then folds one, a millisecond, for each new one.
_MAX_WAITING = 60


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One recorded call; times are `perf_counter_ns`."""

    id: str
    lane: str
    started: int
    ended: int
    head: int | None
    status: int | None
    headers: Headers
    chunks: tuple[tuple[int, bytes], ...]
    ending: Ending
    detail: str
    failure: Failure | None

    def line(self) -> str:
        """As one line of JSON."""
        return json.dumps(
            {
                "id": self.id,
                "lane": self.lane,
                "started": self.started,
                "ended": self.ended,
                "head": self.head,
                "status": self.status,
                "headers": self.headers,
                "chunks": [(at, base64.b64encode(data).decode()) for at, data in self.chunks],
                "ending": self.ending.value,
                "detail": self.detail,
                "failure": self.failure.value if self.failure else None,
            }
        )


class Recorder:
    """The counters and records of this process.

    Attributes:
        icl, ttft: latencies of the running slice of time.
        chunks, streams, tokens: totals, whether measured or not; the window and the slices are differences of them.
        in_flight: calls that run.
        gaps: before usual reads, in nanoseconds, each with one chunk, that wait to be counted (`count_gaps`).
    """

    def __init__(self, *, warm_up: float, sample: int, keep_failed: int, slice_s: int = 1) -> None:
        self.tally = Tally()
        self.records: list[CallRecord] = []
        self.icl = Histogram()
        self.ttft = Histogram()
        self.gaps: list[int] = []
        self.chunks = 0
        self.streams = 0
        self.tokens = 0
        self.in_flight = 0
        self._warm_up = warm_up
        self._sample = sample
        self._keep_failed = keep_failed
        self._slice_s = slice_s
        self._kept: Counter[Failure | None] = Counter()
        self._began = 0
        self._measure_from: int | None = None
        self._window: tuple[int, float, int, int, int] | None = None
        self._timers: list[gevent.Greenlet] = []
        self._watches: list[Any] = []
        self._slicing: Any = None
        self._turned = 0
        self._number = 0
        self._chunks_told = 0
        self._waiting: deque[tuple[Slice, Histogram]] = deque()

    # ---------------------------------------------------------------- the measured window
    def begin(self) -> None:
        """The load begins; the warm-up runs from here."""
        loop = gevent.get_hub().loop
        loop.update_now()
        self._began = now()
        self._number = 0
        self._measure_from = self._began + int(self._warm_up * 1e9)
        self._timers.append(gevent.spawn_later(self._warm_up, self._open_window))
        self.close()
        # It goes on after the end of the load, while calls that still run come to theirs, and keeps no process alive.
        self._slicing = loop.timer(self._slice_s, self._slice_s, ref=False)
        self._slicing.start(self._next_slice)

    def _open_window(self) -> None:
        self.count_gaps()
        self._window = (now(), time.process_time(), self.chunks, self.streams, self.tokens)
        self._turned = now()
        watch = gevent.get_hub().loop.timer(_TURN_S, _TURN_S)
        watch.start(self._turn)
        self._watches.append(watch)

    def _turn(self) -> None:
        at = now()
        late = max(0, at - self._turned - _TURN_NS)
        record = self.tally.histograms[LAG].record
        record(late // 1000)
        # Turns that never came would have been late as well: one pause is as many late ones as it was long.
        while late > _TURN_NS:
            late -= _TURN_NS
            record(late // 1000)
        self._turned = at

    def end(self) -> None:
        """No call is started any more: the measured window closes. Latencies are in the tally after `fold`."""
        for timer in self._timers:
            timer.kill(block=False)
        self._timers.clear()
        for watch in self._watches:
            watch.stop()
            watch.close()
        self._watches.clear()
        # Streams that still run are measured: what can wait until they have ended waits.
        self._next_slice()
        if self._window is not None:
            at, cpu, chunks, streams, tokens = self._window
            self._window = None
            self.tally.processes.append(
                ClientProcess(
                    pid=os.getpid(),
                    window_s=(now() - at) / 1e9,
                    cpu_s=time.process_time() - cpu,
                    chunks=self.chunks - chunks,
                    streams=self.streams - streams,
                    tokens=self.tokens - tokens,
                )
            )

    def close(self) -> None:
        """No call runs any more: the timeline ends."""
        if self._slicing is not None:
            self._slicing.stop()
            self._slicing.close()
            self._slicing = None

    def measures(self, started: int) -> bool:
        """Whether the latencies of a call that started, or was due, then count."""
        return self._measure_from is not None and started >= self._measure_from

    # ---------------------------------------------------------------- slices of time
    def count_gaps(self) -> None:
        """Count the chunks of usual reads. Many at a time: one by one, each would find the processor's caches cold."""
        gaps, self.gaps = self.gaps, []
        self.chunks += len(gaps)
        self.tally.chunks += len(gaps)
        record = self.icl.record
        for gap in gaps:
            record(gap // 1000)

    def fold(self) -> None:
        """Add all slices of time to the whole, the running one as well, and begin the next one."""
        self._next_slice()
        while self._waiting:
            self._fold(*self._waiting.popleft())

    def _next_slice(self) -> None:
        """The running slice of time is over. Its gaps wait, since to fold hundreds of cells is a pause without a read."""
        self.count_gaps()
        tally = self.tally
        if self.icl.count or self.ttft.count or self.chunks != self._chunks_told:
            part = tally.slice(self._number)
            part.counts["chunks"] += self.chunks - self._chunks_told
            self._chunks_told = self.chunks
            # First tokens are few, and progress shows them.
            _add_rows(part.ttft, self.ttft)
            tally.histograms["ttft"].add(self.ttft)
            self._waiting.append((part, self.icl))
            self.icl, self.ttft = Histogram(), Histogram()
        self._number = (now() - self._began) // (self._slice_s * 1_000_000_000)
        if len(self._waiting) > _MAX_WAITING:
            self._fold(*self._waiting.popleft())
        while len(tally.slices) > MAX_SLICES:
            del tally.slices[min(tally.slices)]

    def _fold(self, part: Slice, icl: Histogram) -> None:
        _add_rows(part.icl, icl)
        self.tally.histograms["icl"].add(icl)

    def happened(self, name: str, times: int = 1) -> None:
        """Count something in the running slice of time."""
        self.tally.slice(self._number).counts[name] += times

    def ended(self, lane: str, failure: Failure | None) -> None:
        """Count a call that is over."""
        tally, counts = self.tally, self.tally.lane(lane)
        if failure is None:
            tally.completed += 1
            counts.completed += 1
            self.streams += 1
        else:
            tally.failures[failure] += 1
            counts.failed += 1
        self.happened("completed" if failure is None else "failed")

    def told_usage(self, model: str, usage: Mapping[str, int]) -> None:
        """Add what a whole call said of its tokens, for the bill."""
        for name, tokens in usage.items():
            self.tally.usage[f"{model}/{name}"] += tokens
        self.tally.usage[f"{model}/calls"] += 1

    def told_tokens(self, tokens: int, *, by_usage: bool) -> None:
        """Add a whole call's tokens."""
        self.tokens += tokens
        self.tally.tokens += tokens
        self.happened("tokens", tokens)
        if by_usage:
            self.tally.usage_streams += 1
        else:
            self.tally.event_streams += 1

    # ---------------------------------------------------------------- calls
    def has_room(self, failure: Failure | None) -> bool:
        """Whether a record of a call that ended so would be kept."""
        room = self._sample if failure is None else self._keep_failed
        return self._kept[failure] < room

    def keep(self, record: CallRecord) -> None:
        """Keep a record if there is room for its kind."""
        if self.has_room(record.failure):
            self._kept[record.failure] += 1
            self.records.append(record)

    def write(self, folder: Path) -> None:
        """Write the records of this process into the run's folder."""
        path = folder / f"streams-{os.getpid()}.ndjson"
        with path.open("w", encoding="utf-8") as file:
            for record in self.records:
                file.write(record.line() + "\n")


def _add_rows(rows: Counter[int], latencies: Histogram) -> None:
    for cell, times in latencies.cells.items():
        rows[row_of(cell)] += times
