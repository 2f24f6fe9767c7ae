"""What a load test counts: latencies, failures by class, throughput, and the client's own condition.

A `Tally` is filled by one process while the load lasts and can be handed over piece by piece (`take`,
`merge`), each count exactly once; `Figures` is the whole at the end, with the few ratios that follow from
it. The classes of failure are one table, so that a report, a gate and the client use the same words.

Names of latencies: `ttfb` response head, `ttft` first content, tool call or reasoning, `icl` gap between
two reads that carried content (k events in one read are one gap and k-1 `coalesced` events), `stall` the
largest such gap of a stream, `tpot` (last content - first content) / (tokens - 1), `e2e` the end of a stream
that was whole. In a closed load all count from the moment before the request is sent, connection set-up
(`connect`, `tls`) apart; in an open one from the *intended* start, whatever the client or the connection
needed, and `ttft_sent` is what a client that forgets its own lateness would have said. `plain` is an
unstreamed call; `submit`, `poll` and `task` are a media task's acceptance, one look at it, and the whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any

from weighbridge.load.histogram import Histogram, middle_of


class Failure(StrEnum):
    """Why a stream does not count as completed."""

    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT_CONNECT = "timeout_connect"
    TIMEOUT_FIRST_BYTE = "timeout_first_byte"
    TIMEOUT_IDLE = "timeout_idle"
    TIMEOUT_TOTAL = "timeout_total"
    HTTP_429 = "http_429"
    HTTP_4XX = "http_4xx"
    HTTP_5XX = "http_5xx"
    HTTP_OTHER = "http_other"
    BAD_HTTP = "bad_http"
    NOT_SSE = "not_sse"
    MALFORMED = "malformed"
    ERROR_EVENT = "error_event"
    TRUNCATED = "truncated"
    RESET = "reset"
    EMPTY = "empty"
    BROKEN_ENDING = "broken_ending"
    WRONG_TEXT = "wrong_text"
    TASK_FAILED = "task_failed"


#: What each class means, for people.
MEANING: Mapping[Failure, str] = {
    Failure.CONNECT: "no TCP connection came about",
    Failure.TLS: "the TLS handshake failed",
    Failure.TIMEOUT_CONNECT: "no connection within the bound",
    Failure.TIMEOUT_FIRST_BYTE: "no response byte within the bound",
    Failure.TIMEOUT_IDLE: "silence within a stream beyond the bound",
    Failure.TIMEOUT_TOTAL: "not finished within the bound",
    Failure.HTTP_429: "status 429",
    Failure.HTTP_4XX: "another status 4xx",
    Failure.HTTP_5XX: "a status 5xx",
    Failure.HTTP_OTHER: "a status that is neither 2xx nor an error",
    Failure.BAD_HTTP: "the bytes are no HTTP/1.1",
    Failure.NOT_SSE: "a 2xx reply that is no event stream",
    Failure.MALFORMED: "an event that is neither a JSON object nor [DONE]",
    Failure.ERROR_EVENT: "an error object within the stream",
    Failure.TRUNCATED: "the stream ended without finish_reason and [DONE], or before its framing did",
    Failure.RESET: "the connection was reset",
    Failure.EMPTY: "no byte of a response, or a stream without any event",
    Failure.BROKEN_ENDING: "finish_reason or [DONE] is missing, comes twice or is not last",
    Failure.WRONG_TEXT: "the text differs from what the provider sent",
    Failure.TASK_FAILED: "a media task that ended otherwise than completed",
}

#: Histograms of what users feel, in microseconds.
LATENCIES = (
    "connect", "tls", "ttfb", "ttft", "ttft_sent", "icl", "stall", "tpot", "e2e",
    "plain", "submit", "poll", "task",
)  # fmt: skip
#: The client's own delays: how late its event loop came round, how late it began a call that was due, and,
#: where the simulator stamps its events, how long after the write a read was noted.
LAG = "lag"
SCHEDULE = "schedule"
TRUE_LAG = "true_lag"
CLIENT = (LAG, SCHEDULE, TRUE_LAG)

#: Everything that is a plain count. `dropped` starts found no room below the cap of calls in flight; `paced`
#: calls waited for a declared limit; `usage_streams` said themselves how many `tokens` they had.
COUNTS = (
    "started", "completed", "unfinished", "dropped", "paced", "connections", "chunks", "coalesced",
    "judged", "tokens", "usage_streams", "event_streams",
)  # fmt: skip
#: Rows of a heat map for each power of two.
ROWS_PER_OCTAVE = 4


@lru_cache(maxsize=16384)
def row_of(cell: int) -> int:
    """The row of a heat map that a histogram's cell belongs to: quarters of powers of two."""
    value = middle_of(cell)
    if value < 1:
        return 0
    octave = value.bit_length() - 1
    return octave * ROWS_PER_OCTAVE + ((value << 2) >> octave) - 4


def lowest_of_row(row: int) -> float:
    """Where a row begins, in microseconds."""
    octave, quarter = divmod(row, ROWS_PER_OCTAVE)
    return float(2**octave * (1 + quarter / ROWS_PER_OCTAVE))


@dataclass(frozen=True, slots=True)
class ClientProcess:
    """One load-generating process over its measured window.

    Attributes:
        window_s: seconds from the end of the warm-up to the moment when no stream was started any more.
        cpu_s: processor seconds used in it.
        chunks, streams, tokens: content events received, calls ended whole and their tokens in it.
        part: processes of one part of a run work at the same time, parts one after the other.
    """

    pid: int
    window_s: float
    cpu_s: float
    chunks: int
    streams: int
    tokens: int = 0
    part: int = 0


@dataclass
class Slice:
    """What happened within one slice of time; latencies coarse, as rows of a heat map."""

    counts: Counter[str] = field(default_factory=Counter)
    icl: Counter[int] = field(default_factory=Counter)
    ttft: Counter[int] = field(default_factory=Counter)

    def add(self, raw: Mapping[str, Any]) -> None:
        """Count what another one counted; keys of JSON objects are texts."""
        self.counts.update(raw["counts"])
        self.icl.update({int(row): times for row, times in raw["icl"].items()})
        self.ttft.update({int(row): times for row, times in raw["ttft"].items()})


@dataclass
class LaneTally:
    """One kind of call in a mixed load."""

    completed: int = 0
    failed: int = 0
    ttft: Histogram = field(default_factory=Histogram)
    e2e: Histogram = field(default_factory=Histogram)

    def as_json(self) -> dict[str, Any]:
        """All of it, for another process or a file."""
        return {
            "completed": self.completed,
            "failed": self.failed,
            "ttft": self.ttft.as_json(),
            "e2e": self.e2e.as_json(),
        }

    def add(self, raw: Mapping[str, Any]) -> None:
        """Count what another one counted."""
        self.completed += raw["completed"]
        self.failed += raw["failed"]
        self.ttft.add(Histogram.from_json(raw["ttft"]))
        self.e2e.add(Histogram.from_json(raw["e2e"]))


class Tally:
    """Counts of one process, or of several merged.

    Attributes:
        good: for each goodput condition how many of the `judged` calls met it.
        usage: tokens by `model/kind`, as the target reported them, for the reconciliation of money.
        slices: by number, counted from the beginning of the load.
    """

    __slots__ = (
        *COUNTS,
        "bugs",
        "failures",
        "good",
        "histograms",
        "lanes",
        "processes",
        "slices",
        "usage",
    )
    started: int
    completed: int
    unfinished: int
    dropped: int
    paced: int
    connections: int
    chunks: int
    coalesced: int
    judged: int
    tokens: int
    usage_streams: int
    event_streams: int

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        for name in COUNTS:
            setattr(self, name, 0)
        self.histograms = {name: Histogram() for name in (*LATENCIES, *CLIENT)}
        self.failures: Counter[str] = Counter()
        self.good: Counter[str] = Counter()
        self.usage: Counter[str] = Counter()
        self.lanes: dict[str, LaneTally] = {}
        self.slices: dict[int, Slice] = {}
        self.bugs: list[str] = []
        self.processes: list[ClientProcess] = []

    def lane(self, name: str) -> LaneTally:
        """The counts of one kind of call."""
        found = self.lanes.get(name)
        if found is None:
            found = self.lanes[name] = LaneTally()
        return found

    def slice(self, number: int) -> Slice:
        """The counts of one slice of time."""
        found = self.slices.get(number)
        if found is None:
            found = self.slices[number] = Slice()
        return found

    def as_json(self) -> dict[str, Any]:
        """All of it, for another process or a file."""
        return {
            "counts": {name: getattr(self, name) for name in COUNTS},
            "histograms": {name: item.as_json() for name, item in self.histograms.items() if item.count},
            "failures": dict(self.failures),
            "good": dict(self.good),
            "usage": dict(self.usage),
            "lanes": {name: item.as_json() for name, item in self.lanes.items()},
            "slices": {
                str(number): {
                    "counts": dict(item.counts),
                    "icl": {str(row): times for row, times in item.icl.items()},
                    "ttft": {str(row): times for row, times in item.ttft.items()},
                }
                for number, item in self.slices.items()
            },
            "bugs": list(self.bugs),
            "processes": [asdict(item) for item in self.processes],
        }

    def take(self) -> dict[str, Any]:
        """All of it, and begin again at nothing: what was taken is never reported twice."""
        taken = self.as_json()
        self._clear()
        return taken

    def merge(self, raw: Mapping[str, Any]) -> None:
        """Add what another tally gave away."""
        for name, number in raw["counts"].items():
            setattr(self, name, getattr(self, name) + number)
        for name, item in raw["histograms"].items():
            self.histograms[name].add(Histogram.from_json(item))
        self.failures.update(raw["failures"])
        self.good.update(raw["good"])
        self.usage.update(raw["usage"])
        for name, item in raw["lanes"].items():
            self.lane(name).add(item)
        for number, item in raw["slices"].items():
            self.slice(int(number)).add(item)
        self.bugs.extend(raw["bugs"])
        self.processes.extend(ClientProcess(**item) for item in raw["processes"])


@dataclass(frozen=True)
class Figures:
    """The figures of a finished load test.

    Attributes:
        failures: calls by class of failure, only classes that occurred.
        unfinished: calls that the end of the test cut off; they count neither way.
        good: shares of the judged calls that met each goodput condition.
    """

    histograms: Mapping[str, Histogram]
    failures: Mapping[Failure, int]
    started: int
    completed: int
    unfinished: int
    dropped: int
    paced: int
    connections: int
    chunks: int
    coalesced: int
    tokens: int
    usage_streams: int
    event_streams: int
    good: Mapping[str, float]
    usage: Mapping[str, int]
    lanes: Mapping[str, LaneTally]
    slices: Mapping[int, Slice]
    processes: tuple[ClientProcess, ...]

    @classmethod
    def of(cls, tally: Tally) -> Figures:
        """The figures that a tally holds."""
        return cls(
            histograms=tally.histograms,
            failures={name: tally.failures[name] for name in Failure if tally.failures[name]},
            started=tally.started,
            completed=tally.completed,
            unfinished=tally.unfinished,
            dropped=tally.dropped,
            paced=tally.paced,
            connections=tally.connections,
            chunks=tally.chunks,
            coalesced=tally.coalesced,
            tokens=tally.tokens,
            usage_streams=tally.usage_streams,
            event_streams=tally.event_streams,
            good={name: times / tally.judged for name, times in tally.good.items()} if tally.judged else {},
            usage=tally.usage,
            lanes=tally.lanes,
            slices=dict(sorted(tally.slices.items())),
            processes=tuple(tally.processes),
        )

    @property
    def failed(self) -> int:
        """Calls that failed, of any class."""
        return sum(self.failures.values())

    @property
    def completion(self) -> float | None:
        """Share of finished calls that were whole; None where none finished."""
        finished = self.completed + self.failed
        return self.completed / finished if finished else None

    @property
    def coalesced_share(self) -> float | None:
        """Share of content events that arrived in one read with an earlier one."""
        return self.coalesced / self.chunks if self.chunks else None

    def _per_second(self, name: str) -> float | None:
        """The rate of all processes together; parts of a run are weighed by how long they lasted."""
        weighed = lasted = 0.0
        for part in {item.part for item in self.processes}:
            mine = [item for item in self.processes if item.part == part and item.window_s > 0]
            window = max((item.window_s for item in mine), default=0.0)
            weighed += window * sum(getattr(item, name) / item.window_s for item in mine)
            lasted += window
        return weighed / lasted if lasted else None

    @property
    def chunks_per_second(self) -> float | None:
        """Content events a second over the measured window, all processes together."""
        return self._per_second("chunks")

    @property
    def streams_per_second(self) -> float | None:
        """Calls that ended whole a second over the measured window, all processes together."""
        return self._per_second("streams")

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens of the calls that ended whole a second over the measured window."""
        return self._per_second("tokens")

    @property
    def token_source(self) -> str:
        """Who counted the tokens: the target's `usage`, the content `events`, or both in part."""
        if self.usage_streams and self.event_streams:
            return f"usage of {self.usage_streams:,} calls, content events of {self.event_streams:,}"
        return "usage" if self.usage_streams else "content events" if self.event_streams else "nothing"

    @property
    def busiest(self) -> float | None:
        """The largest share of one core that a client process used."""
        shares = [item.cpu_s / item.window_s for item in self.processes if item.window_s > 0]
        return max(shares, default=None)
