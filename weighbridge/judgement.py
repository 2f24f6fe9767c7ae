"""From the findings of checks to verdicts of rows, claims of profiles and the exit code. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from weighbridge.catalogue import EDITION, Catalogue, Requirement
from weighbridge.errors import ExitCode, strongest
from weighbridge.features import without
from weighbridge.plan import Plan
from weighbridge.suite import Check
from weighbridge.verdict import (
    ClaimStatus,
    Finding,
    Level,
    Outcome,
    Verdict,
    claim_status,
    roll_up,
    strongest_level,
    verdict_of,
)


@dataclass(frozen=True, slots=True)
class ProfileVerdict:
    """The verdict of a row within one profile, at that profile's level."""

    profile: str
    level: Level
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found."""

    id: str
    surface: str
    finding: Finding


@dataclass(frozen=True)
class RowResult:
    """A requirement with its verdict.

    Attributes:
        scored: the edition's scored set holds it in one of the chosen profiles.
    """

    requirement: Requirement
    level: Level
    finding: Finding
    verdict: Verdict
    profiles: tuple[ProfileVerdict, ...]
    checks: tuple[CheckResult, ...]
    scored: bool


@dataclass(frozen=True)
class Claim:
    """What the deployment may say about one profile."""

    profile: str
    edition: str
    status: ClaimStatus
    scope: str
    counts: Mapping[Verdict, int]
    scored: int
    rows: int


@dataclass(frozen=True)
class Judgement:
    """The result of a run."""

    rows: tuple[RowResult, ...]
    claims: tuple[Claim, ...]

    @property
    def counts(self) -> Counter[Verdict]:
        """How many rows have each verdict."""
        return Counter(row.verdict for row in self.rows)

    @property
    def violations(self) -> tuple[RowResult, ...]:
        """Rows that are broken at MUST."""
        return tuple(row for row in self.rows if row.verdict is Verdict.FAIL)


def _beyond_reach(check: Check, finding: Finding) -> bool:
    """A check that only widens a row, and lacks the capability to do so."""
    return check.binding.widens and finding.outcome is Outcome.NOT_VERIFIED and not finding.inside_scope


#: A row of a feature that came out so shows that the product has it.
_OFFERED = frozenset({Outcome.MET, Outcome.ALTERNATIVE})


def _unjudged(row: Requirement) -> Finding:
    reason = row.not_checked or "no check judges it yet"
    return Finding(Outcome.NOT_VERIFIED, observed=reason, missing=reason)


def judge_rows(
    plan: Plan,
    catalogue: Catalogue,
    checks: Sequence[Check],
    findings: Mapping[str, Finding],
    features: Mapping[str, bool] | None = None,
    *,
    truncated: bool = False,
) -> Judgement:
    """Verdicts of all rows of a plan.

    Args:
        plan: rows and profiles.
        catalogue: their texts and levels.
        checks: all checks that exist, so that a row without any is told from one that did not run.
        findings: what the executed checks found, by check id.
        features: what the target declares to offer or not; see `features` for what undeclared means.
        truncated: the run ended early, so that it claims nothing.

    """
    features = features or {}
    by_row: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        for bound in check.binding.ids:
            by_row.setdefault((bound, check.binding.surface), []).append(check)
    offered = {
        (catalogue.requirement(row).feature, check.binding.surface)
        for check in checks
        if check.id in findings and findings[check.id].outcome in _OFFERED
        for row in check.binding.ids
    }
    results: list[RowResult] = []
    for row_id in dict.fromkeys(row for name in plan.profiles for row in plan.rows[name]):
        row = catalogue.requirement(row_id)
        parts: list[ProfileVerdict] = []
        executed: dict[str, CheckResult] = {}
        per_profile: dict[tuple[str, Finding], None] = {}
        scored = False
        for name in plan.profiles:
            if row_id not in plan.rows[name]:
                continue
            profile = catalogue.profiles[name]
            existing = by_row.get((row_id, profile.surface), [])
            scored = scored or catalogue.scores(name, row_id)
            own = [CheckResult(c.id, profile.surface, findings[c.id]) for c in existing if c.id in findings]
            executed |= {result.id: result for result in own}
            counted = [
                findings[c.id] for c in existing if c.id in findings and not _beyond_reach(c, findings[c.id])
            ]
            if own:
                finding = roll_up(counted or [result.finding for result in own], of="checks")
            elif existing:
                finding = Finding(Outcome.NOT_VERIFIED, observed="left out of this run", missing="a full run")
            else:
                finding = _unjudged(row)
            finding = without(
                finding,
                row.feature,
                declared=features.get(row.feature),
                optional=row.feature in profile.optional_features,
                offered=(row.feature, profile.surface) in offered,
            )
            per_profile[profile.surface, finding] = None
            level = profile.levels[row_id]
            parts.append(ProfileVerdict(name, level, verdict_of(finding.outcome, level)))
        level = strongest_level(part.level for part in parts)
        finding = roll_up([finding for _, finding in per_profile], of=None)
        results.append(
            RowResult(
                row,
                level,
                finding,
                verdict_of(finding.outcome, level),
                tuple(parts),
                tuple(executed.values()),
                scored,
            )
        )
    partial = truncated or plan.selection.partial
    claims = tuple(_claim(catalogue, name, results, partial=partial) for name in plan.profiles)
    return Judgement(tuple(results), claims)


def _claim(catalogue: Catalogue, name: str, results: Sequence[RowResult], *, partial: bool) -> Claim:
    mine = [(row, part) for row in results for part in row.profiles if part.profile == name]
    scored = [(row, part) for row, part in mine if catalogue.scores(name, row.requirement.id)]
    optional = catalogue.profiles[name].optional_features
    must = [
        part.verdict
        for row, part in scored
        if part.level is Level.MUST
        and not (part.verdict is Verdict.UNSUPPORTED and row.requirement.feature in optional)
    ]
    return Claim(
        profile=name,
        edition=EDITION,
        status=claim_status(must, partial=partial),
        scope="partial" if partial else "full",
        counts=Counter(part.verdict for _, part in mine),
        scored=len(scored),
        rows=len(mine),
    )


def exit_code(
    judgement: Judgement,
    *,
    require_claim: bool,
    baselined: frozenset[str] = frozenset(),
    stale: bool = False,
) -> ExitCode:
    """The gate: which code the process ends with.

    Args:
        judgement: the verdicts.
        require_claim: anything but `conformant` is incomplete.
        baselined: rows whose findings an operator's baseline lists.
        stale: the baseline lists a finding that is gone.
    """
    codes = [ExitCode.OK]
    if stale or any(row.requirement.id not in baselined for row in judgement.violations):
        codes.append(ExitCode.VIOLATION)
    for row in judgement.rows:
        if row.verdict is Verdict.HARNESS_ERROR:
            codes.append(ExitCode.UNREACHABLE)
        known = row.requirement.id in baselined
        if row.verdict is Verdict.NOT_VERIFIED and row.finding.inside_scope and not known:
            codes.append(ExitCode.INCOMPLETE)
    if require_claim and any(claim.status is not ClaimStatus.CONFORMANT for claim in judgement.claims):
        codes.append(ExitCode.INCOMPLETE)
    return strongest(codes)
