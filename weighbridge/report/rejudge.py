"""What `weighbridge judge` prints: verdicts of recorded evidence, failures first, claims last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from weighbridge.judgement import Judgement
from weighbridge.verdict import Verdict


def rejudge_lines(judgement: Judgement, context: Mapping[str, Any]) -> Iterator[str]:
    """The result of judging a record again."""
    yield f"Judging the record of run {context['id']} ({context['target']['name']}) again"
    if context.get("truncated"):
        yield f"The recorded run ended early: {context['truncated']}"
    for verdict, mark in ((Verdict.FAIL, "FAIL"), (Verdict.HARNESS_ERROR, "ERROR"), (Verdict.WARN, "WARN")):
        for row in judgement.rows:
            if row.verdict is verdict:
                yield f"{mark:<5} {row.requirement.id}  {row.requirement.title}: {row.finding.message}"
    counts = ", ".join(
        f"{judgement.counts[verdict]} {verdict.value}" for verdict in Verdict if judgement.counts[verdict]
    )
    yield f"{len(judgement.rows)} requirements: {counts}"
    for claim in judgement.claims:
        yield f"  {claim.profile}: {claim.status} (edition {claim.edition}, {claim.scope} run)"
