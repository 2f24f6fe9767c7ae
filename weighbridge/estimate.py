"""What calls can cost at most: token counts from bytes and bounds, prices from the rate card. Pure.

Answers of the real target may differ; the bound counts every call as served, every byte as a token, and the
longest answer where nothing bounds it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from weighbridge.errors import UsageError
from weighbridge.evidence import Request
from weighbridge.money import LONG_CONTEXT_ABOVE, PICO_PER_USD, usd
from weighbridge.target import Target

if TYPE_CHECKING:
    from weighbridge.rehearsal import Rehearsal

#: What one answer takes in the estimate: a model that writes a few words.
ANSWER_S = 1.5
#: No tokenizer makes more tokens of a text than it has bytes; a picture counts extra.
TOKENS_PER_PICTURE = 4_000
#: What a model may write at most where a call names no bound and nobody declared one (S0, S1, S2: 128K output).
MAX_OUTPUT = 128_000
#: Token counts that a call tells the simulator to report.
_SCRIPTED = re.compile(rb"\[\[wb:[^\]]*?;(in|out)=(\d{1,9})(?=[;\]])")


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


def planned(target: Target, surface: str, request: Request) -> Planned:
    """What a call can cost at most. Pure."""
    try:
        body = json.loads(request.body) if request.body else {}
    except (ValueError, RecursionError):
        body = {}
    body = body if isinstance(body, dict) else {}
    model = body.get("model") if isinstance(body.get("model"), str) else None
    if surface == "tasks":
        return Planned(
            surface, model, 0, 0, credits_of(target, model, body) if request.method == "POST" else 0
        )
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


def credits_of(target: Target, model: str | None, body: Mapping[str, Any]) -> int | None:
    """Credits of one task at most; None where the price is not declared."""
    if model is None or model not in target.task_prices:
        return None
    field_ = target.task_price_per.get(model)
    times = body.get(field_) if field_ else 1
    return target.task_prices[model] * (times if isinstance(times, int) and times > 0 else 1)


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
