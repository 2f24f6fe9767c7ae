"""Whose token counts a deployment reports and bills: those of its upstream, or its own.

A wired run scripts the provider's usage. A deployment that counts tokens itself reports something else, which is
its right where no document forbids it; rows that rest on scripted counts then cannot be judged by them. Counts
that are neither the provider's nor any that the texts could have are wrong, and stay findings.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from weighbridge.catalogue import load as load_catalogue
from weighbridge.evidence import Call, Observation, RunFacts
from weighbridge.scenario import Scenario
from weighbridge.verdict import Finding, Outcome

#: Counts that no tokenizer makes out of a text this short.
SCRIPT = Scenario(text="Weighed and found right.", prompt_tokens=12_347, completion_tokens=919)

#: Rows beside those of prices whose checks compare with scripted counts.
_COUNTED = frozenset(
    [
        "CRES-12",
        "CRES-13",
        "CRES-15",
        "MSTR-07",
        "CLA-06",
        "CLA-07",
        "CLA-08",
        "GPT-24",
        "VIS-08",
        "CLIM-02",
        "AIML-REQ-20",
        "AIML-REQ-23",
        "MCACHE-01",
        "MCACHE-02",
        "MSG-15",
    ]
)
MISSING = "usage: upstream"


def reported_usage(call: Call) -> tuple[int, int] | None:
    """Input and output tokens as an unstreamed reply reports them, in either dialect."""
    body = call.exchange.json
    usage = body.get("usage") if isinstance(body, dict) else None
    if not isinstance(usage, dict):
        return None
    pairs = (("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens"))
    for one, two in pairs:
        if isinstance(usage.get(one), int) and isinstance(usage.get(two), int):
            return usage[one], usage[two]
    return None


def whose(call: Call) -> str | None:
    """`upstream` for the scripted counts, `own` for counts that the texts can have, None for neither.

    A token is at least one byte of a text, so more tokens than bytes were counted by nobody. Output alone
    decides about the scripted ones: input may be told with or without its cached part.
    """
    found, script, answer = reported_usage(call), call.scenario, call.exchange.response
    if found is None or script is None or script.completion_tokens is None or answer is None:
        return None
    if found[1] == script.completion_tokens:
        return "upstream"
    written = len((script.text or json.dumps(answer.json)).encode())
    possible = 0 < found[1] <= written and 0 < found[0] <= len(call.exchange.request.body)
    return "own" if possible else None


def own_counters(calls: Iterable[Call], unwired: Iterable[str]) -> tuple[str, ...]:
    """Models whose replies report the deployment's own counts."""
    dark = set(unwired)
    found = (call.model for call in calls if call.model and call.exchange.ok and whose(call) == "own")
    return tuple(dict.fromkeys(model for model in found if model not in dark))


def rests_on_script(call: Call) -> bool:
    """Whether the call's provider was told which token counts to report."""
    script = call.scenario
    return script is not None and (script.prompt_tokens is not None or script.completion_tokens is not None)


def spared(
    finding: Finding, rows: Iterable[str], observations: Mapping[str, Observation], facts: RunFacts
) -> Finding:
    """The finding of a check, or not verified where it rests on counts that the deployment does not take over. Pure.

    Args:
        finding: what the check found.
        rows: the requirements that it judges.
        observations: the evidence of the run.
        facts: name the models with counts of their own.
    """
    if not facts.own_usage or finding.outcome is not Outcome.BROKEN:
        return finding
    catalogue = load_catalogue()
    if not any(row in _COUNTED or "rates" in catalogue.requirement(row).needs for row in rows):
        return finding
    refs = set(finding.evidence)
    for observation in observations.values():
        for call in observation.calls:
            if call.id in refs and call.model in facts.own_usage and rests_on_script(call):
                told = f"{call.model} reports token counts of its own, so scripted ones say nothing: {finding.observed}"
                return replace(finding, outcome=Outcome.NOT_VERIFIED, missing=MISSING, observed=told)
    return finding
