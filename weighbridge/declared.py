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


def as_declared(finding: Finding, rows: Iterable[str], facts: RunFacts) -> Finding:
    """The finding of a check, with the declared retries where it is about calls to the provider. Pure.

    Args:
        finding: what the check found.
        rows: the requirements that it judges.
        facts: hold what is declared.
    """
    if not facts.retry_policy or finding.outcome is not Outcome.BROKEN or _COUNTED_POSTS.isdisjoint(rows):
        return finding
    return replace(finding, observed=f"{finding.observed}; declared by the operator: {facts.retry_policy}")
