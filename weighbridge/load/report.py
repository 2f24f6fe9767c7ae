"""The result of a load test: its exit code, its console lines, and its files.

`report.json` is the document of every run, so that all its views work; `load.json` has every figure with its
histogram, so that any other statistic can be had later; `evidence.ndjson` can be judged again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weighbridge import __version__
from weighbridge.engine import Evidence
from weighbridge.errors import ExitCode, HarnessError, strongest
from weighbridge.judgement import Judgement, exit_code
from weighbridge.load import verdicts as load_verdicts
from weighbridge.load.figures import Failure, Figures
from weighbridge.load.gates import GateResult
from weighbridge.load.plan import LoadPlan
from weighbridge.load.processes import Crowd
from weighbridge.load.show import figure_lines, gate_lines
from weighbridge.load.trust import Trust
from weighbridge.load.verdicts import Recorded
from weighbridge.plan import Plan
from weighbridge.report import document as report
from weighbridge.report.console import summary_lines
from weighbridge.target import Target

FORMAT = "weighbridge-load"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class LoadRun:
    """A finished load test, before it is shown and written."""

    info: report.RunInfo
    target: Target
    rows: Plan
    plan: LoadPlan
    figures: Figures
    records: tuple[Recorded, ...]
    evidence: Evidence
    judgement: Judgement
    gates: tuple[GateResult, ...]
    trust: Trust
    details: Mapping[Failure, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> ExitCode:
        """The strongest of what verdicts, gates and self-check say."""
        codes = [exit_code(self.judgement, require_claim=False)]
        if any(not result.met for result in self.gates):
            codes.append(ExitCode.VIOLATION)
        if not self.trust.ok:
            codes.append(ExitCode.INVALID_MEASUREMENT)
        return strongest(codes)


def examples(records: Sequence[Recorded]) -> dict[Failure, str]:
    """For each class of failure the first recorded stream."""
    found: dict[Failure, str] = {}
    for item in records:
        if item.failure is not None and item.failure not in found:
            seen = item.call.exchange
            found[item.failure] = f"{seen.detail or seen.ending} (first seen: {seen.id})"
    return found


def lines(finished: LoadRun, document: Mapping[str, Any], path: Path) -> Sequence[str]:
    """The result for the console: figures, self-check, gates, verdicts."""
    return [
        "",
        *figure_lines(finished.figures, finished.details),
        finished.trust.statement,
        *gate_lines(finished.gates),
        *summary_lines(document, path),
    ]


def _figures_document(finished: LoadRun, crowd: Crowd) -> dict[str, Any]:
    """load.json: every figure with its histogram, so that any other statistic can be had later."""
    figures, plan = finished.figures, finished.plan
    shares = (0.5, 0.9, 0.95, 0.99, 0.999)
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "tool": {"name": "weighbridge", "version": __version__},
        "run": {"id": finished.info.id, "started": finished.info.started},
        "load": {
            "surface": plan.surface,
            "url": plan.url,
            "model": plan.model,
            "users": crowd.users,
            "duration_s": crowd.duration,
            "spawn_rate": crowd.spawn_rate,
            "processes": crowd.processes,
            "warm_up_s": plan.warm_up,
            "keep_alive": plan.keep_alive,
        },
        "latencies_ms": {
            name: {
                "count": item.count,
                "min": _ms(item.lowest),
                "mean": _ms(item.mean),
                "max": _ms(item.highest),
            }
            | {f"p{share * 100:g}": _ms(item.quantile(share)) for share in shares}
            for name, item in figures.histograms.items()
            if item.count
        },
        "streams": {
            "started": figures.started,
            "completed": figures.completed,
            "failed": figures.failed,
            "unfinished": figures.unfinished,
            "completion": figures.completion,
            "per_second": figures.streams_per_second,
        },
        "chunks": {
            "received": figures.chunks,
            "per_second": figures.chunks_per_second,
            "coalesced": figures.coalesced,
        },
        "connections": figures.connections,
        "failures": {name.value: times for name, times in figures.failures.items()},
        "client": {
            "ok": finished.trust.ok,
            "distrusted": list(finished.trust.distrusted),
            "reasons": list(finished.trust.reasons),
            "lag_p50_ms": _ms(finished.trust.lag_p50_us),
            "lag_p99_ms": _ms(finished.trust.lag_p99_us),
            "cpu_share": finished.trust.cpu_share,
        },
        "gates": [
            {"gate": item.gate.text, "measured": item.measured, "met": item.met} for item in finished.gates
        ],
        "histograms_us": {name: item.as_json() for name, item in figures.histograms.items() if item.count},
        "exit_code": int(finished.exit_code),
    }


def _ms(value: float | None) -> float | None:
    return None if value is None else round(value / 1000, 3)


def _beyond(finished: LoadRun) -> list[tuple[str, str, Sequence[str]]]:
    """What a reader of the report wants to know of the load, as observations beyond the rows."""
    failed: dict[Failure, list[str]] = {}
    for item in finished.records:
        if item.failure is not None:
            failed.setdefault(item.failure, []).append(item.call.id)
    rows: list[tuple[str, str, Sequence[str]]] = [
        ("load", "\n".join(figure_lines(finished.figures, finished.details)), ()),
        ("load client", finished.trust.statement, ()),
    ]
    rows += [
        ("load gate", f"{item.gate.text}: {'met' if item.met else 'missed'}, measured {item.shown}", ())
        for item in finished.gates
    ]
    rows += [
        (
            f"failed streams: {name}",
            f"{times} streams, {len(failed.get(name, ()))} of them recorded",
            failed.get(name, ()),
        )
        for name, times in finished.figures.failures.items()
    ]
    return rows


def write(finished: LoadRun, crowd: Crowd, out: Path, copy: Path | None) -> dict[str, Any]:
    """Write report.json, load.json and the evidence; returns the report.

    Raises:
        HarnessError: the folder cannot be written.
    """
    document = load_verdicts.document(
        target=finished.target,
        rows=finished.rows,
        evidence=finished.evidence,
        judgement=finished.judgement,
        run=finished.info,
        streams=finished.figures.started,
        beyond=_beyond(finished),
    )
    try:
        report.write(document, out / "report.json")
        report.write(_figures_document(finished, crowd), out / "load.json")
        load_verdicts.write_evidence(
            finished.evidence, finished.rows, document, out / "evidence.ndjson", finished.info
        )
        if copy is not None:
            report.write(document, copy)
    except OSError as error:
        raise HarnessError(
            f"the results cannot be written to {error.filename or out}: {error.strerror}; choose another --out or --json"
        ) from error
    return document
