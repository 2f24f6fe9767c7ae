"""`weighbridge load`: puts load on a target and judges it by the same rules, gates and exit codes.

    options and gates -> target (or the embedded pair, in a child) -> preflight, one plain call for each model
       -> can the client offer it? -> locust in a child, once for each part of the run
       -> figures and recorded calls -> gates, self-check, money, verdicts -> console and files

A run has one part, or three when a direct baseline is wanted (half of it before, half behind, so that a drift of
the machine weighs on both), or as many as a capacity search takes. Locust and gevent never enter this process.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

from weighbridge.clock import align
from weighbridge.engine import Evidence, Settings, gather
from weighbridge.engine import join as join_upstream
from weighbridge.errors import ExitCode, HarnessError
from weighbridge.hooks import HookRunner
from weighbridge.load import bill as load_bill
from weighbridge.load import capacity, gates, offer
from weighbridge.load import verdicts as load_verdicts
from weighbridge.load.arrivals import Arrivals
from weighbridge.load.direct import Direct, behind, direct_plan, require_whole
from weighbridge.load.figures import TRUE_LAG, Figures, Tally
from weighbridge.load.gates import Gate
from weighbridge.load.lanes import Wanted, default_mix, require_surface
from weighbridge.load.plan import LoadPlan
from weighbridge.load.planning import make_plan, role_of
from weighbridge.load.processes import (
    Crowd,
    embedded_pair,
    environment,
    require_locust,
    run_locust,
)
from weighbridge.load.report import RUNS, LoadRun, Places, examples, lines, write
from weighbridge.load.shapes import Point, stretched
from weighbridge.load.show import LoadConsole
from weighbridge.load.trust import check as check_trust
from weighbridge.load.truth import lags_us
from weighbridge.locate import folder
from weighbridge.redaction import Secrets
from weighbridge.report import document as report
from weighbridge.scenario import Scenario
from weighbridge.simulator import SimulatorControl
from weighbridge.target import Target
from weighbridge.target_file import load as load_target

#: Looks at the simulator's clock: one of them is quick even on a busy machine.
_PINGS = 40
#: A timeline has at most about so many slices.
_SLICES = 240


@dataclass(frozen=True)
class LoadOptions:
    """What the operator asked for, checked as far as it can be without a target.

    Attributes:
        crowd: users, duration and processes.
        target: the deployment, or None for the embedded simulator and reference gateway.
        surface: `chat` or `messages`; the first that the target has if None.
        mix: the kinds of calls; streams of `surface` if empty.
        arrivals: an open load; None for a closed one.
        shape: levels of a closed load.
        direct: measure the same calls without the gateway, in the same run.
        search: the lowest and the highest level of a capacity search.
        warm_up: latencies of calls that start in the first so many seconds are left out.
        script: what a wired target's simulator shall do for every call.
        timeout: seconds for one call at most.
        usage: ask streams for their usage.
        sample: whole calls that each client process records.
    """

    crowd: Crowd
    target: Target | None = None
    surface: str | None = None
    mix: tuple[Wanted, ...] = ()
    arrivals: Arrivals | None = None
    shape: tuple[Point, ...] = ()
    direct: Direct | None = None
    search: tuple[float, float] | None = None
    gates: tuple[Gate, ...] = ()
    warm_up: float = 1.0
    script: Scenario | None = None
    timeout: float | None = None
    usage: bool = True
    keep_alive: bool = True
    allow_commands: bool = False
    sample: int = 40
    places: Places = field(default_factory=Places)


def load_test(options: LoadOptions) -> ExitCode:
    """Run, print, write; the exit code.

    Raises:
        WeighbridgeError: the load could not be begun, or a part of ours failed.
    """
    require_locust()
    require_surface(options.surface)
    options.places.require()
    most, option = options.crowd.users, "--users"
    if options.arrivals is not None:
        most, option = options.arrivals.in_flight * options.crowd.processes, "--max-in-flight"
    elif options.search is not None:
        most, option = int(options.search[1]), "--capacity"
    offer.require_files(most, options.crowd.processes, option)
    console = LoadConsole()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            finished = runner.run(_until_terminated(_load(options, console)))
    except asyncio.CancelledError:
        return ExitCode.INTERRUPTED
    finally:
        console.end()
    out = options.places.out or RUNS / finished.info.id
    document = write(finished, out, options.places)
    for line in lines(finished, document, out):
        console.line(line)
    return finished.exit_code


async def _until_terminated(work: Coroutine[Any, Any, LoadRun]) -> LoadRun:
    """Let SIGTERM end the load as Ctrl-C does: children ended, nothing left behind."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


@asynccontextmanager
async def _reach(options: LoadOptions, scratch: Path) -> AsyncIterator[Target]:
    if options.target is not None:
        yield options.target
        return
    async with embedded_pair(scratch) as variables:
        target = load_target(folder("targets") / "embedded.yaml", variables)
        yield replace(target, place="the embedded target")


class _Run:
    """The parts of one run: each is a locust child with a folder of its own."""

    def __init__(self, options: LoadOptions, console: LoadConsole, scratch: Path) -> None:
        self._console = console
        self._scratch = scratch
        self._crowd = options.crowd
        self._parts = 0

    async def part(self, plan: LoadPlan, what: str, duration: int | None = None) -> tuple[LoadPlan, Tally]:
        """One part; the plan with its folder, and what was counted.

        Raises:
            HarnessError: the client failed.
        """
        self._parts += 1
        place = self._scratch / f"part-{self._parts}"
        place.mkdir(mode=0o700)
        length = duration or self._crowd.duration
        stretch = length / self._crowd.duration
        arrivals = plan.arrivals and replace(plan.arrivals, shape=stretched(plan.arrivals.shape, stretch))
        plan = replace(
            plan, folder=str(place), duration=length, shape=stretched(plan.shape, stretch), arrivals=arrivals
        )
        users = plan.processes if plan.arrivals else plan.users
        crowd = replace(self._crowd, users=users, duration=length)
        if plan.arrivals or crowd.spawn_rate > users or users > self._crowd.users:
            # Also a level of a capacity search above the number of users that was asked for has to be reached.
            crowd = replace(crowd, spawn_rate=float(max(users, 1)))
        self._console.restart()
        tally = await run_locust(plan, crowd, lambda at, told: self._console.progress(at, length, told, what))
        self._console.end()
        if tally.bugs:
            raise HarnessError(f"the load client failed ({len(tally.bugs)} times): {tally.bugs[0]}")
        return plan, tally


async def _direct(target: Target, parts: Sequence[tuple[LoadPlan, Tally]]) -> Tally:
    """The parts of the baseline as one, with the client's true lag where the provider is the simulator."""
    merged = Tally()
    for number, (_, tally) in enumerate(parts):
        tally.processes = [replace(item, part=number) for item in tally.processes]
        merged.merge(tally.as_json())
    if target.simulator is not None:
        control = SimulatorControl(target.simulator)
        for plan, _ in parts:
            records = load_verdicts.read_records(Path(plan.folder), plan, Secrets(target.secrets()))
            seen = await control.settled_calls(item.call.id for item in records)
            clock = align(await control.pings(plan.epoch_ns / 1e9, _PINGS))
            for lag in lags_us(records, seen, clock):
                merged.histograms[TRUE_LAG].record(lag)
    return merged


def _at_level(plan: LoadPlan, level: float) -> LoadPlan:
    if plan.arrivals is not None:
        return replace(plan, arrivals=replace(plan.arrivals, rate=level))
    return replace(plan, users=int(level))


async def _search(
    run: _Run, plan: LoadPlan, options: LoadOptions, bounds: tuple[float, float], console: LoadConsole
) -> tuple[capacity.Search, LoadPlan, Tally, list[LoadPlan]]:
    """Search, and hand back the load at the level that was found (or at the last one tried)."""
    unit = "starts/s" if plan.arrivals else "users"
    wanted = gates.with_default(options.gates, open_load=plan.arrivals is not None)
    results: dict[float, tuple[LoadPlan, Tally]] = {}
    asked = capacity.levels(*bounds, whole=plan.arrivals is None)
    level = next(asked)
    while True:
        done, tally = await run.part(_at_level(plan, level), f"{level:g} {unit}  ")
        results[level] = done, tally
        figures = Figures.of(tally)
        trust = check_trust(figures)
        missed = [item for item in gates.judge(wanted, figures) if not item.met]
        why = "gates met"
        if not trust.ok:
            why = trust.reasons[0]
        elif missed:
            why = f"{missed[0].gate.text} is missed (measured {missed[0].shown})"
        tail = figures.histograms["ttft"].quantile(0.99)
        step = capacity.Step(
            level, trust.ok and not missed, trust.ok, why, None if tail is None else tail / 1000,
            figures.streams_per_second, figures.tokens_per_second,
        )  # fmt: skip
        console.line(f"  {level:g} {unit}: {why}")
        try:
            level = asked.send(step)
        except StopIteration as over:
            search = capacity.finish(unit, over.value)
            break
    chosen = search.found if search.found is not None else min(results)
    plan, tally = results[chosen]
    return search, plan, tally, [item for item, _ in results.values()]


async def _load(options: LoadOptions, console: LoadConsole) -> LoadRun:
    started, clock = datetime.now(UTC), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="weighbridge-load-") as name:
        scratch = Path(name)
        async with _reach(options, scratch) as target:
            mix = options.mix or default_mix(target, options.surface)
            first, plan, rows = await _prepare(options, target, mix, scratch)
            hooks = HookRunner(options.allow_commands)
            missing = load_bill.why_not(target, plan)
            before = 0 if missing else await load_bill.read_at_rest(target, plan.lanes[0], hooks)
            baseline = direct_plan(target, plan, options.direct) if options.direct is not None else None
            console.line(
                f"Loading {plan.main.url} ({plan.main.model}), {report_how(plan)} for {options.crowd.duration} s, "
                f"of which {plan.warm_up:g} s warm-up"
            )
            run = _Run(options, console, scratch)
            direct, search, billed = None, None, Tally()
            half = max(-(-options.crowd.duration // 2), int(plan.warm_up) + 1)
            if options.search is not None:
                search, plan, tally, plans = await _search(run, plan, options, options.search, console)
                missing = missing or "a capacity search has many loads"
            else:
                before_all = []
                if baseline is not None:
                    before_all.append(await run.part(baseline, "direct  ", half))
                plan, tally = await run.part(plan, "gateway  " if baseline is not None else "")
                if baseline is not None:
                    parts = [*before_all, await run.part(behind(baseline, half), "direct  ", half)]
                    direct = await _direct(target, parts)
                    require_whole(Figures.of(direct))
                plans = [plan]
            billed.merge(tally.as_json())
            figures = Figures.of(tally)
            bill = load_bill.Bill(missing=missing)
            if not missing:
                bill = await load_bill.reconcile(target, plan, figures, before, hooks)
            hidden = Secrets(target.secrets())
            records = tuple(
                item for done in plans for item in load_verdicts.read_records(Path(done.folder), done, hidden)
            )
            observed = [load_verdicts.observe(records, surface) for surface in plan.surfaces]
            if target.simulator is not None and plan.main.script is not None:
                control = SimulatorControl(target.simulator)
                seen = await control.settled_calls(call.id for item in observed for call in item.calls)
                observed = [join_upstream(item, seen, first.unwired) for item in observed]
    evidence = load_verdicts.with_streams(first, observed, time.monotonic() - clock)
    against = None if direct is None else Figures.of(direct)
    wanted = gates.with_default(options.gates, open_load=plan.arrivals is not None)
    return LoadRun(
        info=report.RunInfo(
            f"{started:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
            started.isoformat(timespec="seconds"),
            time.monotonic() - clock,
            0,
        ),
        target=target,
        rows=rows,
        plan=plan,
        figures=figures,
        records=records,
        evidence=evidence,
        judgement=load_verdicts.judge(rows, evidence),
        gates=gates.judge(wanted, figures, against),
        trust=check_trust(figures, against),
        bill=bill,
        direct=against,
        search=search,
        details=examples(records),
    )


def report_how(plan: LoadPlan) -> str:
    """The load in words."""
    from weighbridge.load.document import how

    return how(plan)


async def _prepare(
    options: LoadOptions, target: Target, mix: tuple[Wanted, ...], scratch: Path
) -> tuple[Evidence, LoadPlan, Any]:
    """Everything that can stop a load before it starts.

    Raises:
        WeighbridgeError: the target cannot be loaded so, or the client cannot offer it.
    """
    crowd = options.crowd
    rough = make_plan(target, mix, wired=target.simulator is not None)
    rows = load_verdicts.load_rows(target, rough.surfaces)
    roles = {role_of(target, item): True for item in mix}
    narrowed = replace(target, models={role: target.models[role] for role in roles})
    surfaces = tuple(dict.fromkeys(lane.surface for lane in rough.lanes))
    first = await gather(
        narrowed, (), surfaces, Settings(timeout=options.timeout, allow_commands=options.allow_commands)
    )
    wired = target.simulator is not None and not any(lane.model in first.unwired for lane in rough.lanes)
    plan = make_plan(
        target,
        mix,
        wired=wired,
        script=options.script,
        timeout=options.timeout,
        usage=options.usage,
        arrivals=options.arrivals,
        shape=options.shape,
        goodput={gate.text: gate.conditions for gate in options.gates if gate.conditions},
        users=crowd.users,
        duration=crowd.duration,
        processes=crowd.processes,
        keep_alive=options.keep_alive,
        warm_up=options.warm_up,
        slice_s=max(1, -(-crowd.duration // _SLICES)),
        sample=options.sample,
    )
    if plan.arrivals is not None and options.search is None:
        offer.require_in_flight(plan)
        chunks = plan.main.script.chunks if plan.main.script else None
        ability = await offer.measure(chunks or offer.USUAL_CHUNKS, environment(scratch))
        offer.require_rate(ability, plan)
    return first, plan, rows


__all__ = ["LoadOptions", "LoadRun", "load_test"]
