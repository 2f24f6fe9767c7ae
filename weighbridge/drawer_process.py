"""Owns the process that draws requests; see `weighbridge.drawer`. Its methods block, so they are called in threads."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from weighbridge.ahead import RunEndedError
from weighbridge.drawer import Draw, Failed, Read, Request, Rest, Shrink, Try
from weighbridge.drawing import Drawn, Kind, Order, Sent, Told
from weighbridge.errors import HarnessError

#: The child finds this very weighbridge, however we were found.
_BEGIN = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); from weighbridge.drawer import main; main()"
)
_EXCERPT = 300


class DrawerProcess:
    """Draws requests in a child of ours, started when it is first asked for something. Close it in the end."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._writing = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._log: Any = None
        self._closed = False

    @property
    def pid(self) -> int:
        """The process id of the child; 0 for one that was not needed yet."""
        return 0 if self._process is None else self._process.pid

    def draw(self, order: Order) -> Drawn:
        """Draw the requests of a surface.

        Raises:
            HarnessError: drawing broke, or there is no process to draw in.
            RunEndedError: closed meanwhile, as from the other methods.
        """
        with self._turn:
            drawn: Drawn = self._ask(Draw(order))
            return drawn

    def read(self, surface: str, sent: Sequence[tuple[Kind, bytes, Sent]]) -> list[Told]:
        """What there is to say about what became of drawn requests.

        Raises:
            HarnessError: reading broke.
        """
        with self._turn:
            told: list[Told] = self._ask(Read(surface, tuple(sent)))
            return told

    def shrink(
        self,
        surface: str,
        kind: Kind,
        seen: Mapping[bytes, str | None],
        send: Callable[[bytes], Sent | None],
        tell: Callable[[Told], None],
    ) -> None:
        """Look for the smallest request that shows what one of the drawn ones has shown.

        Args:
            surface: the requests are for.
            kind: of the requests.
            seen: the first thing that was said about each drawn one.
            send: sends another one; None where none may be sent any more.
            tell: is told what there is to say about what became of it.

        Raises:
            HarnessError: shrinking broke. What `send` or `tell` raises ends it too.
        """
        with self._turn:
            asked = self._ask(Shrink(surface, kind, seen))
            wrong: BaseException | None = None
            while isinstance(asked, Try):
                if self._closed:
                    raise RunEndedError
                sent = None
                try:
                    sent = send(asked.body) if wrong is None else None
                except BaseException as error:  # noqa: BLE001 - raised below
                    wrong = error
                self._write(sent)
                told = self._answer()
                try:
                    if sent is not None:
                        tell(told)
                except BaseException as error:  # noqa: BLE001 - raised below
                    wrong = error
                asked = self._answer()
            if (
                wrong is not None
            ):  # not before the child is through with this: the next question would get its answers
                raise wrong

    def rest(self, *, rests: bool) -> None:
        """Draw nothing from the next example on, or go on; does not wait for it."""
        if self._process is not None:
            with suppress(RunEndedError, HarnessError):  # who waits for an answer is told
                self._write(Rest(rests))

    def close(self) -> None:
        """End the child, whatever it is at; who waits for it is told that the run ended."""
        self._closed = True
        if self._process is not None:
            self._process.kill()
        with self._writing:
            if self._process is None:
                return
            self._process.kill()  # one that was started since we looked
            self._process.wait()
            for file in (self._process.stdin, self._process.stdout, self._log):
                assert file is not None  # noqa: S101 - piped
                with suppress(OSError):  # what it did not read any more
                    file.close()

    def _ask(self, request: Request) -> Any:
        self._write(request)
        return self._answer()

    def _write(self, message: object) -> None:
        with self._writing:
            process = self._started()
            assert process.stdin is not None  # noqa: S101 - piped
            try:
                pickle.dump(message, process.stdin)
                process.stdin.flush()
            except OSError as error:
                raise self._died(process) from error

    def _answer(self) -> Any:
        process = self._process
        assert process is not None and process.stdout is not None  # noqa: S101, PT018 - asked before
        try:
            answer = pickle.load(process.stdout)  # noqa: S301 - our own child's
        except (EOFError, pickle.UnpicklingError, ValueError) as error:  # the last where it is closed
            raise self._died(process) from error
        if isinstance(answer, Failed):
            raise HarnessError(f"requests could not be drawn: {answer.why}")
        return answer

    def _started(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise RunEndedError
        if self._process is None:
            self._log = tempfile.TemporaryFile()  # noqa: SIM115 - goes with us
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                    [sys.executable, "-P", "-c", _BEGIN, json.dumps(sys.path)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._log,
                    start_new_session=True,
                )
            except OSError as error:
                self._log.close()
                raise HarnessError(
                    f"no process can be started to draw requests in: {sys.executable}: {error.strerror}"
                ) from error
        return self._process

    def _died(self, process: subprocess.Popen[bytes]) -> BaseException:
        with self._writing:
            if self._closed:
                return RunEndedError()
            process.kill()
            code = process.wait()
            self._log.seek(0)
            said = self._log.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
        return HarnessError(
            f"the process that draws requests died: exit code {code}, {said[:_EXCERPT] or 'it said nothing'}"
        )
