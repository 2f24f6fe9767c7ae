"""State machines that drive a live target: their seed fixes what they draw, and a target that changes its mind ends no run."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from weighbridge.generation import Bridge, generate, run_machine


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
