"""Evidence on disk: NDJSON with a header line, one line per observation, and a footer line.

Values were redacted when they were made. The footer's count tells a whole file from a truncated one.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from weighbridge.engine import Evidence
from weighbridge.errors import UsageError
from weighbridge.evidence import (
    Call,
    Chunk,
    Ending,
    Exchange,
    Observation,
    Reading,
    Request,
    Response,
    RunFacts,
    UpstreamCall,
)
from weighbridge.leftovers import Made
from weighbridge.scenario import Scenario

FORMAT = "weighbridge-evidence"


def _flat(item: UpstreamCall) -> dict[str, Any]:
    """As `asdict`, for a value whose fields are flat: a run writes thousands."""
    return {name: getattr(item, name) for name in UpstreamCall.__slots__}


def _bytes(data: bytes) -> dict[str, str]:
    try:
        return {"text": data.decode("utf-8")}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _unbytes(raw: Mapping[str, str]) -> bytes:
    return raw["text"].encode() if "text" in raw else base64.b64decode(raw["base64"])


def _call(call: Call) -> dict[str, Any]:
    seen = call.exchange
    response = None
    if seen.response is not None:
        response = {
            "status": seen.response.status,
            "headers": seen.response.headers,
            "chunks": [{"at": chunk.at} | _bytes(chunk.data) for chunk in seen.response.chunks],
        }
    return {
        "situation": call.situation,
        "surface": call.surface,
        "role": call.role,
        "model": call.model,
        "principal": call.principal,
        "scenario": None
        if call.scenario is None
        else {name: value for name, value in asdict(call.scenario).items() if value is not None},
        "streamed": call.streamed,
        "retried": call.retried,
        "contention": call.contention,
        "upstream": None if call.upstream is None else [_flat(item) for item in call.upstream],
        "exchange": {
            "id": seen.id,
            "request": {
                "method": seen.request.method,
                "url": seen.request.url,
                "headers": seen.request.headers,
                "body": _bytes(seen.request.body),
            },
            "response": response,
            "ending": seen.ending.value,
            "started": seen.started,
            "ended_at": seen.ended_at,
            "head_at": seen.head_at,
            "detail": seen.detail,
        },
    }


def _headers(raw: Any) -> tuple[tuple[str, str], ...]:
    return tuple((str(name), str(value)) for name, value in raw)


def _uncall(raw: Mapping[str, Any]) -> Call:
    seen = raw["exchange"]
    answer = seen["response"]
    response = None
    if answer is not None:
        chunks = tuple(Chunk(item["at"], _unbytes(item)) for item in answer["chunks"])
        response = Response(answer["status"], _headers(answer["headers"]), chunks)
    request = seen["request"]
    return Call(
        exchange=Exchange(
            id=seen["id"],
            request=Request(
                request["method"], request["url"], _headers(request["headers"]), _unbytes(request["body"])
            ),
            response=response,
            ending=Ending(seen["ending"]),
            started=seen["started"],
            ended_at=seen["ended_at"],
            head_at=seen["head_at"],
            detail=seen["detail"],
        ),
        situation=raw["situation"],
        surface=raw["surface"],
        role=raw["role"],
        model=raw["model"],
        principal=raw["principal"],
        scenario=None if raw["scenario"] is None else Scenario(**raw["scenario"]),
        streamed=raw["streamed"],
        upstream=None
        if raw["upstream"] is None
        else tuple(UpstreamCall(**item | {"headers": _headers(item["headers"])}) for item in raw["upstream"]),
        retried=raw["retried"],
        contention=raw.get("contention", False),
    )


def _lines(evidence: Evidence, context: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield {
        "format": FORMAT,
        "version": 1,
        "facts": asdict(evidence.facts),
        "unwired": evidence.unwired,
        "duration": evidence.duration,
        "accounts_made": evidence.accounts_made,
        "made": [asdict(item) for item in evidence.made],
        "truncated": evidence.truncated,
        "context": context,
    }
    yield {"preflight": [_call(call) for call in evidence.preflight]}
    for item in evidence.observations.values():
        yield {
            "probe": item.probe,
            "calls": [_call(call) for call in item.calls],
            "readings": [asdict(reading) for reading in item.readings],
            "missing": item.missing,
            "contaminated": item.contaminated,
            "notes": item.notes,
            "error": item.error,
        }
    yield {"footer": {"observations": len(evidence.observations)}}


def write(evidence: Evidence, path: Path, context: Mapping[str, Any]) -> None:
    """Write the evidence of a run.

    Args:
        evidence: what was observed.
        path: the file.
        context: what re-judging needs beyond it: the target's document and the selection, without secrets.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for line in _lines(evidence, context):
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def read(path: Path) -> tuple[Evidence, dict[str, Any]]:
    """Read evidence back, with its context.

    Raises:
        UsageError: the file cannot be read, is none of ours, or is cut off.
    """
    try:
        text = path.read_text(encoding="utf-8")
        # Not splitlines(): it also cuts at U+2028 and its like, which JSON text may hold.
        lines = [json.loads(line) for line in text.split("\n") if line]
    except OSError as error:
        raise UsageError(f"the evidence {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(
            f"the evidence {path} is cut off or damaged ({error}); record the run again"
        ) from error
    if not lines or lines[0].get("format") != FORMAT:
        raise UsageError(
            f"{path} is no evidence of a weighbridge run; name a run folder or its evidence.ndjson"
        )
    footer = lines[-1].get("footer")
    if footer is None or footer["observations"] != len(lines) - 3:
        raise UsageError(f"the evidence {path} is cut off: its footer is missing; record the run again")
    head = lines[0]
    observations = {
        raw["probe"]: Observation(
            probe=raw["probe"],
            calls=tuple(_uncall(call) for call in raw["calls"]),
            readings=tuple(Reading(**reading) for reading in raw["readings"]),
            missing=tuple((name, reason) for name, reason in raw["missing"]),
            contaminated=tuple(raw["contaminated"]),
            notes=tuple(raw["notes"]),
            error=raw["error"],
        )
        for raw in lines[2:-1]
    }
    facts = RunFacts(**head["facts"] | {"groups": tuple(head["facts"]["groups"])})
    evidence = Evidence(
        facts=facts,
        observations=observations,
        preflight=tuple(_uncall(call) for call in lines[1]["preflight"]),
        unwired=tuple(head["unwired"]),
        duration=head["duration"],
        accounts_made=head["accounts_made"],
        made=tuple(Made(**item) for item in head.get("made", ())),
        truncated=head.get("truncated", ""),
    )
    return evidence, head["context"]
