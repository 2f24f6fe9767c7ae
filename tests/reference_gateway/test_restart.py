"""A gateway that is killed in the middle of everything comes back with every thing paid or given back once."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from mock_upstreams import Simulator, SimulatorConfig
from reference_gateway import Gateway, load_config

OPERATOR = {"Authorization": "Bearer operator-token"}
CONFIG: dict[str, Any] = {
    "operator_token": "operator-token",
    "groups": {"default": {"routes": {"gpt-5.5": "openai"}}},
    "models": {"gpt-5.5": {"family": "openai", "rates": {"input": "5", "output": "30"}}},
    "task_models": {
        "gpt-image-2": {"endpoint": "images", "kind": "image", "required": ["prompt"], "price": 40},
    },
    "task_poll_interval_s": 0.02,
    "task_rate_limit": 1000,
}


@asynccontextmanager
async def silent_provider() -> AsyncIterator[str]:
    """A media provider that takes a submission and never answers, and says so in its log."""
    released = asyncio.Event()

    async def jobs(request: web.Request) -> web.Response:
        await request.read()
        await released.wait()
        return web.json_response({"job_id": "late"}, status=202)

    app = web.Application()
    app.router.add_post("/media/v1/jobs", jobs)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        released.set()
        await runner.cleanup()


class Process:
    """The gateway as a program."""

    def __init__(self, process: asyncio.subprocess.Process, urls: dict[str, str]) -> None:
        self.process = process
        self.urls = urls

    @staticmethod
    async def start(config: Path) -> "Process":
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "reference_gateway", "--config", str(config), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        urls: dict[str, str] = {}
        async with asyncio.timeout(20):
            while len(urls) < 5:
                line = (await process.stdout.readline()).decode().split()
                assert line, "the gateway did not start"
                urls[line[0]] = line[1]
        return Process(process, urls)

    async def stop(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        async with asyncio.timeout(20):
            return await self.process.wait()


def test_a_killed_gateway_releases_holds_refunds_unknown_jobs_and_follows_known_ones(
    tmp_path: Path, wait_for: Any, storage: Any
) -> None:
    async def main() -> None:
        async with (
            Simulator(SimulatorConfig()) as simulator,
            silent_provider() as silent,
            aiohttp.ClientSession() as session,
        ):
            await scenario(simulator.url, silent, session)

    async def scenario(url: str, silent: str, session: aiohttp.ClientSession) -> None:
        async def call(method: str, where: str, key: str, **options: Any) -> Any:
            headers = {"Authorization": f"Bearer {key}"}
            async with session.request(method, where, headers=headers, **options) as response:
                return await response.json()

        path = tmp_path / "gateway.yaml"

        def write(media: str) -> None:
            values = {
                **CONFIG,
                **storage,
                "lease_s": 1.0,
                "channels": {"openai": {"dialect": "openai", "url": f"{url}/v1", "key": "k"}},
                "media": {"url": media, "key": "k"},
            }
            path.write_text(yaml.safe_dump(values))

        # First life: an open call, and a job that the provider knows.
        write(url)
        gateway = await Process.start(path)
        operator = gateway.urls["operator"]
        chat = await call(
            "POST", f"{operator}/accounts", "operator-token", json={"workspace": "chat", "balance_usd": "10"}
        )
        user = await call(
            "POST", f"{operator}/accounts", "operator-token", json={"workspace": "tasks", "credits": 100}
        )
        stalled = {
            "model": "gpt-5.5",
            "stream": True,
            "messages": [{"role": "user", "content": "[[wb:open;fault=stall;after=1]]"}],
        }
        response = await session.post(
            f"{gateway.urls['chat']}/chat/completions",
            json=stalled,
            headers={"Authorization": f"Bearer {chat['key']}"},
        )
        await response.content.readline()
        image = {"model": "gpt-image-2", "prompt": "[[wb:known;duration_ms=3000]]"}
        known = await call("POST", f"{gateway.urls['tasks']}/images/generations", user["key"], json=image)

        async def job_known() -> bool:
            body = {"ids": ["known"]}
            found = await call("POST", f"{url}/_wb/journal/query", "x", json=body)
            return any(entry["operation"] == "job" for entry in found["entries"])

        await wait_for(job_known)
        assert (await gateway.stop(signal.SIGKILL)) == -signal.SIGKILL
        response.close()

        # Second life: the hold is back; a submission that the provider never confirms.
        write(silent)
        gateway = await Process.start(path)
        operator = gateway.urls["operator"]
        account = await call("GET", f"{operator}/accounts/{chat['account']}", "operator-token")
        assert account["balance"] == "10"
        unknown = await call("POST", f"{gateway.urls['tasks']}/images/generations", user["key"], json=image)
        assert (await call("GET", f"{gateway.urls['tasks']}/balance", user["key"])) == {"balance": 20}
        assert (await gateway.stop(signal.SIGKILL)) == -signal.SIGKILL

        # Third and fourth life: refunded once, however often it starts; the known job is followed to its end.
        write(url)
        for _ in range(2):
            async with Gateway(load_config(path)) as reborn:
                failed = await call("GET", f"{reborn.tasks_url}/tasks/{unknown['id']}", user["key"])
                assert (failed["status"], failed["error"]["code"]) == ("failed", 80001)

                async def completed(base: str = reborn.tasks_url) -> Any:
                    task = await call("GET", f"{base}/tasks/{known['id']}", user["key"])
                    return task if task["status"] == "completed" else None

                task = await wait_for(completed)
                assert task["output"]["image_urls"][0].startswith(reborn.tasks_url.removesuffix("/api/v1"))
                async with session.get(task["output"]["image_urls"][0]) as file:
                    assert file.status == 200
                assert (await call("GET", f"{reborn.tasks_url}/balance", user["key"])) == {"balance": 60}
                where = f"{reborn.operator_url}/accounts/{user['account']}/ledger"
                rows = (await call("GET", where, "operator-token"))["rows"]
                assert [row["reason"] for row in rows] == ["topup", "debit", "debit", "refund"]

    asyncio.run(main())


def test_the_program_says_where_it_listens_and_stops_on_a_signal(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "gateway.yaml"
        values = {
            **CONFIG,
            "channels": {"openai": {"dialect": "openai", "url": "http://127.0.0.1:9/v1", "key": "k"}},
        }
        values["media"] = {"url": "http://127.0.0.1:9", "key": "k"}
        path.write_text(yaml.safe_dump(values))
        gateway = await Process.start(path)
        assert set(gateway.urls) == {"chat", "messages", "tasks", "aimlapi", "operator"}
        assert await gateway.stop(signal.SIGTERM) == 0

    asyncio.run(main())


def test_the_program_refuses_a_bad_configuration_in_one_sentence(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "gateway.yaml"
        path.write_text("operator_tokn: x\n")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "reference_gateway",
            "--config",
            str(path),
            stderr=asyncio.subprocess.PIPE,
            env=dict(os.environ),
        )
        _, error = await process.communicate()
        assert process.returncode == 2
        assert error.decode().count("\n") == 1
        assert "Traceback" not in error.decode()

    asyncio.run(main())
