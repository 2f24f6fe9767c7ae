"""What the gateway adds between the chunks of many open streams, and whose time that is.

A process that is ready and has no processor waits, whatever it would do then, and on two cores a client, a simulator and
a gateway are in each other's way. So the direct runs and those through the gateway alternate with runs through a bare
relay in the gateway's place, and the kernel's own account says how long the gateway worked and how long it stood in line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import pairwise
from urllib.parse import urlsplit

import uvloop
from figures import GAP_MS, STREAMS, Effort, Row, at_most, percentile, prompt
from processes import processor_seconds, serving, waited_seconds
from wire import Connection, Endpoint


async def gaps(endpoint: Endpoint, streams: int, chunks: int) -> list[float]:
    """Milliseconds between neighbouring reads of each of many streams that are open at the same time."""
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
    return [
        (later - earlier) * 1000
        for times in arrivals.values()
        # The first pairs belong to the start, when all streams open at once.
        for earlier, later in pairwise(times[2:])
    ]


def stream_rows(direct: Endpoint, through: Endpoint, bare: Endpoint, effort: Effort) -> Iterator[Row]:
    """The rows; the direct runs, the gateway and the bare relay take turns."""
    pids = serving(urlsplit(through.url).port or 80)
    spent = waited = 0.0
    found: dict[str, list[float]] = {way.name: [] for way in (direct, through, bare)}
    for _ in range(effort.stream_rounds):
        for way in (direct, through, bare):
            before = processor_seconds(pids), sum(map(waited_seconds, pids))
            found[way.name] += uvloop.run(gaps(way, STREAMS, effort.chunks))
            if way is through:
                spent += processor_seconds(pids) - before[0]
                waited += sum(map(waited_seconds, pids)) - before[1]
    label = f"{STREAMS} open streams, a chunk every {GAP_MS} ms"
    for share, word in ((0.5, "p50"), (0.99, "p99")):
        one = percentile(found[direct.name], share)
        yield Row(f"time between chunks, {word}, {label}, direct", one, "ms")
        added = percentile(found[through.name], share) - one
        name = f"added between chunks, {word}, {label}"
        yield at_most(name, added, "ms", 1.0) if word == "p99" else Row(name, added, "ms")
        relayed = percentile(found[bare.name], share) - one
        yield Row(f"added between chunks, {word}, by a bare relay in its place", relayed, "ms")
    chunks = STREAMS * effort.chunks * effort.stream_rounds
    yield Row("gateway at work for one chunk, on average", spent / chunks * 1e6, "us")
    yield Row("gateway ready and waiting for a processor, for each chunk", waited / chunks * 1e6, "us")
