"""Allure results of a recorded run: what allure-pytest writes in the session of a run, from the report instead.

One result for each requirement and profile that holds it, with the same labels: profile, area and requirement
as epic, feature and story, the exact verdict as a label of its own, and the exchanges as attachments.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from weighbridge.engine import Evidence
from weighbridge.evidence import Call
from weighbridge.report.exchange_text import told

#: Allure's word for each verdict; what could not be judged inside the scope is `broken`, else `skipped`.
_STATUS = {
    "pass": "passed", "warn": "passed", "fail": "failed", "harness_error": "broken",
    "unsupported": "skipped", "not_applicable": "skipped",
}  # fmt: skip
_MOST_ATTACHMENTS = 3


def status(verdict: str, *, inside_scope: bool) -> str:
    """Allure's status for a verdict."""
    if verdict == "not_verified":
        return "broken" if inside_scope else "skipped"
    return _STATUS[verdict]


def _result(
    document: Mapping[str, Any],
    row: Mapping[str, Any],
    part: Mapping[str, Any],
    attachments: list[dict[str, str]],
    begun: int,
) -> dict[str, Any]:
    name = f"{part['profile']}/{row['id']}"
    labels = {
        "epic": part["profile"],
        "feature": row["area"],
        "story": row["id"],
        "verdict": part["verdict"],
        "severity": {"MUST": "critical", "SHOULD": "normal"}.get(part["level"], "minor"),
        "framework": "weighbridge",
        "suite": part["profile"],
    }
    return {
        "uuid": str(uuid.uuid5(uuid.NAMESPACE_URL, f"weighbridge:{document['run']['id']}:{name}")),
        "historyId": hashlib.sha256(f"{document['target']['name']}:{name}".encode()).hexdigest()[:32],
        "testCaseId": hashlib.sha256(name.encode()).hexdigest()[:32],
        "fullName": name,
        "name": f"{row['id']}: {row['title']}",
        "description": f"{row['statement']}\n\n{row['why']}",
        "status": status(part["verdict"], inside_scope=row["inside_scope"]),
        "statusDetails": {
            "message": f"{part['verdict']}: {row['message']}" if row["message"] else part["verdict"]
        },
        "stage": "finished",
        "start": begun,
        "stop": begun,
        "labels": [{"name": label, "value": value} for label, value in labels.items()],
        "attachments": attachments,
        "steps": [],
        "parameters": [],
        "links": [],
    }


def write(document: Mapping[str, Any], evidence: Evidence | None, folder: Path) -> None:
    """Write the results into a folder that `allure generate` reads."""
    calls: dict[str, Call] = {}
    if evidence is not None:
        calls = {call.id: call for item in evidence.observations.values() for call in item.calls}
    folder.mkdir(parents=True, exist_ok=True)
    begun = int(datetime.fromisoformat(document["run"]["started"]).timestamp() * 1000)
    written: set[str] = set()
    for row in document["requirements"]:
        most = 1 if row["verdict"] == "pass" else _MOST_ATTACHMENTS
        shown = [ref for ref in row["evidence"] if ref in calls][:most]
        attachments = []
        for ref in shown:
            source = f"{ref}-attachment.txt"
            attachments.append({"name": ref, "source": source, "type": "text/plain"})
            if ref not in written:
                (folder / source).write_text(told(calls[ref]), encoding="utf-8", errors="replace")
                written.add(ref)
        for part in row["profiles"]:
            result = _result(document, row, part, attachments, begun)
            path = folder / f"{result['uuid']}-result.json"
            path.write_bytes(orjson.dumps(result))
