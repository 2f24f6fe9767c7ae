"""What one client process keeps: its counters, a bounded sample of whole streams, failed streams.

Latencies count only for streams that began after the warm-up; whether a stream was whole counts always.
The hub watch notes how late the event loop comes round, which bounds the error of every timestamp here.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent

from loadtests.dialling import now
from weighbridge.evidence import Ending, Headers
from weighbridge.load.figures import LAG, ClientProcess, Failure, Tally

_TURN_S = 0.01
_TURN_NS = 10_000_000


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """One recorded stream; times are `perf_counter_ns`."""

    id: str
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
    """The counters and records of this process."""

    def __init__(self, *, warm_up: float, sample: int, keep_failed: int) -> None:
        self.tally = Tally()
        self.records: list[StreamRecord] = []
        self._warm_up = warm_up
        self._sample = sample
        self._keep_failed = keep_failed
        self._kept: Counter[str] = Counter()
        self._measure_from: int | None = None
        self._window: tuple[int, float, int, int] | None = None
        self._timers: list[gevent.Greenlet] = []
        self._watch: Any = None
        self._turned = 0
        self.chunks = 0
        self.streams = 0

    # ---------------------------------------------------------------- the measured window
    def begin(self) -> None:
        """The load begins; the warm-up runs from here."""
        gevent.get_hub().loop.update_now()
        self._measure_from = now() + int(self._warm_up * 1e9)
        self._timers.append(gevent.spawn_later(self._warm_up, self._open_window))

    def _open_window(self) -> None:
        self._window = (now(), time.process_time(), self.chunks, self.streams)
        self._turned = now()
        self._watch = gevent.get_hub().loop.timer(_TURN_S, _TURN_S)
        self._watch.start(self._turn)

    def _turn(self) -> None:
        at = now()
        self.tally.histograms[LAG].record(max(0, (at - self._turned - _TURN_NS) // 1000))
        self._turned = at

    def end(self) -> None:
        """No stream is started any more: the measured window closes."""
        for timer in self._timers:
            timer.kill(block=False)
        self._timers.clear()
        if self._watch is not None:
            self._watch.stop()
            self._watch.close()
            self._watch = None
        if self._window is not None:
            at, cpu, chunks, streams = self._window
            self._window = None
            self.tally.processes.append(
                ClientProcess(
                    pid=os.getpid(),
                    window_s=(now() - at) / 1e9,
                    cpu_s=time.process_time() - cpu,
                    chunks=self.chunks - chunks,
                    streams=self.streams - streams,
                )
            )

    def measures(self, started: int) -> bool:
        """Whether the latencies of a stream that started then count."""
        return self._measure_from is not None and started >= self._measure_from

    # ---------------------------------------------------------------- streams
    def keep(self, record: StreamRecord) -> None:
        """Keep a record if there is room for its kind."""
        kind = record.failure.value if record.failure else ""
        room = self._keep_failed if record.failure else self._sample
        if self._kept[kind] < room:
            self._kept[kind] += 1
            self.records.append(record)

    def write(self, folder: Path) -> None:
        """Write the records of this process into the run's folder."""
        path = folder / f"streams-{os.getpid()}.ndjson"
        with path.open("w", encoding="utf-8") as file:
            for record in self.records:
                file.write(record.line() + "\n")
