"""What a 429 means that no check was after: nothing about anything else, however often it comes. Pure.

Such a call was waited out and sent once more (`sending`). Where the second answer is a 429 as well, it was not
served for a reason that lies in our pace, so what a check would say about it is not verified.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from weighbridge.evidence import Observation
from weighbridge.verdict import Finding, Outcome

#: Who has no money sends one call and waits: a 429 is then what the target says to that, as some vendors do.
_WITHOUT_CREDIT = frozenset({"broke", "one-short"})


def limited_twice(observations: Iterable[Observation]) -> frozenset[str]:
    """Ids of the calls that were answered 429, waited, and were answered 429 again."""
    return frozenset(
        call.id
        for item in observations
        for call in item.calls
        if call.retried is not None
        and call.exchange.status == 429
        and call.situations.isdisjoint(_WITHOUT_CREDIT)
    )


def excused(finding: Finding, limited: frozenset[str]) -> Finding:
    """The finding; not verified where it is a violation that rests on nothing but such calls."""
    if (
        finding.outcome is not Outcome.BROKEN
        or not finding.evidence
        or not limited.issuperset(finding.evidence)
    ):
        return finding
    told = (
        f"429 twice, though nothing had provoked it; declare a lower requests_per_second: {finding.observed}"
    )
    return replace(finding, outcome=Outcome.NOT_VERIFIED, observed=told, inside_scope=True)
