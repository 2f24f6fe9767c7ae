"""The exchanges that a self-contained report carries: those that a finding or a picture refers to.

Bodies are cut at 16 KiB; the size and the hash of the whole body are stated, so that the evidence file can be
searched for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from weighbridge.engine import Evidence
from weighbridge.evidence import Call, Ending, Headers, UpstreamCall
from weighbridge.report.curl import curl
from weighbridge.report.marks import marks
from weighbridge.report.streams import is_stream

MAX_BODY = 16 * 1024
#: A requirement shows the exchanges of at most so many cases; the rest is in the evidence file.
MAX_REFS = 25
#: Upstream calls of one exchange that are shown; a task is polled for hundreds of times.
MAX_UPSTREAM = 8
_JUDGED_BAD = frozenset({"fail", "warn", "harness_error"})


def referred(document: Mapping[str, Any], evidence: Evidence) -> list[str]:
    """Ids of the exchanges that findings and pictures refer to, failures first."""
    rows = sorted(document["requirements"], key=lambda row: row["verdict"] not in _JUDGED_BAD)
    ids = [ref for row in rows for ref in row["evidence"][:MAX_REFS]]
    ids += [call.id for item in evidence.observations.values() for call in item.calls if is_stream(call)]
    ids += [ref for row in document["money"]["boundary"] for ref in row["evidence"]]
    ids += [
        step["after"]
        for history in document["money"]["histories"]
        for step in history["readings"]
        if step["after"]
    ]
    ids += [ref for item in document.get("beyond", ()) for ref in item["evidence"][:MAX_REFS]]
    return list(dict.fromkeys(ids))


def body(data: bytes) -> dict[str, Any]:
    """A body for display: text, whole size, and where it was cut the hash of the whole."""
    kept = data[:MAX_BODY]
    try:
        text, binary = kept.decode("utf-8"), False
    except UnicodeDecodeError as error:
        # A character that the cut went through is no reason to call the body binary.
        binary = not (len(data) > MAX_BODY and error.start >= MAX_BODY - 3)
        text = kept.decode("utf-8", errors="replace")
    made: dict[str, Any] = {"size": len(data), "text": text}
    if binary:
        made["binary"] = True
    if len(data) > MAX_BODY:
        made["sha256"] = hashlib.sha256(data).hexdigest()
    return made


class _Embedding:
    """Builds exchanges; header lists that repeat are numbered."""

    def __init__(self) -> None:
        self.headers: dict[Headers, int] = {}

    def number(self, headers: Headers) -> int:
        return self.headers.setdefault(headers, len(self.headers))

    def exchange(self, probe: str, call: Call) -> dict[str, Any]:
        seen = call.exchange
        made: dict[str, Any] = {
            "id": call.id,
            "probe": probe,
            "label": call.label,
            "situation": call.situation,
            "surface": call.surface,
            "who": call.principal,
            "method": seen.request.method,
            "url": seen.request.url,
            "sent": self.number(seen.request.headers),
            "request": body(seen.request.body),
            "curl": curl(call),
            "started": round(seen.started, 4),
            "took": round(seen.ended_at, 4),
            "ending": seen.ending.value,
            "detail": seen.detail,
            "whole": seen.ending is Ending.COMPLETE,
        }
        if call.streamed:
            made["streamed"] = True
        if seen.response is not None:
            made["status"] = seen.response.status
            made["received"] = self.number(seen.response.headers)
            made["response"] = body(seen.response.body)
        if call.upstream:
            made["upstream"] = [_upstream(item) for item in call.upstream[:MAX_UPSTREAM]]
            made["upstream_calls"] = len(call.upstream)
        return made


def _upstream(call: UpstreamCall) -> dict[str, Any]:
    return {
        "method": call.method,
        "path": call.path,
        "status": call.status,
        "ending": call.ending,
        "events": call.events_sent,
        "body": body(call.body.encode("utf-8", "replace")),
    }


def embed(document: Mapping[str, Any], evidence: Evidence) -> dict[str, Any]:
    """Everything a report shows of exchanges, ready to be written as JSON."""
    known: dict[str, tuple[str, Call]] = {
        call.id: (item.probe, call) for item in evidence.observations.values() for call in item.calls
    }
    known |= {call.id: ("preflight", call) for call in evidence.preflight if call.id not in known}
    building = _Embedding()
    exchanges = [building.exchange(*known[ref]) for ref in referred(document, evidence) if ref in known]
    return {
        "exchanges": exchanges,
        "headers": [list(map(list, headers)) for headers in building.headers],
        "marks": {
            row["id"]: {ref: marks(row, known[ref][1]) for ref in row["evidence"][:MAX_REFS] if ref in known}
            for row in _bad(document["requirements"])
        },
    }


def _bad(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["verdict"] in _JUDGED_BAD or row["inside_scope"]]


def packed(value: Any) -> str:
    """JSON, compressed and in Base64: small, and without a character that HTML could misread."""
    import base64
    import gzip

    data = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return base64.b64encode(gzip.compress(data, 6, mtime=0)).decode()
