"""A stop in order: streams may end within a bound, new callers are refused, tasks wait for the next start."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from mock_upstreams import Simulator, SimulatorConfig
from reference_gateway import Gateway, reapi_config

OPERATOR = {"Authorization": "Bearer operator-token"}


@asynccontextmanager
async def simulated() -> AsyncIterator[tuple[Simulator, aiohttp.ClientSession]]:
    async with Simulator(SimulatorConfig()) as simulator, aiohttp.ClientSession() as session:
        yield simulator, session


def gateway_at(storage: Any, simulator: Simulator, **settings: Any) -> Gateway:
    url = simulator.url
    config = reapi_config(
        openai_url=f"{url}/v1",
        anthropic_url=url,
        media_url=url,
        upstream_key="k",
        operator_token="operator-token",
        **{"task_poll_interval_s": 0.02, "task_rate_limit": 1000, **storage, **settings},
    )
    return Gateway(config)


async def account(session: aiohttp.ClientSession, operator_url: str, **body: Any) -> dict[str, Any]:
    async with session.post(f"{operator_url}/accounts", headers=OPERATOR, json=body) as response:
        made: dict[str, Any] = await response.json()
        return made


def stream_body(token: str) -> dict[str, Any]:
    return {"model": "gpt-5.5", "stream": True, "messages": [{"role": "user", "content": token}]}


async def balance(session: aiohttp.ClientSession, operator_url: str, name: str) -> str:
    async with session.get(f"{operator_url}/accounts/{name}", headers=OPERATOR) as response:
        found: str = (await response.json())["balance"]
        return found


def test_a_stream_that_is_under_way_ends_whole_and_is_charged_while_new_callers_are_refused(
    storage: Any, wait_for: Any
) -> None:
    async def main() -> None:
        async with simulated() as (simulator, session):
            gateway = gateway_at(storage, simulator, drain_s=20)
            await gateway.__aenter__()
            made = await account(session, gateway.operator_url, workspace="chat", balance_usd="10")
            headers = {"Authorization": f"Bearer {made['key']}"}
            url = f"{gateway.chat_url}/chat/completions"
            body = stream_body("[[wb:slow;chunks=10;gap_ms=60;in=1000;out=10]]")
            async with session.post(url, json=body, headers=headers) as response:
                await response.content.readline()
                stopping = asyncio.create_task(gateway.__aexit__(None, None, None))

                async def refused() -> bool:
                    return not await answers(url, headers)

                await wait_for(refused)
                assert not stopping.done()
                rest = await response.read()
            assert rest.rstrip().endswith(b"data: [DONE]")
            await stopping
            async with gateway_at(storage, simulator) as reborn:
                assert await balance(session, reborn.operator_url, made["account"]) == "9.9947"

    asyncio.run(main())


async def answers(url: str, headers: dict[str, str]) -> bool:
    """Whether a new caller is let in at all."""
    try:
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers):
            return True
    except aiohttp.ClientConnectorError:
        return False


def test_a_stream_that_does_not_end_is_cut_at_the_bound_and_costs_nothing(storage: Any) -> None:
    async def main() -> None:
        async with simulated() as (simulator, session):
            gateway = gateway_at(storage, simulator, drain_s=0.3)
            await gateway.__aenter__()
            made = await account(session, gateway.operator_url, workspace="chat", balance_usd="10")
            headers = {"Authorization": f"Bearer {made['key']}"}
            body = stream_body("[[wb:stuck;fault=stall;after=1]]")
            async with session.post(
                f"{gateway.chat_url}/chat/completions", json=body, headers=headers
            ) as response:
                await response.content.readline()
                began = time.monotonic()
                await gateway.__aexit__(None, None, None)
                assert 0.3 <= time.monotonic() - began < 8
                with pytest.raises(aiohttp.ClientError):
                    await response.read()
            async with gateway_at(storage, simulator) as reborn:
                assert await balance(session, reborn.operator_url, made["account"]) == "10"

    asyncio.run(main())


def test_a_task_that_is_under_way_is_left_for_the_next_start(storage: Any, wait_for: Any) -> None:
    async def main() -> None:
        async with simulated() as (simulator, session):
            gateway = gateway_at(storage, simulator)
            await gateway.__aenter__()
            made = await account(session, gateway.operator_url, workspace="tasks", credits=100)
            headers = {"Authorization": f"Bearer {made['key']}"}
            body = {"model": "gpt-image-2", "prompt": "[[wb:long;duration_ms=2000]]"}
            async with session.post(
                f"{gateway.tasks_url}/images/generations", json=body, headers=headers
            ) as response:
                task = (await response.json())["id"]

            async def polled() -> bool:
                query = {"ids": ["long"]}
                async with session.post(f"{simulator.url}/_wb/journal/query", json=query) as response:
                    entries = (await response.json())["entries"]
                return any(entry["operation"] == "job" for entry in entries)

            await wait_for(polled)
            await gateway.__aexit__(None, None, None)
            async with gateway_at(storage, simulator) as reborn:

                async def completed() -> bool:
                    async with session.get(f"{reborn.tasks_url}/tasks/{task}", headers=headers) as response:
                        return bool((await response.json())["status"] == "completed")

                await wait_for(completed, 20)

    asyncio.run(main())
