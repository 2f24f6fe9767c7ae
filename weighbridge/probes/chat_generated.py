"""Generated chat calls: requests drawn from the OpenAPI description, and sequences of money.

Both record what they sent; nothing is judged here. Examples that Hypothesis shrinks stay in the record
with the rest, under one situation for each example.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from weighbridge.checks.books import ledger_findings
from weighbridge.evidence import Call
from weighbridge.generation import Bridge, generate, run_machine
from weighbridge.lab import Lab, Stage, probe
from weighbridge.openapi import for_models, for_surface
from weighbridge.scenario import Scenario
from weighbridge.target import CHAT_PATH, Principal
from weighbridge.verdict import Outcome

#: Calls of one default run, shrinking included.
SCHEMA_BUDGET = 120
SCHEMA_EXAMPLES = 40
MACHINE_BUDGET = 160
MACHINE_EXAMPLES = 12
MACHINE_STEPS = 8


@probe("chat", stage=Stage.GENERATED, needs=("upstream",))
async def chat_generated(lab: Lab) -> None:
    """Valid requests of the one chat operation, drawn by Schemathesis; its own checks go into the notes."""
    async with lab.alone("chat") as who:
        await generate(lambda bridge: _draw(lab, who, bridge), budget=SCHEMA_BUDGET)


def _draw(lab: Lab, who: Principal, bridge: Bridge) -> None:
    import requests
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, seed, settings
    from schemathesis.core.failures import FailureGroup
    from schemathesis.core.transport import Response

    logging.getLogger("schemathesis").setLevel(logging.ERROR)
    document = for_surface("chat", lab.target.surfaces["chat"].url)
    document = for_models(document, frozenset(lab.target.models.values()))
    operation = schemathesis.openapi.from_dict(document)[CHAT_PATH]["POST"]
    seen: dict[bytes, list[str]] = {}

    @seed(lab.shared.seed)
    @settings(
        max_examples=SCHEMA_EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE))
    def one(case: Any) -> None:
        raw = _encoded(case.body)
        if raw is None or (raw not in seen and bridge.spent()):
            return
        if raw not in seen:
            call = bridge.run(_send(lab, who, raw))
            seen[raw] = [] if call.exchange.response is None else _complaints(case, call)
            lab.notes.extend(f"{call.id}\t{complaint}" for complaint in seen[raw])
        if seen[raw]:
            raise AssertionError(seen[raw][0])

    def _complaints(case: Any, call: Call) -> list[str]:
        answer = call.exchange.response
        assert answer is not None  # noqa: S101 - the caller looked
        headers: dict[str, list[str]] = {}
        for name, value in answer.headers:
            headers.setdefault(name.lower(), []).append(value)
        prepared = requests.Request(
            "POST", call.exchange.request.url, data=call.exchange.request.body
        ).prepare()
        response = Response(
            answer.status, headers, answer.body, prepared, call.exchange.ended_at, verify=False
        )
        try:
            case.validate_response(
                response,
                checks=[
                    schemathesis.checks.status_code_conformance,
                    schemathesis.checks.content_type_conformance,
                    schemathesis.checks.response_schema_conformance,
                ],
            )
        except FailureGroup as group:
            return [
                f"{failure.title}: {' '.join(str(failure.message).split())[:300]}"
                for failure in group.exceptions
            ]
        return []

    try:
        one()
    except AssertionError:
        return  # recorded in the notes, with the exchange that shows it
    except BaseExceptionGroup as group:
        rest = group.split(AssertionError)[1]
        if rest is not None:
            raise rest from None


def _encoded(body: Any) -> bytes | None:
    """The body as JSON, or None for what no JSON text can hold (lone surrogates)."""
    if not isinstance(body, dict):
        return None
    try:
        return json.dumps(body, ensure_ascii=False).encode()
    except (UnicodeEncodeError, ValueError, TypeError):
        return None


async def _send(lab: Lab, who: Principal, raw: bytes) -> Call:
    streamed = bool(json.loads(raw).get("stream"))
    return await lab.send("chat", CHAT_PATH, situation="generated", who=who, raw=raw, streamed=streamed)


@probe("chat", stage=Stage.GENERATED, needs=("upstream", "balance", "rates", "accounts"))
async def chat_books(lab: Lab) -> None:
    """A Hypothesis state machine over one account's money: each example in a fresh account."""
    await generate(lambda bridge: _walk(lab, bridge), budget=MACHINE_BUDGET)


def _walk(lab: Lab, bridge: Bridge) -> None:
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

    class Books(RuleBasedStateMachine):
        """One account: calls that succeed, fail, break, are refused; money that is added."""

        def __init__(self) -> None:
            super().__init__()
            self.label = f"books/{next(examples)}"
            self.step = 0
            self.who: Principal | None = None

        @initialize()
        def open(self) -> None:
            if not bridge.spent():
                self.who = bridge.run(lab.make_account("chat", balance="50"), cost=0)
                bridge.run(lab.money(self.who, self.label, "before"), cost=0)

        def _call(self, scenario: Scenario, *, stream: bool = False, broken: bool = False) -> None:
            if self.who is not None and not bridge.spent():
                change = {"temperature": 9} if broken else None
                bridge.run(
                    lab.chat(role, self.label, self.who, scenario=scenario, stream=stream, change=change)
                )

        @rule(prompt=st.integers(1_000, 300_000), completion=st.integers(0, 20_000), stream=st.booleans())
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

        @rule()
        def refuse(self) -> None:
            self._call(Scenario(prompt_tokens=5_000, completion_tokens=50), broken=True)

        @precondition(lambda self: self.who is not None)
        @invariant()
        def books_agree(self) -> None:
            if self.who is None or bridge.spent():
                return
            self.step += 1
            calls = [call for call in lab.calls if call.situation == self.label]
            last = calls[-1] if calls else None
            bridge.run(lab.money(self.who, self.label, f"step-{self.step}", after=last), cost=0)
            readings = [reading for reading in lab.readings if reading.situation == self.label]
            finding = ledger_findings(calls, readings, lab.shared.facts)
            if finding.outcome is Outcome.BROKEN:
                raise AssertionError(finding.message)

    run_machine(Books, seed=lab.shared.seed, examples=MACHINE_EXAMPLES, steps=MACHINE_STEPS)
