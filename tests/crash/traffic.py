"""Callers of all kinds at once, for as long as the gateway lives. What they were told is evidence."""

import asyncio
import json
import random
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.crash.evidence import CHUNKS, Attempt, Kind
from tests.crash.verdict import OUTPUT_TOKENS

OPERATOR_TOKEN = "operator-token"
_KINDS = (
    *(Kind.CHAT,) * 3,
    *(Kind.STREAM,) * 3,
    *(Kind.MESSAGES,) * 2,
    *(Kind.LEAVES,) * 2,
    Kind.BROKEN,
    *(Kind.TASK,) * 3,
    *(Kind.FAILING_TASK,) * 3,
)
_CALL_S = 20.0
_PAUSE_S = 0.02


@dataclass(frozen=True, slots=True)
class Accounts:
    """The keys of the callers."""

    chat: tuple[str, ...]
    tasks: tuple[str, ...]


async def open_accounts(session: aiohttp.ClientSession, operator: str) -> Accounts:
    """Two accounts of each kind, with plenty."""

    async def opened(body: dict[str, Any]) -> str:
        headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
        async with session.post(f"{operator}/accounts", headers=headers, json=body) as response:
            response.raise_for_status()
            key: str = (await response.json())["key"]
            return key

    chat = [await opened({"workspace": "chat", "balance_usd": "100000"}) for _ in range(2)]
    tasks = [await opened({"workspace": "tasks", "credits": 10**9}) for _ in range(2)]
    return Accounts(tuple(chat), tuple(tasks))


class Traffic:
    """All callers of a run; every attempt of theirs is kept."""

    def __init__(self, chance: random.Random, accounts: Accounts) -> None:
        self._chance = chance
        self._accounts = accounts
        self.attempts: list[Attempt] = []
        self.ended = 0

    async def run(self, urls: dict[str, str], callers: int, stop: asyncio.Event | None = None) -> None:
        """Call and call again until the gateway is gone; with an event until it is set, whatever goes wrong."""
        timeout = aiohttp.ClientTimeout(total=_CALL_S)
        # Where several processes serve, each call shall go to any of them.
        connector = aiohttp.TCPConnector(force_close=stop is not None)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            await asyncio.gather(*(self._caller(session, urls, stop) for _ in range(callers)))

    async def _caller(
        self, session: aiohttp.ClientSession, urls: dict[str, str], stop: asyncio.Event | None
    ) -> None:
        while stop is None or not stop.is_set():
            try:
                await self._attempt(session, urls)
                self.ended += 1
            except (aiohttp.ClientError, OSError, TimeoutError):
                if stop is None:
                    return
                await asyncio.sleep(_PAUSE_S)

    def _new(self) -> Attempt:
        number = len(self.attempts)
        attempt = Attempt(f"call{number}", self._chance.choice(_KINDS), 1000 + number)
        self.attempts.append(attempt)
        return attempt

    async def _attempt(self, session: aiohttp.ClientSession, urls: dict[str, str]) -> None:
        attempt = self._new()
        if attempt.kind in {Kind.TASK, Kind.FAILING_TASK}:
            await self._task(session, urls["tasks"], attempt)
        elif attempt.kind is Kind.CHAT:
            await self._unstreamed(session, urls["chat"], attempt)
        else:
            await self._streamed(session, urls, attempt)

    async def _task(self, session: aiohttp.ClientSession, url: str, attempt: Attempt) -> None:
        outcome = (
            self._chance.choice(("failed", "moderated")) if attempt.kind is Kind.FAILING_TASK else "completed"
        )
        token = f"[[wb:{attempt.name};outcome={outcome};duration_ms={self._chance.randrange(80)}]]"
        headers = {"Authorization": f"Bearer {self._chance.choice(self._accounts.tasks)}"}
        body = {"model": "gpt-image-2", "prompt": token}
        async with session.post(f"{url}/images/generations", headers=headers, json=body) as response:
            answer = await response.json()
            if response.status == 200:
                attempt.task = answer["id"]
            await _breathe(response.status)
        await asyncio.sleep(self._chance.random() * 0.05)

    async def _unstreamed(self, session: aiohttp.ClientSession, url: str, attempt: Attempt) -> None:
        token = self._token(attempt, f";ttft_ms={self._chance.randrange(30)}")
        body = {"model": "gpt-5.5", "messages": [{"role": "user", "content": token}]}
        async with session.post(
            f"{url}/chat/completions", headers=self._chat_headers(), json=body
        ) as response:
            answer = await response.json()
            attempt.whole = response.status == 200 and "choices" in answer
            await _breathe(response.status)

    async def _streamed(self, session: aiohttp.ClientSession, urls: dict[str, str], attempt: Attempt) -> None:
        fault = ";fault=reset;after=2" if attempt.kind is Kind.BROKEN else ""
        token = self._token(attempt, f";chunks={CHUNKS};gap_ms={self._chance.randrange(15)}{fault}")
        messages = [{"role": "user", "content": token}]
        if attempt.kind is Kind.MESSAGES:
            url, last = f"{urls['messages']}/v1/messages", b"event: message_stop"
            body = {"model": "claude-opus-4-8", "max_tokens": 50, "stream": True, "messages": messages}
        else:
            url, last = f"{urls['chat']}/chat/completions", b"data: [DONE]"
            body = {"model": "gpt-5.5", "stream": True, "messages": messages}
        async with session.post(url, headers=self._chat_headers(), json=body) as response:
            async for line in response.content:
                if attempt.kind is Kind.LEAVES and line.strip():
                    response.close()
                    return
                if line.strip() == last:
                    attempt.whole = True
            await _breathe(response.status)

    def _token(self, attempt: Attempt, more: str) -> str:
        return f"[[wb:{attempt.name};in={attempt.tokens};out={OUTPUT_TOKENS}{more}]]"

    def _chat_headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._chance.choice(self._accounts.chat)}"}


async def _breathe(status: int) -> None:
    """Nobody hammers a gateway that cannot serve."""
    if status >= 500:
        await asyncio.sleep(_PAUSE_S)


def read_urls(text: str) -> dict[str, str] | None:
    """Where a gateway listens, once it has said it all."""
    urls = dict(line.split() for line in text.splitlines() if len(line.split()) == 2)
    return urls if "operator" in urls and text.endswith("\n") else None


def as_json(value: Any) -> bytes:
    """One line."""
    return json.dumps(value).encode() + b"\n"
