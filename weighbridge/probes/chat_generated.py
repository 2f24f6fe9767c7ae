"""Generated histories of one account's dollars: a Hypothesis state machine whose oracle is a simple model of the books.

Each example has a fresh account. What it did is the record, and the same pure function that stops an example
judges the record afterwards; examples that Hypothesis shrinks stay in the record, the shortest one last.
"""

from __future__ import annotations

from weighbridge.checks.books import ledger_findings
from weighbridge.generation import Bridge, generate, load_hypothesis, run_machine
from weighbridge.lab import Lab, Stage, probe
from weighbridge.money import LONG_CONTEXT_ABOVE, LONG_CONTEXT_BINARY, pico_from_usd
from weighbridge.probes.generated_requests import EXPLORE_FACTOR
from weighbridge.probes.walked_account import WalkedAccount
from weighbridge.scenario import Scenario
from weighbridge.verdict import Outcome
from weighbridge.wire import Leave

#: Calls of one default run, shrinking included.
MACHINE_BUDGET = 160
MACHINE_EXAMPLES = 14
MACHINE_STEPS = 8


@probe(
    "chat",
    stage=Stage.GENERATED,
    needs=("upstream", "balance", "rates", "accounts"),
    ahead=load_hypothesis,
    waits=True,
)
async def chat_books(lab: Lab) -> None:
    """A Hypothesis state machine over one account's money: each example in a fresh account."""
    factor = EXPLORE_FACTOR if lab.shared.explore else 1
    await generate(lambda bridge: _walk(lab, bridge, factor), budget=MACHINE_BUDGET * factor)


def _walk(lab: Lab, bridge: Bridge, factor: int) -> None:
    from hypothesis import strategies as st
    from hypothesis.stateful import (
        RuleBasedStateMachine,
        initialize,
        invariant,
        precondition,
        rule,
    )

    role = lab.roles("chat")[0]
    examples = iter(range(1, 10_000))
    # Any amount, and those about the long-context boundary, by themselves and together; none between its two readings.
    beyond = LONG_CONTEXT_BINARY + 1
    boundary = (LONG_CONTEXT_ABOVE // 2, LONG_CONTEXT_ABOVE - 1, LONG_CONTEXT_ABOVE, beyond)
    prompts = (
        st.sampled_from(boundary) | st.integers(1_000, LONG_CONTEXT_ABOVE) | st.integers(beyond, 300_000)
    )

    class Books(RuleBasedStateMachine):
        """One account: calls that succeed, fail, break, are left, repeated, refused; money that is added; its end."""

        def __init__(self) -> None:
            super().__init__()
            self.account = WalkedAccount(lab, bridge, "chat", f"books/{next(examples)}")
            self.last: tuple[Scenario, bool] | None = None

        @initialize()
        def open(self) -> None:
            self.account.open(balance="50")

        def _call(
            self,
            scenario: Scenario,
            *,
            stream: bool = False,
            broken: bool = False,
            leave: Leave | None = None,
        ) -> None:
            label, who = self.account.label, self.account.who
            if who is not None:
                change = {"temperature": 9} if broken else None
                self.last = (scenario, stream)
                bridge.run(
                    lab.chat(
                        role,
                        label,
                        who,
                        scenario=scenario,
                        stream=stream,
                        change=change,
                        leave=leave,
                    )
                )

        @rule(prompt=prompts, completion=st.integers(0, 20_000), stream=st.booleans())
        def succeed(self, prompt: int, completion: int, stream: bool) -> None:
            self._call(Scenario(prompt_tokens=prompt, completion_tokens=completion), stream=stream)

        @rule(status=st.sampled_from([500, 503, 429]))
        def fail(self, status: int) -> None:
            self._call(Scenario(fault="status", status=status))

        @rule(after=st.integers(0, 5))
        def break_off(self, after: int) -> None:
            script = Scenario(
                fault="reset", after=after, chunks=8, prompt_tokens=90_000, completion_tokens=900
            )
            self._call(script, stream=True)

        @rule(after=st.integers(0, 3))
        def leave(self, after: int) -> None:
            script = Scenario(chunks=60, gap_ms=5, prompt_tokens=70_000, completion_tokens=700)
            self._call(script, stream=True, leave=Leave(after_chunks=after))

        @precondition(lambda self: self.last is not None)
        @rule()
        def repeat(self) -> None:
            assert self.last is not None  # noqa: S101 - the precondition says so
            self._call(self.last[0], stream=self.last[1])

        @rule()
        def refuse(self) -> None:
            self._call(Scenario(prompt_tokens=5_000, completion_tokens=50), broken=True)

        @precondition(lambda self: self.account.who is not None and lab.has("chat", "top_up"))
        @rule(amount=st.integers(1, 40))
        def top_up(self, amount: int) -> None:
            self.account.top_up(amount, worth=pico_from_usd(str(amount)))

        @precondition(lambda self: self.account.step >= 3 and lab.has("chat", "revoked"))
        @rule()
        def revoke(self) -> None:
            self.account.revoke()

        @precondition(lambda self: self.account.who is not None)
        @invariant()
        def books_agree(self) -> None:
            label = self.account.label
            calls = [call for call in lab.calls if call.situation == label]
            self.account.weigh(after=calls[-1] if calls else None)
            readings = [reading for reading in lab.readings if reading.situation == label]
            finding = ledger_findings(calls, readings, lab.shared.facts, lab.notes)
            if finding.outcome is Outcome.BROKEN:
                raise AssertionError(finding.message)

    run_machine(Books, seed=lab.shared.seed, examples=MACHINE_EXAMPLES * factor, steps=MACHINE_STEPS)
