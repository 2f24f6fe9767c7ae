"""Rules about generated traffic: judged from the record, never by generating again."""

from __future__ import annotations

from weighbridge.checks.findings import excerpt, holds, outcome_of
from weighbridge.evidence import Call, Observation
from weighbridge.verdict import Finding, Outcome


def no_server_error(call: Call) -> Finding:
    """A valid request is never answered with a 5xx."""
    seen = call.exchange.status
    return holds(call, seen is not None and seen < 500, "no 5xx on a valid request", outcome_of(call))


def no_server_error_though_invalid(call: Call) -> Finding:
    """A request that breaks the schema is never answered with a 5xx."""
    seen = call.exchange.status
    return holds(call, seen is not None and seen < 500, "no 5xx on an invalid request", outcome_of(call))


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
