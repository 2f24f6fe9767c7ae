"""report.json: the one document of a run. Every other format is a view of it and adds nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from weighbridge import __version__
from weighbridge.capabilities import CAPABILITIES, capabilities
from weighbridge.catalogue import EDITION
from weighbridge.engine import Evidence
from weighbridge.evidence import Call
from weighbridge.evidence_file import Summary, without_surrogates
from weighbridge.judgement import Claim, Judgement, RowResult
from weighbridge.output import replace_file
from weighbridge.plan import Plan
from weighbridge.redaction import Secrets
from weighbridge.report import money
from weighbridge.report.curl import curl
from weighbridge.requirement_texts import texts
from weighbridge.target import Target
from weighbridge.verdict import Verdict

FORMAT = "weighbridge-report"
FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What identifies a run."""

    id: str
    started: str
    duration: float
    seed: int


def _situations(calls: Iterable[Call]) -> list[dict[str, Any]]:
    """Provider POSTs per customer call, by situation: the figure nobody else shows."""
    wanted = {
        "plain": "success",
        "upstream-500": "upstream 500",
        "upstream-429": "upstream 429",
        "upstream-reset": "upstream reset",
        "broken-stream": "broken stream",
    }
    rows: dict[tuple[str, str, str, bool], list[int]] = {}
    for call in calls:
        shown = next((name for name in wanted if name in call.situations), None)
        if shown is not None and call.posts is not None and call.model:
            rows.setdefault((shown, call.surface, call.model, call.streamed), []).append(call.posts)
    order = list(wanted)
    return [
        {
            "situation": wanted[situation],
            "surface": surface,
            "model": model,
            "streamed": streamed,
            "calls": len(posts),
            "posts_min": min(posts),
            "posts_max": max(posts),
        }
        for (situation, surface, model, streamed), posts in sorted(
            rows.items(), key=lambda item: (order.index(item[0][0]), item[0][1:])
        )
    ]


def _tokens(calls: Iterable[Call]) -> tuple[int, int]:
    """Tokens as the target reported them in unstreamed replies."""
    prompt = completion = 0
    for call in calls:
        body = call.exchange.json
        usage = body.get("usage") if isinstance(body, dict) else None
        if isinstance(usage, dict):
            prompt += _count(usage, "prompt_tokens", "input_tokens")
            completion += _count(usage, "completion_tokens", "output_tokens")
    return prompt, completion


def _count(usage: Mapping[str, Any], *names: str) -> int:
    return next((value for name in names if isinstance(value := usage.get(name), int)), 0)


def _row(result: RowResult, calls: Mapping[str, Call]) -> dict[str, Any]:
    row, finding = result.requirement, result.finding
    told = texts(row)
    shown = next((calls[ref] for ref in finding.evidence if ref in calls), None)
    return {
        "id": row.id,
        "area": row.area,
        "title": row.title,
        "level": result.level.value,
        "verdict": result.verdict.value,
        "scored": result.scored,
        "profiles": [
            {"profile": part.profile, "level": part.level.value, "verdict": part.verdict.value}
            for part in result.profiles
        ],
        "message": finding.message,
        "required": finding.required,
        "observed": finding.observed,
        "why": told.why,
        "statement": told.statement,
        "sources": [{"document": source.document, "heading": source.heading} for source in row.sources],
        "reading": told.reading,
        "needs": list(row.needs),
        "missing": finding.missing,
        "inside_scope": finding.inside_scope,
        "checks": [
            {
                "id": check.id,
                "surface": check.surface,
                "outcome": check.finding.outcome.value,
                "message": check.finding.message,
                "evidence": list(check.finding.evidence),
            }
            for check in result.checks
        ],
        "evidence": list(finding.evidence),
        "curl": curl(shown) if shown is not None and result.verdict in {Verdict.FAIL, Verdict.WARN} else "",
        "attempts": 1,
    }


def _claim(claim: Claim) -> dict[str, Any]:
    return {
        "profile": claim.profile,
        "edition": claim.edition,
        "status": claim.status.value,
        "scope": claim.scope,
        "scored": claim.scored,
        "rows": claim.rows,
        "counts": {verdict.value: claim.counts.get(verdict, 0) for verdict in Verdict},
    }


def _remedies(judgement: Judgement) -> list[dict[str, Any]]:
    """Which missing thing would turn which rows into verdicts; capabilities first, with how to declare them."""
    rows: dict[str, list[str]] = {}
    for result in judgement.rows:
        if result.verdict is Verdict.NOT_VERIFIED and not result.requirement.not_checked:
            rows.setdefault(result.finding.missing or result.finding.message, []).append(
                result.requirement.id
            )
    ordered = sorted(rows.items(), key=lambda item: (item[0] not in CAPABILITIES, -len(item[1]), item[0]))
    return [
        {"missing": name, "how": CAPABILITIES.get(name.partition(" ")[0], ""), "requirements": ids}
        for name, ids in ordered
    ]


def describe_target(target: Target, surfaces: Sequence[str]) -> dict[str, Any]:
    """What a report says about the target; without the secrets that its URLs may hold."""
    secrets = Secrets(target.secrets())
    return {
        "name": target.name,
        "place": target.place,
        "identity": dict(target.identity),
        "surfaces": {name: secrets.text(surface.url) for name, surface in target.surfaces.items()},
        "models": dict(target.models),
        "retry_policy": target.retry_policy,
        "out_of_credit_status": target.out_of_credit_status,
        "capabilities": [
            {"surface": surface, "name": item.name, "source": item.source}
            for surface in surfaces
            for item in capabilities(target, surface).values()
        ],
    }


def build(
    *,
    target: Mapping[str, Any],
    plan: Plan,
    evidence: Evidence,
    judgement: Judgement,
    run: RunInfo,
    generated: frozenset[str],
    baseline: Mapping[str, Any] | None = None,
    changed: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
    recorded: Summary | None = None,
) -> dict[str, Any]:
    """The report of a run, footer included.

    Args:
        target: what was judged, as `describe_target` gives it.
        plan: what was to be judged.
        evidence: what was observed.
        judgement: what it means.
        run: identity of the run.
        generated: probes whose calls were made by a generator.
        baseline: how the run compares with the operator's baseline.
        changed: yields what changed since an earlier run, from the report as built so far.
        recorded: the evidence file that goes with the report; None where there is none.
    """
    groups = [(item.probe, call) for item in evidence.observations.values() for call in item.calls]
    calls = [call for _, call in groups]
    by_id = {call.id: call for call in calls}
    every = [*calls, *evidence.preflight]
    prompt, completion = _tokens(every)
    made = sum(1 for probe, _ in groups if probe in generated)
    contending = sum(1 for probe, call in groups if call.contention and probe not in generated)
    document: dict[str, Any] = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "tool": {"name": "weighbridge", "version": __version__},
        "edition": EDITION,
        "run": {
            "id": run.id,
            "started": run.started,
            "duration_s": round(run.duration, 3),
            "gathering_s": round(evidence.duration, 3),
            "seed": run.seed,
            "scope": "partial" if plan.selection.partial or evidence.truncated else "full",
            **({"truncated": evidence.truncated} if evidence.truncated else {}),
        },
        "target": target,
        "spent": {
            "calls": len(every),
            "directed": len(every) - made - contending,
            "generated": made,
            "contention": contending,
            "upstream_posts": sum(call.posts or 0 for call in every),
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "accounts_made": evidence.accounts_made,
        },
        "upstream_posts": _situations(calls),
        "unwired_models": list(evidence.unwired),
        "evidence": None
        if recorded is None
        else {
            "file": recorded.name,
            "sha256": recorded.sha256,
            "bytes": recorded.size,
            "exchanges": recorded.exchanges,
            "cut_bodies": recorded.cut_bodies,
        },
        "clock": None
        if evidence.clock is None
        else {"uncertainty_s": round(evidence.clock.uncertainty_s, 9), "pings": evidence.clock.pings},
        "requirements": [_row(row, by_id) for row in judgement.rows],
        "remedies": _remedies(judgement),
        "money": {"histories": money.histories(evidence), "boundary": money.boundary(evidence)},
        "counts": {verdict.value: judgement.counts.get(verdict, 0) for verdict in Verdict},
        "claims": [_claim(claim) for claim in judgement.claims],
    }
    if evidence.made:
        document["made"] = [asdict(item) for item in evidence.made]
    if baseline is not None:
        document["baseline"] = baseline
    if changed is not None:
        document["diff"] = changed(document)
    try:
        document["footer"] = footer(document)
    except UnicodeEncodeError:  # a reply's JSON held half of a surrogate pair, which no file can
        document = without_surrogates(document)
        document["footer"] = footer(document)
    return document


def footer(document: Mapping[str, Any]) -> dict[str, Any]:
    """What proves that a report is whole: the number of rows and a digest of all that precedes."""
    body = {key: value for key, value in document.items() if key != "footer"}
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return {
        "complete": True,
        "requirements": len(body["requirements"]),
        "sha256": hashlib.sha256(canonical.encode()).hexdigest(),
    }


def serialised(document: Mapping[str, Any]) -> bytes:
    """The report as the bytes of its file."""
    try:
        return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # a target that counts tokens beyond 64 bits
        return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def write(document: Mapping[str, Any], path: Path) -> None:
    """Write a report so that a reader never sees half of it."""
    replace_file(path, serialised(document))
