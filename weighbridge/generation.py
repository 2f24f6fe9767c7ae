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
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

#: Held by the generator whose turn it is. Hypothesis parses source text, and CPython 3.11 counts the recursion of
#: its parser for all threads together, so two generators at work at once end in "AST constructor recursion depth
#: mismatch". A generator that waits for its call lets the others on.
_TURN = threading.Lock()


class RunEndedError(BaseException):
    """The run ended while a generator was at work; no generator takes it for a failing example."""


class Bridge:
    """Lets a thread run coroutines on the run's loop, within a budget of calls."""

    def __init__(self, loop: asyncio.AbstractEventLoop, budget: int) -> None:
        self._loop = loop
        self._left = budget
        self._closed = False

    def spent(self) -> bool:
        """Whether the budget is used up."""
        return self._closed or self._left <= 0

    def close(self) -> None:
        """The run is over: nothing is sent any more."""
        self._closed = True

    def run(self, coroutine: Coroutine[Any, Any, T], *, cost: int = 1) -> T:
        """Run it on the loop and wait for its result.

        Raises:
            RunEndedError: the run ended meanwhile.
        """
        self._left -= cost
        if self._closed:
            coroutine.close()
            raise RunEndedError
        done = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        _TURN.release()
        try:
            concurrent.futures.wait([done])
        finally:
            _TURN.acquire()
        try:
            return done.result()
        except concurrent.futures.CancelledError:
            raise RunEndedError from None


async def generate(function: Callable[[Bridge], None], *, budget: int) -> None:
    """Run a generator in a thread until it ends.

    Args:
        function: takes the bridge and makes its calls through it.
        budget: calls that it may make; it looks at `Bridge.spent` and stops by itself.
    """
    bridge = Bridge(asyncio.get_running_loop(), budget)

    def in_turn() -> None:
        with _TURN:
            function(bridge)

    try:
        await asyncio.to_thread(in_turn)
    finally:
        bridge.close()


def run_machine(machine: Any, *, seed: int, examples: int, steps: int) -> None:
    """Drive a Hypothesis state machine; a violation it finds is left to the record and its check.

    So is one that does not come again when the example is shrunk: the target is alive and the budget of calls ends.

    Args:
        machine: a `RuleBasedStateMachine` class.
        seed: fixes what is drawn.
        examples: how many walks.
        steps: how long a walk may be.
    """
    import hypothesis
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
    hypothesis.seed(seed)(machine)  # the class has the seed; on the function that runs it a seed is lost
    with contextlib.suppress(AssertionError, hypothesis.errors.Flaky):
        run_state_machine_as_test(machine, settings=chosen)
