"""The result of a load test: its exit code, its console lines, and its files.

`report.json` is the document of every run, so that all its views work; `load.json` has every figure with its
histogram, and `load.html` is its view for people; `evidence.ndjson` can be judged again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weighbridge.engine import Evidence
from weighbridge.errors import ExitCode, HarnessError, strongest
from weighbridge.judgement import Judgement, exit_code
from weighbridge.load import verdicts as load_verdicts
from weighbridge.load.bill import Bill
from weighbridge.load.capacity import Search
from weighbridge.load.document import figures_document
from weighbridge.load.export import junit_suite, markdown
from weighbridge.load.figures import Failure, Figures
from weighbridge.load.gates import GateResult
from weighbridge.load.page import render
from weighbridge.load.plan import LoadPlan
from weighbridge.load.show import against_lines, figure_lines, gate_lines
from weighbridge.load.trust import Trust
from weighbridge.load.verdicts import Recorded
from weighbridge.output import require_file, require_folder
from weighbridge.plan import Plan
from weighbridge.report import document as report
from weighbridge.report import junit
from weighbridge.report.console import summary_lines
from weighbridge.target import Target

#: Where the folder of a run is made that nobody named one for.
RUNS = Path("reports") / "runs"


@dataclass(frozen=True, slots=True)
class Places:
    """Where results go besides the run's folder; None for nowhere."""

    out: Path | None = None
    json_file: Path | None = None
    html: Path | None = None
    junit: Path | None = None
    markdown: Path | None = None

    def require(self) -> None:
        """Make sure, before the load, that every place can be written.

        Raises:
            UsageError: one cannot.
        """
        if self.out is not None:
            require_folder("--out", self.out)
        else:
            require_folder("the folder", RUNS)
        named = (
            ("--json", self.json_file),
            ("--html", self.html),
            ("--junit", self.junit),
            ("--markdown", self.markdown),
        )
        for option, path in named:
            if path is not None:
                require_file(option, path)


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
    bill: Bill
    direct: Figures | None = None
    search: Search | None = None
    details: Mapping[Failure, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> ExitCode:
        """The strongest of what verdicts, gates, money and self-check say."""
        codes = [exit_code(self.judgement, require_claim=False)]
        missed = any(not result.met for result in self.gates) or not self.bill.ok
        if missed:
            codes.append(ExitCode.VIOLATION)
        if self.search is not None:
            codes += self.search.exit_codes
        if not self.trust.ok:
            codes.append(ExitCode.INVALID_MEASUREMENT)
        return strongest(codes)


def examples(records: Sequence[Recorded]) -> dict[Failure, str]:
    """For each class of failure the first recorded call."""
    found: dict[Failure, str] = {}
    for item in records:
        if item.failure is not None and item.failure not in found:
            seen = item.call.exchange
            found[item.failure] = f"{seen.detail or seen.ending} (first seen: {seen.id})"
    return found


def lines(finished: LoadRun, document: Mapping[str, Any], out: Path) -> Sequence[str]:
    """The result for the console: figures, self-check, money, gates, verdicts."""
    search = [] if finished.search is None else ["", *finished.search.lines, ""]
    return [
        "",
        *search,
        *figure_lines(finished.figures, finished.details),
        *against_lines(finished.figures, finished.direct),
        finished.trust.statement,
        finished.bill.statement,
        *gate_lines(finished.gates),
        *summary_lines(document, out / "report.json"),
        f"Plots:  {out / 'load.html'}",
    ]


def figures_of(finished: LoadRun) -> dict[str, Any]:
    """load.json of a finished run."""
    document = figures_document(
        finished.plan,
        finished.figures,
        finished.trust,
        run={"id": finished.info.id, "started": finished.info.started},
        direct=finished.direct,
        examples={name.value: text for name, text in finished.details.items()},
    )
    bill = finished.bill
    document["gates"] = [
        {"gate": item.gate.text, "measured": item.measured, "shown": item.shown, "met": item.met}
        for item in finished.gates
    ]
    document["money"] = {
        "ok": bill.ok,
        "skipped": bool(bill.missing),
        "statement": bill.statement,
        "charged_pico": bill.charged,
        "lowest_pico": bill.lowest,
        "highest_pico": bill.highest,
    }
    if finished.search is not None:
        document["capacity"] = finished.search.as_json()
    return document | {"exit_code": int(finished.exit_code)}


def _beyond(finished: LoadRun) -> list[tuple[str, str, Sequence[str]]]:
    """What a reader of the report wants to know of the load, as observations beyond the rows."""
    failed: dict[Failure, list[str]] = {}
    for item in finished.records:
        if item.failure is not None:
            failed.setdefault(item.failure, []).append(item.call.id)
    rows: list[tuple[str, str, Sequence[str]]] = [
        ("load", "\n".join(figure_lines(finished.figures, finished.details)), ()),
        ("load client", finished.trust.statement, ()),
        ("load money", finished.bill.statement, ()),
    ]
    rows += [
        ("load gate", f"{item.gate.text}: {'met' if item.met else 'missed'}, measured {item.shown}", ())
        for item in finished.gates
    ]
    rows += [
        (
            f"failed calls: {name}",
            f"{times} calls, {len(failed.get(name, ()))} of them recorded",
            failed.get(name, ()),
        )
        for name, times in finished.figures.failures.items()
    ]
    return rows


def _text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write(finished: LoadRun, out: Path, places: Places) -> dict[str, Any]:
    """Write all files; returns the report.

    Raises:
        HarnessError: a place that could be written before the load cannot be any more.
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
    figures = figures_of(finished)
    page = render(figures)
    try:
        report.write(document, out / "report.json")
        report.write(figures, out / "load.json")
        _text(out / "load.html", page)
        load_verdicts.write_evidence(
            finished.evidence, finished.rows, document, out / "evidence.ndjson", finished.info
        )
        if places.json_file is not None:
            report.write(document, places.json_file)
        for path, text in (
            (places.html, page),
            (places.junit, junit.render(document, [junit_suite(figures)]).decode()),
            (places.markdown, markdown(figures)),
        ):
            if path is not None:
                _text(path, text)
    except OSError as error:
        raise HarnessError(
            f"the results cannot be written to {error.filename or out}: {error.strerror}; choose another place"
        ) from error
    return document
