"""Two programs that know nothing of each other but the database, as on two hosts: one set of books, keys, limits and tasks."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from mock_upstreams import Simulator, SimulatorConfig
from tests.crash.evidence import read_books
from tests.reference_gateway.shared_database import write_configuration

OPERATOR = {"Authorization": "Bearer operator-token"}


class Host:
    """One program."""

    def __init__(self, process: asyncio.subprocess.Process, urls: Mapping[str, str]) -> None:
        self.process = process
        self.urls = urls

    async def call(
        self, method: str, url: str, headers: Mapping[str, str], **options: Any
    ) -> tuple[int, Any]:
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, headers=headers, **options) as response,
        ):
            return response.status, await response.json()

    async def operator(self, method: str, path: str, **options: Any) -> Any:
        status, found = await self.call(method, self.urls["operator"] + path, OPERATOR, **options)
        assert status < 300, found
        return found

    async def chat(self, headers: Mapping[str, str], text: str) -> tuple[int, Any]:
        body = {"model": "gpt-5.5", "messages": [{"role": "user", "content": text}]}
        return await self.call("POST", f"{self.urls['chat']}/chat/completions", headers, json=body)

    async def task(self, headers: Mapping[str, str], task: str) -> Any:
        status, found = await self.call("GET", f"{self.urls['tasks']}/tasks/{task}", headers)
        assert status == 200, found
        return found


@pytest.fixture
def two_hosts(postgresql_url: str, tmp_path: Path) -> Any:
    """Starts two programs, each with listeners of its own, over one database and one folder of files."""

    @asynccontextmanager
    async def start() -> AsyncIterator[tuple[Host, Host, str]]:
        async with Simulator(SimulatorConfig()) as simulator:
            config = write_configuration(tmp_path, postgresql_url, simulator.url)
            hosts = [await _start(config) for _ in range(2)]
            try:
                yield hosts[0], hosts[1], simulator.url
            finally:
                for host in hosts:
                    if host.process.returncode is None:
                        host.process.terminate()
                    async with asyncio.timeout(30):
                        await host.process.wait()

    return start


async def _start(config: Path) -> Host:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "reference_gateway", "--config", str(config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    urls: dict[str, str] = {}
    async with asyncio.timeout(60):
        while "operator" not in urls:
            name, url = (await process.stdout.readline()).decode().split()
            urls[name] = url
    return Host(process, urls)


def test_accounts_keys_and_money_are_the_same_on_both_hosts_at_once(two_hosts: Any) -> None:
    async def main() -> None:
        async with two_hosts() as (one, two, _):
            made = await one.operator(
                "POST", "/accounts", json={"workspace": "chat", "balance_usd": "0.000401"}
            )
            headers = {"Authorization": f"Bearer {made['key']}"}
            # 40 and 10 tokens cost 0.0005 dollars: whoever serves the call, the balance is below zero afterwards.
            assert (await two.chat(headers, "[[wb:a;in=40;out=10]]"))[0] == 200
            account = f"/accounts/{made['account']}"
            found = [(await host.operator("GET", account))["balance"] for host in (one, two)]
            assert found == ["-0.000099", "-0.000099"]
            assert [(await host.chat(headers, "[[wb:b]]"))[0] for host in (one, two)] == [402, 402]
            rows = [(await host.operator("GET", f"{account}/ledger"))["rows"] for host in (one, two)]
            assert rows[0] == rows[1]
            assert [row["reason"] for row in rows[0]] == ["topup", "hold", "release", "settle", "overrun"]
            await two.operator("POST", f"{account}/top-up", json={"usd": "1"})
            assert (await one.chat(headers, "[[wb:c;in=40;out=10]]"))[0] == 200
            await two.operator("POST", f"/keys/{made['key_id']}/revoke")
            assert [(await host.chat(headers, "[[wb:d]]"))[0] for host in (one, two)] == [401, 401]

    asyncio.run(main())


def test_both_hosts_together_admit_no_more_than_the_limit(two_hosts: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with two_hosts() as (one, two, _):
            limits = {"workspace": "chat", "balance_usd": "10", "requests_per_second": 4}
            made = await one.operator("POST", "/accounts", json=limits)
            headers = {"Authorization": f"Bearer {made['key']}"}
            began = loop.time()
            answers = [
                status
                for _ in range(3)
                for status, _ in await asyncio.gather(
                    *((one, two)[index % 2].chat(headers, "hi") for index in range(12))
                )
            ]
            windows = int(loop.time() - began) + 2
            assert set(answers) == {200, 429}
            assert answers.count(200) <= 4 * windows

    asyncio.run(main())


def test_a_task_of_a_host_that_dies_is_finished_by_the_other_and_sent_once(
    two_hosts: Any, postgresql_url: str, wait_for: Any
) -> None:
    async def main() -> None:
        async with two_hosts() as (one, two, simulator):
            made = await one.operator("POST", "/accounts", json={"workspace": "tasks", "credits": 100})
            headers = {"Authorization": f"Bearer {made['key']}"}
            body = {"model": "gpt-image-2", "prompt": "[[wb:job;duration_ms=2000]]"}
            status, task = await one.call(
                "POST", f"{one.urls['tasks']}/images/generations", headers, json=body
            )
            assert status == 200
            assert (await two.task(headers, task["id"]))["status"] == "processing"

            async def recorded() -> bool:
                (stored,) = (await read_books(postgresql_url)).tasks
                return stored.job is not None

            assert await wait_for(recorded, 20)
            one.process.kill()

            async def ended() -> Any:
                found = await two.task(headers, task["id"])
                return found if found["status"] != "processing" else None

            found = await wait_for(ended, 20)
            assert found["status"] == "completed"
            _, journal = await two.call("POST", f"{simulator}/_wb/journal/query", {}, json={"ids": ["job"]})
            assert [entry["operation"] for entry in journal["entries"]].count("submit") == 1
            rows = (await two.operator("GET", f"/accounts/{made['account']}/ledger"))["rows"]
            assert [(row["reason"], row["amount"]) for row in rows] == [("topup", "100"), ("debit", "-40")]

    asyncio.run(main())
