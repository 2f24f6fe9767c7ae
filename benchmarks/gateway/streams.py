"""What the gateway adds between the chunks of many open streams, and whose time that is.

A process that is ready and has no processor waits, whatever it would do then, and on two cores a client, a simulator and
a gateway are in each other's way. So the direct runs and those through the gateway alternate with runs through a bare
relay in the gateway's place, and the kernel's own account says how long the gateway worked and how long it stood in line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from urllib.parse import urlsplit

import uvloop

from benchmarks.gateway.figures import GAP_MS, STREAMS, Effort, Row, at_most, percentile, prompt
from benchmarks.gateway.processes import processor_seconds, serving, waited_seconds
from benchmarks.gateway.wire import Connection, Endpoint


@dataclass(frozen=True, slots=True)
class Gaps:
    """Milliseconds between neighbouring reads of each of many streams.

    Attributes:
        all_open: those that began and ended while every stream was open and none was being opened or ended.
        whole: all but the first two of each stream, those beside the ends of other streams included.
    """

    all_open: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)

    def add(self, times: list[list[float]]) -> None:
        """Take the arrivals of each stream, in seconds."""
        # The first pairs belong to the start, when all streams open at once.
        begun, ended = max(arrived[2] for arrived in times), min(arrived[-1] for arrived in times)
        for earlier, later in (pair for arrived in times for pair in pairwise(arrived[2:])):
            self.whole.append((later - earlier) * 1000)
            if earlier >= begun and later <= ended:
                self.all_open.append((later - earlier) * 1000)


async def arrivals_of(endpoint: Endpoint, streams: int, chunks: int) -> list[list[float]]:
    """When each chunk of each of many streams was read, in seconds."""
    request = endpoint.request(stream=True, prompt=prompt("gaps", chunks=chunks))
    arrivals: dict[Connection, list[float]] = {}

    def note(connection: Connection, data: bytes, now: float) -> None:
        # The gateway owes one read a chunk; finish and terminator come together at the end.
        if b'"content":"' in data:
            arrivals.setdefault(connection, []).append(now)

    loop = asyncio.get_running_loop()
    host, port = endpoint.address
    opened = []
    for _ in range(streams):
        _, connection = await loop.create_connection(
            lambda: Connection(request, lambda _: False, note), host, port
        )
        opened.append(connection)
        # Spread over one gap, as independent callers are.
        await asyncio.sleep(GAP_MS / 1000 / streams)
    async with asyncio.timeout(chunks * GAP_MS / 1000 * 3 + 20):
        await asyncio.gather(*(connection.closed for connection in opened))
    failures = [connection.failure for connection in opened if connection.failure]
    if failures:
        raise RuntimeError(f"{endpoint.name}: {len(failures)} of {streams} streams failed: {failures[0]}")
    return list(arrivals.values())


def stream_rows(direct: Endpoint, through: Endpoint, bare: Endpoint, effort: Effort) -> Iterator[Row]:
    """The rows; the direct runs, the gateway and the bare relay take turns."""
    pids = serving(urlsplit(through.url).port or 80)
    spent = waited = 0.0
    found = {way.name: Gaps() for way in (direct, through, bare)}
    for _ in range(effort.stream_rounds):
        for way in (direct, through, bare):
            before = processor_seconds(pids), sum(map(waited_seconds, pids))
            found[way.name].add(uvloop.run(arrivals_of(way, STREAMS, effort.chunks)))
            if way is through:
                spent += processor_seconds(pids) - before[0]
                waited += sum(map(waited_seconds, pids)) - before[1]
    label = f"{STREAMS} open streams, a chunk every {GAP_MS} ms"
    for share, word in ((0.5, "p50"), (0.99, "p99")):
        one = percentile(found[direct.name].all_open, share)
        yield Row(f"time between chunks, {word}, {label}, direct", one, "ms")
        added = percentile(found[through.name].all_open, share) - one
        name = f"added between chunks, {word}, {label}"
        yield at_most(name, added, "ms", 1.0) if word == "p99" else Row(name, added, "ms")
        relayed = percentile(found[bare.name].all_open, share) - one
        yield Row(f"added between chunks, {word}, by a bare relay in its place", relayed, "ms")
    beside = percentile(found[through.name].whole, 0.99) - percentile(found[direct.name].whole, 0.99)
    yield Row("the same p99 of the gateway, with the ends of all streams within a moment", beside, "ms")
    chunks = STREAMS * effort.chunks * effort.stream_rounds
    yield Row("gateway at work for one chunk, on average", spent / chunks * 1e6, "us")
    yield Row("gateway ready and waiting for a processor, for each chunk", waited / chunks * 1e6, "us")
