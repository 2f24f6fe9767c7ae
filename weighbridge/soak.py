"""Many whole runs of the reference gateway as it is, one after the other: the proof that no check is a flake.

Each run is what `weighbridge run` does without options, generators included, with a gateway, a simulator and a
seed of its own; nothing is written. One accusation in any of them is one too many.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import time
from dataclasses import dataclass

from weighbridge.embedded_target import EMBEDDED_PROFILES, EMBEDDED_SHAPE
from weighbridge.engine import Settings, gather
from weighbridge.errors import ExitCode
from weighbridge.judgement import judge_rows
from weighbridge.loops import new_event_loop
from weighbridge.pair_process import PairProcess
from weighbridge.plan import Selection, make_plan
from weighbridge.report.console import Console
from weighbridge.suite import judge_directly, load_checks
from weighbridge.verdict import Verdict

_ACCUSED = frozenset({Verdict.FAIL, Verdict.WARN, Verdict.HARNESS_ERROR})


@dataclass(frozen=True, slots=True)
class CleanRun:
    """One run: what it accused the right gateway of, what it could not judge, and its length in seconds."""

    accused: tuple[str, ...]
    unjudged: tuple[str, ...]
    passed: int
    seconds: float


async def _run_once(seed: int, pair: PairProcess) -> CleanRun:
    import weighbridge.probes  # noqa: F401 - registers the probes
    from weighbridge.catalogue import load

    began = time.monotonic()
    catalogue = load()
    plan = make_plan(EMBEDDED_SHAPE, catalogue, EMBEDDED_PROFILES, Selection())
    checks = [check for check in load_checks() if plan.wants(check)]
    probes = [name for check in checks for name in check.probes]
    async with pair.running() as target:
        evidence = await gather(target, probes, plan.surfaces, Settings(seed=seed), beside=pair)
    findings = {check.id: judge_directly(check, evidence.observations, evidence.facts) for check in checks}
    rows = judge_rows(plan, catalogue, checks, findings).rows
    told = [f"{row.requirement.id} ({row.finding.message})" for row in rows if row.verdict in _ACCUSED]
    unjudged = [
        f"{row.requirement.id} ({row.finding.message})"
        for row in rows
        if row.verdict is Verdict.NOT_VERIFIED and row.finding.inside_scope
    ]
    passed = sum(1 for row in rows if row.verdict is Verdict.PASS)
    return CleanRun(tuple(told), tuple(unjudged), passed, time.monotonic() - began)


def soak(runs: int) -> ExitCode:
    """Run so often, print a line for each and a summary; any accusation is a violation, a gap is incomplete."""
    console = Console()
    logging.disable(logging.WARNING)
    done: list[CleanRun] = []
    for number in range(runs):
        with PairProcess() as pair, asyncio.Runner(loop_factory=new_event_loop) as runner:
            run = runner.run(_run_once(number, pair))
        done.append(run)
        told = ", ".join((*run.accused, *run.unjudged)) or "nothing accused"
        console.line(f"{number + 1:>3}/{runs} {run.seconds:5.1f} s, {run.passed} rows pass: {told}")
    seconds = [run.seconds for run in done]
    accused = sum(len(run.accused) for run in done)
    unjudged = sum(len(run.unjudged) for run in done)
    console.line("")
    console.line(
        f"{runs} clean runs: {accused} accusations, {unjudged} rows that could not be judged; "
        f"{min(seconds):.1f} to {max(seconds):.1f} s, median {statistics.median(seconds):.1f} s"
    )
    if accused:
        return ExitCode.VIOLATION
    return ExitCode.INCOMPLETE if unjudged else ExitCode.OK
