"""What a load test counts: latencies, failures by class, throughput, and the client's own condition.

A `Tally` is filled by one process while the load lasts and can be handed over piece by piece (`take`,
`merge`), each count exactly once; `Figures` is the whole at the end, with the few ratios that follow from
it. The classes of failure are one table, so that a report, a gate and the client use the same words.

Names of latencies: `ttfb` response head, `ttft` first content, tool call or reasoning, `icl` gap between
two reads that carried content (k events in one read are one gap and k-1 `coalesced` events), `e2e` the end
of a stream that was whole. All count from the moment before the request is sent; connection set-up
(`connect`, `tls`) is apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from weighbridge.load.histogram import Histogram


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
}

#: Histograms of what users feel, in microseconds.
LATENCIES = ("connect", "tls", "ttfb", "ttft", "icl", "e2e")
#: The client's own delay: how late the event loop came round.
LAG = "lag"


@dataclass(frozen=True, slots=True)
class ClientProcess:
    """One load-generating process over its measured window.

    Attributes:
        window_s: seconds from the end of the warm-up to the moment when no stream was started any more.
        cpu_s: processor seconds used in it.
        chunks, streams: content events received and streams ended in it.
    """

    pid: int
    window_s: float
    cpu_s: float
    chunks: int
    streams: int


class Tally:
    """Counts of one process, or of several merged."""

    __slots__ = (
        "bugs",
        "chunks",
        "coalesced",
        "completed",
        "connections",
        "failures",
        "histograms",
        "processes",
        "started",
        "unfinished",
    )

    def __init__(self) -> None:
        self.histograms = {name: Histogram() for name in (*LATENCIES, LAG)}
        self.failures: Counter[str] = Counter()
        self.started = 0
        self.completed = 0
        self.unfinished = 0
        self.connections = 0
        self.chunks = 0
        self.coalesced = 0
        self.bugs: list[str] = []
        self.processes: list[ClientProcess] = []

    def as_json(self) -> dict[str, Any]:
        """All of it, for another process or a file."""
        return {
            "histograms": {name: item.as_json() for name, item in self.histograms.items() if item.count},
            "failures": dict(self.failures),
            "started": self.started,
            "completed": self.completed,
            "unfinished": self.unfinished,
            "connections": self.connections,
            "chunks": self.chunks,
            "coalesced": self.coalesced,
            "bugs": list(self.bugs),
            "processes": [asdict(item) for item in self.processes],
        }

    def take(self) -> dict[str, Any]:
        """All of it, and begin again at nothing: what was taken is never reported twice."""
        taken = self.as_json()
        for name in self.histograms:
            self.histograms[name] = Histogram()
        self.failures.clear()
        self.started = self.completed = self.unfinished = self.connections = self.chunks = self.coalesced = 0
        self.bugs.clear()
        self.processes.clear()
        return taken

    def merge(self, raw: Mapping[str, Any]) -> None:
        """Add what another tally gave away."""
        for name, item in raw["histograms"].items():
            self.histograms[name].add(Histogram.from_json(item))
        self.failures.update(raw["failures"])
        self.started += raw["started"]
        self.completed += raw["completed"]
        self.unfinished += raw["unfinished"]
        self.connections += raw["connections"]
        self.chunks += raw["chunks"]
        self.coalesced += raw["coalesced"]
        self.bugs.extend(raw["bugs"])
        self.processes.extend(ClientProcess(**item) for item in raw["processes"])


@dataclass(frozen=True)
class Figures:
    """The figures of a finished load test.

    Attributes:
        failures: streams by class of failure, only classes that occurred.
        unfinished: streams that the end of the test cut off; they count neither way.
    """

    histograms: Mapping[str, Histogram]
    failures: Mapping[Failure, int]
    started: int
    completed: int
    unfinished: int
    connections: int
    chunks: int
    coalesced: int
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
            connections=tally.connections,
            chunks=tally.chunks,
            coalesced=tally.coalesced,
            processes=tuple(tally.processes),
        )

    @property
    def failed(self) -> int:
        """Streams that failed, of any class."""
        return sum(self.failures.values())

    @property
    def completion(self) -> float | None:
        """Share of finished streams that were whole; None where none finished."""
        finished = self.completed + self.failed
        return self.completed / finished if finished else None

    @property
    def coalesced_share(self) -> float | None:
        """Share of content events that arrived in one read with an earlier one."""
        return self.coalesced / self.chunks if self.chunks else None

    @property
    def chunks_per_second(self) -> float | None:
        """Content events a second over the measured window, all processes together."""
        rates = [item.chunks / item.window_s for item in self.processes if item.window_s > 0]
        return sum(rates) if rates else None

    @property
    def streams_per_second(self) -> float | None:
        """Streams ended a second over the measured window, all processes together."""
        rates = [item.streams / item.window_s for item in self.processes if item.window_s > 0]
        return sum(rates) if rates else None

    @property
    def busiest(self) -> float | None:
        """The largest share of one core that a client process used."""
        shares = [item.cpu_s / item.window_s for item in self.processes if item.window_s > 0]
        return max(shares, default=None)
