"""`weighbridge load`: puts load on a target and judges it by the same rules, gates and exit codes.

    options and gates -> target (or the embedded pair, in a child) -> preflight, one plain call
       -> locust in a child -> figures and recorded streams
       -> gates, self-check, verdicts -> console, report.json, load.json, evidence.ndjson

Locust and gevent never enter this process. A gate that is missed, a row that is broken, a client that was
too slow to be believed: each has its exit code, and the strongest of them is the answer.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

from weighbridge.engine import Settings, gather
from weighbridge.engine import join as join_upstream
from weighbridge.errors import ExitCode, HarnessError, UsageError
from weighbridge.load import verdicts as load_verdicts
from weighbridge.load.figures import Figures, Tally
from weighbridge.load.gates import Gate, with_default
from weighbridge.load.gates import judge as judge_gates
from weighbridge.load.plan import make_plan, require_surface, role_of, surface_of
from weighbridge.load.processes import Crowd, embedded_pair, require_locust, run_locust
from weighbridge.load.report import LoadRun, examples, lines, write
from weighbridge.load.show import LoadConsole
from weighbridge.load.trust import check as check_trust
from weighbridge.locate import folder
from weighbridge.redaction import Secrets
from weighbridge.report import document as report
from weighbridge.scenario import Scenario
from weighbridge.simulator import SimulatorControl
from weighbridge.target import Target, seconds
from weighbridge.target import load as load_target

#: A day; whoever needs longer runs several.
_LONGEST_S = 86_400


@dataclass(frozen=True)
class LoadOptions:
    """What the operator asked for.

    Attributes:
        target: the deployment, or None for the embedded simulator and reference gateway.
        surface: `chat` or `messages`; the first that the target has if None.
        warm_up: latencies of streams that start in the first so many seconds are left out.
        script: what a wired target's simulator shall do for every stream.
        timeout: seconds for one stream at most.
        sample: whole streams that each client process records.
        out: folder for the files of the run, `reports/runs/<id>` if None.
    """

    crowd: Crowd
    target: Target | None = None
    surface: str | None = None
    gates: tuple[Gate, ...] = ()
    warm_up: float = 1.0
    script: Scenario | None = None
    timeout: float | None = None
    keep_alive: bool = True
    sample: int = 40
    out: Path | None = None
    json_file: Path | None = None


def parse_duration(text: str, option: str) -> float:
    """Seconds from `10s`, `2m` or a plain number.

    Raises:
        UsageError: it is none of these.
    """
    try:
        value = seconds(f"{text}s" if text.replace(".", "", 1).isdigit() else text)
    except ValueError as error:
        raise UsageError(f"{option} {error}") from error
    if value > _LONGEST_S:
        raise UsageError(f"{option} {text}: at most {_LONGEST_S // 3600} hours")
    return value


def make_crowd(users: int, duration: str, spawn_rate: float | None, processes: int, warm_up: float) -> Crowd:
    """Users and duration, checked.

    Args:
        users: how many at the same time.
        duration: text of the option, whole seconds.
        spawn_rate: users started a second; all within a second if None.
        processes: client processes.
        warm_up: seconds; must leave something to measure.

    Raises:
        UsageError: values that do not fit together.
    """
    length = parse_duration(duration, "--duration")
    if length < 1 or length != int(length):
        raise UsageError(f"--duration {duration}: write whole seconds, at least 1s")
    if warm_up >= length:
        raise UsageError(f"--warm-up {warm_up:g}s leaves nothing of --duration {duration}; choose less")
    if processes > users:
        raise UsageError(f"--processes {processes} is more than --users {users}; lower it")
    return Crowd(users, int(length), spawn_rate if spawn_rate is not None else float(users), processes)


def load_test(options: LoadOptions) -> ExitCode:
    """Run, print, write; the exit code.

    Raises:
        WeighbridgeError: the load could not be begun, or a part of ours failed.
    """
    require_locust()
    require_surface(options.surface)
    console = LoadConsole()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            finished = runner.run(_until_terminated(_load(options, console)))
    except asyncio.CancelledError:
        return ExitCode.INTERRUPTED
    finally:
        console.end()
    out = options.out or Path("reports") / "runs" / finished.info.id
    document = write(finished, options.crowd, out, options.json_file)
    for line in lines(finished, document, out / "report.json"):
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


async def _load(options: LoadOptions, console: LoadConsole) -> LoadRun:
    started, clock = datetime.now(UTC), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="weighbridge-load-") as name:
        scratch = Path(name)
        async with _reach(options, scratch) as target:
            surface = surface_of(target, options.surface)
            rows = load_verdicts.load_rows(target, surface.name)
            role = role_of(target, surface)
            narrowed = replace(target, models={role: target.models[role]})
            first = await gather(narrowed, (), (surface.name,), Settings(timeout=options.timeout))
            wired = target.simulator is not None and target.models[role] not in first.unwired
            plan = replace(
                make_plan(
                    target,
                    wired=wired,
                    surface=surface,
                    script=options.script,
                    timeout=options.timeout,
                    keep_alive=options.keep_alive,
                    warm_up=options.warm_up,
                    sample=options.sample,
                ),
                folder=name,
            )
            crowd = options.crowd
            console.line(
                f"Loading {plan.url} ({plan.model}) with {crowd.users} users for {crowd.duration} s, "
                f"of which {plan.warm_up:g} s warm-up"
            )
            raw = await run_locust(
                plan, crowd, scratch, lambda at, what: console.progress(at, crowd.duration, what)
            )
            console.end()
            tally = Tally()
            tally.merge(raw)
            if tally.bugs:
                raise HarnessError(f"the load client failed ({len(tally.bugs)} times): {tally.bugs[0]}")
            records = load_verdicts.read_records(scratch, plan, Secrets(target.secrets()))
            observation = load_verdicts.observe(records, surface.name)
            if wired and target.simulator is not None:
                control = SimulatorControl(target.simulator)
                seen = await control.settled_calls(call.id for call in observation.calls)
                observation = join_upstream(observation, seen, first.unwired)
    figures = Figures.of(tally)
    evidence = load_verdicts.with_streams(first, observation, time.monotonic() - clock)
    judgement = load_verdicts.judge(rows, evidence)
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
        judgement=judgement,
        gates=judge_gates(with_default(options.gates), figures),
        trust=check_trust(figures),
        details=examples(records),
    )


__all__ = ["LoadOptions", "LoadRun", "load_test", "make_crowd", "parse_duration"]
