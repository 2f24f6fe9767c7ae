"""`--dry-run` and `--max-spend`: a run against a stand-in that answers at once, so that nothing is sent.

The same probes make the same calls through the same leases and paces, on an event loop whose clock jumps to
the next timer. What comes out is the number of calls, a bound on their price from the rate card, and how long
the pacing makes them take. Answers of the real target may differ; the bound counts every call as served.
"""

from __future__ import annotations

import asyncio
import json
import re
import selectors
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from weighbridge.engine import Settings, blocked, prepare, run_probes
from weighbridge.errors import UsageError
from weighbridge.evidence import Chunk, Ending, Exchange, Observation, Request, Response, UpstreamCall
from weighbridge.hooks import HookRunner
from weighbridge.lab import PROBES, Lab, Stage
from weighbridge.money import LONG_CONTEXT_ABOVE, PICO_PER_USD, usd
from weighbridge.preflight import preflight
from weighbridge.simulator import SimulatorControl
from weighbridge.target import MESSAGES_PATH, Hook, Target

#: What one answer takes in the estimate: a model that writes a few words.
ANSWER_S = 1.5
#: No tokenizer makes more tokens of a text than it has bytes; a picture counts extra.
TOKENS_PER_PICTURE = 4_000
#: What a model may write at most where a call names no bound and nobody declared one (S0, S1, S2: 128K output).
MAX_OUTPUT = 128_000
#: A generator's call counts as this much input; what it draws is smaller.
GENERATED_PROMPT = 16_384
#: Token counts that a call tells the simulator to report.
_SCRIPTED = re.compile(rb"\[\[wb:[^\]]*?;(in|out)=(\d{1,9})(?=[;\]])")


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        self._ahead = 0.0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        """Seconds, those that were jumped over included."""
        return super().time() + self._ahead

    def jump(self, seconds: float) -> None:
        """Pass time."""
        self._ahead += seconds


class _JumpingSelector(selectors.DefaultSelector):
    """Looks at its files without waiting; the time that it would have waited is passed at once."""

    def __init__(self, loop: JumpingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:  # only another thread can go on, so there is something to wait for
            return super().select(None)
        ready = super().select(0)
        if not ready and timeout > 0:
            self._loop.jump(timeout)
        return ready


@dataclass(frozen=True, slots=True)
class Planned:
    """One call that a run would make.

    Attributes:
        prompt: most input tokens that it can be billed for.
        output: most output tokens that it can be billed for.
    """

    surface: str
    model: str | None
    prompt: int
    output: int
    credits: int | None = None


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


def planned(target: Target, surface: str, request: Request) -> Planned:
    """What a call can cost at most. Pure."""
    try:
        body = json.loads(request.body) if request.body else {}
    except (ValueError, RecursionError):
        body = {}
    body = body if isinstance(body, dict) else {}
    model = body.get("model") if isinstance(body.get("model"), str) else None
    if surface == "tasks":
        return Planned(surface, model, 0, 0, _credits(target, model, body) if request.method == "POST" else 0)
    if request.method != "POST":
        return Planned(surface, model, 0, 0)
    pictures = request.body.count(b'"image')
    prompt = len(request.body) + pictures * TOKENS_PER_PICTURE
    bounds = (body.get("max_completion_tokens"), body.get("max_tokens"))
    named = next((bound for bound in bounds if isinstance(bound, int) and bound > 0), None)
    many = body.get("n") if isinstance(body.get("n"), int) else 1
    output = min(named or MAX_OUTPUT, MAX_OUTPUT) * max(1, min(int(many or 1), 128))
    for name, digits in _SCRIPTED.findall(request.body):
        prompt, output = (
            (max(prompt, int(digits)), output) if name == b"in" else (prompt, max(output, int(digits)))
        )
    return Planned(surface, model, prompt, output)


def _credits(target: Target, model: str | None, body: Mapping[str, Any]) -> int | None:
    """Credits of one task at most; None where the price is not declared."""
    if model is None or model not in target.task_prices:
        return None
    field_ = target.task_price_per.get(model)
    times = body.get(field_) if field_ else 1
    return target.task_prices[model] * (times if isinstance(times, int) and times > 0 else 1)


def answer(surface: str, request: Request) -> Response:
    """A plain answer in the surface's dialect. Pure."""
    try:
        body = json.loads(request.body) if request.body else {}
    except (ValueError, RecursionError):
        body = {}
    body = body if isinstance(body, dict) else {}
    model = body.get("model") if isinstance(body.get("model"), str) else "none"
    if surface == "tasks":
        return _json(_task())
    if body.get("stream") is True:
        events = _message_events(model) if surface == "messages" else _chat_events(model)
        data = "".join(events).encode()
        return Response(200, (("Content-Type", "text/event-stream"),), (Chunk(ANSWER_S, data),))
    return _json(_message(model) if surface == "messages" else _chat(model))


def _json(document: Any) -> Response:
    data = json.dumps(document).encode()
    return Response(200, (("Content-Type", "application/json"),), (Chunk(ANSWER_S, data),))


def _chat(model: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


def _chat_events(model: Any) -> list[str]:
    head = {"id": "chatcmpl-0", "object": "chat.completion.chunk", "created": 0, "model": model}
    deltas = [({"role": "assistant", "content": "Hello."}, None), ({}, "stop")]
    chunks = [
        head | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        for delta, finish in deltas
    ]
    return [*(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks), "data: [DONE]\n\n"]


def _message(model: Any) -> dict[str, Any]:
    return {
        "id": "msg_0",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": "Hello."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }


def _message_events(model: Any) -> list[str]:
    return [
        f"event: message_start\ndata: {json.dumps({'type': 'message_start', 'message': _message(model)})}\n\n",
        'event: message_stop\ndata: {"type": "message_stop"}\n\n',
    ]


def _task() -> dict[str, Any]:
    """A task that is submitted and done at once, in the members of every documented reply."""
    task = {"id": "task_00000000000000000000000000", "task_id": "task_00000000000000000000000000"}
    done = task | {"status": "completed", "progress": 100, "output": {"urls": ["http://127.0.0.1:9/a.png"]}}
    return done | {"code": 200, "message": "ok", "data": done}


# ---------------------------------------------------------------- what it comes to
@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run would take.

    Attributes:
        worst: most pico-dollars, over all models with a rate card, tasks included where a credit has a price.
        problems: probes that could not be rehearsed, and why.
        unpriced: models that are called and have no rate card.
        credits: most credits of the tasks.
        unpriced_tasks: task models without a price.
    """

    calls: int
    by_surface: Mapping[str, int]
    prompt: int
    output: int
    worst: int
    credits_usd: int | None
    by_model: Mapping[str, int]
    unpriced: tuple[str, ...]
    credits: int
    unpriced_tasks: tuple[str, ...]
    hooks: int
    seconds: float
    problems: tuple[str, ...]


def bill(call: Planned, card: Mapping[str, int]) -> int:
    """The worst price of one call in pico-dollars: every token at its dearest, the long-context tier included."""
    read = max(card.get("input", 0), card.get("cache_read", 0), card.get("cache_write", 0))
    long = call.prompt > LONG_CONTEXT_ABOVE
    price = (
        call.prompt * read * (2 if long else 1)
        + call.output * card.get("output", 0) * (3 if long else 2) // 2
    )
    return price + card.get("web_search", 0)


async def _rehearse(
    rehearsal: Rehearsal, names: Sequence[str], surfaces: tuple[str, ...], settings: Settings
) -> None:
    target = rehearsal.target
    shared = prepare(target, replace(settings, allow_commands=True))
    shared.exchange = rehearsal.exchange
    shared.hooks = RehearsedHooks(allow_commands=True, rehearsal=rehearsal)
    shared.control = RehearsedControl(target.simulator) if target.simulator else None
    await preflight(Lab(shared, "preflight"), surfaces)
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
        task = _credits(target, model, {}) if surface == "tasks" else None
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


def estimate(rehearsal: Rehearsal) -> Estimate:
    """Add up what was rehearsed. Pure."""
    target = rehearsal.target
    by_model: Counter[str] = Counter()
    unpriced: dict[str, None] = {}
    unpriced_tasks: dict[str, None] = {}
    spent = 0
    known = frozenset(target.models.values())
    for call in rehearsal.calls:
        if call.surface == "tasks":
            if call.credits is None and call.model in known:
                unpriced_tasks[call.model or ""] = None
            spent += call.credits or 0
        elif call.model is not None and call.model in target.rates:
            by_model[call.model] += bill(call, target.rates[call.model])
        elif call.model is not None and call.model in known:
            unpriced[call.model] = None
    return Estimate(
        calls=len(rehearsal.calls),
        by_surface=Counter(call.surface for call in rehearsal.calls),
        prompt=sum(call.prompt for call in rehearsal.calls),
        output=sum(call.output for call in rehearsal.calls),
        worst=sum(by_model.values()) + spent * (target.credit_usd or 0),
        credits_usd=target.credit_usd,
        by_model=by_model,
        unpriced=tuple(unpriced),
        credits=spent,
        unpriced_tasks=tuple(unpriced_tasks),
        hooks=rehearsal.hooks.total(),
        seconds=rehearsal.seconds,
        problems=tuple(rehearsal.problems),
    )


def estimate_lines(found: Estimate) -> list[str]:
    """The estimate for people."""
    surfaces = ", ".join(f"{count} on {name}" for name, count in sorted(found.by_surface.items()))
    lines = [
        f"Calls: {found.calls} ({surfaces}), {found.hooks} hooks; nothing was sent",
        f"Tokens at most: {found.prompt} in, {found.output} out",
    ]
    if found.by_model or not found.unpriced:
        lines.append(f"Worst case: {usd(found.worst)}")
    lines += [f"  {model}: {usd(price)}" for model, price in sorted(found.by_model.items())]
    lines += [f"  {model}: unknown, no rate card; add rates.{model}" for model in found.unpriced]
    if found.credits:
        lines.append(f"Credits at most: {found.credits}")
    lines += [f"  {model}: unknown; add task_prices.{model}" for model in found.unpriced_tasks]
    lines += [f"Not rehearsed: {problem}" for problem in found.problems]
    lines.append(f"Duration: about {max(1, round(found.seconds))} s, if an answer takes {ANSWER_S:g} s")
    return lines


def refuse_dear(found: Estimate, limit: float) -> None:
    """Refuse a run whose worst case is beyond the operator's limit, or that has none.

    Raises:
        UsageError: it is beyond, or a price is missing.
    """
    if found.unpriced or found.unpriced_tasks:
        names = [f"rates.{name}" for name in found.unpriced]
        names += [f"task_prices.{name}" for name in found.unpriced_tasks]
        raise UsageError(f"--max-spend needs a price for every model that is called; add {', '.join(names)}")
    if found.credits and found.credits_usd is None:
        raise UsageError(f"--max-spend cannot bound {found.credits} credits of tasks; add credit_usd")
    if found.worst > limit * PICO_PER_USD:
        raise UsageError(
            f"--max-spend {limit:g}: the worst case of this run is {usd(found.worst)} ({found.calls} calls, at most "
            f"{found.output} tokens out); raise it, narrow the run, or declare max_output"
        )
