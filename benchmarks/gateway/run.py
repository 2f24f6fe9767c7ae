"""What the reference gateway adds to a call, and how many calls it carries, beside its peers in the same run.

    python benchmarks/gateway/run.py [--quick] [--json FILE] [--peer NAME=URL,KEY[,HEADER=VALUE]...] [--without NAME]

Everything listens on loopback and calls the project's provider simulator. Direct calls and calls through each gateway
alternate within one run, so that a busy machine disturbs all of them alike. Linux only (processor time is read from /proc).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.gateway.figures import FULL, QUICK, Effort, Row, at_most, percentile, prompt
from benchmarks.gateway.processes import (
    PeerMissingError,
    bare_relay,
    gateway,
    litellm,
    portkey,
    processor_seconds,
    serving,
    simulator,
)
from benchmarks.gateway.streams import stream_rows
from benchmarks.gateway.wire import BlockingCaller, Connection, Endpoint

_UPSTREAM_KEY: Final = "upstream-key-openai"
_CONCURRENCY: Final = 16


def fdatasync_ms(folder: Path, times: int) -> float:
    """The median time that this machine's disk takes to make 4 KiB durable: the floor under every durable charge."""
    samples = []
    with (folder / "fdatasync").open("wb", buffering=0) as file:
        for _ in range(times):
            file.write(b"x" * 4096)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            samples.append(time.perf_counter() - began)
    return statistics.median(samples) * 1000


# ---------------------------------------------------------------- one call at a time
def latencies(
    endpoints: Sequence[Endpoint], calls: int, *, stream: bool
) -> dict[str, tuple[list[float], list[float]]]:
    """Milliseconds to first byte and to last byte by endpoint; the endpoints take turns, call by call."""
    callers = [
        (endpoint, BlockingCaller(endpoint, endpoint.request(stream=stream, prompt=prompt("lat"))))
        for endpoint in endpoints
    ]
    found: dict[str, tuple[list[float], list[float]]] = {endpoint.name: ([], []) for endpoint in endpoints}
    try:
        for turn in range(calls + calls // 10):
            for endpoint, caller in callers:
                first, last = caller.call()
                if turn >= calls // 10:
                    found[endpoint.name][0].append(first * 1000)
                    found[endpoint.name][1].append(last * 1000)
    finally:
        for _, caller in callers:
            caller.close()
    return found


def latency_rows(
    direct: Endpoint, others: Sequence[Endpoint], effort: Effort, disk_ms: float
) -> Iterator[Row]:
    whole = latencies([direct, *others], effort.calls, stream=False)
    streamed = latencies([direct, *others], effort.calls // 2, stream=True)
    aims = {"gateway (stubbed ledger)": 1.0, "gateway (real ledger)": 2.0}
    base = {share: percentile(whole[direct.name][1], share) for share in (0.5, 0.99)}
    base_first = {share: percentile(streamed[direct.name][0], share) for share in (0.5, 0.99)}
    yield Row("fdatasync of 4 KiB, p50", disk_ms, "ms")
    yield Row("direct call, unstreamed, p50", base[0.5], "ms")
    for other in others:
        added = percentile(whole[other.name][1], 0.5) - base[0.5]
        name = f"added to an unstreamed call, p50, {other.name}"
        if other.name in aims:
            yield at_most(name, added, "ms", aims[other.name])
        else:
            yield Row(name, added, "ms")
        tail = percentile(whole[other.name][1], 0.99) - base[0.99]
        yield Row(f"added to an unstreamed call, p99, {other.name}", tail, "ms")
        for share, word in ((0.5, "p50"), (0.99, "p99")):
            first = percentile(streamed[other.name][0], share) - base_first[share]
            yield Row(f"added to the first token, {word}, {other.name}", first, "ms")


# ---------------------------------------------------------------- throughput
async def slice_of_load(endpoint: Endpoint, seconds: float) -> int:
    """Complete unstreamed calls, `_CONCURRENCY` at a time for as long as said; how many."""
    request = endpoint.request(stream=False, prompt=prompt("load"))
    loop = asyncio.get_running_loop()
    deadline = time.perf_counter() + seconds
    done = 0

    def next_one(_connection: Connection) -> bool:
        nonlocal done
        done += 1
        return time.perf_counter() < deadline

    host, port = endpoint.address
    opened = [
        (await loop.create_connection(lambda: Connection(request, next_one), host, port))[1]
        for _ in range(_CONCURRENCY)
    ]
    async with asyncio.timeout(seconds + 30):
        await asyncio.gather(*(connection.closed for connection in opened))
    failures = [connection.failure for connection in opened if connection.failure]
    if failures:
        raise RuntimeError(f"{endpoint.name}: {failures[0]}")
    return done


def throughput(endpoints: Sequence[Endpoint], effort: Effort) -> dict[str, tuple[float, float]]:
    """Requests per second, and per second of processor time of the gateway's processes, by endpoint."""
    processes = {endpoint.name: serving(urlsplit(endpoint.url).port or 80) for endpoint in endpoints}
    calls = dict.fromkeys(processes, 0)
    wall = dict.fromkeys(processes, 0.0)
    spent = dict.fromkeys(processes, 0.0)
    for turn in range(effort.slices + 1):
        for endpoint in endpoints:
            seconds = effort.slice_s if turn else 1.0
            before, began = processor_seconds(processes[endpoint.name]), time.perf_counter()
            made = uvloop.run(slice_of_load(endpoint, seconds))
            if turn:  # the first slice is to warm up
                calls[endpoint.name] += made
                wall[endpoint.name] += time.perf_counter() - began
                spent[endpoint.name] += processor_seconds(processes[endpoint.name]) - before
    return {name: (calls[name] / wall[name], calls[name] / spent[name]) for name in processes}


def throughput_rows(ours: Endpoint, others: Sequence[Endpoint], effort: Effort) -> Iterator[Row]:
    found = throughput([ours, *others], effort)
    own_rate, own = found[ours.name]
    label = f"{_CONCURRENCY} callers"
    yield Row(f"requests per second, {label}, {ours.name}", own_rate, "1/s")
    yield Row(f"requests per second of one core, {label}, {ours.name}", own, "1/s")
    aims: Mapping[str, float] = {"litellm": 5.0, "portkey": 1.0}
    for other in others:
        rate, per_core = found[other.name]
        yield Row(f"requests per second, {label}, {other.name}", rate, "1/s")
        target = aims.get(other.name)
        yield Row(
            f"requests per second of one core, gateway against {other.name}",
            own,
            "1/s",
            per_core,
            own / per_core,
            target,
            None if target is None else own / per_core > target,
            better="higher",
            ratio_target=target,
        )


# ---------------------------------------------------------------- the run
@contextmanager
def peers(
    folder: Path, upstream: str, given: Sequence[Endpoint], without: Sequence[str], missing: list[Row]
) -> Iterator[list[Endpoint]]:
    """The peers that can be had; those that cannot are said, left out, and added to `missing`."""
    with ExitStack() as stack:
        found = list(given)
        starts: Mapping[str, Callable[[], AbstractContextManager[Endpoint]]] = {
            "litellm": lambda: litellm(folder),
            "portkey": lambda: portkey(folder, upstream),
        }
        for name, start in starts.items():
            if name in without or any(endpoint.name == name for endpoint in given):
                continue
            try:
                found.append(stack.enter_context(start()))
            except PeerMissingError as error:
                print(f"without {name}: {error}", file=sys.stderr)
                missing.append(Row(f"{name} could not be had: {error}", None, ""))
        yield found


def measure(effort: Effort, given: Sequence[Endpoint], without: Sequence[str]) -> list[Row]:
    rows: list[Row] = []
    with (
        tempfile.TemporaryDirectory(prefix="gateway-benchmark-", dir=Path.cwd()) as name,
        ExitStack() as stack,
    ):
        folder = Path(name)
        upstream = stack.enter_context(simulator(folder))
        direct = Endpoint("direct", f"{upstream}/v1", _UPSTREAM_KEY)
        real, _ = stack.enter_context(gateway(folder, upstream, "real"))
        bare = stack.enter_context(bare_relay(folder, upstream, _UPSTREAM_KEY))
        stubbed, _ = stack.enter_context(gateway(folder, upstream, "stubbed"))
        disk_ms = fdatasync_ms(folder, 200)
        rows += latency_rows(direct, [stubbed, real], effort, disk_ms)
        rows += stream_rows(direct, real, bare, effort)
        missing: list[Row] = []
        with peers(folder, upstream, given, without, missing) as others:
            rows += throughput_rows(real, others, effort)
    return rows + missing


def read_peer(text: str) -> Endpoint:
    """NAME=URL,KEY[,HEADER=VALUE]..., the URL ending in /v1."""
    name, equals, rest = text.partition("=")
    url, _, rest = rest.partition(",")
    key, _, headers = rest.partition(",")
    if not equals or not url.startswith("http://"):
        raise argparse.ArgumentTypeError(f"{text!r}: write NAME=http://HOST:PORT/v1,KEY")
    pairs = [header.partition("=") for header in headers.split(",") if header]
    return Endpoint(name, url.rstrip("/"), key, {key: value for key, _, value in pairs})


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the reference gateway.")
    parser.add_argument("--quick", action="store_true", help="a fifth of the time, wider spread")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows")
    parser.add_argument(
        "--peer", type=read_peer, action="append", default=[], help="NAME=URL,KEY[,HEADER=VALUE]..."
    )
    parser.add_argument("--without", action="append", default=[], metavar="NAME", help="leave a peer out")
    asked = parser.parse_args()
    rows = measure(QUICK if asked.quick else FULL, asked.peer, asked.without)
    rows = [row if row.value is None else replace(row, value=round(row.value, 4)) for row in rows]
    for row in rows:
        if row.value is None:
            print(f"left out: {row.name}")
            continue
        aim = (
            ""
            if row.target is None
            else f"  aim {row.target:g}{'x' if row.peer else ''} {'met' if row.ok else 'MISSED'}"
        )
        ratio = "" if row.ratio is None else f"  ({row.ratio:.2f} x {row.peer:.1f})"
        print(f"{row.name:82}{row.value:10.3f} {row.unit}{ratio}{aim}")
    if asked.json is not None:
        asked.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")
    return 0 if all(row.ok is not False for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
