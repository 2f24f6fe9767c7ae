"""`--dry-run` and `--max-spend`: a run against a stand-in that answers at once, so that nothing is sent.

The same probes make the same calls through the same leases and paces, on an event loop whose clock jumps to
the next timer. What comes out is the number of calls, a bound on their price from the rate card, and how long
the pacing makes them take.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from weighbridge.capabilities import GROUP_LIST, group_list_of
from weighbridge.engine import Settings, blocked, prepare, run_probes
from weighbridge.estimate import ANSWER_S, MAX_OUTPUT, Planned, credits_of, planned
from weighbridge.evidence import Ending, Exchange, Observation, Request, UpstreamCall
from weighbridge.hooks import HookRunner
from weighbridge.lab import PROBES, Lab, Stage
from weighbridge.preflight import preflight
from weighbridge.simulator import SimulatorControl
from weighbridge.stand_in import JumpingLoop, answer
from weighbridge.target import MESSAGES_PATH, Hook, Target

#: A generator's call counts as this much input; what it draws is smaller.
GENERATED_PROMPT = 16_384


@dataclass
class Rehearsal:
    """What a run would do; filled by the stand-in."""

    target: Target
    calls: list[Planned] = field(default_factory=list)
    hooks: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    async def exchange(self, request: Request, *, id: str, **_bounds: Any) -> Exchange:  # noqa: A002 - as the wire's
        """Takes the place of the wire: notes the call and answers it."""
        surface = _surface_of(self.target, request)
        self.calls.append(planned(self.target, surface, request))
        await asyncio.sleep(ANSWER_S)
        return Exchange(
            id=id,
            request=request,
            response=answer(surface, request),
            ending=Ending.COMPLETE,
            started=0.0,
            ended_at=ANSWER_S,
            head_at=ANSWER_S,
        )


@dataclass(frozen=True, slots=True)
class RehearsedHooks(HookRunner):
    """Takes the place of the hooks: fresh keys, and money that always moves."""

    rehearsal: Rehearsal | None = None

    async def run(self, hook: Hook, values: Mapping[str, str]) -> dict[str, Any]:
        """An answer with everything that a hook may pick; nothing is run."""
        del values
        assert self.rehearsal is not None  # noqa: S101 - set where it is made
        seen = self.rehearsal.hooks
        seen["command" if hook.command else f"{hook.method} {urlsplit(hook.url).path}"] += 1
        count = seen.total()
        if any(hook is one for (what, _), one in self.rehearsal.target.hooks.items() if what == GROUP_LIST):
            return {"*": [*self.rehearsal.target.groups, "default", "another"]}
        picked = {name: f"rehearsed-{name}-{count}" for name, _ in hook.pick}
        return (
            {"*": 1_000_000 - count, "key": f"rehearsed-key-{count}"} | picked | {"json": 1_000_000 - count}
        )


class RehearsedControl(SimulatorControl):
    """Takes the place of the simulator's control API: it is there and saw nothing."""

    async def health(self) -> None:
        """It is there."""

    async def calls(self, ids: Iterable[str]) -> dict[str, tuple[UpstreamCall, ...]]:
        """Nothing arrived."""
        return dict.fromkeys(ids, ())

    async def settled_calls(self, ids: Iterable[str]) -> dict[str, tuple[UpstreamCall, ...]]:
        """Nothing arrived."""
        return await self.calls(ids)


def _surface_of(target: Target, request: Request) -> str:
    """The surface that a request belongs to: the one with the longest URL that fits."""
    fitting = [name for name, surface in target.surfaces.items() if request.url.startswith(surface.url)]
    path = urlsplit(request.url).path
    if "messages" in fitting and path.endswith(MESSAGES_PATH):
        return "messages"
    if "aimlapi" in fitting and b'"model": "anthropic/' in request.body:
        return "aimlapi"
    others = (
        [name for name in fitting if name not in {"messages", "aimlapi"}] or fitting or list(target.surfaces)
    )
    return max(others, key=lambda name: len(target.surfaces[name].url))


async def _rehearse(
    rehearsal: Rehearsal, names: Sequence[str], surfaces: tuple[str, ...], settings: Settings
) -> None:
    target = rehearsal.target
    shared = prepare(target, replace(settings, allow_commands=True))
    shared.exchange = rehearsal.exchange
    shared.hooks = RehearsedHooks(allow_commands=True, rehearsal=rehearsal)
    shared.control = RehearsedControl(target.simulator) if target.simulator else None
    lists = frozenset((name, GROUP_LIST) for name in surfaces if group_list_of(target, name) is not None)
    await preflight(Lab(shared, "preflight"), surfaces, lists)
    wanted = [PROBES[name] for name in names if name in PROBES]
    seen: dict[str, Observation] = {}
    directed = [probe for probe in wanted if probe.stage is not Stage.GENERATED]
    await run_probes(shared, directed, seen, lambda _done, _total, _what: None)
    rehearsal.problems += [item.error for item in seen.values() if item.error is not None]


def _generated(names: Sequence[str], target: Target, factor: int) -> list[Planned]:
    """The calls that generators may make at most: they draw from replies, so they are not rehearsed."""
    from weighbridge.probes import chat_generated, generated_requests, tasks_generated

    drawn = generated_requests.budget_of
    budgets = {
        "chat_generated": ("chat", drawn("chat", factor)),
        "message_generated": ("messages", drawn("messages", factor)),
        "aimlapi_generated": ("aimlapi", drawn("aimlapi", factor)),
        "task_generated": ("tasks", drawn("tasks", factor)),
        "chat_books": ("chat", chat_generated.MACHINE_BUDGET * factor),
        "tasks_books": ("tasks", tasks_generated.BUDGET * factor),
    }
    planned_: list[Planned] = []
    for name in names:
        if name not in budgets or blocked(PROBES[name], target) is not None:
            continue
        surface, budget = budgets[name]
        role = {"tasks": "image", "messages": "anthropic", "aimlapi": "aimlapi"}.get(surface, "openai")
        model = target.models.get(role)
        task = credits_of(target, model, {}) if surface == "tasks" else None
        one = Planned(surface, model, GENERATED_PROMPT, 0 if surface == "tasks" else MAX_OUTPUT, task)
        planned_ += [one] * budget
    return planned_


def rehearse(
    target: Target, names: Sequence[str], surfaces: tuple[str, ...], settings: Settings
) -> Rehearsal:
    """Run the probes against a stand-in; nothing is sent and nothing is waited for."""
    import weighbridge.probes  # noqa: F401 - registers the probes

    rehearsal = Rehearsal(target)
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        clock = runner.get_loop().time
        began = clock()
        runner.run(_rehearse(rehearsal, names, surfaces, settings))
        rehearsal.seconds = clock() - began
    from weighbridge.probes.generated_requests import EXPLORE_FACTOR

    rehearsal.calls += _generated(names, target, EXPLORE_FACTOR if settings.explore else 1)
    return rehearsal
