"""Several processes over one PostgreSQL database: one set of books, of keys, of limits and of tasks."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from mock_upstreams import Simulator, SimulatorConfig
from reference_gateway.config_file import load_config
from reference_gateway.gateway import GatewayStartError
from reference_gateway.supervisor import Supervisor
from tests.reference_gateway.shared_database import write_configuration

OPERATOR = {"Authorization": "Bearer operator-token"}


class Workers:
    """A gateway of several processes, with short-hands."""

    def __init__(
        self, process: asyncio.subprocess.Process, urls: Mapping[str, str], simulator: str, pids: list[int]
    ) -> None:
        self.process = process
        self.urls = urls
        self.simulator = simulator
        self.pids = pids
        self.errors = bytearray()

    async def call(
        self, method: str, url: str, headers: Mapping[str, str], **options: Any
    ) -> tuple[int, Any]:
        """One call on a connection of its own, so that any worker may take it."""
        connector = aiohttp.TCPConnector(force_close=True)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.request(method, url, headers=headers, **options) as response,
        ):
            return response.status, await response.json()

    async def customer(self, **body: Any) -> tuple[str, dict[str, str]]:
        status, made = await self.call("POST", f"{self.urls['operator']}/accounts", OPERATOR, json=body)
        assert status == 201
        return made["key_id"], {"Authorization": f"Bearer {made['key']}"}

    async def chat(self, headers: Mapping[str, str], text: str = "hello") -> tuple[int, Any]:
        body = {"model": "gpt-5.5", "messages": [{"role": "user", "content": text}]}
        return await self.call("POST", f"{self.urls['chat']}/chat/completions", headers, json=body)

    async def journal(self, name: str) -> list[Any]:
        _, found = await self.call("POST", f"{self.simulator}/_wb/journal/query", {}, json={"ids": [name]})
        entries: list[Any] = found["entries"]
        return entries

    async def read_errors(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.errors += line


@pytest.fixture
def workers(postgresql_url: str, tmp_path: Path) -> Any:
    """Starts a gateway of some processes over a simulator."""

    @asynccontextmanager
    async def start(number: int = 2, **settings: Any) -> AsyncIterator[Workers]:
        async with Simulator(SimulatorConfig()) as simulator:
            limited = {"default": {"routes": {"gpt-5.5": "openai"}, "requests_per_second": 5}}
            settings = {"groups": limited, **settings}
            config = write_configuration(tmp_path, postgresql_url, simulator.url, **settings)
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "reference_gateway", "--config", str(config)),
                *("--workers", str(number)),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            assert process.stdout is not None
            told: dict[str, list[str]] = {}
            try:
                async with asyncio.timeout(60):
                    while "workers" not in told:
                        name, *rest = (await process.stdout.readline()).decode().split()
                        told[name] = rest
                urls = {name: rest[0] for name, rest in told.items()}
                gateway = Workers(process, urls, simulator.url, [int(pid) for pid in told["workers"]])
                reading = asyncio.create_task(gateway.read_errors())
                yield gateway
            finally:
                if process.returncode is None:
                    process.terminate()
                async with asyncio.timeout(30):
                    await process.wait()
            await reading

    return start


def _is_gone(pid: int) -> bool:
    """Whether a process has ended; it need not be a child of ours."""
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


async def gone(pid: int) -> bool:
    return _is_gone(pid)


def test_workers_share_keys_balances_and_revocations(workers: Any) -> None:
    async def main() -> None:
        async with workers(2, groups={"default": {"routes": {"gpt-5.5": "openai"}}}) as gateway:
            key_id, headers = await gateway.customer(workspace="chat", balance_usd="10")
            assert {status for status, _ in await many(gateway, headers, 12)} == {200}
            status, _ = await gateway.call(
                "POST", f"{gateway.urls['operator']}/keys/{key_id}/revoke", OPERATOR
            )
            assert status == 200
            assert {status for status, _ in await many(gateway, headers, 12)} == {401}

    asyncio.run(main())


async def many(gateway: Workers, headers: Mapping[str, str], number: int) -> list[tuple[int, Any]]:
    return await asyncio.gather(*(gateway.chat(headers) for _ in range(number)))


def test_workers_together_admit_no_more_than_the_limit(workers: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with workers(2) as gateway:
            _, headers = await gateway.customer(workspace="chat", balance_usd="10")
            began = loop.time()
            answers = [status for _ in range(4) for status, _ in await many(gateway, headers, 10)]
            windows = int(loop.time() - began) + 2
            assert set(answers) == {200, 429}
            assert answers.count(200) <= 5 * windows

    asyncio.run(main())


def test_a_dead_worker_is_replaced_and_its_tasks_are_taken_over_and_sent_once(
    workers: Any, wait_for: Any
) -> None:
    async def main() -> None:
        async with workers(2) as gateway:
            _, headers = await gateway.customer(workspace="tasks", credits=1000)
            tasks = {}
            for index in range(6):
                body = {"model": "gpt-image-2", "prompt": f"[[wb:job{index};duration_ms=2500]]"}
                status, task = await gateway.call(
                    "POST", f"{gateway.urls['tasks']}/images/generations", headers, json=body
                )
                assert status == 200
                tasks[f"job{index}"] = task["id"]
            os.kill(gateway.pids[0], signal.SIGKILL)

            async def replaced() -> bool:
                return b"a new one takes its place" in gateway.errors

            await wait_for(replaced, 20)
            assert f"process {gateway.pids[0]}) was ended by SIGKILL".encode() in gateway.errors
            for name, task in tasks.items():

                async def ended(task: str = task) -> Any:
                    _, found = await gateway.call("GET", f"{gateway.urls['tasks']}/tasks/{task}", headers)
                    return None if found["status"] == "processing" else found

                found = await wait_for(ended, 20)
                sent = [entry for entry in await gateway.journal(name) if entry["operation"] == "submit"]
                assert len(sent) <= 1
                assert found["status"] == "completed" or found["error"]["code"] == 80001
            assert gateway.process.returncode is None

    asyncio.run(main())


def test_workers_end_with_their_parent_however_it_ends(workers: Any, wait_for: Any) -> None:
    async def main() -> None:
        for how in (signal.SIGTERM, signal.SIGKILL):
            async with workers(2) as gateway:
                gateway.process.send_signal(how)
                assert await gateway.process.wait() == (0 if how == signal.SIGTERM else -how)
                for pid in gateway.pids:
                    await wait_for(lambda pid=pid: gone(pid), 20)

    asyncio.run(main())


def test_sqlite_serves_one_process_and_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        config = tmp_path / "gateway.yaml"
        values = {
            "operator_token": "operator-token",
            "groups": {"default": {"routes": {}}},
            "models": {},
            "task_models": {},
            "channels": {},
            "media": {"url": "http://127.0.0.1:9", "key": "k"},
            "database": str(tmp_path / "books.sqlite"),
        }
        config.write_text(yaml.safe_dump(values))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "reference_gateway", "--config", str(config), "--workers", "2"),
            stderr=asyncio.subprocess.PIPE,
        )
        _, error = await process.communicate()
        assert process.returncode == 2
        assert error.decode().count("\n") == 1
        assert "SQLite serves one process" in error.decode()

    asyncio.run(main())


async def scraped(gateway: Workers) -> dict[str, float]:
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
        session.get(gateway.urls["operator"].replace("/operator/v1", "/metrics"), headers=OPERATOR) as answer,
    ):
        assert answer.status == 200
        text = await answer.text()
    samples = (line.rpartition(" ") for line in text.splitlines() if line and line[0] != "#")
    return {name: float(value) for name, _, value in samples}


def test_one_scrape_shows_what_all_workers_have_counted_and_death_takes_nothing_away(
    workers: Any, wait_for: Any
) -> None:
    ok = 'gateway_calls_total{group="default",model="gpt-5.5",outcome="ok",surface="chat"}'
    open_now = 'gateway_open_streams{surface="chat"}'

    async def main() -> None:
        async with workers(2, groups={"default": {"routes": {"gpt-5.5": "openai"}}}) as gateway:
            _, headers = await gateway.customer(workspace="chat", balance_usd="10")
            assert {status for status, _ in await many(gateway, headers, 24)} == {200}
            # Whichever worker answers, it tells the same.
            for _ in range(6):
                assert (await scraped(gateway))[ok] == 24
            body = {
                "model": "gpt-5.5",
                "messages": [{"role": "user", "content": "[[wb:open;text=a b c;gap_ms=5000;chunks=3]]"}],
                "stream": True,
            }
            async with aiohttp.ClientSession() as session:
                url = f"{gateway.urls['chat']}/chat/completions"
                streams = [await session.post(url, json=body, headers=headers) for _ in range(4)]
                for stream in streams:
                    await stream.content.readany()
                assert (await scraped(gateway))[open_now] == 4
                for pid in gateway.pids:
                    os.kill(pid, signal.SIGKILL)

                async def served() -> bool:
                    with contextlib.suppress(aiohttp.ClientError):
                        return bool((await gateway.chat(headers))[0] == 200)
                    return False

                assert await wait_for(served, 20)
                for stream in streams:
                    stream.close()

            async def counted() -> bool:
                seen = await scraped(gateway)
                return seen[ok] >= 25 and seen.get(open_now, 0) == 0

            assert await wait_for(counted, 10)

    asyncio.run(main())


def test_workers_that_cannot_even_be_started_end_the_parent_in_words(tmp_path: Path) -> None:
    class Missing(Supervisor):
        program = (str(tmp_path / "missing"),)

    file = write_configuration(tmp_path, "postgresql://127.0.0.1:9/x", "http://127.0.0.1:9")

    async def main() -> None:
        async with asyncio.timeout(20):
            await Missing(file, load_config(file), 2).run(asyncio.Event())

    with pytest.raises(GatewayStartError, match="before it was ready"):
        asyncio.run(main())
