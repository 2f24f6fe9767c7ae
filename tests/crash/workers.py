"""Kills around a gateway of several processes on PostgreSQL: a worker, the parent, all of them, the database server.

The gateway is the program as it is called (`--workers 2`). A life is: start, traffic, some workers killed while their
siblings go on, and at last the parent or everything; now and then the server dies under living workers and comes back.
After some kills the callers pause. Then those that are alive must drive everything left to its end by themselves; the
program is stopped, and callers, providers and books are compared.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import aiohttp

from tests.crash.evidence import Books, read_books
from tests.crash.run import Run
from tests.crash.traffic import Traffic, open_accounts, read_urls
from tests.postgresql.server import PostgresqlServer, children, ended

WORKERS = 2
CALLERS = 8
KILLS_PER_LOOK = 10
WAYS = ("a worker", "a worker", "a worker", "a worker", "the parent", "all", "the server", "server and all")
"""What is hit, each of them before any comes again."""
_START_S = 60.0
_END_S = 30.0
_REST_S = 15.0
_MOST_WORK = 40
_WORK_S = 3.0
_MORE_S = 0.05
_SERVER_DOWN_S = 0.5


class Program:
    """One run of the gateway."""

    def __init__(self, process: asyncio.subprocess.Process, urls: dict[str, str]) -> None:
        self._process = process
        self.urls = urls

    @staticmethod
    async def start(folder: Path, defect: str | None) -> "Program":
        """Start it, and wait until it says where it listens."""
        program = ["reference_gateway"] if defect is None else ["tests.crash.program", defect]
        told, errors = folder / "told", folder / "errors"
        with told.open("wb") as output, errors.open("ab") as complaints:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", *program, "--config", str(folder / "gateway.yaml")),
                *("--workers", str(WORKERS)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=complaints,
            )
        until = time.monotonic() + _START_S
        while "workers" not in (text := told.read_text()) or not text.endswith("\n"):
            if process.returncode is not None or time.monotonic() > until:
                raise RuntimeError(f"the gateway did not start: {errors.read_text()[-2000:]}")
            await asyncio.sleep(0.02)
        urls = read_urls("".join(line for line in text.splitlines(True) if not line.startswith("workers")))
        assert urls is not None
        return Program(process, urls)

    @property
    def workers(self) -> list[int]:
        """The processes that serve at this moment."""
        return children(self._process.pid)

    async def kill(self, *, workers_too: bool) -> None:
        """SIGKILL for the parent, and for its workers in the same moment; otherwise they end by themselves."""
        self._process.send_signal(signal.SIGSTOP)
        workers = self.workers
        self._process.send_signal(signal.SIGKILL)
        if workers_too:
            for worker in workers:
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
        await self._process.wait()
        await _until(
            lambda: all(ended(worker) for worker in workers), _END_S, "workers without a parent live on"
        )

    async def stop(self) -> None:
        """SIGTERM; it must end well."""
        self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(_END_S):
            code = await self._process.wait()
        if code != 0:
            raise RuntimeError(f"the gateway ended with {code}")

    async def close(self) -> None:
        """End it, whatever has happened."""
        if self._process.returncode is None:
            await self.kill(workers_too=True)


class WorkersRun(Run):
    """One run over one server, which is killed as well."""

    settings: ClassVar[dict[str, Any]] = {"lease_s": 5.0, "database_connections": 4}

    def __init__(
        self,
        folder: Path,
        server: PostgresqlServer,
        database: str,
        seed: int,
        *,
        defect: str | None = None,
        kills_per_look: int = KILLS_PER_LOOK,
        progress: Callable[[str], None] = lambda _line: None,
    ) -> None:
        super().__init__(folder, database, seed, defect=defect, progress=progress)
        self._server = server
        self._kills_per_look = kills_per_look

    async def _kill_until(self, kills: int, session: aiohttp.ClientSession, simulator: str) -> None:
        program = await Program.start(self._folder, self._defect)
        try:
            traffic = Traffic(self._chance, await open_accounts(session, program.urls["operator"]))
            while self.tally.kills < kills and not self.tally.wrong:
                goal = min(self.tally.kills + self._kills_per_look, kills)
                program = await self._lives(program, traffic, goal)
                books = await self._rest(program)
                await self._audit.look(session, simulator, traffic.attempts, books)
                if self.tally.kills < kills and not self.tally.wrong:
                    program = await Program.start(self._folder, self._defect)
        finally:
            await program.close()

    async def _lives(self, program: Program, traffic: Traffic, goal: int) -> Program:
        """Kill until the goal is reached; the program that lives then."""
        while self.tally.kills < goal:
            stop = asyncio.Event()
            calling = asyncio.create_task(traffic.run(program.urls, CALLERS, stop))
            try:
                alive = True
                while alive and self.tally.kills < goal:
                    await self._work(traffic)
                    way = self._next(WAYS)
                    self.tally.hit(way)
                    alive = await self._kill(program, way)
                if alive:
                    # Those that are left have work, too, before the callers pause.
                    await self._work(traffic)
            finally:
                stop.set()
                await calling
            if not alive:
                program = await Program.start(self._folder, self._defect)
        return program

    async def _kill(self, program: Program, way: str) -> bool:
        """Whether the program lives on."""
        if way == "a worker":
            if workers := program.workers:
                with suppress(ProcessLookupError):
                    os.kill(self._chance.choice(workers), signal.SIGKILL)
            return True
        if way == "the server":
            self._server.kill()
            await asyncio.sleep(self._chance.random() * _SERVER_DOWN_S)
            await self._server.restart()
            return True
        if way == "server and all":
            self._server.kill()
        await program.kill(workers_too=way != "the parent")
        if way == "server and all":
            await self._server.restart()
        return False

    async def _work(self, traffic: Traffic) -> None:
        """Let some calls end, within a bound, and be somewhere between two of them."""
        goal = traffic.ended + self._chance.randrange(_MOST_WORK)
        until = time.monotonic() + _WORK_S
        while traffic.ended < goal and time.monotonic() < until:  # noqa: ASYNC110 - many callers count
            await asyncio.sleep(0.002)
        await asyncio.sleep(self._chance.random() * _MORE_S)

    async def _rest(self, program: Program) -> Books:
        """What the books say once the living have driven everything to its end, or the patience has."""
        until = time.monotonic() + _REST_S
        while not (await read_books(self._database)).at_rest and time.monotonic() < until:  # noqa: ASYNC110 - the state of other processes
            await asyncio.sleep(0.2)
        await program.stop()
        return await read_books(self._database)


async def _until(condition: Callable[[], bool], within: float, otherwise: str) -> None:
    until = time.monotonic() + within
    while not condition():
        if time.monotonic() > until:
            raise RuntimeError(otherwise)
        await asyncio.sleep(0.01)
