"""Baselines: an operator's strict list of known findings. It keeps CI quiet and never improves a claim.

An entry names a requirement, the check that finds it broken, and why that is accepted for now. Strict means
that the list says neither less nor more than the run: a finding that it does not name is a violation, an
entry whose finding is gone is one as well, and an entry that names nothing we know is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from weighbridge.catalogue import Catalogue
from weighbridge.errors import UsageError, nearest
from weighbridge.judgement import Judgement, RowResult
from weighbridge.locate import folder
from weighbridge.output import write_or_refuse
from weighbridge.suite import Check
from weighbridge.verdict import Finding, Outcome, Verdict

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

#: What an entry says until somebody has looked at the finding.
NOT_EXAMINED = "not examined yet"
#: Verdicts that say the finding of an entry is gone; the others say that it could not be looked for.
_GONE = {Verdict.PASS, Verdict.WARN, Verdict.UNSUPPORTED, Verdict.NOT_APPLICABLE}


@dataclass(frozen=True, slots=True)
class Entry:
    """One known finding; without a check it stands for every check of the requirement."""

    requirement: str
    reason: str
    check: str | None = None

    def covers(self, requirement: str, check: str) -> bool:
        """Whether a finding is the one that this entry names."""
        return self.requirement == requirement and self.check in {None, check}


@dataclass(frozen=True, slots=True)
class Baseline:
    """A baseline file."""

    place: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a run says about a baseline.

    Attributes:
        listed: entries whose finding is there, as the baseline says.
        stale: entries whose finding is gone.
        unseen: entries that this run could not or did not look for.
        unlisted: findings that no entry names, as requirement and check.
    """

    place: str
    listed: tuple[Entry, ...]
    stale: tuple[Entry, ...]
    unseen: tuple[Entry, ...]
    unlisted: tuple[tuple[str, str], ...]

    @property
    def rows(self) -> frozenset[str]:
        """Requirements whose every finding is listed."""
        return frozenset(entry.requirement for entry in self.listed) - {row for row, _ in self.unlisted}

    def document(self) -> dict[str, Any]:
        """As report.json tells it."""
        return {
            "file": self.place,
            "listed": [_told(entry) for entry in self.listed],
            "stale": [_told(entry) for entry in self.stale],
            "unseen": [_told(entry) for entry in self.unseen],
            "unlisted": [{"requirement": row, "check": check} for row, check in self.unlisted],
        }


def _told(entry: Entry) -> dict[str, str]:
    check = {} if entry.check is None else {"check": entry.check}
    return {"requirement": entry.requirement, **check, "reason": entry.reason}


@cache
def _validator() -> Draft202012Validator:
    from jsonschema import Draft202012Validator  # rarely wanted, and slow to load

    schema = json.loads((folder("spec") / "schemas" / "baseline.schema.json").read_text(encoding="utf-8"))
    return Draft202012Validator(schema)


def load(path: Path, catalogue: Catalogue, checks: Iterable[Check]) -> Baseline:
    """Read a baseline file.

    Raises:
        UsageError: unreadable, not a baseline, or an entry names an unknown requirement or check, or one
            that another entry names already.
    """
    entries = _read(path)
    judges: dict[str, set[str]] = {}
    for check in checks:
        for row in check.binding.ids:
            judges.setdefault(row, set()).add(check.id)
    seen: set[tuple[str, str | None]] = set()
    for number, entry in enumerate(entries):
        place = f"{path}, entries.{number}"
        if entry.requirement not in catalogue.requirements:
            raise UsageError(
                f"{place}: there is no requirement {entry.requirement!r}"
                f"{nearest(entry.requirement, catalogue.requirements)}; correct or remove the entry"
            )
        known = judges.get(entry.requirement, set())
        if entry.check is not None and entry.check not in known:
            raise UsageError(
                f"{place}: no check {entry.check!r} judges {entry.requirement}{nearest(entry.check, known)}; "
                f"correct or remove the entry (known: {', '.join(sorted(known)) or 'none'})"
            )
        if (entry.requirement, entry.check) in seen or (entry.requirement, None) in seen:
            raise UsageError(
                f"{place}: {entry.requirement} is named already further up; remove one of the two"
            )
        seen.add((entry.requirement, entry.check))
    return Baseline(str(path), entries)


def _read(path: Path) -> tuple[Entry, ...]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"the baseline {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = getattr(error, "problem", None) or str(error) or "it cannot be parsed"
        raise UsageError(f"the baseline {path} is not valid YAML: {reason}; write it again") from error
    problem = next(_validator().iter_errors(document), None)
    if problem is not None:
        inside = ".".join(str(part) for part in problem.absolute_path)
        raise UsageError(
            f"{path}{', ' if inside else ''}{inside}: {problem.message}; see docs/ci.md for what an entry holds"
        )
    return tuple(
        Entry(item["requirement"], item["reason"], item.get("check")) for item in document["entries"]
    )


def _gating(row: RowResult) -> list[str]:
    """The checks for whose findings the gate closes on a row: a broken MUST, or one that should have been judged."""
    if row.verdict is Verdict.FAIL:
        return [check.id for check in row.checks if check.finding.outcome is Outcome.BROKEN]
    if row.verdict is Verdict.NOT_VERIFIED and row.finding.inside_scope:
        return [check.id for check in row.checks if _undelivered(check.finding)]
    return []


def _undelivered(finding: Finding) -> bool:
    return finding.outcome is Outcome.NOT_VERIFIED and finding.inside_scope


def compare(baseline: Baseline, judgement: Judgement) -> Comparison:
    """Hold a run against a baseline. Pure.

    A finding is a check that found a MUST broken, or that could not judge although all that it needs is
    declared (often since another row is broken: without an end marker nobody can say whether it comes last).
    An entry is stale when its row was judged and is well; a row outside the run's scope, or one that could not be
    verified for want of a capability, says nothing about its entry.
    """
    rows = {row.requirement.id: row for row in judgement.rows}
    findings = [(row.requirement.id, check) for row in judgement.rows for check in _gating(row)]
    listed, stale, unseen = [], [], []
    for entry in baseline.entries:
        if any(entry.covers(*finding) for finding in findings):
            listed.append(entry)
        elif _looked_for(entry, rows.get(entry.requirement)):
            stale.append(entry)
        else:
            unseen.append(entry)
    unlisted = [
        finding for finding in findings if not any(entry.covers(*finding) for entry in baseline.entries)
    ]
    return Comparison(baseline.place, tuple(listed), tuple(stale), tuple(unseen), tuple(unlisted))


def _looked_for(entry: Entry, row: RowResult | None) -> bool:
    """Whether the run judged what the entry names."""
    if row is None:
        return False
    if entry.check is None:
        return row.verdict in _GONE
    judged = {Outcome.MET, Outcome.ALTERNATIVE, Outcome.UNSUPPORTED, Outcome.NOT_APPLICABLE}
    return any(check.id == entry.check and check.finding.outcome in judged for check in row.checks)


def from_report(report: Mapping[str, Any], known: Mapping[tuple[str, str | None], str]) -> str:
    """The text of a baseline that lists a run's findings.

    Args:
        report: the run's report.json.
        known: reasons of an older baseline, kept for findings that are still there.
    """
    lines = [
        "# Known findings: CI stays quiet about them, the claim does not improve. Every entry needs a reason.",
        "# A finding that is not listed fails the run, and so does an entry whose finding is gone.",
        f"target: {json.dumps(report['target']['name'], ensure_ascii=False)}",
        f'edition: "{report["edition"]}"',
    ]
    entries: list[str] = []
    for row in report["requirements"]:
        wanted = _outcome(row)
        for check in row["checks"]:
            if check["outcome"] == wanted:
                name = (row["id"], check["id"])
                reason = known.get(name) or known.get((row["id"], None)) or NOT_EXAMINED
                entries += [
                    f"  # {_one_line(row['title'])}: {_one_line(row['observed'])}",
                    f"  - requirement: {row['id']}",
                    f"    check: {check['id']}",
                    f"    reason: {json.dumps(reason, ensure_ascii=False)}",
                ]
    lines += ["entries:", *entries] if entries else ["entries: []"]
    return "\n".join(lines) + "\n"


def _outcome(row: Mapping[str, Any]) -> str | None:
    """Which outcome of a row's checks the gate closes for, as `_gating` has it, from a report."""
    if row["verdict"] == Verdict.FAIL.value:
        return Outcome.BROKEN.value
    return Outcome.NOT_VERIFIED.value if row["verdict"] == "not_verified" and row["inside_scope"] else None


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return "".join(character for character in line if character.isprintable())[:160]


def write(run: Path, out: Path, *, force: bool) -> tuple[int, int]:
    """Write a baseline from a run; with `force` over an existing one, whose reasons are kept.

    Returns:
        the number of entries, and how many of them nobody has examined.

    Raises:
        UsageError: the run has no whole report, or the file exists or cannot be written.
    """
    from weighbridge.recorded import load_report

    report = load_report(run)
    known: dict[tuple[str, str | None], str] = {}
    if out.exists():
        if not force:
            raise UsageError(f"{out} exists; pass --force to write it anew and keep its reasons")
        known = {(entry.requirement, entry.check): entry.reason for entry in _read(out)}
    text = from_report(report, known)
    write_or_refuse("the baseline", out, text)
    entries = _read(out)
    return len(entries), sum(entry.reason == NOT_EXAMINED for entry in entries)
