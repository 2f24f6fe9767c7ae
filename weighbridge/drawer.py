"""The process in which generated requests are drawn and the answers to them are read.

Both cost more than all else that a run does between its calls, and in a process of its own neither makes the run read an
answer late. It takes the messages below on standard input, as pickles, and answers each in its turn on standard output.
It ends with its standard input, whatever it is at, so it never outlives its parent.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from weighbridge.collection import rare_collections
from weighbridge.drawing import Drawing, Kind, NoneLeftError, Order, Sent, Told

#: What is drawn is needed late in a run; who sends and who answers go first.
_MODEST = 10


@dataclass(frozen=True, slots=True)
class Rest:
    """Draw nothing from the next example on, or go on with it. Has no answer."""

    rests: bool


@dataclass(frozen=True, slots=True)
class Draw:
    """Draw the requests of a surface; the answer is `Drawing.drawn`."""

    order: Order


@dataclass(frozen=True, slots=True)
class Read:
    """Say something about what became of drawn requests; the answer is a list of `Told`."""

    surface: str
    sent: tuple[tuple[Kind, bytes, Sent], ...]


@dataclass(frozen=True, slots=True)
class Shrink:
    """Shrink what the drawn requests of a kind have shown.

    The answers are so many pairs of `Try` and, after a `Sent` or a None for no more of it, `Told`. None ends them, and
    so does a `Failed`, also in the place of a `Told`.
    """

    surface: str
    kind: Kind
    seen: Mapping[bytes, str | None]


@dataclass(frozen=True, slots=True)
class Try:
    """Send this."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """Drawing, reading or shrinking broke."""

    why: str


Request = Draw | Read | Shrink


class _Drawer:
    """Answers requests one after another, from what a thread reads meanwhile."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO) -> None:
        self._requests, self._answers = requests, answers
        self._read: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._may_draw = threading.Event()
        self._may_draw.set()
        self._drawings: dict[str, Drawing] = {}

    def serve(self) -> None:
        """Never returns: the thread that reads ends the process."""
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            request = self._read.get()
            try:
                answer = self._answer(request)
            except Exception as error:  # noqa: BLE001 - the parent shall know, and may have more to ask
                answer = Failed(f"{type(error).__name__}: {error}")
            self._say(answer)

    def _listen(self) -> None:
        """Take messages until there are none; whatever ends that ends the process, or the main thread waits for ever."""
        code = 1
        try:
            with suppress(EOFError, OSError, pickle.UnpicklingError):
                while True:
                    message = pickle.load(self._requests)  # noqa: S301 - our parent's
                    if not isinstance(message, Rest):
                        self._read.put(message)
                    elif message.rests:
                        self._may_draw.clear()
                    else:
                        self._may_draw.set()
            code = 0
        except Exception:  # noqa: BLE001 - a message of any type may fail in any way
            traceback.print_exc()
        finally:
            os._exit(code)

    def _say(self, answer: object) -> None:
        pickle.dump(answer, self._answers)
        self._answers.flush()

    def _answer(self, request: object) -> object:
        match request:
            case Draw(order):
                drawing = Drawing(order, self._go_on)
                self._drawings[order.surface] = drawing
                return drawing.drawn
            case Read(surface, sent):
                return [self._drawings[surface].told(kind, raw, what) for kind, raw, what in sent]
            case Shrink(surface, kind, seen):
                self._drawings[surface].shrink(kind, seen, self._try, self._say)
                return None
        raise TypeError(f"no such request: {request!r}")

    def _go_on(self) -> None:
        self._may_draw.wait()

    def _try(self, body: bytes) -> Sent:
        self._say(Try(body))
        sent = self._read.get()
        if not isinstance(sent, Sent):
            self._say(Told())
            raise NoneLeftError
        return sent


def main() -> None:
    """Serve until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):  # Windows has none
        os.nice(_MODEST)
    channel = os.dup(sys.stdout.fileno())
    # Whatever is printed goes to standard error.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with os.fdopen(channel, "wb") as answers, rare_collections():
        _Drawer(sys.stdin.buffer, answers).serve()
