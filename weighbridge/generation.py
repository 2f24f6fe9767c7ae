"""Runs generators (Hypothesis, Schemathesis) beside the event loop of a run.

A generator is synchronous and drives its examples one after another, so it lives in a thread of its own
and hands each call to the loop. What it sent is recorded like any other evidence; its check judges the
record, so a finding can be judged again without generating anything.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from weighbridge.ahead import GoOn, RunEndedError

T = TypeVar("T")


class Turn:
    """A lock that goes to those who ask for it in the order of their asking; a plain one goes to whoever is quickest.

    Attributes:
        waiting: a closed gate for each who asked.
    """

    def __init__(self) -> None:
        self._changes = threading.Lock()
        self._held = False
        self.waiting: deque[threading.Lock] = deque()

    def acquire(self) -> None:
        """Wait for the turn."""
        with self._changes:
            if not self._held:
                self._held = True
                return
            gate = threading.Lock()
            gate.acquire()
            self.waiting.append(gate)
        gate.acquire()

    def release(self) -> None:
        """Hand the turn to the next."""
        with self._changes:
            if self.waiting:
                self.waiting.popleft().release()
            else:
                self._held = False

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


#: A machine begins so often, with seeds so far apart that no other run of ours has them by counting up.
_STARTS = 3
_APART = 1_000_003

#: Held by the generator whose turn it is. Hypothesis parses source text, and CPython 3.11 counts the recursion of
#: its parser for all threads together, so two generators at work at once end in "AST constructor recursion depth
#: mismatch". A generator that waits for its call lets the others on.
TURN = Turn()


class BudgetSpentError(BaseException):
    """The calls of a generator are used up.

    It ends there and then. Going on without sending would make the same walk look different from what it was before,
    which Hypothesis takes for an error of ours.
    """


class Bridge:
    """Lets a thread run coroutines on the run's loop, within a budget of calls."""

    def __init__(self, loop: asyncio.AbstractEventLoop, budget: int) -> None:
        self._loop = loop
        self._left = budget
        self._closed = False

    def spent(self) -> bool:
        """Whether the budget is used up."""
        return self._closed or self._left <= 0

    def go_on(self) -> None:
        """End the generator if it has nothing left to send with.

        Raises:
            BudgetSpentError: no call is left.
        """
        if self.spent():
            raise BudgetSpentError

    def close(self) -> None:
        """The run is over: nothing is sent any more."""
        self._closed = True

    def run(self, coroutine: Coroutine[Any, Any, T], *, cost: int = 1) -> T:
        """Run it on the loop and wait for its result.

        Args:
            coroutine: what to run.
            cost: calls of the budget that it takes; what costs nothing, as a look at a balance, is always done.

        Raises:
            BudgetSpentError: no call is left.
            RunEndedError: the run ended meanwhile.
        """
        if self._closed:
            coroutine.close()
            raise RunEndedError
        if cost and self._left <= 0:
            coroutine.close()
            raise BudgetSpentError
        self._left -= cost
        done = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        TURN.release()
        try:
            concurrent.futures.wait([done])
        finally:
            TURN.acquire()
        try:
            return done.result()
        except concurrent.futures.CancelledError:
            raise RunEndedError from None


async def generate(function: Callable[[Bridge], None], *, budget: int) -> None:
    """Run a generator in a thread until it ends.

    Args:
        function: takes the bridge and makes its calls through it.
        budget: calls that it may make; one more ends it.
    """
    bridge = Bridge(asyncio.get_running_loop(), budget)

    def in_turn() -> None:
        with TURN, contextlib.suppress(BudgetSpentError):
            function(bridge)

    try:
        await asyncio.to_thread(in_turn)
    finally:
        bridge.close()


def load_hypothesis(_shared: object, go_on: GoOn) -> None:
    """Load what machines run on, ahead of their stage; takes a tenth of a second of the run's own time there."""
    go_on()
    import hypothesis.stateful  # noqa: F401 - stays loaded


def run_machine(machine: Any, *, seed: int, examples: int, steps: int) -> None:
    """Drive a Hypothesis state machine; a violation it finds is left to the record and its check.

    So is one that does not come again when the example is shrunk: the target is alive. Where it answers the same walk
    in two ways, as a busy one does, so that the machine cannot go on, it begins anew with other draws.

    Args:
        machine: a `RuleBasedStateMachine` class.
        seed: fixes what is drawn.
        examples: how many walks.
        steps: how long a walk may be.
    """
    import hypothesis
    import hypothesis.errors
    from hypothesis.stateful import run_state_machine_as_test

    chosen = hypothesis.settings(
        max_examples=examples,
        stateful_step_count=steps,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
        suppress_health_check=list(hypothesis.HealthCheck),
        print_blob=False,
        verbosity=hypothesis.Verbosity.quiet,
    )
    for start in range(_STARTS):
        try:
            # The class has the seed; on the function that runs it a seed is lost.
            run_state_machine_as_test(hypothesis.seed(seed + start * _APART)(machine), settings=chosen)
        except hypothesis.errors.FlakyStrategyDefinition:
            continue
        except (AssertionError, hypothesis.errors.Flaky):
            return
        return
