"""The yardstick: a uvloop protocol with the least parsing that still counts events. Not a load tool.

    python raw.py PORT STREAMS SECONDS WARM_UP

Prints one JSON line. It knows the paced server's bytes, checks nothing, and stands for what a Python process
can reach at best; a real client is measured as a multiple of its processor time.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import cast

import uvloop

BODY = b'{"model":"paced","stream":true,"messages":[{"role":"user","content":"Tell a short story."}]}'
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: paced\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
)
CONTENT = b'"content":"'
now = time.perf_counter_ns


class Counted:
    """What all streams of this process saw, in nanoseconds."""

    def __init__(self) -> None:
        self.ttft: list[int] = []
        self.gaps: list[int] = []
        self.chunks = 0
        self.streams = 0


class Stream(asyncio.Protocol):
    """One connection; a stream begins as the last one ends."""

    def __init__(self, counted: Counted) -> None:
        self.counted = counted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.WriteTransport", transport)
        self.begin()

    def begin(self) -> None:
        self.last = 0
        self.asked = now()
        self.transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        at = now()
        found = data.count(CONTENT)
        counted = self.counted
        if found:
            counted.chunks += found
            if self.last:
                counted.gaps.append(at - self.last)
            else:
                counted.ttft.append(at - self.asked)
            self.last = at
        if data.endswith(b"\r\n0\r\n\r\n"):
            counted.streams += 1
            self.begin()


def quantile(values: list[int], share: float) -> float:
    """The quantile in microseconds; 0 where nothing was seen."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] / 1000 if ordered else 0.0


async def measure(port: int, streams: int, seconds: float, warm_up: float) -> None:
    """Open the streams over two seconds, let them settle, measure, print, leave."""
    counted = Counted()
    loop = asyncio.get_running_loop()
    began = now()
    open_ = []
    for number in range(streams):
        open_.append(await loop.create_connection(lambda: Stream(counted), "127.0.0.1", port))
        await asyncio.sleep(max(0.0, began / 1e9 + 2.0 * (number + 1) / streams - now() / 1e9))
    await asyncio.sleep(max(0.0, warm_up - (now() - began) / 1e9))
    counted.__init__()  # type: ignore[misc]
    at, cpu = now(), time.process_time()
    await asyncio.sleep(seconds)
    window, used = (now() - at) / 1e9, time.process_time() - cpu
    print(json.dumps({
        "window_s": window, "cpu_s": used, "chunks": counted.chunks, "streams": counted.streams,
        "ttft_p50_us": quantile(counted.ttft, 0.5), "ttft_p99_us": quantile(counted.ttft, 0.99),
        "gap_p50_us": quantile(counted.gaps, 0.5), "gap_p99_us": quantile(counted.gaps, 0.99),
    }), flush=True)  # fmt: skip
    for transport, _ in open_:
        transport.abort()


if __name__ == "__main__":
    uvloop.run(measure(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])))
