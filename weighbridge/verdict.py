"""Findings, verdicts and claims: what evidence means, kept apart from what was seen.

A check yields a `Finding` (an `Outcome` with required and observed). The level of the requirement
turns the outcome into a `Verdict`; verdicts of scored rows turn into the `ClaimStatus` of a profile.
Everything here is a pure function.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum


class Level(StrEnum):
    """How strongly a requirement binds; the words of RFC 2119."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    MAY = "MAY"


_STRENGTH = {Level.MAY: 0, Level.SHOULD: 1, Level.MUST: 2}


def strongest_level(levels: Iterable[Level]) -> Level:
    """The level that binds most."""
    return max(levels, key=_STRENGTH.__getitem__)


def at_least(level: Level, floor: Level) -> bool:
    """Whether `level` binds as strongly as `floor` or more."""
    return _STRENGTH[level] >= _STRENGTH[floor]


class Outcome(StrEnum):
    """What a check found, before the level of the requirement is considered."""

    MET = "met"
    BROKEN = "broken"
    #: Met, but only by an alternative that the documents' contradictions leave open.
    ALTERNATIVE = "alternative"
    UNSUPPORTED = "unsupported"
    NOT_APPLICABLE = "not_applicable"
    NOT_VERIFIED = "not_verified"
    HARNESS_ERROR = "harness_error"


class Verdict(StrEnum):
    """The one word a report gives for a requirement."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    WARN = "warn"
    UNSUPPORTED = "unsupported"
    NOT_APPLICABLE = "not_applicable"
    NOT_VERIFIED = "not_verified"
    HARNESS_ERROR = "harness_error"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check says about one piece of evidence.

    Attributes:
        outcome: what was found.
        required: the rule, in a few words that fit behind "required:".
        observed: the shortest excerpt of the evidence that proves the outcome.
        evidence: ids of the exchanges that the finding rests on.
        missing: the capability that would have allowed a verdict, for `NOT_VERIFIED`.
        inside_scope: the capability was declared and did not deliver, or a probe broke.
        answered: statuses of the calls that an unmet finding rests on; 0 for no answer.
    """

    outcome: Outcome
    required: str = ""
    observed: str = ""
    evidence: tuple[str, ...] = ()
    missing: str | None = None
    inside_scope: bool = False
    answered: tuple[int, ...] = ()

    @property
    def message(self) -> str:
        """One line for people."""
        if self.outcome is Outcome.NOT_VERIFIED and self.missing:
            return f"needs {self.missing}"
        if self.required and self.observed:
            return f"required: {self.required}; observed: {self.observed}"
        return self.observed or self.required


#: (outcome) -> verdict at MUST, SHOULD, MAY. MAY rows report and never accuse.
_VERDICTS: dict[Outcome, tuple[Verdict, Verdict, Verdict]] = {
    Outcome.MET: (Verdict.PASS, Verdict.PASS, Verdict.PASS),
    Outcome.BROKEN: (Verdict.FAIL, Verdict.WARN, Verdict.PASS),
    Outcome.ALTERNATIVE: (Verdict.WARN, Verdict.WARN, Verdict.PASS),
    Outcome.UNSUPPORTED: (Verdict.UNSUPPORTED,) * 3,
    Outcome.NOT_APPLICABLE: (Verdict.NOT_APPLICABLE,) * 3,
    Outcome.NOT_VERIFIED: (Verdict.NOT_VERIFIED,) * 3,
    Outcome.HARNESS_ERROR: (Verdict.HARNESS_ERROR,) * 3,
}


def verdict_of(outcome: Outcome, level: Level) -> Verdict:
    """The verdict that an outcome means for a requirement of this level."""
    return _VERDICTS[outcome][{Level.MUST: 0, Level.SHOULD: 1, Level.MAY: 2}[level]]


#: When several checks judge one row, the first of these that occurs decides.
_ROLL_UP = (
    Outcome.BROKEN,
    Outcome.HARNESS_ERROR,
    Outcome.NOT_VERIFIED,
    Outcome.ALTERNATIVE,
    Outcome.UNSUPPORTED,
    Outcome.MET,
    Outcome.NOT_APPLICABLE,
)


def roll_up(findings: Sequence[Finding], of: str | None = "cases") -> Finding:
    """The finding that speaks for all: a violation first, and never a pass out of nothing.

    Evidence of all findings with the deciding outcome is joined, so that a report can show each case.

    Args:
        findings: what speaks.
        of: what each finding is about, to say how many of them are violations; None to say nothing of it.
    """
    if not findings:
        return Finding(Outcome.NOT_VERIFIED, observed="no check ran", missing="a check")
    for outcome in _ROLL_UP:
        same = [finding for finding in findings if finding.outcome is outcome]
        if same:
            evidence = tuple(dict.fromkeys(ref for finding in same for ref in finding.evidence))
            first = next((finding for finding in same if finding.inside_scope), same[0])
            observed = first.observed
            if of is not None and outcome is Outcome.BROKEN and len(same) > 1:
                observed = f"{observed} ({len(same)} of {len(findings)} {of})"
            answered = tuple(sorted({status for finding in same for status in finding.answered}))
            return replace(first, evidence=evidence, observed=observed, answered=answered)
    raise AssertionError("every outcome has a rank")


class ClaimStatus(StrEnum):
    """What a deployment may say about a profile after a run."""

    CONFORMANT = "conformant"
    NON_CONFORMANT = "non_conformant"
    INCOMPLETE = "incomplete"
    PARTIAL = "partial"


def claim_status(must_verdicts: Sequence[Verdict], *, partial: bool) -> ClaimStatus:
    """The claim that follows from the verdicts of all scored MUST rows of a profile.

    Args:
        must_verdicts: one verdict per scored MUST row; `warn` there means an accepted alternative.
        partial: the run was narrowed, so it claims nothing.
    """
    if partial:
        return ClaimStatus.PARTIAL
    if any(verdict in {Verdict.FAIL, Verdict.UNSUPPORTED} for verdict in must_verdicts):
        return ClaimStatus.NON_CONFORMANT
    good = {Verdict.PASS, Verdict.NOT_APPLICABLE, Verdict.WARN}
    if must_verdicts and all(verdict in good for verdict in must_verdicts):
        return ClaimStatus.CONFORMANT
    return ClaimStatus.INCOMPLETE
