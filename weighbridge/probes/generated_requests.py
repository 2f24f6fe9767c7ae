"""Requests drawn by Schemathesis from `spec/openapi.yaml`, on every surface: valid ones, and ones that break the schema.

They are drawn ahead, while the run is elsewhere, and sent in a stage of their own. A submission of a task that is
accepted is followed along its documented link: its task is polled once. Schemathesis's own checks of each answer go
into the notes, with the id of the exchange that shows it; nothing is judged here. Where an answer shows something,
Hypothesis shrinks the request with what is left of the budget; what it tries stays in the record with the rest, so a
finding is repeated from its recorded exchange.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from weighbridge.ahead import GoOn, RunEndedError
from weighbridge.checks.generated import LEFT_OUT
from weighbridge.drawing import INVALID, LINKED, VALID, Answer, Drawn, Kind, Order, Sent, Told
from weighbridge.evidence import Call
from weighbridge.lab import Lab, Shared, Stage, probe
from weighbridge.probes.tasks_flow import task_id, task_path
from weighbridge.target import CHAT_PATH, MESSAGES_PATH, Principal

#: An exploring run draws so many times as many.
EXPLORE_FACTOR = 10
#: Refused and accepted submissions alike count toward the rate limit, and this is not about it.
_TASK_RATE = 500


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


def _order(shared: Shared, surface: str) -> Order:
    """What to draw; needs of the target its address and its models alone."""
    factor = EXPLORE_FACTOR if shared.explore else 1
    wanted = {
        (path, situation): factor * count
        for path, share in SHARES[surface].items()
        for situation, count in ((VALID, share.valid), (INVALID, share.invalid))
    }
    models = frozenset(shared.target.models.values())
    return Order(surface, shared.target.surfaces[surface].url, models, shared.seed, wanted)


def _ahead(surface: str) -> Callable[[Shared, GoOn], Drawn]:
    def draw(shared: Shared, go_on: GoOn) -> Drawn:
        go_on()
        return shared.drawer.draw(_order(shared, surface))

    return draw


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
    drawn: Drawn = await lab.shared.ahead.made(lab.name, partial(_ahead(surface), lab.shared))
    rate = _TASK_RATE if surface == "tasks" else None
    budget = budget_of(surface, EXPLORE_FACTOR if lab.shared.explore else 1)
    async with lab.alone(surface, requests_per_second=rate) as who:
        await _Sending(lab, surface, who, budget).run(drawn)


@dataclass(frozen=True, slots=True)
class _Exchanged:
    """What became of a drawn request, with the ids of its call and of the poll of its task."""

    sent: Sent
    call: str
    poll: str = ""


class _Sending:
    """Sends what was drawn for one surface, within a budget of calls, and notes what is said about the answers."""

    def __init__(self, lab: Lab, surface: str, who: Principal, budget: int) -> None:
        self._lab, self._surface, self._who, self._left = lab, surface, who, budget

    async def run(self, drawn: Drawn) -> None:
        """Send for each operation, valid requests first; then shrink what showed something."""
        for (path, _), count in drawn.left_out.items():
            self._lab.notes.append(f"{LEFT_OUT}{path}\t{count}")
        made = [
            (kind, raw, await self._send(kind, raw))
            for kind, bodies in drawn.bodies.items()
            for raw in bodies
        ]
        told = await asyncio.to_thread(
            self._lab.shared.drawer.read,
            self._surface,
            [(kind, raw, exchanged.sent) for kind, raw, exchanged in made],
        )
        said: dict[Kind, dict[bytes, str | None]] = {}
        for (kind, raw, exchanged), what in zip(made, told, strict=True):
            self._note(kind, exchanged, what)
            said.setdefault(kind, {})[raw] = what.first
        for kind, seen in said.items():
            if any(seen.values()):
                await self._shrink(kind, seen)

    async def _shrink(self, kind: Kind, seen: Mapping[bytes, str | None]) -> None:
        loop = asyncio.get_running_loop()
        tried: list[_Exchanged] = []

        def send(raw: bytes) -> Sent | None:
            if self._left <= 0:
                return None
            try:
                tried.append(asyncio.run_coroutine_threadsafe(self._send(kind, raw), loop).result())
            except concurrent.futures.CancelledError:
                raise RunEndedError from None
            return tried[-1].sent

        def tell(told: Told) -> None:
            self._note(kind, tried[-1], told)

        await asyncio.to_thread(self._lab.shared.drawer.shrink, self._surface, kind, seen, send, tell)

    def _note(self, kind: Kind, exchanged: _Exchanged, told: Told) -> None:
        """Of a request that breaks the schema the exchange itself shows all that can be said."""
        if kind[1] == VALID:
            self._lab.notes.extend(f"{exchanged.call}\t{complaint}" for complaint in told.answer)
            self._lab.notes.extend(f"{exchanged.poll}\t{complaint}" for complaint in told.polled)

    async def _send(self, kind: Kind, raw: bytes) -> _Exchanged:
        """Send a body, and poll the task that comes of it."""
        path, situation = kind
        body = json.loads(raw)
        streamed = isinstance(body, dict) and body.get("stream") is True
        self._left -= 1
        call = await self._lab.send(
            self._surface, path, situation=situation, who=self._who, raw=raw, streamed=streamed
        )
        task = task_id(call) if self._surface == "tasks" and situation == VALID else None
        if task is None or self._left <= 0:
            return _Exchanged(Sent(_answer(call)), call.id)
        self._left -= 1
        poll = await self._lab.send("tasks", task_path(task), situation=LINKED, who=self._who, method="GET")
        return _Exchanged(Sent(_answer(call), task, _answer(poll)), call.id, poll.id)


def _answer(call: Call) -> Answer:
    request, response = call.exchange.request, call.exchange.response
    return Answer(
        request.method,
        request.url,
        request.body,
        None if response is None else response.status,
        () if response is None else response.headers,
        b"" if response is None else response.body,
        call.exchange.ended_at,
    )
