"""Several worker processes behind one control API, as real processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from mock_upstreams import SimulatorConfig
from mock_upstreams.workers import WorkerDiedError, WorkerPool
from tests.mock_upstreams.samples import by_sample

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def ask(url: str, body: Any = None, path: str = "/v1/chat/completions") -> tuple[int, Any]:
    """One request on a connection of its own, so that the kernel picks a worker anew."""
    headers = {"authorization": "Bearer k"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request("GET" if body is None else "POST", url + path, json=body) as answer,
    ):
        return answer.status, json.loads(await answer.read())


def call(text: str) -> dict[str, Any]:
    return {"model": "gpt-5.5", "messages": [{"role": "user", "content": text}]}


@asynccontextmanager
async def two_workers() -> AsyncIterator[WorkerPool]:
    async with WorkerPool(SimulatorConfig(), 2) as pool:
        yield pool
    assert all(not alive(pid) for pid in pool.pids)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_two_workers_are_one_simulator() -> None:
    async def main() -> None:
        async with two_workers() as pool:
            for number in range(24):
                assert (await ask(pool.url, call(f"[[wb:c{number}]]")))[0] == 200
            pages = [(await ask(base, path="/_wb/journal"))[1] for base in (pool.url, pool.control_url)]
            assert pages[0] == pages[1]
            entries = pages[0]["entries"]
            assert [entry["id"] for entry in entries] == [f"c{number}" for number in range(24)]
            assert [entry["seq"] for entry in entries] == list(range(1, 25))
            _, page = await ask(pool.url, path="/_wb/journal?since=20&limit=2")
            assert [entry["seq"] for entry in page["entries"]] == [21, 22]
            _, found = await ask(pool.url, {"ids": ["c3", "c7"]}, "/_wb/journal/query")
            assert [entry["id"] for entry in found["entries"]] == ["c3", "c7"]

            # Sequences go on wherever a call arrives.
            flaky = call("[[wb:flaky;fault=status;status=503;times=8]]")
            assert [(await ask(pool.url, flaky))[0] for _ in range(12)] == [503] * 8 + [200] * 4

            # A job is known wherever it is asked for.
            job = {"kind": "text", "model": "m", "prompt": "p [[wb:job;duration_ms=0]]"}
            _, submitted = await ask(pool.url, job, "/media/v1/jobs")
            for _ in range(8):
                status, polled = await ask(pool.url, path=f"/media/v1/jobs/{submitted['job_id']}")
                assert (status, polled["state"]) == (200, "succeeded")
            assert (await ask(pool.url, path="/media/v1/jobs/none"))[0] == 404

            # What the control API changes is changed everywhere.
            async with aiohttp.ClientSession() as session:
                async with session.put(f"{pool.url}/_wb/scenarios/hi", json={"text": "from all"}) as answer:
                    assert answer.status == 200
                async with session.get(f"{pool.url}/_wb/metrics") as answer:
                    counts = by_sample(await answer.read())
                async with session.get(f"{pool.url}/_wb/journal/stream") as answer:
                    assert answer.status == 501
            for _ in range(8):
                _, reply = await ask(pool.url, {**call("x"), "model": "wb-hi"})
                assert reply["choices"][0]["message"]["content"] == "from all"
            done = (
                'simulator_requests_total{provider="openai",operation="chat",status="200",ending="complete"}'
            )
            assert counts[done] == 28

            _, cursor = await ask(pool.url, {}, "/_wb/reset")
            assert (await ask(pool.url, path="/_wb/journal"))[1] == {"entries": [], "dropped": 0}
            assert cursor["seq"] == (await ask(pool.url, path="/_wb/journal/cursor"))[1]["seq"] > 40
            assert (await ask(pool.url, flaky))[0] == 503

    asyncio.run(main())


def test_both_workers_serve() -> None:
    async def main() -> None:
        async with two_workers() as pool:
            counts = []
            for _ in range(40):
                await ask(pool.url, call("hello"))
            for asker in pool._askers:
                found = await asker.ask("GET", "/_wb/journal", b"", {})
                counts.append(len(json.loads(found.body)["entries"]))
            assert sum(counts) == 40
            assert min(counts) > 0

    asyncio.run(main())


def test_a_worker_that_dies_is_noticed_and_all_are_reaped() -> None:
    async def main() -> None:
        async with WorkerPool(SimulatorConfig(), 2) as pool:
            os.kill(pool.pids[1], signal.SIGKILL)
            with pytest.raises(
                WorkerDiedError, match=r"worker 1 \(process \d+\) was ended by signal 9, and its part"
            ):
                await asyncio.wait_for(pool.until_stopped(asyncio.Event()), 20)
        deadline = time.monotonic() + 10
        while any(map(alive, pool.pids)):
            assert time.monotonic() < deadline

    asyncio.run(main())


def test_a_taken_port_is_told() -> None:
    async def main() -> None:
        async with WorkerPool(SimulatorConfig(), 1) as first:
            with pytest.raises(OSError, match="in use"):
                async with WorkerPool(SimulatorConfig(port=first.port), 1):
                    pytest.fail("it started")

    asyncio.run(main())
