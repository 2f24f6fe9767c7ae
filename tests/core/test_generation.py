"""Generators beside the run: their seed fixes what they draw, they end with their budget, wait in order, draw ahead.

A target that changes its mind ends no run.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from weighbridge.ahead import Ahead, GoOn
from weighbridge.generation import Bridge, Turn, generate, run_machine


def _drawn(seed: int) -> list[int]:
    """What a machine draws under a seed."""
    seen: list[int] = []

    class Draws(RuleBasedStateMachine):
        @rule(number=st.integers(0, 10**6))
        def take(self, number: int) -> None:
            seen.append(number)

    run_machine(Draws, seed=seed, examples=5, steps=5)
    return seen


def test_the_seed_fixes_what_a_machine_draws() -> None:
    first = _drawn(1)
    assert len(first) >= 5
    assert _drawn(1) == first
    assert _drawn(2) != first


def test_a_violation_is_left_to_the_record() -> None:
    seen: list[int] = []

    class Fails(RuleBasedStateMachine):
        @rule(number=st.integers(0, 100))
        def take(self, number: int) -> None:
            seen.append(number)
            assert number < 10

    run_machine(Fails, seed=1, examples=20, steps=5)
    assert seen[-1] == 10, "the shortest example comes last"


@pytest.mark.parametrize("failures", [1, 3])
def test_a_violation_that_does_not_come_again_is_left_to_the_record_too(failures: int) -> None:
    left = [failures]

    class Flickers(RuleBasedStateMachine):
        @rule(number=st.integers(0, 100))
        def take(self, number: int) -> None:
            left[0] -= 1
            assert left[0] < 0, number

    run_machine(Flickers, seed=1, examples=20, steps=5)
    assert left[0] < 0


def test_a_spent_budget_ends_a_failing_machine() -> None:
    calls: list[int] = []

    async def call(number: int) -> None:
        calls.append(number)

    def walk(bridge: Bridge) -> None:
        class Spends(RuleBasedStateMachine):
            @rule(number=st.integers(0, 100))
            def take(self, number: int) -> Any:
                if not bridge.spent():
                    bridge.run(call(number))
                    assert number < 10

        run_machine(Spends, seed=1, examples=20, steps=5)

    asyncio.run(generate(walk, budget=7))
    assert len(calls) == 7


async def _answer() -> None:
    await asyncio.sleep(0)


def _walker(bridge: Bridge, sent: list[int], open_: list[bool]) -> type[RuleBasedStateMachine]:
    class Walk(RuleBasedStateMachine):
        """As the machines of the run do: what it may do next hangs on what was sent before."""

        @initialize()
        def begin(self) -> None:
            bridge.go_on()
            self.sent = 0

        @rule(amount=st.integers(0, 9))
        def send(self, amount: int) -> None:
            bridge.run(_answer())
            sent.append(amount)
            self.sent += 1

        @precondition(lambda self: self.sent and open_[0])
        @rule(pick=st.integers(0, 99), again=st.booleans())
        def look(self, pick: int, again: bool) -> None:
            bridge.run(_answer())
            sent.append(pick)

        @invariant()
        def holds(self) -> None:
            bridge.run(_answer(), cost=0)

    return Walk


@pytest.mark.parametrize("budget", [7, 40, 90])
def test_a_machine_ends_with_its_budget_and_without_an_error(budget: int) -> None:
    sent: list[int] = []

    def walk(bridge: Bridge) -> None:
        run_machine(_walker(bridge, sent, [True]), seed=3, examples=60, steps=8)

    asyncio.run(generate(walk, budget=budget))
    assert len(sent) == budget


def test_a_target_that_answers_the_same_walk_differently_is_no_error_of_ours() -> None:
    sent: list[int] = []
    open_ = [True]

    class Shut(list[int]):
        def append(self, amount: int) -> None:
            super().append(amount)
            open_[0] = len(self) % 3 != 0

    sent = Shut()

    def walk(bridge: Bridge) -> None:
        run_machine(_walker(bridge, sent, open_), seed=3, examples=60, steps=8)

    asyncio.run(generate(walk, budget=300))
    assert sent


def test_the_turn_goes_in_the_order_of_asking() -> None:
    turn, order = Turn(), []
    turn.acquire()

    def ask(number: int) -> None:
        with turn:
            order.append(number)

    threads = []
    for number in range(5):
        threads.append(threading.Thread(target=ask, args=(number,)))
        threads[-1].start()
        while len(turn.waiting) <= number:
            time.sleep(0.001)
    turn.release()
    for thread in threads:
        thread.join(10)
    assert order == [0, 1, 2, 3, 4]


def test_work_ahead_is_done_in_order_and_its_error_comes_with_the_result() -> None:
    def fails(_go_on: GoOn) -> Any:
        raise ValueError("no such schema")

    async def main() -> list[Any]:
        ahead = Ahead()
        usual = sys.getswitchinterval()
        async with ahead.working({"one": lambda _: 1, "two": fails, "three": lambda _: 3}):
            assert sys.getswitchinterval() < usual
            with pytest.raises(ValueError, match="no such schema"):
                await ahead.made("two", fails)
            made = [await ahead.made(name, fails) for name in ("three", "one")]
        assert sys.getswitchinterval() == usual
        return [*made, await ahead.made("four", lambda _: 4)]

    assert asyncio.run(main()) == [3, 1, 4]


def test_work_ahead_rests_when_told_and_is_given_up_at_the_end() -> None:
    steps: list[float] = []

    def count(go_on: GoOn) -> None:
        while True:
            go_on()
            steps.append(time.monotonic())
            time.sleep(0.001)

    async def main() -> None:
        ahead = Ahead()
        async with ahead.working({"count": count}):
            async with asyncio.timeout(20):
                while not steps:  # noqa: ASYNC110 - a thread's news
                    await asyncio.sleep(0.001)
                async with ahead.resting():
                    await asyncio.sleep(0.1)  # a step that was begun comes to its end
                    before = len(steps)
                    await asyncio.sleep(0.1)
                    assert len(steps) == before
                while len(steps) == before:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.001)

    asyncio.run(main())
    ended = len(steps)
    time.sleep(0.05)
    assert len(steps) == ended
