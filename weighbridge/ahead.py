"""What probes can make ready without the target, made beside the stages that mostly wait.

A generator spends nearly all of its time on drawing, and drawing needs no answer. So a probe may name work to be done
ahead: it starts with the run, one piece after another, and the probe takes the result when its stage comes. A thread
sees to it; what costs much is better done in a process for which that thread waits.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Any, Protocol

#: How soon the interpreter hands over from that thread to the run's event loop; by default the loop would wait 5 ms
#: for each of its turns.
_HAND_OVER_S = 0.0005

#: Called by the work between its steps: waits while it must rest.
GoOn = Callable[[], None]
Job = Callable[[GoOn], Any]


class RunEndedError(BaseException):
    """The run ended while a generator was at work; no generator takes it for a failing example."""


class Aside(Protocol):
    """A process in which the work is done."""

    def rest(self, *, rests: bool) -> None:
        """Do nothing from the next step on, or go on."""

    def close(self) -> None:
        """End, whatever it is at; who waits for it gets a `RunEndedError`."""


class Ahead:
    """The work that is done ahead in one run."""

    def __init__(self) -> None:
        self._aside: Aside | None = None
        self._may_work = threading.Event()
        self._may_work.set()
        self._over = False
        self._made: dict[str, Future[Any]] = {}

    @asynccontextmanager
    async def working(self, jobs: Mapping[str, Job], aside: Aside | None = None) -> AsyncIterator[None]:
        """Do these, by the name of the probe that wants them; what is not done at the end is given up.

        Args:
            jobs: what to do.
            aside: the process in which they are done; it rests with them, and ends with them.
        """
        if not jobs:
            yield
            return
        self._aside = aside
        self._made = {name: Future() for name in jobs}
        usual = sys.getswitchinterval()
        sys.setswitchinterval(_HAND_OVER_S)
        work = asyncio.create_task(asyncio.to_thread(self._work, dict(jobs)), name="ahead")
        try:
            yield
        finally:
            self._over = True
            self._may_work.set()
            if aside is not None:
                aside.close()
            await asyncio.wait({work})
            sys.setswitchinterval(usual)

    @asynccontextmanager
    async def resting(self) -> AsyncIterator[None]:
        """Do nothing meanwhile, from the next step on."""
        self._may_work.clear()
        if self._aside is not None:
            self._aside.rest(rests=True)
        try:
            yield
        finally:
            self._may_work.set()
            if self._aside is not None:
                self._aside.rest(rests=False)

    async def made(self, name: str, job: Job) -> Any:
        """The result; made now if it was not begun.

        Raises:
            Exception: what the work raised.
        """
        if name in self._made:
            return await asyncio.wrap_future(self._made[name])
        return await asyncio.to_thread(job, self._go_on)

    def _work(self, jobs: Mapping[str, Job]) -> None:
        for name, job in jobs.items():
            made = self._made[name]
            if not made.set_running_or_notify_cancel():
                continue
            try:
                made.set_result(job(self._go_on))
            except RunEndedError:
                return
            except BaseException as error:  # noqa: BLE001 - raised where the result is taken
                made.set_exception(error)

    def _go_on(self) -> None:
        self._may_work.wait()
        if self._over:
            raise RunEndedError
