"""Several worker processes that share one port, behind one control API.

The parent holds the port without listening, starts the workers, and speaks for them (`aggregate.py`); a process of its
own keeps what they must know in common (`shared_state.py`). A worker that dies takes its journal with it, so nothing
measured or judged with the others would be worth anything: all are ended, and it is told.
"""

import asyncio
import multiprocessing
import multiprocessing.connection
import shutil
import signal
import socket
import tempfile
from dataclasses import replace
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

from mock_upstreams.aggregate import Aggregate
from mock_upstreams.asking import Asker
from mock_upstreams.collector import calm_collector
from mock_upstreams.config import SimulatorConfig
from mock_upstreams.listeners import require_token
from mock_upstreams.server import Simulator
from mock_upstreams.shared_state import Owner, StateManager, share

_START_LIMIT_S: Final = 60.0
_STOP_LIMIT_S: Final = 8.0
_READY: Final = "ready"
_REAP_S: Final = 0.05


class WorkerDiedError(Exception):
    """A worker ended that should not have; the message says which, how, and what is lost."""


def work(
    config: SimulatorConfig,
    owner: Owner,
    counter: Any,
    channel: "multiprocessing.connection.Connection[Any, Any]",
) -> None:
    """The life of one worker: serve until the parent closes its end of the channel."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with asyncio.Runner(loop_factory=_loop_factory) as runner:
        runner.run(_serve(config, owner, counter, channel))


def _loop_factory() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


async def _serve(
    config: SimulatorConfig,
    owner: Owner,
    counter: Any,
    channel: "multiprocessing.connection.Connection[Any, Any]",
) -> None:
    def number() -> int:
        with counter.get_lock():
            counter.value += 1
            return int(counter.value)

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    try:
        simulator = Simulator(config)
        simulator.journal.number = number
        share(simulator.providers, owner)
        await simulator.start()
    except Exception as exc:  # noqa: BLE001 - the parent raises it in our place
        channel.send(f"{type(exc).__name__}: {exc}")
        return
    try:
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        loop.add_reader(channel.fileno(), stop.set)
        calm_collector()
        channel.send(_READY)
        await stop.wait()
    finally:
        loop.remove_reader(channel.fileno())
        await simulator.stop()


class WorkerPool:
    """`count` simulators as processes. `url` is their port, `control_url` the address of what speaks for them."""

    def __init__(self, config: SimulatorConfig, count: int) -> None:
        self._config = config
        self._count = count
        self._manager: StateManager | None = None
        self._owner: Owner | None = None
        self._holder: socket.socket | None = None
        self._folder = ""
        self._processes: list[SpawnProcess] = []
        self._channels: list[multiprocessing.connection.Connection[Any, Any]] = []
        self._askers: list[Asker] = []
        self._runner: web.ServerRunner | None = None
        self._died = asyncio.Event()
        self.port = 0
        self.control_url = ""

    @property
    def url(self) -> str:
        scheme = "http" if self._config.tls_cert is None else "https"
        return f"{scheme}://{self._host}:{self.port}"

    @property
    def _host(self) -> str:
        return f"[{self._config.host}]" if ":" in self._config.host else self._config.host

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of the workers."""
        return tuple(process.pid or 0 for process in self._processes)

    async def __aenter__(self) -> Self:
        """Start everything. Raises OSError for an address that cannot be used, WorkerDiedError."""
        require_token(self._config.host, self._config.control_token)
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _start(self) -> None:
        config = self._config
        self._holder = _bound(config.host, config.port)
        self.port = int(self._holder.getsockname()[1])
        self._folder = tempfile.mkdtemp(prefix="simulator-")
        context = multiprocessing.get_context("spawn")
        counter = context.Value("Q", 0)
        control = _bound(config.host, 0)
        control.listen()
        self.control_url = f"http://{self._host}:{control.getsockname()[1]}"
        self._manager = StateManager(ctx=context)
        await asyncio.to_thread(self._manager.start)
        owner = self._owner = self._manager.state(config)
        for number in range(self._count):
            near, far = context.Pipe()
            own = replace(
                config,
                port=self.port,
                worker=number,
                control_socket=str(Path(self._folder, f"{number}")),
                control_url=self.control_url,
            )
            process = context.Process(target=work, args=(own, owner, counter, far), name=f"worker-{number}")
            await asyncio.to_thread(process.start)
            far.close()
            self._processes.append(process)
            self._channels.append(near)
        for number, channel in enumerate(self._channels):
            await self._await_ready(number, channel)
            self._askers.append(Asker("http://worker", str(Path(self._folder, f"{number}"))))
        loop = asyncio.get_running_loop()
        for process in self._processes:
            loop.add_reader(process.sentinel, self._died.set)
        aggregate = Aggregate(self._askers, lambda: int(counter.value))
        self._runner = web.ServerRunner(web.Server(aggregate.handle, access_log=None), shutdown_timeout=1.0)
        await self._runner.setup()
        await web.SockSite(self._runner, control).start()

    async def _await_ready(
        self, number: int, channel: "multiprocessing.connection.Connection[Any, Any]"
    ) -> None:
        ready = await asyncio.to_thread(channel.poll, _START_LIMIT_S)
        try:
            said = channel.recv() if ready else f"not ready within {_START_LIMIT_S:g} s"
        except EOFError:
            said = "ended at once"
        if said != _READY:
            raise WorkerDiedError(f"worker {number} did not start: {said}")

    async def until_stopped(self, stop: asyncio.Event) -> None:
        """Wait until `stop` is set. Raises WorkerDiedError as soon as a worker has ended by itself."""
        waits = [asyncio.create_task(event.wait()) for event in (stop, self._died)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
        if self._died.is_set() and not stop.is_set():
            number, code = await asyncio.to_thread(self._dead)
            how = (
                f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
            )
            raise WorkerDiedError(
                f"worker {number} (process {self._processes[number].pid}) {how}, and its part of the journal is "
                "lost; all workers have been ended"
            )

    def _dead(self) -> tuple[int, int | None]:
        """The first worker that has ended, and its exit code; its files are closed a moment before it has."""
        while True:
            for number, process in enumerate(self._processes):
                process.join(_REAP_S)
                if process.exitcode is not None:
                    return number, process.exitcode

    async def stop(self) -> None:
        """End all processes and wait for them; one that does not end in time is killed."""
        loop = asyncio.get_running_loop()
        if self._runner is not None:
            for process in self._processes:
                loop.remove_reader(process.sentinel)
            await self._runner.cleanup()
            self._runner = None
        for asker in self._askers:
            await asker.close()
        for channel in self._channels:
            channel.close()
        for process in self._processes:
            await asyncio.to_thread(process.join, _STOP_LIMIT_S)
            if process.is_alive():
                process.kill()
                await asyncio.to_thread(process.join)
        if self._manager is not None:
            await asyncio.to_thread(self._manager.shutdown)
            self._manager = None
        if self._holder is not None:
            self._holder.close()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)


def _bound(host: str, port: int) -> socket.socket:
    """A socket that has the port and lets others of ours share it. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if port:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock
