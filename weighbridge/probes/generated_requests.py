"""Requests drawn by Schemathesis from `spec/openapi.yaml`, on every surface: valid ones, and ones that break the schema.

A drawn submission of a task that is accepted is followed along its documented link: its task is polled once.
Schemathesis's own checks of each answer go into the notes, with the id of the exchange that shows it; nothing
is judged here. Examples that Hypothesis shrinks stay in the record with the rest, so a finding is repeated from
its recorded exchange.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weighbridge.evidence import Call
from weighbridge.generation import Bridge, generate
from weighbridge.lab import Lab, Stage, probe
from weighbridge.openapi import for_models, for_surface
from weighbridge.probes.tasks_flow import task_id, task_path
from weighbridge.target import CHAT_PATH, MESSAGES_PATH, Principal

VALID, INVALID, LINKED = "generated", "generated-invalid", "generated:poll"
#: An exploring run draws so many times as many.
EXPLORE_FACTOR = 10
#: Refused and accepted submissions alike count toward the rate limit, and this is not about it.
_TASK_RATE = 500
_TASK_LINK = "/tasks/{id}"


@dataclass(frozen=True, slots=True)
class Share:
    """How many examples of each kind one operation gets in a default run."""

    valid: int
    invalid: int


#: surface -> path of each operation that takes a body -> its share
SHARES: Mapping[str, Mapping[str, Share]] = {
    "chat": {CHAT_PATH: Share(30, 10)},
    "messages": {MESSAGES_PATH: Share(12, 6)},
    "aimlapi": {CHAT_PATH: Share(12, 6)},
    "tasks": {
        path: Share(3, 2)
        for path in ("/images/generations", "/videos/generations", "/audio/generations", "/humanize")
    },
}


def budget_of(surface: str, factor: int = 1) -> int:
    """Calls that one surface's generator makes at most: each valid example may be followed by a poll or shrunk once."""
    return factor * sum(2 * share.valid + share.invalid for share in SHARES[surface].values())


@probe("chat", stage=Stage.GENERATED, needs=("upstream",))
async def chat_generated(lab: Lab) -> None:
    """Chat completions."""
    await _generated(lab, "chat")


@probe("messages", stage=Stage.GENERATED, needs=("upstream",))
async def message_generated(lab: Lab) -> None:
    """Messages."""
    await _generated(lab, "messages")


@probe("aimlapi", stage=Stage.GENERATED, needs=("upstream",))
async def aimlapi_generated(lab: Lab) -> None:
    """Chat completions of AI/ML API."""
    await _generated(lab, "aimlapi")


@probe("tasks", stage=Stage.GENERATED, needs=("upstream",))
async def task_generated(lab: Lab) -> None:
    """Submissions to the endpoints, and a poll of each task that came of them."""
    await _generated(lab, "tasks")


async def _generated(lab: Lab, surface: str) -> None:
    factor = EXPLORE_FACTOR if lab.shared.explore else 1
    rate = _TASK_RATE if surface == "tasks" else None
    budget = budget_of(surface, factor)
    async with lab.alone(surface, requests_per_second=rate) as who:
        await generate(lambda bridge: _Drawing(lab, surface, who, bridge, factor).run(), budget=budget)


class _SpentError(BaseException):
    """The calls of one operation are spent; no failing example, so that nothing goes on to be shrunk without calls."""


class _Drawing:
    """All examples of one surface; runs in a generator's thread. Each draw has its own calls, shrinking included."""

    def __init__(self, lab: Lab, surface: str, who: Principal, bridge: Bridge, factor: int) -> None:
        import schemathesis

        logging.getLogger("schemathesis").setLevel(logging.ERROR)
        self._lab, self._surface, self._who, self._bridge = lab, surface, who, bridge
        self._factor = factor
        self._left = 0
        document = for_surface(surface, lab.target.surfaces[surface].url)
        self._schema: Any = schemathesis.openapi.from_dict(
            for_models(document, frozenset(lab.target.models.values()))
        )

    def run(self) -> None:
        """Draw for each operation, valid requests first."""
        from schemathesis import GenerationMode

        for path, share in SHARES[self._surface].items():
            self._draw(path, VALID, GenerationMode.POSITIVE, share.valid * self._factor)
            self._draw(path, INVALID, GenerationMode.NEGATIVE, share.invalid * self._factor)

    def _draw(self, path: str, situation: str, mode: Any, examples: int) -> None:
        from hypothesis import HealthCheck, Phase, given, seed, settings

        operation = self._schema[path]["POST"]
        seen: dict[bytes, list[str]] = {}

        @seed(self._lab.shared.seed)
        @settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        )
        @given(operation.as_strategy(generation_mode=mode))
        def one(case: Any) -> None:
            raw = _encoded(case.body)
            if raw is None:
                return
            if raw not in seen and (self._left <= 0 or self._bridge.spent()):
                raise _SpentError
            if raw not in seen:
                seen[raw] = self._sent(case, path, situation, raw)
            if seen[raw]:
                raise AssertionError(seen[raw][0])

        self._left = examples if situation == INVALID else 2 * examples
        try:
            one()
        except (AssertionError, _SpentError):
            return  # recorded in the notes, with the exchange that shows it
        except BaseExceptionGroup as group:
            rest = group.split(AssertionError)[1]
            if rest is not None:
                raise rest from None

    def _sent(self, case: Any, path: str, situation: str, raw: bytes) -> list[str]:
        """Send a body; what the tool has to say about the answer."""
        self._left -= 1
        call = self._bridge.run(self._send(path, situation, raw))
        if situation == INVALID:
            crashed = (call.exchange.status or 500) >= 500
            return [f"status {call.exchange.status}"] if crashed else []
        complaints = _complaints(case, call)
        self._lab.notes.extend(f"{call.id}\t{complaint}" for complaint in complaints)
        task = task_id(call) if self._surface == "tasks" else None
        if task is not None and not self._bridge.spent():
            self._left -= 1
            linked = self._schema[_TASK_LINK]["GET"].Case(path_parameters={"id": task})
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
