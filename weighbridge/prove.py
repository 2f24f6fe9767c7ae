"""The kill matrix: judges deliberately wrong gateways, to show that the checks bite and accuse nobody else.

Each gateway runs with a simulator in a worker process, two for each core, and is judged by every directed
check of its surfaces; generators run only for a defect that names a row of theirs.
A defect is killed when a requirement that it names becomes `fail` (or `warn`, where that row is SHOULD);
a benign variant is accused when any row becomes `fail`. A whole matrix also shows which checks of MUST rows
kill nothing at all; such a check proves nothing when it passes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from typing import Any

import uvloop

from defects import DEFECTS, VARIANTS
from mock_upstreams import Simulator, SimulatorConfig
from reference_gateway import Components
from weighbridge.catalogue import load as load_catalogue
from weighbridge.embed import EMBEDDED_PROFILES, EMBEDDED_SHAPE, gateway_on
from weighbridge.engine import Evidence, Settings, gather
from weighbridge.errors import ExitCode, UsageError, WeighbridgeError, nearest
from weighbridge.judgement import Judgement, judge_rows
from weighbridge.output import require_file
from weighbridge.plan import Plan, Selection, make_plan
from weighbridge.registry import PROBES
from weighbridge.report.console import Console
from weighbridge.report.document import write
from weighbridge.suite import Check, judge_directly, load_checks
from weighbridge.verdict import Level, Outcome, Verdict

CLEAN = "clean"
#: Probes that a wired target leaves out, since its usage is scripted, and what they may spend on an account of ours.
_SPEND_USD = 100.0
#: A probe that costs as much as a tenth of all others together.
_DEAR = "chat_crowd"
#: What a check finds of a gateway that breaks its row; an accepted alternative is a finding as well.
_BITTEN = frozenset({Outcome.BROKEN, Outcome.ALTERNATIVE})


@dataclass(frozen=True, slots=True)
class Proof:
    """What became of one gateway.

    Attributes:
        requirements: the rows that the defect names; empty for a variant and the clean gateway.
        broken: rows that became `fail` or `warn`, with their observation.
        bit: ids of the checks that found it broken.
        stopped: why no verdict was reached, where preflight refused the gateway.
    """

    id: str
    title: str
    kind: str
    requirements: tuple[str, ...]
    broken: Mapping[str, str]
    failed: tuple[str, ...]
    seconds: float
    bit: tuple[str, ...] = ()
    stopped: str = ""

    @property
    def killed_by(self) -> tuple[str, ...]:
        """The named rows that caught it."""
        return tuple(row for row in self.requirements if row in self.broken)

    @property
    def good(self) -> bool:
        """A defect that was killed, or a gateway that was not accused."""
        return bool(self.killed_by) if self.kind == "defect" else not self.failed and not self.stopped


def _plan(surfaces: frozenset[str] | None = None) -> Plan:
    catalogue = load_catalogue()
    profiles = [
        name for name in EMBEDDED_PROFILES if surfaces is None or catalogue.profiles[name].surface in surfaces
    ]
    return make_plan(EMBEDDED_SHAPE, catalogue, profiles, Selection())


def _directed(plan: Plan, named: tuple[str, ...] = ()) -> list[Check]:
    """The directed checks, and of a defect those generated ones whose row it names; so with the dear crowd of calls."""
    return [
        check
        for check in load_checks()
        if plan.wants(check)
        and (
            bool(set(named) & set(check.binding.ids))
            or not (check.binding.generated or (named and _DEAR in check.probes))
        )
    ]


async def _evidence(
    simulator_url: str,
    components: Components | None,
    plan: Plan,
    checks: Sequence[Check],
    unscripted: Sequence[str],
) -> Evidence:
    """What all probes see; those that want a provider that nobody scripts take the gateway for a stranger's."""
    probes = [name for check in checks for name in check.probes]
    async with gateway_on(simulator_url, components) as pair:
        evidence = await gather(pair.target, probes, plan.surfaces, Settings())
        if not unscripted:
            return evidence
        stranger = replace(pair.target, simulator=None)
        more = await gather(stranger, unscripted, plan.surfaces, Settings(max_spend=_SPEND_USD))
    return replace(evidence, observations={**evidence.observations, **more.observations})


def _unscripted(checks: Sequence[Check], requirements: tuple[str, ...], kind: str) -> list[str]:
    """Probes for strangers' providers that judge a row of the defect; a minute for all, were they always run."""
    found = {
        name
        for check in checks
        for name in check.probes
        if name in PROBES
        and PROBES[name].unscripted
        and (kind == CLEAN or set(check.binding.ids) & set(requirements))
    }
    return sorted(found)


def _judge(evidence: Evidence, plan: Plan, checks: Sequence[Check]) -> Judgement:
    findings = {check.id: judge_directly(check, evidence.observations, evidence.facts) for check in checks}
    return judge_rows(plan, load_catalogue(), checks, findings)


async def _prove_one(
    simulator_url: str,
    id_: str,
    title: str,
    kind: str,
    requirements: tuple[str, ...],
    components: Components | None,
) -> Proof:
    import weighbridge.probes  # noqa: F401 - registers the probes

    began = time.monotonic()
    plan = _plan(_surfaces(requirements))
    checks = _directed(plan, requirements)
    try:
        unscripted = _unscripted(checks, requirements, kind)
        evidence = await _evidence(simulator_url, components, plan, checks, unscripted)
    except WeighbridgeError as error:
        return Proof(id_, title, kind, requirements, {}, (), time.monotonic() - began, stopped=str(error))
    judgement = _judge(evidence, plan, checks)
    accused = {Verdict.FAIL, Verdict.WARN, Verdict.HARNESS_ERROR}
    broken = {row.requirement.id: row.finding.message for row in judgement.rows if row.verdict in accused}
    hard = {Verdict.FAIL, Verdict.HARNESS_ERROR}
    failed = tuple(row.requirement.id for row in judgement.rows if row.verdict in hard)
    bit = {part.id for row in judgement.rows for part in row.checks if part.finding.outcome in _BITTEN}
    return Proof(id_, title, kind, requirements, broken, failed, time.monotonic() - began, tuple(sorted(bit)))


def _surfaces(requirements: tuple[str, ...]) -> frozenset[str] | None:
    """The surfaces whose profiles hold the named rows; a variant is judged on all."""
    if not requirements:
        return None
    catalogue = load_catalogue()
    return frozenset(
        profile.surface
        for name, profile in catalogue.profiles.items()
        if name in EMBEDDED_PROFILES and any(row in profile.levels for row in requirements)
    )


def _chosen(ids: Sequence[str]) -> tuple[str, ...]:
    known = [*DEFECTS, *VARIANTS]
    for name in ids:
        if name not in known:
            raise UsageError(
                f"no defect {name!r}{nearest(name, known)}; `weighbridge list defects` shows all"
            )
    return tuple(ids)


def _jobs(ids: Sequence[str]) -> list[tuple[str, str]]:
    """(kind, id) of every gateway to judge, the clean one first."""
    chosen = _chosen(ids)
    jobs = [] if chosen else [(CLEAN, CLEAN)]
    jobs += [("defect", name) for name in DEFECTS if not chosen or name in chosen]
    jobs += [("variant", name) for name in VARIANTS if not chosen or name in chosen]
    return jobs


async def _prove_alone(kind: str, id_: str) -> Proof:
    async with Simulator(SimulatorConfig()) as simulator:
        if kind == "defect":
            defect = DEFECTS[id_]
            return await _prove_one(
                simulator.url, id_, defect.title, kind, defect.requirements, defect.components()
            )
        if kind == "variant":
            variant = VARIANTS[id_]
            return await _prove_one(simulator.url, id_, variant.title, kind, (), variant.components())
        return await _prove_one(simulator.url, CLEAN, "the reference gateway as it is", CLEAN, (), None)


def _prove_in_worker(kind: str, id_: str) -> Proof:
    """One gateway, in a worker process."""
    logging.disable(logging.CRITICAL)  # a gateway that is wrong on purpose complains about itself
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_prove_alone(kind, id_))


def _begin_worker() -> None:
    """A worker leaves Ctrl-C to its parent, and ends with it, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(int(ExitCode.INTERRUPTED))


def _run(ids: Sequence[str], console: Console) -> list[Proof]:
    """Judge all gateways in worker processes; in the order of their declaration, however they finish."""
    jobs = _jobs(ids)
    proofs: dict[tuple[str, str], Proof] = {}
    # A gateway under judgement waits more than it computes, so each core takes two.
    workers = min(len(jobs), 2 * (os.cpu_count() or 1))
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin_worker)
    try:
        futures = {pool.submit(_prove_in_worker, *job): job for job in jobs}
        for number, future in enumerate(as_completed(futures), 1):
            proof = future.result()
            proofs[futures[future]] = proof
            console.line(_line(proof, number, len(jobs)))
        for job, proof in proofs.items():
            # Limits per second cannot be exceeded on a busy machine; so a survivor is judged once more, alone.
            if proof.kind == "defect" and not proof.good and len(jobs) > 1:
                proofs[job] = pool.submit(_prove_in_worker, *job).result()
                console.line(_line(proofs[job], len(jobs), len(jobs)) + ", judged again alone")
    except BaseException:
        # Whatever ends us early, no worker goes on alone; a gateway is judged for many seconds.
        for worker in active_children():
            worker.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return [proofs[job] for job in jobs]


def _line(proof: Proof, number: int, total: int) -> str:
    mark = "ok  " if proof.good else "FAIL"
    if proof.kind == "defect":
        told = f"killed by {', '.join(proof.killed_by)}" if proof.good else f"SURVIVED ({_other(proof)})"
    else:
        told = "not accused" if proof.good else f"ACCUSED by {', '.join(proof.failed) or proof.stopped}"
    return f"{mark} {number:>3}/{total} {proof.id:<40} {told} ({proof.seconds:.1f} s)"


def _other(proof: Proof) -> str:
    if proof.stopped:
        return f"preflight stopped: {proof.stopped}"
    if proof.broken:
        return f"caught only by {', '.join(list(proof.broken)[:4])}, which it does not name"
    return "nothing caught it"


def toothless(proofs: Sequence[Proof]) -> list[str]:
    """Directed checks of MUST rows that no defect makes fail. Meaningful for a whole matrix only."""
    plan = _plan()
    catalogue = load_catalogue()
    must = {
        (row, profile.surface)
        for profile in (catalogue.profiles[name] for name in plan.profiles)
        for row, level in profile.levels.items()
        if level is Level.MUST
    }
    bit = {check for proof in proofs if proof.kind == "defect" for check in proof.bit}
    return [
        check.id
        for check in _directed(plan)
        if check.id not in bit and any((row, check.binding.surface) in must for row in check.binding.ids)
    ]


def matrix(proofs: Sequence[Proof], *, whole: bool = False) -> dict[str, Any]:
    """The kill matrix as data; `whole` where every defect was judged."""
    defects = [proof for proof in proofs if proof.kind == "defect"]
    others = [proof for proof in proofs if proof.kind != "defect"]
    return {
        "defects": [
            {
                "id": proof.id,
                "title": proof.title,
                "requirements": list(proof.requirements),
                "killed_by": list(proof.killed_by),
                "checks": list(proof.bit),
                "also_broken": [row for row in proof.broken if row not in proof.requirements],
                "verdict": "killed" if proof.good else "survived",
                "message": proof.stopped or next(iter(proof.broken.values()), ""),
            }
            for proof in defects
        ],
        "variants": [
            {
                "id": proof.id,
                "title": proof.title,
                "failed": list(proof.failed),
                "warned": [r for r in proof.broken if r not in proof.failed],
            }
            for proof in others
        ],
        "survivors": [proof.id for proof in defects if not proof.good],
        "accused": [proof.id for proof in others if not proof.good],
        "toothless": toothless(proofs) if whole else [],
    }


def prove(ids: Sequence[str], json_file: Path | None) -> ExitCode:
    """Judge defects and variants, print each; fail if one survives or is accused, or a MUST check kills nothing.

    Raises:
        UsageError: an unknown id, or a file that cannot be written.
    """
    if json_file is not None:
        require_file("--json", json_file)
    console = Console()
    began = time.monotonic()
    proofs = _run(ids, console)
    document = matrix(proofs, whole=not ids)
    if json_file is not None:
        write(document, json_file)
    killed = sum(1 for proof in proofs if proof.kind == "defect" and proof.good)
    defects = len(document["defects"])
    spared = len(document["variants"]) - len(document["accused"])
    console.line("")
    console.line(
        f"{killed} of {defects} defects killed by the requirement they break; "
        f"{spared} of {len(document['variants'])} right gateways not accused; {time.monotonic() - began:.1f} s"
    )
    for check in document["toothless"]:
        console.line(f"FAIL {check} belongs to a MUST row, and no defect makes it fail")
    bad = document["survivors"] or document["accused"] or document["toothless"]
    return ExitCode.VIOLATION if bad else ExitCode.OK
