"""Owns the process of the embedded simulator and gateway, so that a run has two cores: it and its target.

It is started before it is needed, and gets a session of its own: Ctrl-C reaches the run alone, which still has to
judge what it saw. The child's standard input is our lifeline to it: it ends with that pipe, even if we are killed. Its
standard output tells us that it is ready, when it stood still, and, by ending, that it died.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from weighbridge.errors import HarnessError, WeighbridgeError
from weighbridge.lag import LagMeter

if TYPE_CHECKING:
    from weighbridge.target import Target

#: Start-up on a busy machine.
_START_S = 60.0
#: What the child may need to end after it was asked; it sees to it by itself, so this is for one that cannot.
_END_S = 10.0
#: A refused connection is told from the child's death so long after it.
_NOTICED_S = 0.5
_EXCERPT = 300
#: The child finds this very weighbridge, however we were found.
_BEGIN = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); from weighbridge.pair import main; main()"
)


class PairProcess:
    """Simulator and gateway in a child of ours; use it as a context manager, or call `close`.

    Attributes:
        lag: standstills of the child's event loop, and of ours while a run notes them here.
    """

    def __init__(self) -> None:
        """Start the child, and return at once.

        Raises:
            HarnessError: the system starts no process.
        """
        self.lag = LagMeter()
        self._over = False
        self._ready: asyncio.Future[Target] | None = None
        self._died: asyncio.Future[str] | None = None
        self._unread = b""
        try:
            self._scratch = tempfile.TemporaryDirectory(prefix="weighbridge-")
            self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        except OSError as error:
            raise HarnessError(
                f"the embedded gateway has no place for its files: {error.filename}: {error.strerror}; set TMPDIR"
            ) from error
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-P", "-c", _BEGIN, json.dumps(sys.path), self._scratch.name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            self._log.close()
            self._scratch.cleanup()
            raise HarnessError(
                f"the embedded simulator and gateway cannot be started: {sys.executable}: {error.strerror}"
            ) from error

    @property
    def pid(self) -> int:
        """The process id of the child."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Target]:
        """Listen to the child meanwhile; yields the target once it is ready. Its end is the child's, too.

        Raises:
            HarnessError: it did not start, or died before anything was seen of it.
        """
        loop = asyncio.get_running_loop()
        self._ready, self._died = loop.create_future(), loop.create_future()
        output = self._output
        os.set_blocking(output, False)
        loop.add_reader(output, self._read)
        try:
            async with asyncio.timeout(_START_S) as patience:
                target = await self._ready
                patience.reschedule(None)
                yield target
        except TimeoutError as error:
            if not patience.expired():
                raise
            raise HarnessError(
                f"the embedded simulator and gateway did not start within {_START_S:.0f} s"
            ) from error
        except WeighbridgeError as error:
            if self._ready.exception() is not None:
                raise
            # Its sockets close a moment before its output does.
            died, _ = await asyncio.wait({self._died}, timeout=_NOTICED_S)
            if not died:
                raise
            raise HarnessError(self._died.result()) from error
        finally:
            loop.remove_reader(output)
            self.let_go()

    async def ended(self) -> str:
        """Wait for the child to end though nobody asked it to; returns how, as a sentence."""
        assert self._died is not None  # noqa: S101 - set by `running`
        return await asyncio.shield(self._died)

    @property
    def _output(self) -> int:
        assert self._process.stdout is not None  # noqa: S101 - piped above
        return self._process.stdout.fileno()

    def _read(self) -> None:
        try:
            data = os.read(self._output, 65536)
        except BlockingIOError:
            return
        if not data:
            asyncio.get_running_loop().remove_reader(self._output)
            self._gone()
            return
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line))

    def _take(self, told: dict[str, Any]) -> None:
        assert self._ready is not None  # noqa: S101 - set by `running`
        if "stood" in told:
            self.lag.note(*told["stood"])
        elif not self._ready.done():
            if "error" in told:
                self._ready.set_exception(HarnessError(f"the embedded gateway cannot start: {told['error']}"))
            else:
                from weighbridge.embedded_target import started

                self._ready.set_result(started(told["variables"]).target)

    def _gone(self) -> None:
        """The child closed its output; only its end does that."""
        assert self._ready is not None and self._died is not None  # noqa: S101, PT018 - set by `running`
        how = self._how_it_ended()
        if not self._ready.done():
            self._ready.set_exception(
                HarnessError(f"the embedded simulator and gateway did not start: {how}")
            )
        if not self._died.done():
            self._died.set_result(f"the process of the embedded simulator and gateway died: {how}")

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(1)
        except subprocess.TimeoutExpired:
            return "it closed its output"
        if code < 0:
            return f"ended by {signal.Signals(-code).name}"
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - 4096))
        lines = self._log.read().decode("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
        return f"exit code {code}, {last[:_EXCERPT]}"

    def let_go(self) -> None:
        """Ask the child to end, and wait for nothing: it ends while the run is judged."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def close(self) -> None:
        """End the child if it is not ended, wait for it, and take away what it left."""
        if self._over:
            return
        self._over = True
        try:
            self.let_go()
            if self._served():
                self._wait()
            else:
                self._kill()
        finally:
            self._tidy_up()

    def _served(self) -> bool:
        """Whether the child has anything to close; before, it would only go on starting for a while."""
        return self._ready is not None and self._ready.done() and not self._ready.cancelled()

    def _wait(self) -> None:
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._kill()
        except BaseException:
            self._kill()
            raise

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _tidy_up(self) -> None:
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()
        self._scratch.cleanup()


def embedded_pair(*, wanted: bool) -> AbstractContextManager[PairProcess | None]:
    """The process of the embedded target, started, if it is wanted.

    Raises:
        HarnessError: it cannot be started.
    """
    return PairProcess() if wanted else nullcontext()
