"""What a target file says the deployment does by design, told with the finding about it. It never changes a verdict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from weighbridge.evidence import RunFacts
from weighbridge.verdict import Finding, Outcome

#: Rows about how many calls the provider gets for one of a caller.
_COUNTED_POSTS = frozenset(
    [*(f"CERR-NR-{number}" for number in range(1, 8)), "MERR-04", "PRAC-03", "PRAC-11", "PRAC-12"]
)
#: Rows about the status that a caller without money gets.
_WITHOUT_CREDIT = frozenset({"CERR-402-1", "MERR-01", "TBIL-13", "AIML-ERR-05"})


def as_declared(finding: Finding, rows: Iterable[str], facts: RunFacts) -> Finding:
    """The finding of a check, with what is declared where it is about that. Pure.

    Args:
        finding: what the check found.
        rows: the requirements that it judges.
        facts: hold what is declared.
    """
    if finding.outcome is not Outcome.BROKEN:
        return finding
    judged = frozenset(rows)
    status = facts.out_of_credit_status
    declared = (
        (_COUNTED_POSTS, facts.retry_policy),
        (_WITHOUT_CREDIT, f"status {status} for who has no credit" if status is not None else ""),
    )
    told = "; ".join(text for about, text in declared if text and judged & about)
    if not told:
        return finding
    return replace(finding, observed=f"{finding.observed}; declared by the operator: {told}")
