"""Rules about generated traffic: judged from the record, never by generating again."""

from __future__ import annotations

from dataclasses import replace

from weighbridge.checks.findings import excerpt, holds, outcome_of
from weighbridge.evidence import Call, Observation
from weighbridge.verdict import Finding, Outcome

#: A note about bodies that were drawn to break a schema and do not: `left-out:PATH<TAB>COUNT`.
LEFT_OUT = "left-out:"


def no_server_error(call: Call) -> Finding:
    """A valid request is never answered with a 5xx."""
    seen = call.exchange.status
    return holds(call, seen is not None and seen < 500, "no 5xx on a valid request", outcome_of(call))


def no_server_error_though_invalid(call: Call) -> Finding:
    """A request that breaks the schema is never answered with a 5xx."""
    seen = call.exchange.status
    return holds(call, seen is not None and seen < 500, "no 5xx on an invalid request", outcome_of(call))


def invalid_never_crash(observation: Observation) -> list[Finding]:
    """No request that breaks the contract ends in a 5xx; tells how many drawn ones were left out as valid after all."""
    findings = [no_server_error_though_invalid(call) for call in observation.where("generated-invalid")]
    counts = [note.rpartition("\t")[2] for note in observation.notes if note.startswith(LEFT_OUT)]
    told = f"; {sum(map(int, counts))} more were drawn and left out, being valid after all" if counts else ""
    return [replace(finding, observed=f"{finding.observed}{told}") for finding in findings]


def as_documented(observation: Observation) -> list[Finding]:
    """What the schema-driven tool said about each answer, shortest counterexample first."""
    required = "status, content type and body as documented in spec/openapi.yaml"
    complaints: dict[str, str] = {}
    for note in observation.notes:
        id_, _, text = note.partition("\t")
        complaints.setdefault(id_, text)
    drawn = observation.where("generated", "generated:poll")
    calls = sorted(drawn, key=lambda call: len(call.exchange.request.body))
    findings = [
        Finding(
            Outcome.BROKEN,
            required,
            f"{complaints[call.id]}; smallest request: {excerpt(call.exchange.request.body.decode(errors='replace'))}",
            (call.id,),
        )
        for call in calls
        if call.id in complaints
    ]
    return findings or [
        Finding(Outcome.MET, required, f"{len(calls)} generated calls", ()) for _ in calls[:1]
    ]
