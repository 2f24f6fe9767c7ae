"""Evidence on disk: NDJSON with a header line, tables, one line per observation, and a footer line.

A run repeats itself: the same headers on every call, the same body sent again. So bodies and header lists are
lines of their own, each written once before its first use and referred to by number (see `evidence_tables`).
Values were redacted when they were made. The footer's counts tell a whole file from a truncated one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

import orjson

from weighbridge.clock import Clock
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
from weighbridge.evidence_tables import TableReader, TableWriter
from weighbridge.leftovers import Made
from weighbridge.scenario import Scenario

FORMAT = "weighbridge-evidence"
VERSION = 2
NAME = "evidence.ndjson"

#: An upstream call is written as a list in this order, which the header line repeats; defaults at its end are left out.
_UPSTREAM = tuple(field.name for field in fields(UpstreamCall))
_UPSTREAM_DEFAULTS = tuple(None if f.default is MISSING else f.default for f in fields(UpstreamCall))
_REQUIRED = sum(1 for field in fields(UpstreamCall) if field.default is MISSING)
_SCENARIO = tuple(field.name for field in fields(Scenario))
_READING = tuple(field.name for field in fields(Reading))
_HEADERS, _BODY = _UPSTREAM.index("headers"), _UPSTREAM.index("body")


@dataclass(frozen=True, slots=True)
class Summary:
    """What identifies an evidence file, for the report that goes with it."""

    name: str
    sha256: str
    size: int
    exchanges: int
    cut_bodies: int


def _upstream(call: UpstreamCall, tables: TableWriter) -> list[Any]:
    values = [getattr(call, name) for name in _UPSTREAM]
    values[_HEADERS] = tables.headers(call.headers)
    values[_BODY] = tables.body(call.body.encode("utf-8", "replace"))
    while len(values) > _REQUIRED and values[-1] == _UPSTREAM_DEFAULTS[len(values) - 1]:
        values.pop()
    return values


def _unupstream(raw: list[Any], tables: TableReader) -> UpstreamCall:
    values = dict(zip(_UPSTREAM, raw, strict=False))
    values["headers"] = tables.headers(values["headers"])
    values["body"] = tables.body(values["body"]).decode("utf-8", "replace")
    if "writes_us" in values:
        values["writes_us"] = tuple(values["writes_us"])
    return UpstreamCall(**values)


def _response(response: Response, tables: TableWriter) -> dict[str, Any]:
    return {
        "status": response.status,
        "headers": tables.headers(response.headers),
        "body": tables.body(response.body),
        "chunks": [[chunk.at, len(chunk.data)] for chunk in response.chunks],
    }


def _unresponse(raw: Mapping[str, Any], tables: TableReader) -> Response:
    body = tables.body(raw["body"])
    chunks, start = [], 0
    for at, length in raw["chunks"]:
        chunks.append(Chunk(at, body[start : start + length]))
        start += length
    return Response(raw["status"], tables.headers(raw["headers"]), tuple(chunks))


def _call(call: Call, tables: TableWriter) -> dict[str, Any]:
    seen = call.exchange
    return {
        "situation": call.situation,
        "surface": call.surface,
        "role": call.role,
        "model": call.model,
        "principal": call.principal,
        "scenario": None
        if call.scenario is None
        else {name: value for name in _SCENARIO if (value := getattr(call.scenario, name)) is not None},
        "streamed": call.streamed,
        "retried": call.retried,
        "contention": call.contention,
        "lag": call.lag,
        "upstream": None if call.upstream is None else [_upstream(item, tables) for item in call.upstream],
        "exchange": {
            "id": seen.id,
            "request": {
                "method": seen.request.method,
                "url": seen.request.url,
                "headers": tables.headers(seen.request.headers),
                "body": tables.body(seen.request.body),
            },
            "response": None if seen.response is None else _response(seen.response, tables),
            "ending": seen.ending.value,
            "started": seen.started,
            "ended_at": seen.ended_at,
            "head_at": seen.head_at,
            "detail": seen.detail,
        },
    }


def _uncall(raw: Mapping[str, Any], tables: TableReader) -> Call:
    seen = raw["exchange"]
    request, answer = seen["request"], seen["response"]
    return Call(
        exchange=Exchange(
            id=seen["id"],
            request=Request(
                request["method"],
                request["url"],
                tables.headers(request["headers"]),
                tables.body(request["body"]),
            ),
            response=None if answer is None else _unresponse(answer, tables),
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
        else tuple(_unupstream(item, tables) for item in raw["upstream"]),
        retried=raw["retried"],
        contention=raw.get("contention", False),
        lag=raw.get("lag", 0.0),
        cut=tables.is_cut(request["body"]) or (answer is not None and tables.is_cut(answer["body"])),
    )


def _observation(item: Observation, tables: TableWriter) -> dict[str, Any]:
    return {
        "probe": item.probe,
        "calls": [_call(call, tables) for call in item.calls],
        # Amounts as text: a target may show a balance beyond 64 bits.
        "readings": [
            {name: getattr(reading, name) for name in _READING} | {"amount": str(reading.amount)}
            for reading in item.readings
        ],
        "missing": item.missing,
        "contaminated": item.contaminated,
        "notes": item.notes,
        "error": item.error,
    }


def _lines(evidence: Evidence, context: Mapping[str, Any], tables: TableWriter) -> Iterator[dict[str, Any]]:
    yield {
        "format": FORMAT,
        "version": VERSION,
        "upstream_fields": _UPSTREAM,
        "facts": asdict(evidence.facts),
        "unwired": evidence.unwired,
        "duration": evidence.duration,
        "accounts_made": evidence.accounts_made,
        "made": [asdict(item) for item in evidence.made],
        "truncated": evidence.truncated,
        "clock": None if evidence.clock is None else asdict(evidence.clock),
        "context": context,
    }
    first = {"preflight": [_call(call, tables) for call in evidence.preflight]}
    yield from tables.new_lines()
    yield first
    for item in evidence.observations.values():
        line = _observation(item, tables)
        yield from tables.new_lines()
        yield line
    yield {"footer": {"observations": len(evidence.observations), "tables": tables.lines}}


def serialise(evidence: Evidence, context: Mapping[str, Any]) -> tuple[bytes, Summary]:
    """The evidence of a run as the bytes of its file, and what identifies it.

    Args:
        evidence: what was observed.
        context: what re-judging needs beyond it: the target's document and the selection, without secrets.
    """
    tables = TableWriter()
    data = b"".join(_encoded(line) + b"\n" for line in _lines(evidence, context, tables))
    return data, _summary(evidence, data, tables.cut)


def _summary(evidence: Evidence, data: bytes, cut: int) -> Summary:
    calls = len(evidence.preflight) + sum(len(item.calls) for item in evidence.observations.values())
    return Summary(NAME, hashlib.sha256(data).hexdigest(), len(data), calls, cut)


def _encoded(line: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(line)
    except TypeError:  # a lone surrogate out of a reply's JSON, which UTF-8 cannot hold
        return orjson.dumps(without_surrogates(line))


def without_surrogates(value: Any) -> Any:
    """A JSON value whose texts can be written as UTF-8; halves of surrogate pairs become U+FFFD."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Mapping):
        return {without_surrogates(key): without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_surrogates(item) for item in value]
    return value


def write(evidence: Evidence, path: Path, context: Mapping[str, Any]) -> Summary:
    """Write the evidence of a run; arguments as for `serialise`."""
    data, summary = serialise(evidence, context)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return summary


def read(path: Path) -> tuple[Evidence, dict[str, Any], Summary]:
    """Read evidence back, with its context and what identifies the file.

    Raises:
        UsageError: the file cannot be read, is none of ours, or is cut off.
    """
    try:
        data = path.read_bytes()
        lines = [orjson.loads(line) for line in data.split(b"\n") if line]
    except OSError as error:
        raise UsageError(f"the evidence {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(
            f"the evidence {path} is cut off or damaged ({error}); record the run again"
        ) from error
    if not lines or not isinstance(lines[0], dict) or lines[0].get("format") != FORMAT:
        raise UsageError(
            f"{path} is no evidence of a weighbridge run; name a run folder or its evidence.ndjson"
        )
    head = lines[0]
    if head["version"] != VERSION:
        raise UsageError(
            f"{path} has version {head['version']} of the format, this weighbridge reads {VERSION}; "
            "judge it with the weighbridge that recorded it"
        )
    footer = lines[-1].get("footer")
    if footer is None or footer["observations"] + footer["tables"] != len(lines) - 3:
        raise UsageError(f"the evidence {path} is cut off: its footer is missing; record the run again")
    try:
        tables = TableReader()
        evidence = _evidence(head, lines[1:-1], tables)
        return evidence, head["context"], _summary(evidence, data, tables.cut)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise UsageError(
            f"the evidence {path} is damaged ({type(error).__name__}: {error}); record the run again"
        ) from error


def _evidence(head: Mapping[str, Any], lines: list[dict[str, Any]], tables: TableReader) -> Evidence:
    observations: dict[str, Observation] = {}
    preflight: tuple[Call, ...] = ()
    for raw in lines:
        if tables.take(raw):
            continue
        if "preflight" in raw:
            preflight = tuple(_uncall(call, tables) for call in raw["preflight"])
            continue
        observations[raw["probe"]] = Observation(
            probe=raw["probe"],
            calls=tuple(_uncall(call, tables) for call in raw["calls"]),
            readings=tuple(
                Reading(**reading | {"amount": int(reading["amount"])}) for reading in raw["readings"]
            ),
            missing=tuple((name, reason) for name, reason in raw["missing"]),
            contaminated=tuple(raw["contaminated"]),
            notes=tuple(raw["notes"]),
            error=raw["error"],
        )
    lists = {name: tuple(head["facts"].get(name, ())) for name in ("groups", "own_usage")}
    return Evidence(
        facts=RunFacts(**head["facts"] | lists),
        observations=observations,
        preflight=preflight,
        unwired=tuple(head["unwired"]),
        duration=head["duration"],
        accounts_made=head["accounts_made"],
        made=tuple(Made(**item) for item in head.get("made", ())),
        truncated=head.get("truncated", ""),
        clock=None if head["clock"] is None else Clock(**head["clock"]),
    )
