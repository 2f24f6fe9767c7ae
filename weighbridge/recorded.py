"""A run that is over: its report, read and found whole, and its evidence, judged again with the checks of today."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weighbridge import evidence_file
from weighbridge.catalogue import load as load_catalogue
from weighbridge.engine import Evidence
from weighbridge.errors import UsageError
from weighbridge.judgement import Judgement, judge_rows
from weighbridge.plan import Plan, Selection
from weighbridge.report import document as report
from weighbridge.suite import Check, judge_directly, load_checks
from weighbridge.verdict import Level, at_least


def generated_probes(checks: Sequence[Check]) -> frozenset[str]:
    """The probes whose calls a generator makes."""
    return frozenset(name for check in checks if check.binding.generated for name in check.probes)


@dataclass(frozen=True)
class Recorded:
    """A recorded run, judged again with the checks of today."""

    judgement: Judgement
    plan: Plan
    evidence: Evidence
    context: Mapping[str, Any]
    summary: evidence_file.Summary

    def document(self) -> dict[str, Any]:
        """The report that follows from the record."""
        return report.build(
            target=self.context["target"],
            plan=self.plan,
            evidence=self.evidence,
            judgement=self.judgement,
            run=report.RunInfo(
                self.context["id"],
                self.context["started"],
                self.context.get("duration", self.evidence.duration),
                self.context["seed"],
            ),
            generated=generated_probes(load_checks()),
            recorded=self.summary,
        )


def judge_again(path: Path) -> Recorded:
    """Judge recorded evidence with the checks of today.

    Args:
        path: a run's folder, or its evidence file.

    Raises:
        UsageError: there is no whole evidence.
    """
    file = path / evidence_file.NAME if path.is_dir() else path
    evidence, context, summary = evidence_file.read(file)
    plan = _recorded_plan(context, file)
    checks = load_checks()
    findings = {
        check.id: judge_directly(check, evidence.observations, evidence.facts)
        for check in checks
        if plan.wants(check)
    }
    judgement = judge_rows(
        plan, load_catalogue(), checks, findings, evidence.facts.features, truncated=bool(evidence.truncated)
    )
    return Recorded(judgement, plan, evidence, context, summary)


def _recorded_plan(context: Mapping[str, Any], file: Path) -> Plan:
    catalogue = load_catalogue()
    raw = context["selection"]
    selection = Selection(Level(raw["level"]), tuple(raw["requirements"]), bool(raw["quick"]))
    known = context["target"]["surfaces"]
    rows = {}
    surfaces: list[str] = []
    for name in context["profiles"]:
        profile = catalogue.profile(name)
        surfaces.append(profile.surface)
        rows[name] = tuple(
            row
            for row, level in profile.levels.items()
            if at_least(level, selection.level)
            and (not selection.requirements or row in selection.requirements)
        )
    if not set(surfaces) <= set(known):
        raise UsageError(f"{file}: the record names a profile whose surface it does not hold")
    return Plan(tuple(context["profiles"]), rows, tuple(dict.fromkeys(surfaces)), selection)


def load_report(path: Path) -> dict[str, Any]:
    """Read a report and make sure that it is whole.

    Raises:
        UsageError: unreadable, not a report, or its footer does not fit.
    """
    file = path / "report.json" if path.is_dir() else path
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"the report {file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"the report {file} is not whole JSON: {error}") from error
    if not isinstance(document, dict) or document.get("format") != report.FORMAT:
        raise UsageError(f"{file} is no weighbridge report")
    if document.get("footer") != report.footer(document):
        raise UsageError(
            f"the report {file} was changed or cut off: its footer does not fit; take the original"
        )
    return document
