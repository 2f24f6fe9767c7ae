"""What is measured: each measure takes one reading of one server, and is judged by ratios to its peers."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from benchmarks.simulator import servers
from benchmarks.simulator.processes import Load, NotMeasured, Server, running, started_load
from benchmarks.simulator.servers import Contender

_UNPACED_CHUNKS: Final = 64
_UNPACED_CONNECTIONS: Final = 64
_PACED_CHUNKS: Final = 200
_GAP_MS: Final = 20.0
_LATE_MS: Final = 5.0
_OPEN_STREAMS: Final = 2000
_CLIENT_BOUND: Final = 0.85


@dataclass(frozen=True, slots=True)
class Effort:
    """How long a reading takes, the numbers of paced streams that are tried in turn, and what every call has in its head.

    Callers repeat their heads, and the simulator makes use of that; a `header` with a counter makes each head a new one.
    """

    seconds: float
    steps: tuple[int, ...]
    header: str = ""


NEW_HEADS: Final = "x-request-id: @@@@@@@@"


THOROUGH: Final = Effort(4.0, (100, 150, 250, 500, 750, 1000, 1250, 1500, 2000))
QUICK: Final = Effort(2.0, (150, 250, 500, 750, 1000))


@dataclass(slots=True)
class Reading:
    """One figure of one server; `notes` are told beside it."""

    value: float
    notes: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Peer:
    """`target` bounds the ratio of our value to the peer's: from below, or from above where less is better."""

    contender: Contender
    target: float


@dataclass(frozen=True, slots=True)
class Measure:
    """`limit` bounds our own value from above, for a measure without a peer."""

    name: str
    unit: str
    read: Callable[[Contender, Effort], Reading]
    ours: Contender
    peers: tuple[Peer, ...] = ()
    less_is_better: bool = False
    limit: float | None = None


def _throughput(*, stream: bool) -> Callable[[Contender, Effort], Reading]:
    def read(contender: Contender, effort: Effort) -> Reading:
        body = contender.body(_UNPACED_CHUNKS, 0, stream=stream)
        load = Load(_UNPACED_CONNECTIONS, body, 1.0, effort.seconds, header=effort.header)
        with running(contender.command(_UNPACED_CHUNKS, 0)) as server:
            outcome = server.under(load)
        seen = outcome.seen
        _refuse_errors(contender, seen)
        frames = seen["frames_answer"]
        if stream and round(frames) not in {_UNPACED_CHUNKS, _UNPACED_CHUNKS + 1}:
            raise NotMeasured(
                f"{contender.name} sent {frames:.1f} frames a stream instead of {_UNPACED_CHUNKS}"
            )
        notes = {
            "per_cpu_s": seen["answers_s"] / max(outcome.server_cpu, 1e-9),
            "server_cpu": outcome.server_cpu,
            "client_cpu": seen["cpu"],
            "others_cpu": outcome.others,
        }
        return Reading(seen["answers_s"], notes)

    return read


def _refuse_errors(contender: Contender, seen: dict[str, float]) -> None:
    if seen["failed"] or seen["refused"]:
        raise NotMeasured(f"{contender.name}: {seen['failed']} calls failed, {seen['refused']} were refused")


def _paced(server: Server, contender: Contender, streams: int, effort: Effort) -> Reading:
    """The p99 of lateness at so many streams."""
    body = contender.body(_PACED_CHUNKS, _GAP_MS, stream=True)
    outcome = server.under(Load(streams, body, 2.5, effort.seconds, _GAP_MS, _PACED_CHUNKS - 1))
    seen = outcome.seen
    _refuse_errors(contender, seen)
    notes = {
        "gap_p99": seen["gap_p99"],
        "drift_p99": seen["drift_p99"],
        "server_cpu": outcome.server_cpu,
        "client_cpu": seen["cpu"],
        "others_cpu": outcome.others,
    }
    kept_up = seen["frames_s"] > 0.9 * streams * 1000 / _GAP_MS
    return Reading(seen["gap_p99"] if kept_up else max(seen["gap_p99"], 1000.0), notes)


def _held(contender: Contender, effort: Effort) -> Reading:
    """The most streams that are kept to their pace: p99 of late gaps below 5 ms."""
    best = Reading(0)
    with running(contender.command(_PACED_CHUNKS, _GAP_MS)) as server:
        for streams in effort.steps:
            reading = _paced(server, contender, streams, effort)
            if reading.value >= _LATE_MS:
                break
            best = Reading(streams, reading.notes)
    return best


def _lateness(which: str) -> Callable[[Contender, Effort], Reading]:
    def read(contender: Contender, effort: Effort) -> Reading:
        with running(contender.command(_PACED_CHUNKS, _GAP_MS)) as server:
            reading = _paced(server, contender, 250, Effort(max(effort.seconds, 5.0), ()))
        return Reading(reading.notes[which], reading.notes)

    return read


def _memory(contender: Contender, effort: Effort) -> Reading:
    """Growth of resident memory over 2,000 open streams, each a token every 500 ms, per stream."""
    del effort
    body = contender.body(_PACED_CHUNKS, 500, stream=True)
    with running(contender.command(_PACED_CHUNKS, 500)) as server:
        server.under(
            Load(20, body, 0.2, 0.5, 500)
        )  # what is loaded at the first call is not a stream's memory
        before = server.resident_kib()
        with started_load(server.port, Load(_OPEN_STREAMS, body, 3.0, 4.0, 500)) as client:
            time.sleep(5.5)
            grown = server.resident_kib() - before
            client.wait(30)
    return Reading(grown / _OPEN_STREAMS)


MEASURES: Final = (
    Measure(
        "unpaced streams of 64 chunks, one write a frame",
        "streams/s",
        _throughput(stream=True),
        servers.SIMULATOR,
        (Peer(servers.RAW, 0.70), Peer(servers.AIOHTTP_WRITE, 1.3)),
    ),
    Measure(
        "unpaced streams of 64 chunks, merged writes",
        "streams/s",
        _throughput(stream=True),
        servers.MERGING,
        (Peer(servers.AIOHTTP_TRANSPORT, 0.75), Peer(servers.AIMOCK, 3.0)),
    ),
    Measure(
        "unstreamed calls",
        "calls/s",
        _throughput(stream=False),
        servers.SIMULATOR,
        (Peer(servers.AIOHTTP_WRITE, 0.75), Peer(servers.AIMOCK, 1.5)),
    ),
    Measure(
        "paced streams held, 20 ms x 200, gap p99 < 5 ms",
        "streams",
        _held,
        servers.SIMULATOR,
        (Peer(servers.RAW, 0.5), Peer(servers.AIMOCK, 3.0)),
    ),
    Measure(
        "late gaps at 250 streams x 50 tokens/s, p99",
        "ms",
        _lateness("gap_p99"),
        servers.SIMULATOR,
        less_is_better=True,
        limit=2.0,
    ),
    Measure(
        "drift over 200 tokens at 250 streams x 50 tokens/s, p99",
        "ms",
        _lateness("drift_p99"),
        servers.SIMULATOR,
        less_is_better=True,
        limit=3.0,
    ),
    Measure(
        "memory per open stream, journal entry included",
        "KiB",
        _memory,
        servers.SIMULATOR,
        (Peer(servers.AIOHTTP_WHEEL, 1.5), Peer(servers.AIMOCK, 0.3)),
        less_is_better=True,
    ),
)


def client_was_the_limit(reading: Reading) -> bool:
    return reading.notes.get("client_cpu", 0.0) > _CLIENT_BOUND
