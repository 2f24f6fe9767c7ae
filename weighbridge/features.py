"""Features a product may lack: what a finding means where its calls were refused, by what the target declares.

A feature is tested both ways. Its own calls are made whatever is declared; where they are answered well, its rows
are judged as they stand. Declared as offered, a refusal is a finding. Not declared, or declared as absent, they are
probes for a refusal: the documents have 400 for a request that cannot be served, and no document promises more about
a product without tools, vision, web search or prompt caching. So a refusal makes the rows `unsupported`; a call that
is answered as if the feature had not been asked for is told as that; and a failure (5xx, no answer) is no refusal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from weighbridge.evidence import Call, Observation
from weighbridge.verdict import Finding, Outcome

#: docs: Errors: what a request that cannot be served is answered with.
DOCUMENTED_REFUSAL = 400
#: What servers answer to a member, a route or a media type that they do not know; others are about the caller.
REFUSALS = frozenset({DOCUMENTED_REFUSAL, 404, 405, 415, 422, 501})
#: Features whose use is asked for by a call, so that it can be refused.
ASKED_FOR = frozenset({"tools", "vision", "web_search", "prompt_caching"})
_OPEN = frozenset({Outcome.BROKEN, Outcome.NOT_VERIFIED})


#: Situations whose calls ask for a feature, and that rows about other things look at as well.
_ASKING = frozenset({"tool-call"})


def beside_refused(calls: Iterable[Call]) -> tuple[Call, ...]:
    """The calls without those that asked for a feature and were refused: that is for the feature's own rows. Pure.

    Where nothing else was called, they stay.
    """
    every = tuple(calls)
    kept = tuple(
        call for call in every if call.situation not in _ASKING or call.exchange.status not in REFUSALS
    )
    return kept or every


def answered(finding: Finding, observations: Mapping[str, Observation]) -> Finding:
    """The finding with the statuses of the calls that it rests on, where it is not met; 0 stands for no answer. Pure."""
    if finding.outcome not in _OPEN or not finding.evidence:
        return finding
    refs = set(finding.evidence)
    seen = {
        call.exchange.status or 0 for item in observations.values() for call in item.calls if call.id in refs
    }
    return replace(finding, answered=tuple(sorted(seen)))


def without(
    finding: Finding, feature: str, *, declared: bool | None, optional: bool, offered: bool
) -> Finding:
    """What a finding about a row means for a product that may lack the row's feature. Pure.

    Args:
        finding: of the row.
        feature: the row's; empty for a row that every product is held to.
        declared: what the target file says about it; None for nothing.
        optional: the profile does not ask for it. A profile that does is a declaration by itself.
        offered: another row of the feature is met, so the product has it.
    """
    if finding.outcome not in _OPEN or not feature or declared is True or (declared is None and not optional):
        return finding
    if feature not in ASKED_FOR:
        return (
            _unsupported(finding, f"{feature} is declared as not offered: {finding.observed}")
            if declared is False
            else finding
        )
    refused = bool(finding.answered) and set(finding.answered) <= REFUSALS
    if declared is None:
        if not refused or offered:
            return finding
        return _unsupported(finding, f"{feature} is not declared, and {_refusal(finding)}")
    if refused:
        return _unsupported(finding, f"{feature} is declared as not offered, and {_refusal(finding)}")
    if any(status == 0 or status >= 500 for status in finding.answered):
        return replace(
            finding,
            outcome=Outcome.NOT_VERIFIED,
            observed=f"{feature} is declared as not offered, and its use fails rather than being refused: {finding.observed}",
            missing=f"a refusal of {feature}",
            inside_scope=False,
        )
    told = "; no document promises how its use is answered then" if finding.answered else ""
    return _unsupported(finding, f"{feature} is declared as not offered{told}: {finding.observed}")


def _refusal(finding: Finding) -> str:
    statuses = " and ".join(map(str, finding.answered))
    told = "" if finding.answered == (DOCUMENTED_REFUSAL,) else f" (documented: {DOCUMENTED_REFUSAL})"
    return f"its use is refused with {statuses}{told}"


def _unsupported(finding: Finding, observed: str) -> Finding:
    return replace(finding, outcome=Outcome.UNSUPPORTED, observed=observed, missing=None, inside_scope=False)
