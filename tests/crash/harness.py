"""Kills a gateway again and again while it is at work, and looks afterwards whether all is as it must be.

A life is: start, traffic, death at a random moment or at a named stage. After some lives comes one without a death, in
which everything left must be driven to its end; then callers, providers and books are compared.
It proves that the death of the process loses nothing. It proves nothing about power loss: the disk never forgets here.
"""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.crash.evidence import Books, read_books
from tests.crash.run import Run
from tests.crash.stages import STAGES
from tests.crash.traffic import Traffic, as_json, open_accounts, read_urls

CALLERS = 8
LIVES_PER_LOOK = 10
_START_S = 30.0
_MOST_WORK = 20
_MORE_S = 0.05
_STAGE_S = 2.0
_REST_S = 20.0
_LOOKS = 8
_STAGED = 0.5
_IN_START = 0.1


class Nursery:
    """The process that forks gateways."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @staticmethod
    async def open() -> "Nursery":
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.crash.nursery"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        return Nursery(process)

    async def ask(self, order: dict[str, Any]) -> dict[str, int]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(as_json(order))
        async with asyncio.timeout(_START_S):
            answer: dict[str, int] = yaml.safe_load(await self._process.stdout.readline())
        return answer

    async def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        async with asyncio.timeout(_START_S):
            await self._process.wait()


class CrashRun(Run):
    """One run of one process."""

    async def _kill_until(self, kills: int, session: aiohttp.ClientSession, simulator: str) -> None:
        nursery = await Nursery.open()
        try:
            first = await self._start(nursery, None, 1)
            accounts = await open_accounts(session, (await self._urls(first))["operator"])
            await self._end(nursery, first, signal.SIGTERM)
            traffic = Traffic(self._chance, accounts)
            while self.tally.kills < kills and not self.tally.wrong:
                await self._live_and_die(nursery, traffic)
                if self.tally.kills % LIVES_PER_LOOK == 0 or self.tally.kills == kills:
                    books = await self._rest(nursery)
                    await self._audit.look(session, simulator, traffic.attempts, books)
        finally:
            await nursery.close()

    async def _live_and_die(self, nursery: Nursery, traffic: Traffic) -> None:
        fate = self._chance.random()
        stage = self._next(STAGES) if fate < _STAGED else None
        pid = await self._start(nursery, stage, self._chance.randint(1, 3))
        if fate > 1 - _IN_START:
            self.tally.hit("while starting")
            await asyncio.sleep(self._chance.random() * 0.15)
            await self._end(nursery, pid, signal.SIGKILL)
            return
        self.tally.hit("at work")
        urls = await self._urls(pid, missing_ok=stage is not None)
        if urls is None:
            # The stage was reached while the gateway took up what the last one had left.
            await self._end(nursery, pid, signal.SIGKILL)
            self._count_stage(stage)
            return
        calling = asyncio.create_task(traffic.run(urls, CALLERS))
        if stage is None:
            # A moment is some work and some time: so a run is the same on a fast machine and on a slow one.
            await self._work(traffic, self._chance.randrange(_MOST_WORK), calling)
            await asyncio.sleep(self._chance.random() * _MORE_S)
        else:
            await asyncio.wait([calling], timeout=_STAGE_S)
            if calling.done():
                self._count_stage(stage)
        await self._end(nursery, pid, signal.SIGKILL)
        await calling

    async def _work(self, traffic: Traffic, calls: int, calling: "asyncio.Task[None]") -> None:
        """Wait until so many more calls have ended, within a bound."""
        goal = traffic.ended + calls
        until = time.monotonic() + _STAGE_S
        while traffic.ended < goal and time.monotonic() < until and not calling.done():  # noqa: ASYNC110 - many callers count
            await asyncio.sleep(0.002)

    def _count_stage(self, stage: str | None) -> None:
        if stage is not None:
            self.tally.staged[stage] = self.tally.staged.get(stage, 0) + 1

    async def _rest(self, nursery: Nursery) -> Books:
        """Lives without death, until everything has ended or the patience has."""
        for attempt in range(_LOOKS):
            pid = await self._start(nursery, None, 1)
            await self._urls(pid)
            await asyncio.sleep(0.3 + 0.2 * attempt)
            await self._end(nursery, pid, signal.SIGTERM)
            books = await read_books(self._database)
            if books.at_rest:
                break
        return books

    async def _start(self, nursery: Nursery, stage: str | None, nth: int) -> int:
        (self._folder / "told").unlink(missing_ok=True)
        order = {
            "config": str(self._folder / "gateway.yaml"),
            "output": str(self._folder / "told"),
            "errors": str(self._folder / "errors"),
            "stage": stage,
            "nth": nth,
            "defect": self._defect,
        }
        return (await nursery.ask(order))["pid"]

    async def _urls(self, pid: int, *, missing_ok: bool = False) -> Any:
        """Where the gateway listens; None when it has died before it said so, if that is allowed."""
        told = self._folder / "told"
        until = time.monotonic() + _START_S
        while time.monotonic() < until:
            if told.exists() and (urls := read_urls(told.read_text())) is not None:
                return urls
            if _dead(pid):
                if missing_ok:
                    return None
                raise RuntimeError(f"the gateway did not start: {self._last_words()}")
            await asyncio.sleep(0.003)
        raise RuntimeError("the gateway took too long to start")

    async def _end(self, nursery: Nursery, pid: int, how: signal.Signals) -> None:
        os.kill(pid, how)
        until = time.monotonic() + _REST_S
        while not _dead(pid):
            if time.monotonic() > until:
                raise RuntimeError("the gateway does not end")
            await asyncio.sleep(0.002)
        code = (await nursery.ask({"reap": pid}))["code"]
        if how is signal.SIGTERM and code != 0:
            raise RuntimeError(f"the gateway ended with {code}: {self._last_words()}")

    def _last_words(self) -> str:
        errors = self._folder / "errors"
        return errors.read_text()[-2000:] if errors.exists() else ""


def _dead(pid: int) -> bool:
    """Whether the process has ended; its remains are still there."""
    state = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0]
    return state == "Z"
