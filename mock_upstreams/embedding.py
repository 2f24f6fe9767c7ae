"""The simulator inside a program that has no event loop: a thread of its own, driven by a context manager.

    with running_simulator() as simulator:
        client = OpenAI(base_url=simulator.url + "/v1", api_key="anything")

Inside an event loop use `async with Simulator(...)`, which needs no thread.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from mock_upstreams.calls import Json
from mock_upstreams.config import SimulatorConfig
from mock_upstreams.control_scenarios import define_scenario
from mock_upstreams.journal import Journal
from mock_upstreams.server import Simulator

_START_LIMIT_S: Final = 20.0
_STOP_LIMIT_S: Final = 20.0
_POLL_S: Final = 0.002
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class RunningSimulator:
    """A simulator that serves from another thread; every method may be called from any thread but that one."""

    url: str
    port: int
    _simulator: Simulator
    _loop: asyncio.AbstractEventLoop

    @property
    def openai_url(self) -> str:
        """What an OpenAI client takes as its base URL."""
        return f"{self.url}/v1"

    def entries(self, id: str | None = None, *, since: int = 0, settle_s: float = 5.0) -> list[Json]:  # noqa: A002 - the journal's word
        """Journal entries, with this id if one is given, once none of them is open any more.

        Waits at most `settle_s` seconds for that; what is still open then is handed out as it is.
        """
        deadline = time.monotonic() + settle_s
        while True:
            found = self._ask(lambda: self._read(id, since))
            if time.monotonic() > deadline or all(entry["ending"] != "open" for entry in found):
                return found
            time.sleep(_POLL_S)

    @property
    def cursor(self) -> int:
        """The number of the latest entry: pass it as `since` to see only what comes after."""
        return self._ask(lambda: self._simulator.journal.seq)

    def scenario(self, name: str, **keys: Any) -> None:
        """Define or replace a named scenario, as a scenario file would; calls get it by the model name `wb-NAME`.

        Raises ScenarioError for an unknown key or an impossible value.
        """
        self._ask(lambda: define_scenario(self._simulator.providers.library, name, keys))

    def reset(self) -> None:
        """Forget the journal and all that earlier calls have left behind."""

        def forget() -> None:
            self._simulator.journal.clear()
            self._simulator.providers.reset()

        self._ask(forget)

    def _read(self, name: str | None, since: int) -> list[Json]:
        journal: Journal = self._simulator.journal
        found = journal.since(since) if name is None else journal.with_ids([name])
        return [entry.as_json() for entry in found if entry.seq > since]

    def _ask(self, question: Callable[[], _T]) -> _T:
        async def answer() -> _T:
            return question()

        return self._run(answer())

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_STOP_LIMIT_S)


@contextmanager
def running_simulator(config: SimulatorConfig | None = None) -> Iterator[RunningSimulator]:
    """A simulator that serves from a thread of its own until the block ends.

    Raises what starting it raises: OSError for an address that cannot be used, ScenarioFileError.
    """
    simulator = Simulator(config)
    ready = threading.Event()
    failed: list[BaseException] = []
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        stop = asyncio.Event()
        async with simulator:
            running.append((asyncio.get_running_loop(), stop))
            ready.set()
            await stop.wait()

    def work() -> None:
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(serve())
        except BaseException as exc:  # noqa: BLE001 - handed to the thread that waits for us
            failed.append(exc)
        finally:
            ready.set()

    thread = threading.Thread(target=work, name="simulator", daemon=True)
    thread.start()
    if not ready.wait(_START_LIMIT_S):
        raise TimeoutError(f"the simulator did not start within {_START_LIMIT_S:g} s")
    if not running:
        thread.join(_STOP_LIMIT_S)
        raise failed[0]
    loop, stop = running[0]
    try:
        yield RunningSimulator(simulator.url, simulator.port, simulator, loop)
    finally:
        if not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)
        thread.join(_STOP_LIMIT_S)
    if thread.is_alive():
        raise TimeoutError(f"the simulator did not stop within {_STOP_LIMIT_S:g} s")
    if failed:
        raise failed[0]


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
