"""Several worker processes behind one set of listening sockets.

The parent opens the sockets, starts the workers with them, and watches: a worker that dies is reported and replaced; a
signal is handed on, and what does not end within its bound is killed. It serves nothing itself. Each worker holds one end
of a pair of sockets, its lifeline: it tells there that it is ready, and stops when the parent is gone, however it went.
All count into one folder, so that a scrape of any worker shows the sums.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from reference_gateway.config import Address, GatewayConfig
from reference_gateway.gateway import Gateway, GatewayStartError
from reference_gateway.listener import root_url
from reference_gateway.observation.metrics import forget_worker

_BACKLOG = 1024
_STOP_S = 10.0
_SETTLED_S = 5.0
_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_READY = b"."
_LIFELINE = "lifeline"
_PATHS = {"chat": "/v1", "messages": "", "tasks": "/api/v1", "aimlapi": "/v1", "operator": "/operator/v1"}

_log = logging.getLogger(__name__)


class WorkersError(ValueError):
    """The configuration cannot be served by several processes."""


def check_workers(config: GatewayConfig, workers: int) -> None:
    """Raises `WorkersError` where processes would not share their books."""
    if workers < 1:
        raise WorkersError(f"--workers: {workers} is not a number of processes; give 1 or more")
    if workers > 1 and not isinstance(config.database, str):
        raise WorkersError(
            f"SQLite serves one process; to run {workers} workers set database: postgresql://..., or leave --workers out"
        )


class Supervisor:
    """Owns the sockets and the worker processes."""

    #: What a worker runs; it is given the options of a worker.
    program: Sequence[str] = (sys.executable, "-m", "reference_gateway")

    def __init__(self, path: Path, config: GatewayConfig, workers: int) -> None:
        self._path = path
        self._config = config
        self._workers = workers
        self._sockets: dict[str, socket.socket] = {}
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._counts = Path()
        self._stopping = asyncio.Event()
        self._failed = asyncio.Event()

    @property
    def pids(self) -> list[int]:
        """The processes at work."""
        return [process.pid for process in self._running.values() if process.returncode is None]

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until the event is set; raises `GatewayStartError` when a worker cannot even start."""
        with contextlib.ExitStack() as stack:
            self._open(stack)
            self._counts = Path(
                stack.enter_context(
                    tempfile.TemporaryDirectory(
                        prefix="reference-gateway-counts-", ignore_cleanup_errors=True
                    )
                )
            )
            ready = [asyncio.Event() for _ in range(self._workers)]
            keepers = [
                asyncio.create_task(self._keep(index, event), name=f"worker {index}")
                for index, event in enumerate(ready)
            ]
            try:
                await _first(stop.wait(), self._failed.wait(), _all(ready))
                if not stop.is_set() and not self._failed.is_set():
                    self._announce()
                    await _first(stop.wait(), self._failed.wait())
            finally:
                self._stopping.set()
                await self._stop(keepers)
        if self._failed.is_set():
            raise GatewayStartError("a worker ended before it was ready; its last words are above")

    def _open(self, stack: contextlib.ExitStack) -> None:
        for name, address in self._config.listen.own().items():
            self._sockets[name] = stack.enter_context(_listening(address))

    def _announce(self) -> None:
        roots = {name: root_url(*opened.getsockname()[:2]) for name, opened in self._sockets.items()}
        if (shared := self._config.listen.shared) is not None:
            port = self._sockets["shared"].getsockname()[1]
            roots |= {surface: f"http://{names[0]}:{port}" for surface, names in shared.names.items()}
        for name, path in _PATHS.items():
            root = roots["chat" if name == "messages" else name]
            print(f"{name:9}{root}{path}", flush=True)  # noqa: T201 - the program's output
        print(f"{'workers':9}{' '.join(map(str, self.pids))}", flush=True)  # noqa: T201 - the program's output

    async def _keep(self, index: int, ready: asyncio.Event) -> None:
        """Have one worker, again and again."""
        pause = _PAUSE_S
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                end = await self._live(index, ready)
            except OSError as error:
                end = f"could not be started ({error})"
                _log.error("worker %d %s", index + 1, end)
            forget_worker(self._counts, index)
            if self._stopping.is_set():
                return
            if not ready.is_set():
                self._failed.set()
                return
            _log.error("worker %d %s; a new one takes its place", index + 1, end)
            pause = _PAUSE_S if time.monotonic() - began > _SETTLED_S else min(2 * pause, _LONGEST_PAUSE_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def _live(self, index: int, ready: asyncio.Event) -> str:
        """One worker's life; how it ended. Raises `OSError` when it cannot even begin."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                process = await self._spawn(index, theirs)
            self._running[index] = process
            ours.settimeout(0)
            came = await asyncio.get_running_loop().sock_recv(ours, 1)
            if came == _READY:
                ready.set()
            code = await process.wait()
        return f"(process {process.pid}) {_ended(code)}"

    async def _spawn(self, index: int, lifeline: socket.socket) -> asyncio.subprocess.Process:
        handed = {**self._sockets, _LIFELINE: lifeline}
        inherit = ",".join(f"{name}={opened.fileno()}" for name, opened in handed.items())
        return await asyncio.create_subprocess_exec(
            *self.program,
            *("--config", str(self._path)),
            *("--inherit", inherit),
            *("--count-into", f"{self._counts}:{index}"),
            pass_fds=[opened.fileno() for opened in handed.values()],
        )

    async def _stop(self, keepers: Sequence[asyncio.Task[None]]) -> None:
        for opened in self._sockets.values():
            # As long as one process listens, callers wait for an answer instead of being refused.
            opened.close()
        for process in self._running.values():
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
        _, late = await asyncio.wait(keepers, timeout=self._config.drain_s + _STOP_S)
        for process in self._running.values():
            if process.returncode is None:
                _log.error("process %d did not end in time and is killed", process.pid)
                process.kill()
        await asyncio.gather(*late)


async def serve_worker(
    stop: asyncio.Event, config: GatewayConfig, inherited: Mapping[str, socket.socket]
) -> None:
    """One worker's life: take over the sockets, tell that it is ready, serve until told or orphaned."""
    lifeline = inherited[_LIFELINE]
    lifeline.settimeout(0)
    sockets = {name: opened for name, opened in inherited.items() if name != _LIFELINE}
    async with Gateway(config, sockets=sockets):
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(lifeline, _READY)
        # Nothing is ever sent this way: whatever can be read here is the end.
        await _first(stop.wait(), loop.sock_recv(lifeline, 1))


def inherited_sockets(text: str) -> dict[str, socket.socket]:
    """Sockets that a parent has handed over, as `name=descriptor,...`; raises `ValueError` for anything else."""
    pairs = [part.partition("=") for part in text.split(",")]
    sockets = {name: socket.socket(fileno=int(descriptor)) for name, _, descriptor in pairs}
    if _LIFELINE not in sockets:
        raise ValueError(f"expected a descriptor for {_LIFELINE}")
    return sockets


def _listening(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((address.host, address.port))
        opened.listen(_BACKLOG)
    except OSError as error:
        opened.close()
        raise GatewayStartError(
            f"cannot listen on {address.host}:{address.port} ({error.strerror}); choose another port, or 0"
        ) from error
    return opened


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with status {code}"
    return f"was ended by {signal.Signals(-code).name}"


async def _all(events: Sequence[asyncio.Event]) -> None:
    for event in events:
        await event.wait()


async def _first(*waiting: Coroutine[Any, Any, object]) -> None:
    """Until one of several things has happened."""
    tasks = [asyncio.create_task(one) for one in waiting]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
