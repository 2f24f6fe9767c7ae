"""Each wrong gateway starts in front of the simulator and serves a plain call on every surface.

What it does wrong is not looked at here; a gateway that could not serve at all would prove nothing.
"""

import asyncio
from dataclasses import dataclass

import aiohttp
import pytest

from defects import DEFECTS, VARIANTS, Defect, Variant
from mock_upstreams import Simulator, SimulatorConfig
from reference_gateway import Gateway, reapi_config

OPERATOR = {"Authorization": "Bearer operator-token"}
ENTRIES = [*DEFECTS.values(), *VARIANTS.values()]
MESSAGES = [{"role": "user", "content": "Say hello."}]
#: (surface, path, body)
PLAIN = (
    ("chat", "/chat/completions", {"model": "gpt-5.5", "messages": MESSAGES}),
    ("chat", "/chat/completions", {"model": "gpt-5.5", "messages": MESSAGES, "stream": True}),
    ("chat", "/chat/completions", {"model": "claude-opus-4-8", "max_tokens": 64, "messages": MESSAGES}),
    (
        "chat",
        "/chat/completions",
        {"model": "claude-opus-4-8", "max_tokens": 64, "messages": MESSAGES, "stream": True},
    ),
    ("messages", "/v1/messages", {"model": "claude-opus-4-8", "max_tokens": 64, "messages": MESSAGES}),
    (
        "messages",
        "/v1/messages",
        {"model": "claude-opus-4-8", "max_tokens": 64, "messages": MESSAGES, "stream": True},
    ),
    ("tasks", "/images/generations", {"model": "gpt-image-2", "prompt": "A red bicycle."}),
)


@dataclass(frozen=True)
class Seen:
    status: int
    body: bytes


async def key_for(session: aiohttp.ClientSession, gateway: Gateway, account: dict[str, object]) -> str:
    async with session.post(f"{gateway.operator_url}/accounts", json=account, headers=OPERATOR) as response:
        assert response.status == 201
        return str((await response.json())["key"])


async def plain_calls(entry: Defect | Variant) -> list[Seen]:
    async with Simulator(SimulatorConfig()) as simulator:
        config = reapi_config(
            openai_url=f"{simulator.url}/v1",
            anthropic_url=simulator.url,
            media_url=simulator.url,
            upstream_key="upstream-key",
            operator_token="operator-token",
            task_poll_interval_s=0.02,
            upstream_timeout_s=5.0,
        )
        async with Gateway(config, entry.components()) as gateway, aiohttp.ClientSession() as session:
            keys = {
                "chat": await key_for(session, gateway, {"workspace": "chat", "balance_usd": "100"}),
                "tasks": await key_for(session, gateway, {"workspace": "tasks", "credits": 1000}),
            }
            keys["messages"] = keys["chat"]
            urls = {"chat": gateway.chat_url, "messages": gateway.messages_url, "tasks": gateway.tasks_url}
            seen = []
            for surface, path, body in PLAIN:
                headers = {"Authorization": f"Bearer {keys[surface]}"}
                if surface == "messages":
                    headers["anthropic-version"] = "2023-06-01"
                async with session.post(urls[surface] + path, json=body, headers=headers) as response:
                    seen.append(Seen(response.status, await response.read()))
            return seen


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_it_starts_and_serves_plain_calls(entry: Defect | Variant) -> None:
    seen = asyncio.run(asyncio.wait_for(plain_calls(entry), 30))
    assert [answer.status for answer in seen if not 200 <= answer.status < 300] == []
    assert all(answer.body for answer in seen)
