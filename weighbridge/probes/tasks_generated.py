"""Generated sequences on the task gateway: submissions that end well or badly, polls, money that is added.

A Hypothesis state machine; each example has a fresh account. What it did is the record, and the same pure
function that stops an example judges the record afterwards.
"""

from __future__ import annotations

from weighbridge.checks.task_books import credit_finding
from weighbridge.evidence import Call, Reading
from weighbridge.generation import Bridge, generate, load_hypothesis, run_machine
from weighbridge.lab import Lab, Stage, probe
from weighbridge.probes.generated_requests import EXPLORE_FACTOR
from weighbridge.probes.tasks_flow import follow, poll, submit, task_id
from weighbridge.probes.walked_account import WALK_REQUESTS_PER_SECOND, WalkedAccount
from weighbridge.scenario import Scenario
from weighbridge.verdict import Outcome
from weighbridge.wire import Leave

BUDGET = 150
EXAMPLES = 10
STEPS = 6
#: Enough for any walk, and small enough that a wrong refund shows against it.
_CREDITS = 1_000


@probe(
    "tasks",
    stage=Stage.GENERATED,
    needs=("upstream", "balance", "rates", "accounts"),
    ahead=load_hypothesis,
    waits=True,
)
async def tasks_books(lab: Lab) -> None:
    """Walks over one account's credits."""
    factor = EXPLORE_FACTOR if lab.shared.explore else 1
    await generate(lambda bridge: _walk(lab, bridge, factor), budget=BUDGET * factor)


def _walk(lab: Lab, bridge: Bridge, factor: int) -> None:
    from hypothesis import strategies as st
    from hypothesis.stateful import (
        RuleBasedStateMachine,
        initialize,
        invariant,
        precondition,
        rule,
    )

    role = "image"
    examples = iter(range(1, 10_000))

    class Credits(RuleBasedStateMachine):
        """One account: tasks that complete, fail, are refused or looked at in any order; lost answers, repetitions, money added.

        What says little when it is done again, a refusal, a top-up, the end of the key, comes once in a walk.
        """

        def __init__(self) -> None:
            super().__init__()
            self.account = WalkedAccount(lab, bridge, "tasks", f"walk/{next(examples)}")
            self.tasks: list[str] = []
            self.done: set[str] = set()

        @initialize()
        def open(self) -> None:
            self.account.open(balance=str(_CREDITS), requests_per_second=WALK_REQUESTS_PER_SECOND)

        def _submit(self, outcome: str, duration: int) -> str | None:
            """Submit a task; its id, if it was accepted."""
            if self.account.who is None:
                return None
            script = Scenario(outcome=outcome, duration_ms=duration)
            task = task_id(
                bridge.run(submit(lab, role, self.account.label, self.account.who, scenario=script))
            )
            self.tasks += [task] if task is not None else []
            return task

        def _look(self, task: str) -> None:
            if self.account.who is not None:
                bridge.run(poll(lab, role, self.account.label, self.account.who, task))

        @rule(outcome=st.sampled_from(["completed", "failed", "moderated"]), duration=st.integers(0, 40))
        def submit(self, outcome: str, duration: int) -> None:
            self._submit(outcome, duration)

        @rule(
            outcomes=st.lists(st.sampled_from(["failed", "moderated", "completed"]), min_size=1, max_size=3),
            looks=st.integers(0, 2),
        )
        def see_the_end(self, outcomes: list[str], looks: int) -> None:
            """Submit tasks, wait for their ends, and look at them some more."""
            started = [self._submit(outcome, 0) for outcome in outcomes]
            for task in started:
                if task is not None and self.account.who is not None:
                    bridge.run(follow(lab, role, self.account.label, self.account.who, task, race=True))
            for task in started[:looks]:
                if task is not None:
                    self._look(task)

        @rule(outcome=st.sampled_from(["completed", "failed"]), again=st.booleans())
        def lose_the_answer(self, outcome: str, again: bool) -> None:
            """The client hangs up before the answer, and may send the same once more."""
            if self.account.who is None:
                return
            script = Scenario(outcome=outcome, duration_ms=10)
            lost = Leave(after_s=0.002)
            bridge.run(submit(lab, role, self.account.label, self.account.who, scenario=script, leave=lost))
            if again:
                self._submit(outcome, 10)

        @precondition(lambda self: self.tasks and "top_up" not in self.done and lab.has("tasks", "top_up"))
        @rule(amount=st.integers(1, 500))
        def top_up(self, amount: int) -> None:
            self.done.add("top_up")
            self.account.top_up(amount, worth=amount)

        @precondition(
            lambda self: self.account.step >= 3 and "revoke" not in self.done and lab.has("tasks", "revoked")
        )
        @rule()
        def revoke(self) -> None:
            self.done.add("revoke")
            self.account.revoke()

        @precondition(lambda self: "refuse" not in self.done)
        @rule()
        def refuse(self) -> None:
            if self.account.who is not None:
                self.done.add("refuse")
                bridge.run(submit(lab, role, self.account.label, self.account.who, drop=("prompt",)))

        @precondition(lambda self: self.tasks)
        @rule(pick=st.integers(0, 99))
        def look(self, pick: int) -> None:
            self._look(self.tasks[pick % len(self.tasks)])

        @precondition(lambda self: self.account.who is not None)
        @invariant()
        def books_agree(self) -> None:
            label = self.account.label
            calls = _calls(lab, label)
            self.account.weigh(after=calls[-1] if calls else None)
            finding = credit_finding(_calls(lab, label), _readings(lab, label), lab.shared.facts, lab.notes)
            if finding.outcome is Outcome.BROKEN:
                raise AssertionError(finding.message)

    run_machine(Credits, seed=lab.shared.seed, examples=EXAMPLES * factor, steps=STEPS)


def _calls(lab: Lab, label: str) -> list[Call]:
    return [call for call in lab.calls if call.situation.partition(":")[0] == label]


def _readings(lab: Lab, label: str) -> list[Reading]:
    return [reading for reading in lab.readings if reading.situation == label]
