"""The SARIF 2.1.0 view: findings as results that point to the line of the target file that declares the surface.

Code scanning wants a place in a file. A gateway has none, but the target file in the repository does: the line
of the surface on which the requirement was judged. A target named by a URL has no file, so its results name
the URL as a logical location only.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {"fail": "error", "harness_error": "error", "warn": "warning", "not_verified": "note"}


def surface_lines(text: str) -> dict[str, int]:
    """The line, from 1, on which each surface of a target file is declared; empty where the text is no such file."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return {}
    surfaces = _member(root, "surfaces")
    if not isinstance(surfaces, yaml.MappingNode):
        return {}
    return {str(key.value): key.start_mark.line + 1 for key, _ in surfaces.value}


def _member(node: yaml.Node | None, name: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for key, value in node.value if key.value == name), None)


def _places(document: Mapping[str, Any]) -> tuple[str | None, dict[str, int]]:
    """The target file as it was named, and its lines; None where the target is no readable file."""
    path = Path(document["target"]["place"])
    try:
        lines = surface_lines(path.read_text(encoding="utf-8"))
        # Code scanning wants paths of the repository, which is where a CI job runs.
        inside = path.is_absolute() and path.is_relative_to(Path.cwd())
        return (path.relative_to(Path.cwd()) if inside else path).as_posix(), lines
    except (OSError, ValueError):
        return None, {}


def _rule(row: Mapping[str, Any]) -> dict[str, Any]:
    sources = "; ".join(f"{source['document']}, {source['heading']}" for source in row["sources"])
    return {
        "id": row["id"],
        "name": row["title"],
        "shortDescription": {"text": row["title"]},
        "fullDescription": {"text": row["statement"]},
        "help": {"text": f"{row['statement']}\n\nWhy a client cares: {row['why']}\n\nSource: {sources}"},
        "defaultConfiguration": {"level": "error" if row["level"] == "MUST" else "warning"},
        "properties": {"level": row["level"], "area": row["area"], "tags": [row["area"]]},
    }


def _location(surface: str, url: str, file: str | None, lines: Mapping[str, int]) -> dict[str, Any]:
    place: dict[str, Any] = {
        "logicalLocations": [{"name": surface, "fullyQualifiedName": url or surface, "kind": "resource"}]
    }
    if file is not None:
        place["physicalLocation"] = {
            "artifactLocation": {"uri": file},
            "region": {"startLine": lines.get(surface, 1)},
        }
    return place


def _result(
    document: Mapping[str, Any],
    row: Mapping[str, Any],
    index: int,
    file: str | None,
    lines: Mapping[str, int],
) -> dict[str, Any]:
    bad = [check["surface"] for check in row["checks"] if check["outcome"] not in {"met", "not_applicable"}]
    surfaces = list(dict.fromkeys(bad or [check["surface"] for check in row["checks"]]))
    urls = document["target"]["surfaces"]
    text = row["message"] or row["observed"] or row["verdict"]
    return {
        "ruleId": row["id"],
        "ruleIndex": index,
        "level": _LEVELS[row["verdict"]],
        "message": {"text": f"{row['title']}: {text}. Why a client cares: {row['why']}"},
        "locations": [
            _location(name, urls.get(name, ""), file, lines) for name in surfaces or list(urls)[:1]
        ],
        "partialFingerprints": {"requirement/v1": f"{document['target']['name']}/{row['id']}"},
        "properties": {
            "verdict": row["verdict"],
            "edition": document["edition"],
            "profiles": [part["profile"] for part in row["profiles"]],
            "evidence": row["evidence"][:10],
        },
    }


def render(document: Mapping[str, Any]) -> dict[str, Any]:
    """The SARIF log of a report: failures, warnings, our own errors, and what the scope should have shown."""
    rows = [
        row
        for row in document["requirements"]
        if row["verdict"] in {"fail", "warn", "harness_error"}
        or (row["verdict"] == "not_verified" and row["inside_scope"])
    ]
    file, lines = _places(document)
    tool = document["tool"]
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": tool["name"],
                        "semanticVersion": tool["version"],
                        "rules": [_rule(row) for row in rows],
                    }
                },
                "automationDetails": {
                    "id": f"weighbridge/{document['target']['name']}/{document['run']['id']}"
                },
                "columnKind": "unicodeCodePoints",
                "results": [_result(document, row, index, file, lines) for index, row in enumerate(rows)],
                "properties": {
                    "edition": document["edition"],
                    "claims": {claim["profile"]: claim["status"] for claim in document["claims"]},
                },
            }
        ],
    }
