"""A gateway in front of the provider simulator, with short-hands for its callers and its operator."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from mock_upstreams import Simulator, SimulatorConfig
from reference_gateway import Components, Gateway, reapi_config

OPERATOR = {"Authorization": "Bearer operator-token"}
UPSTREAM_KEY = "upstream-secret-key"


@dataclass(frozen=True)
class Answer:
    """One HTTP answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    text: str
    broken: bool = False

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def data(self) -> list[str]:
        """The data of every event of a stream."""
        return [line[6:] for line in self.text.splitlines() if line.startswith("data: ")]

    @property
    def chunks(self) -> list[Any]:
        """The JSON events of a stream."""
        return [json.loads(data) for data in self.data if data != "[DONE]"]

    @property
    def content(self) -> str:
        """All content of the first choice of a chat stream."""
        return "".join(
            choice["delta"].get("content") or ""
            for chunk in self.chunks
            for choice in chunk.get("choices", [])
            if choice["index"] == 0
        )


@dataclass(frozen=True)
class Customer:
    id: str
    key: str
    key_id: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


class Deployment:
    """Simulator, gateway and one HTTP client."""

    def __init__(self, simulator: Simulator, gateway: Gateway, session: aiohttp.ClientSession) -> None:
        self.simulator = simulator
        self.gateway = gateway
        self.session = session

    async def send(self, method: str, url: str, **options: Any) -> Answer:
        async with self.session.request(method, url, **options) as response:
            return Answer(response.status, response.headers, await response.text())

    async def operator(self, method: str, path: str, **options: Any) -> Any:
        answer = await self.send(method, self.gateway.operator_url + path, headers=OPERATOR, **options)
        assert answer.status < 300, answer.text
        return answer.json

    async def customer(self, usd: str = "100", **limits: Any) -> Customer:
        body = {"workspace": "chat", "balance_usd": usd, **limits}
        made = await self.operator("POST", "/accounts", json=body)
        return Customer(made["account"], made["key"], made["key_id"])

    async def task_customer(self, amount: int = 1000, **limits: Any) -> Customer:
        body = {"workspace": "tasks", "credits": amount, **limits}
        made = await self.operator("POST", "/accounts", json=body)
        return Customer(made["account"], made["key"], made["key_id"])

    async def aimlapi_customer(self, usd: str = "100", **limits: Any) -> Customer:
        body = {"workspace": "aimlapi", "balance_usd": usd, **limits}
        made = await self.operator("POST", "/accounts", json=body)
        return Customer(made["account"], made["key"], made["key_id"])

    async def balance(self, customer: Customer) -> Any:
        return (await self.operator("GET", f"/accounts/{customer.id}"))["balance"]

    async def rows(self, customer: Customer, *reasons: str) -> list[Any]:
        rows = (await self.operator("GET", f"/accounts/{customer.id}/ledger"))["rows"]
        return [row for row in rows if not reasons or row["reason"] in reasons]

    async def chat(self, customer: Customer, body: Mapping[str, Any], **headers: str) -> Answer:
        url = f"{self.gateway.chat_url}/chat/completions"
        return await self.send("POST", url, json=body, headers={**customer.headers, **headers})

    async def messages(self, customer: Customer, body: Mapping[str, Any], **headers: str) -> Answer:
        url = f"{self.gateway.messages_url}/v1/messages"
        return await self.send("POST", url, json=body, headers={**customer.headers, **headers})

    async def aimlapi(self, customer: Customer, body: Mapping[str, Any], **headers: str) -> Answer:
        url = f"{self.gateway.aimlapi_url}/chat/completions"
        return await self.send("POST", url, json=body, headers={**customer.headers, **headers})

    async def submit(self, customer: Customer, path: str, body: Mapping[str, Any], **headers: str) -> Answer:
        url = self.gateway.tasks_url + path
        return await self.send("POST", url, json=body, headers={**customer.headers, **headers})

    async def poll(self, customer: Customer, task: str) -> Answer:
        return await self.send("GET", f"{self.gateway.tasks_url}/tasks/{task}", headers=customer.headers)

    async def credits(self, customer: Customer) -> int:
        answer = await self.send("GET", f"{self.gateway.tasks_url}/balance", headers=customer.headers)
        assert answer.status == 200, answer.text
        balance: int = answer.json["balance"]
        return balance

    async def finished(self, customer: Customer, task: str) -> Any:
        """The task once it has ended."""

        async def ended() -> Any:
            answer = await self.poll(customer, task)
            return answer.json if answer.json["status"] != "processing" else None

        return await eventually(ended)

    async def journal(self, *ids: str) -> list[Any]:
        """What the providers have received for calls with these ids."""
        url = f"{self.simulator.url}/_wb/journal/query"
        entries: list[Any] = (await self.send("POST", url, json={"ids": list(ids)})).json["entries"]
        return entries


async def eventually(condition: Callable[[], Awaitable[Any]], within: float = 10.0) -> Any:
    """The first truthy value of a condition, within a bound."""
    async with asyncio.timeout(within):
        while not (value := await condition()):  # noqa: ASYNC110 - the condition lies behind HTTP
            await asyncio.sleep(0.01)
        return value


@asynccontextmanager
async def _deploy(
    place: Mapping[str, Any], components: Components | None = None, **settings: Any
) -> AsyncIterator[Deployment]:
    async with Simulator(SimulatorConfig()) as simulator:
        url = simulator.url
        defaults: dict[str, Any] = {
            "task_poll_interval_s": 0.02,
            "task_rate_limit": 1000,
            "upstream_timeout_s": 10.0,
            "upstream_key": UPSTREAM_KEY,
        }
        config = reapi_config(
            openai_url=f"{url}/u/openai/v1",
            anthropic_url=f"{url}/u/anthropic",
            media_url=f"{url}/u/media",
            operator_token="operator-token",
            **{**defaults, **place, **settings},
        )
        async with Gateway(config, components) as gateway, aiohttp.ClientSession() as session:
            yield Deployment(simulator, gateway, session)


DATABASES = ("sqlite", "postgresql")


@pytest.fixture(params=DATABASES)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """The settings that put a gateway on a database of this test's own, once for each kind of database."""
    if request.param == "sqlite":
        return {"database": str(tmp_path / "gateway.sqlite"), "files": str(tmp_path / "files")}
    return {
        "database": request.getfixturevalue("postgresql_url"),
        "files": str(tmp_path / "files"),
        "database_connections": 4,
    }


@pytest.fixture
def deploy(storage: Any) -> Any:
    """An async context manager that starts simulator and gateway with the given settings, on each database."""
    return partial(_deploy, storage)


@pytest.fixture
def wait_for() -> Any:
    """Wait for a condition, with a bound."""
    return eventually
