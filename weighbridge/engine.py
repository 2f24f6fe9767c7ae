"""Gathers the evidence of a run: one event loop, probes side by side under leases, then the join.

The engine knows nothing of requirements. It gets the names of probes, runs them stage by stage and
returns an `Observation` for each, with the upstream side joined in by correlation id at the very end, so
that calls a gateway makes after its caller has gone are counted as well.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial

from weighbridge import tolerances
from weighbridge.beside import Beside, held_up, watched
from weighbridge.capabilities import GROUP_LIST, capabilities, group_list_of
from weighbridge.clock import Clock, align
from weighbridge.errors import WeighbridgeError
from weighbridge.evidence import Call, Ending, Observation, RunFacts, UpstreamCall
from weighbridge.hooks import HookRunner
from weighbridge.lab import PROBES, Lab, Probe, Shared, Stage, correlation_ids, tls_context
from weighbridge.leftovers import Made, made_tasks, remove
from weighbridge.preflight import preflight
from weighbridge.redaction import Secrets
from weighbridge.response_reader import Limits
from weighbridge.simulator import SimulatorControl
from weighbridge.target import Target
from weighbridge.wire import Timeouts

#: Why a run ended early that its operator ended.
INTERRUPTED = "interrupted"

#: By then a target nearby has answered what a waiting probe waits upon, and the others of its stage may keep it busy.
_HEAD_START_S = 0.1

#: Called with the number of finished probes, their total, and what happened last.
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Settings:
    """How to gather.

    Attributes:
        concurrency: calls in flight over all principals.
        crowd: the same for calls that are to meet each other.
        seed: for generators.
        allow_commands: whether command hooks may run.
        timeout: seconds for one call, if the operator bounds it below the default.
        explore: every shape on every model, and many times the generated calls.
        max_spend: USD that the run may cost at most; without it no call is made that is dear in itself.
    """

    concurrency: int = 64
    crowd: int = 200
    seed: int = 0
    allow_commands: bool = False
    timeout: float | None = None
    explore: bool = False
    max_spend: float | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that one run observed.

    Attributes:
        made: what the run made at the target, and whether it was removed again.
        truncated: why the run ended early; empty for a run that came to its end.
    """

    facts: RunFacts
    observations: dict[str, Observation]
    preflight: tuple[Call, ...]
    unwired: tuple[str, ...]
    duration: float
    accounts_made: int = 0
    made: tuple[Made, ...] = ()
    truncated: str = ""
    clock: Clock | None = None


def facts_of(target: Target) -> RunFacts:
    """What checks need of a target file."""
    return RunFacts(
        models=dict(target.models),
        rates={model: dict(card) for model, card in target.rates.items()},
        resolution={name: source.resolution for name, source in target.balance.items()},
        rounding={name: source.rounding for name, source in target.balance.items() if source.rounding},
        task_prices=dict(target.task_prices),
        task_price_per=dict(target.task_price_per),
        limits={name: principal.requests_per_second for name, principal in target.principals.items()},
        features=dict(target.features),
        groups=tuple(target.groups),
        retry_policy=target.retry_policy,
        out_of_credit_status=target.out_of_credit_status,
        cache_window=target.cache_window,
        wired=target.simulator is not None,
    )


def prepare(target: Target, settings: Settings) -> Shared:
    """What all probes of a run against a target share."""
    known = target.timeouts
    total = settings.timeout or known.get("total", tolerances.CALL_TOTAL_S)
    return Shared(
        target=target,
        facts=facts_of(target),
        epoch=time.perf_counter(),
        secrets=Secrets(target.secrets()),
        hooks=HookRunner(settings.allow_commands),
        control=SimulatorControl(target.simulator) if target.simulator else None,
        tls=tls_context(target),
        timeouts=Timeouts(
            known.get("connect", tolerances.CONNECT_S),
            min(total, known.get("first_byte", tolerances.FIRST_BYTE_S)),
            total,
        ),
        limits=Limits() if target.max_response is None else Limits(body=target.max_response),
        seed=settings.seed,
        concurrency=asyncio.Semaphore(settings.concurrency),
        crowd=asyncio.Semaphore(settings.crowd),
        crowd_size=settings.crowd,
        ids=correlation_ids(),
        explore=settings.explore,
        max_spend=settings.max_spend,
    )


def blocked(probe: Probe, target: Target) -> str | None:
    """The capability that a probe lacks, or None if it can run."""
    if probe.surface not in target.surfaces:
        return f"surfaces.{probe.surface}"
    declared = capabilities(target, probe.surface)
    return next((name for name in probe.needs if name not in declared), None)


def hooks_used(wanted: Iterable[Probe], target: Target) -> frozenset[tuple[str, str]]:
    """Surface and hook of what these probes will use: who looks at money does so in an account of its own if it can."""
    money = {"accounts", "balance"}
    able = [probe for probe in wanted if blocked(probe, target) is None]
    used = {
        (probe.surface, hook)
        for probe in able
        if money & set(probe.needs)
        for hook in money & set(capabilities(target, probe.surface))
    }
    listed = {probe.surface for probe in able if "groups" in probe.needs}
    return frozenset(
        used | {(surface, GROUP_LIST) for surface in listed if group_list_of(target, surface) is not None}
    )


def first_cause(problem: Exception) -> Exception:
    """What went wrong inside a task group: our own first sentence if there is one, else the first error."""
    while isinstance(problem, ExceptionGroup):
        ours = problem.subgroup(WeighbridgeError)
        problem = (ours or problem).exceptions[0]
    return problem


async def _observe(probe: Probe, lab: Lab) -> Observation:
    error = None
    try:
        await probe.function(lab)
    except WeighbridgeError as problem:
        error = str(problem)
    except Exception as problem:  # noqa: BLE001 - one broken probe must not lose what the others saw
        cause = first_cause(problem)
        error = (
            str(cause)
            if isinstance(cause, WeighbridgeError)
            else f"the probe {probe.name} failed: {type(cause).__name__}: {cause}"
        )
    return _seen(lab, error)


def _seen(lab: Lab, error: str | None = None) -> Observation:
    return Observation(
        probe=lab.name,
        calls=tuple(lab.calls),
        readings=tuple(lab.readings),
        missing=tuple(lab.missing.items()),
        contaminated=tuple(lab.contaminated),
        notes=tuple(map(lab.shared.secrets.text, lab.notes)),
        error=None if error is None else lab.shared.secrets.text(error),
    )


def join(
    observation: Observation, seen: dict[str, tuple[UpstreamCall, ...]], unwired: Iterable[str]
) -> Observation:
    """The observation with the upstream side of each call.

    A call to an unwired model keeps none, and no scenario either: nobody who answered it had heard of that.
    """
    dark = set(unwired)
    return replace(
        observation,
        calls=tuple(
            replace(call, scenario=None)
            if call.model in dark
            else replace(call, upstream=seen.get(call.id, ()))
            for call in observation.calls
        ),
    )


def never_seen(calls: Iterable[Call], seen: Mapping[str, tuple[UpstreamCall, ...]]) -> tuple[str, ...]:
    """Models whose calls were served, and none of which reached the simulator; preflight asks one model of a family."""
    served = [
        call for call in calls if call.model and call.exchange.ok and call.exchange.request.method == "POST"
    ]
    reached = {call.model for call in served if any(one.is_model_call for one in seen.get(call.id, ()))}
    return tuple(dict.fromkeys(call.model for call in served if call.model and call.model not in reached))


async def gather(
    target: Target,
    probes: Iterable[str],
    surfaces: tuple[str, ...],
    settings: Settings,
    progress: Progress | None = None,
    beside: Beside | None = None,
) -> Evidence:
    """Preflight the target, run the probes, join both sides.

    Args:
        target: the deployment.
        probes: names of the probes.
        surfaces: those to be judged.
        settings: how to gather.
        progress: told of each probe that is done.
        beside: the process of ours that the target lives in, if it does.

    Raises:
        WeighbridgeError: preflight found a reason to stop, or the simulator went away.
    """
    shared = prepare(target, settings)
    if beside is not None:
        shared.lag = beside.lag
    report = progress or (lambda _done, _total, _what: None)
    names = list(dict.fromkeys(probes))
    wanted = [PROBES[name] for name in names if name in PROBES]
    report(0, len(wanted), "preflight")
    lab = Lab(shared, "preflight")
    first = await preflight(lab, surfaces, hooks_used(wanted, target))
    pings = await shared.control.pings(shared.epoch) if shared.control is not None else ()
    shared.facts = replace(shared.facts, own_usage=first.own_usage)
    observations = {
        name: Observation(name, error=f"no probe is registered under the name {name}")
        for name in names
        if name not in PROBES
    }

    async with watched(beside, shared):
        truncated = await run_probes(shared, wanted, observations, report)
    preflight_calls, unwired = first.calls, first.unwired
    if shared.control is not None:
        report(len(observations), len(wanted), "joining the upstream side")
        calls = [call for observation in observations.values() for call in observation.calls]
        try:
            found = await shared.control.settled_calls(call.id for call in [*calls, *first.calls])
            seen = {name: tuple(map(shared.secrets.upstream, made)) for name, made in found.items()}
            pings += await shared.control.pings(shared.epoch)
        except WeighbridgeError as error:
            # Without the upstream side nothing that was seen can be judged, but it stays evidence.
            truncated = truncated or shared.secrets.text(str(error))
            observations = {name: item.cut_short() for name, item in observations.items()}
        else:
            unwired = tuple(dict.fromkeys((*unwired, *never_seen([*first.calls, *calls], seen))))
            observations = {name: join(item, seen, unwired) for name, item in observations.items()}
            preflight_calls = tuple(replace(call, upstream=seen.get(call.id, ())) for call in first.calls)
    observations = {name: held_up(item, shared) for name, item in observations.items()}
    tasks = made_tasks(call for item in observations.values() for call in item.calls)
    return Evidence(
        facts=shared.facts,
        observations=observations,
        preflight=preflight_calls,
        unwired=unwired,
        duration=time.perf_counter() - shared.epoch,
        accounts_made=len(shared.accounts),
        made=await remove(Lab(shared, "clean-up"), tasks),
        truncated=truncated,
        clock=align(pings),
    )


async def run_probes(
    shared: Shared, wanted: list[Probe], observations: dict[str, Observation], report: Progress
) -> str:
    """Run the probes stage by stage, into `observations`; says why they did not come to their end, if so."""

    async def one(probe: Probe) -> None:
        lacking = blocked(probe, shared.target)
        if lacking is not None:
            observations[probe.name] = Observation(probe.name, missing=(("*", lacking),))
        else:
            lab = Lab(shared, probe.name)
            try:
                observations[probe.name] = await _observe(probe, lab)
            except asyncio.CancelledError:
                observations[probe.name] = _seen(lab).cut_short()
                raise
        report(len(observations), len(wanted), probe.name)

    async def all_stages() -> None:
        jobs = {
            probe.name: partial(probe.ahead, shared)
            for probe in wanted
            if probe.ahead is not None and blocked(probe, shared.target) is None
        }
        async with shared.lag.running(), shared.ahead.working(jobs, shared.drawer):
            for stage in Stage:
                quiet = shared.ahead.resting() if stage is Stage.PACED else nullcontext()
                async with quiet, asyncio.TaskGroup() as group:
                    mine = [probe for probe in wanted if probe.stage is stage]
                    first = [probe for probe in mine if probe.waits]
                    for probe in first:
                        group.create_task(one(probe), name=probe.name)
                    if first:
                        await asyncio.sleep(_HEAD_START_S)
                    for probe in mine:
                        if not probe.waits:
                            group.create_task(one(probe), name=probe.name)

    work = asyncio.create_task(all_stages(), name="probes")
    end = asyncio.create_task(shared.pulse.dead(), name="pulse")
    truncated = ""
    try:
        await asyncio.wait({work, end}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            truncated = end.result()
    except asyncio.CancelledError:
        # Ctrl-C: what was seen so far is reported; a second one ends everything at once.
        if (task := asyncio.current_task()) is not None:
            task.uncancel()
        truncated = INTERRUPTED
    finally:
        for waiting in (work, end):
            waiting.cancel()
        await asyncio.wait({work, end})
        await shared.pulse.close()
    if not truncated:
        work.result()
        return ""
    for probe in wanted:
        seen = observations.setdefault(probe.name, Observation(probe.name))
        if (not seen.calls and not seen.missing and seen.error is None) or (
            shared.pulse.first_trouble is not None and _died_under(seen, shared.pulse.first_trouble)
        ):
            observations[probe.name] = seen.cut_short()
    return truncated


def _died_under(seen: Observation, since: float) -> bool:
    """Whether calls of an observation broke off while the target was going down."""
    broken = {Ending.REFUSED, Ending.RESET, Ending.CLOSED, Ending.TIMEOUT}
    return any(
        call.exchange.ending in broken
        and call.exchange.started + call.exchange.ended_at >= since - tolerances.DYING_S
        for call in seen.calls
    )
