"""Requests drawn by Schemathesis from `spec/openapi.yaml`, on every surface: valid ones, and ones that break the schema.

They are drawn ahead, while the run waits elsewhere, and sent in a stage of their own. A submission of a task that is
accepted is followed along its documented link: its task is polled once. Schemathesis's own checks of each answer go
into the notes, with the id of the exchange that shows it; nothing is judged here. Where an answer shows something,
Hypothesis shrinks the request with what is left of the budget; what it tries stays in the record with the rest, so a
finding is repeated from its recorded exchange.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from weighbridge.ahead import GoOn
from weighbridge.evidence import Call
from weighbridge.generation import TURN, Bridge, BudgetSpentError, generate
from weighbridge.lab import Lab, Shared, Stage, probe
from weighbridge.openapi import for_models, for_surface
from weighbridge.probes.tasks_flow import task_id, task_path
from weighbridge.target import CHAT_PATH, MESSAGES_PATH, Principal

VALID, INVALID, LINKED = "generated", "generated-invalid", "generated:poll"
#: An exploring run draws so many times as many.
EXPLORE_FACTOR = 10
#: Refused and accepted submissions alike count toward the rate limit, and this is not about it.
_TASK_RATE = 500
_TASK_LINK = "/tasks/{id}"
#: A schema may have fewer different requests than its share; drawing ends after so many times as many examples.
_PATIENCE = 2


@dataclass(frozen=True, slots=True)
class Share:
    """How many different requests of each kind one operation gets in a default run."""

    valid: int
    invalid: int


#: surface -> path of each operation that takes a body -> its share
SHARES: Mapping[str, Mapping[str, Share]] = {
    "chat": {CHAT_PATH: Share(20, 8)},
    "messages": {MESSAGES_PATH: Share(18, 8)},
    "aimlapi": {CHAT_PATH: Share(18, 8)},
    "tasks": {
        path: Share(4, 3)
        for path in ("/images/generations", "/videos/generations", "/audio/generations", "/humanize")
    },
}


def budget_of(surface: str, factor: int = 1) -> int:
    """Calls that one surface's generator makes at most.

    Each drawn request once, a poll of each task, and as much again where a draw is to be shrunk.
    """
    drawn = sum(share.valid + share.invalid for share in SHARES[surface].values())
    polls = sum(share.valid for share in SHARES[surface].values()) if surface == "tasks" else 0
    return factor * (2 * drawn + polls)


class _Enough(BaseException):
    """As many different requests are drawn as were wanted; no generator takes it for a failing example."""


@dataclass(frozen=True, slots=True)
class Example:
    """One drawn request: Schemathesis's case, and the body as it is sent."""

    case: Any
    raw: bytes


class Drawing:
    """All requests of one surface, drawn in the thread that works ahead.

    Attributes:
        examples: by path of the operation and situation, valid requests first.
    """

    def __init__(self, shared: Shared, surface: str, go_on: GoOn) -> None:
        """Draw; needs of the target its models alone."""
        with TURN:
            import schemathesis
            from schemathesis import GenerationMode

            logging.getLogger("schemathesis").setLevel(logging.ERROR)
            document = for_surface(surface, shared.target.surfaces[surface].url)
            self.schema: Any = schemathesis.openapi.from_dict(
                for_models(document, frozenset(shared.target.models.values()))
            )
        self._seed = shared.seed
        self._factor = EXPLORE_FACTOR if shared.explore else 1
        self._modes = {VALID: GenerationMode.POSITIVE, INVALID: GenerationMode.NEGATIVE}
        self.examples: dict[tuple[str, str], list[Example]] = {}
        for path, share in SHARES[surface].items():
            for situation, wanted in ((VALID, share.valid), (INVALID, share.invalid)):
                self.examples[path, situation] = self._drawn(path, situation, wanted * self._factor, go_on)

    def _drawn(self, path: str, situation: str, wanted: int, go_on: GoOn) -> list[Example]:
        found: dict[bytes, Example] = {}

        def take(case: Any) -> None:
            TURN.release()
            try:
                go_on()
            finally:
                TURN.acquire()
            raw = _encoded(case.body)
            if raw is not None:
                found.setdefault(raw, Example(case, raw))
            if len(found) == wanted:
                raise _Enough

        with TURN, contextlib.suppress(_Enough):
            self.each(path, situation, _PATIENCE * wanted, take)
        return list(found.values())

    def each(self, path: str, situation: str, examples: int, take: Callable[[Any], None]) -> None:
        """Draw so many examples; where `take` fails one, Hypothesis shrinks it.

        Raises:
            AssertionError: what `take` raised for the smallest one that fails.
        """
        from hypothesis import HealthCheck, Phase, given, seed, settings

        chosen = settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        )
        strategy = self.schema[path]["POST"].as_strategy(generation_mode=self._modes[situation])

        def one(case: Any) -> None:
            take(case)

        test: Any = seed(self._seed)(chosen(given(strategy)(one)))  # type: ignore[no-untyped-call]
        test()


def _ahead(surface: str) -> Callable[[Shared, GoOn], Drawing]:
    return lambda shared, go_on: Drawing(shared, surface, go_on)


@probe("chat", stage=Stage.GENERATED, needs=("upstream",), ahead=_ahead("chat"))
async def chat_generated(lab: Lab) -> None:
    """Chat completions."""
    await _generated(lab, "chat")


@probe("messages", stage=Stage.GENERATED, needs=("upstream",), ahead=_ahead("messages"))
async def message_generated(lab: Lab) -> None:
    """Messages."""
    await _generated(lab, "messages")


@probe("aimlapi", stage=Stage.GENERATED, needs=("upstream",), ahead=_ahead("aimlapi"))
async def aimlapi_generated(lab: Lab) -> None:
    """Chat completions of AI/ML API."""
    await _generated(lab, "aimlapi")


@probe("tasks", stage=Stage.GENERATED, needs=("upstream",), ahead=_ahead("tasks"))
async def task_generated(lab: Lab) -> None:
    """Submissions to the endpoints, and a poll of each task that came of them."""
    await _generated(lab, "tasks")


async def _generated(lab: Lab, surface: str) -> None:
    drawing: Drawing = await lab.shared.ahead.made(lab.name, partial(_ahead(surface), lab.shared))
    rate = _TASK_RATE if surface == "tasks" else None
    budget = budget_of(surface, EXPLORE_FACTOR if lab.shared.explore else 1)
    async with lab.alone(surface, requests_per_second=rate) as who:
        await generate(lambda bridge: _Sending(lab, surface, who, bridge, drawing).run(), budget=budget)


class _Sending:
    """Sends what was drawn for one surface; runs in a generator's thread."""

    def __init__(self, lab: Lab, surface: str, who: Principal, bridge: Bridge, drawing: Drawing) -> None:
        self._lab, self._surface, self._who, self._bridge = lab, surface, who, bridge
        self._drawing = drawing

    def run(self) -> None:
        """Send for each operation, valid requests first; then shrink what showed something."""
        shown: list[tuple[str, str, dict[bytes, list[str]]]] = []
        for (path, situation), examples in self._drawing.examples.items():
            seen = {
                example.raw: self._sent(example.case, path, situation, example.raw) for example in examples
            }
            if any(seen.values()):
                shown.append((path, situation, seen))
        for path, situation, seen in shown:
            self._shrink(path, situation, seen)

    def _shrink(self, path: str, situation: str, seen: dict[bytes, list[str]]) -> None:
        """Look for the smallest request that shows what one of the drawn ones has shown, with calls of its own."""
        from hypothesis.errors import Flaky

        drawn, left = len(seen), len(seen)

        def take(case: Any) -> None:
            nonlocal left
            raw = _encoded(case.body)
            if raw is None:
                return
            if raw not in seen:
                if left <= 0:
                    raise BudgetSpentError
                left -= 1
                seen[raw] = self._sent(case, path, situation, raw)
            if seen[raw]:
                raise AssertionError(seen[raw][0])

        try:
            self._drawing.each(path, situation, _PATIENCE * drawn, take)
        except (AssertionError, Flaky, BudgetSpentError):
            return  # recorded in the notes, with the exchange that shows it
        except BaseExceptionGroup as group:
            rest = group.split(AssertionError)[1]
            if rest is not None:
                raise rest from None

    def _sent(self, case: Any, path: str, situation: str, raw: bytes) -> list[str]:
        """Send a body; what the tool has to say about the answer."""
        call = self._bridge.run(self._send(path, situation, raw))
        if situation == INVALID:
            crashed = (call.exchange.status or 500) >= 500
            return [f"status {call.exchange.status}"] if crashed else []
        complaints = _complaints(case, call)
        self._lab.notes.extend(f"{call.id}\t{complaint}" for complaint in complaints)
        task = task_id(call) if self._surface == "tasks" else None
        if task is not None and not self._bridge.spent():
            linked = self._drawing.schema[_TASK_LINK]["GET"].Case(path_parameters={"id": task})
            polled = self._bridge.run(self._poll(task))
            told = _complaints(linked, polled)
            self._lab.notes.extend(f"{polled.id}\t{complaint}" for complaint in told)
            complaints += told
        return complaints

    async def _send(self, path: str, situation: str, raw: bytes) -> Call:
        body = json.loads(raw)
        streamed = isinstance(body, dict) and body.get("stream") is True
        return await self._lab.send(
            self._surface, path, situation=situation, who=self._who, raw=raw, streamed=streamed
        )

    async def _poll(self, task: str) -> Call:
        return await self._lab.send("tasks", task_path(task), situation=LINKED, who=self._who, method="GET")


def _complaints(case: Any, call: Call) -> list[str]:
    """What Schemathesis finds in an answer: a status, a type or a body that is not documented."""
    import requests
    import schemathesis
    from schemathesis.core.failures import FailureGroup
    from schemathesis.core.transport import Response

    answer = call.exchange.response
    if answer is None:
        return []
    headers: dict[str, list[str]] = {}
    for name, value in answer.headers:
        headers.setdefault(name.lower(), []).append(value)
    request = call.exchange.request
    prepared = requests.Request(request.method, request.url, data=request.body).prepare()
    response = Response(answer.status, headers, answer.body, prepared, call.exchange.ended_at, verify=False)
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
            f"{failure.title}: {' '.join(str(failure.message).split())[:300]}" for failure in group.exceptions
        ]
    return []


def _encoded(body: Any) -> bytes | None:
    """The body as JSON, or None for what no JSON text can hold (lone surrogates) and for bodies left out."""
    if not isinstance(body, (dict, list, str, int, float, bool)) and body is not None:
        return None
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (UnicodeEncodeError, ValueError, TypeError):
        return None
