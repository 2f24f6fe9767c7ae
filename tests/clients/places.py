"""Simulator and gateway on an event loop of their own, so that blocking clients can call them."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote

import uvloop

from weighbridge.embed import serving
from weighbridge.evidence import Request
from weighbridge.wire import Timeouts, exchange

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a client is pointed.

    Attributes:
        openai: base URL of an OpenAI client.
        anthropic: base URL of an Anthropic client.
    """

    name: str
    openai: str
    anthropic: str
    key: str


@dataclass(frozen=True, slots=True)
class Places:
    """Every place of one started pair."""

    gateway: Place
    simulator: Place
    aimlapi: Place
    tasks_url: str
    tasks_key: str
    broke_key: str
    broke_aimlapi_key: str


def says(prompt: str, /, **scenario: str | int) -> str:
    """A prompt that makes the provider behind the gateway act out a scenario."""
    parts = [
        f"client-{next(_numbers)}",
        *(f"{key}={quote(str(value), safe='')}" for key, value in scenario.items()),
    ]
    return f"{prompt} [[wb:{';'.join(parts)}]]"


async def _broke_key(operator: str, token: str, workspace: str) -> str:
    made = await exchange(
        Request(
            "POST",
            f"{operator}/accounts",
            (("Authorization", f"Bearer {token}"), ("Content-Type", "application/json")),
            b'{"workspace": "%s", "balance_usd": "0"}' % workspace.encode(),
        ),
        id="broke",
        epoch=0,
        timeouts=Timeouts(5, 10, 10),
    )
    assert isinstance(made.json, dict), made.detail
    return str(made.json["key"])


@contextmanager
def started() -> Iterator[Places]:
    """Start the pair in a thread; stop it when the tests are done."""
    ready: list[Places] = []
    up = threading.Event()
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def main() -> None:
        stop = asyncio.Event()
        loops.append((asyncio.get_running_loop(), stop))
        async with serving() as pair:
            known = pair.variables
            operator, token = known["WB_OPERATOR_URL"], known["WB_OPERATOR_TOKEN"]
            simulator = known["WB_SIMULATOR_URL"]
            aimlapi = known["WB_AIMLAPI_URL"]
            ready.append(
                Places(
                    Place("gateway", known["WB_CHAT_URL"], known["WB_MESSAGES_URL"], known["WB_CHAT_KEY"]),
                    Place("simulator", f"{simulator}/v1", simulator, "any-provider-key"),
                    Place("aimlapi", aimlapi, aimlapi.removesuffix("/v1"), known["WB_AIMLAPI_KEY"]),
                    known["WB_TASKS_URL"],
                    known["WB_TASKS_KEY"],
                    await _broke_key(operator, token, "chat"),
                    await _broke_key(operator, token, "aimlapi"),
                )
            )
            up.set()
            await stop.wait()

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(main())
        finally:
            up.set()

    thread = threading.Thread(target=run, name="pair")
    thread.start()
    up.wait(30)
    assert ready, "simulator and gateway did not start"
    try:
        yield ready[0]
    finally:
        loop, stop = loops[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
