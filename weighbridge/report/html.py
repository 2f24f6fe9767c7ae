"""The HTML view: one file without outside links, which opens on claims and failures.

Python decides what is in it, the template in which order, `report.js` draws what is opened. Text of a target
reaches the page in two ways only: escaped by the template, or as compressed JSON that the script puts into
text nodes. A content security policy allows the page's own script and style by their hashes and nothing else.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined
from jinja2.bccache import Bucket

from weighbridge.engine import Evidence
from weighbridge.report import streams
from weighbridge.report.embedding import MAX_BODY, embed, packed
from weighbridge.requirement_pages import AREAS
from weighbridge.source_documents import DOCUMENTS

_TEMPLATES = Path(__file__).parent / "templates"

#: A sign and a word for each verdict, in the order in which a reader wants them.
VERDICTS = {
    "fail": ("✕", "fail"),
    "harness_error": ("⚠", "harness error"),
    "warn": ("!", "warn"),
    "not_verified": ("?", "not verified"),
    "unsupported": ("∅", "unsupported"),
    "not_applicable": ("·", "not applicable"),
    "pass": ("✓", "pass"),
}
CLAIMS = {
    "conformant": ("✓", "conformant"),
    "non_conformant": ("✕", "not conformant"),
    "incomplete": ("?", "incomplete"),
    "partial": ("◐", "partial"),
}


class _Compiled(FileSystemBytecodeCache):
    """Compiled templates beside their sources, as Python keeps compiled modules; none where that cannot be written.

    Jinja names each by its template's checksum, so a changed template is compiled anew.
    """

    def __init__(self) -> None:
        super().__init__(str(_TEMPLATES / "__pycache__"))

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep one; a folder that cannot be written costs the next run some tenths of a second, and no more."""
        with contextlib.suppress(OSError):
            Path(self.directory).mkdir(exist_ok=True)
            super().dump_bytecode(bucket)


@cache
def environment() -> Environment:
    """Templates of all HTML pages; everything is escaped, and a name that does not exist is an error."""
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        bytecode_cache=_Compiled(),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {
        "verdicts": VERDICTS,
        "claim_words": CLAIMS,
        "area_titles": AREAS,
        "documents": DOCUMENTS,
    }
    return made


@cache
def asset(name: str) -> str:
    """A script or style of this package."""
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def content_policy(script: str, style: str) -> str:
    """The content security policy that allows this script and this style, and nothing from anywhere else."""

    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    return (
        f"default-src 'none'; script-src 'sha256-{digest(script)}'; style-src 'sha256-{digest(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def findings(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The rows to show first: broken, our own errors, warnings, and what the scope should have shown."""
    rows = document["requirements"]
    order = ("fail", "harness_error", "warn")
    shown = [row for verdict in order for row in rows if row["verdict"] == verdict]
    return shown + [row for row in rows if row["verdict"] == "not_verified" and row["inside_scope"]]


def bars(counts: Mapping[str, int], width: int = 300) -> list[tuple[str, float, float]]:
    """Verdict, start and width of each part of a bar; a part that exists is wide enough to be seen."""
    order = ["pass", "not_applicable", "unsupported", "not_verified", "warn", "harness_error", "fail"]
    present = [(name, counts[name]) for name in order if counts[name]]
    total = sum(count for _, count in present)
    least = 4.0
    free = width - least * len(present)
    parts, at = [], 0.0
    for name, count in present:
        size = least + free * count / total
        parts.append((name, round(at, 2), round(size, 2)))
        at += size
    return parts


def _rows(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the script needs of the requirements: the texts of those details that are built when opened."""
    left_out = {"title", "level", "verdict", "area", "message"}
    return {
        row["id"]: {
            key: value for key, value in row.items() if key not in left_out and value not in ("", [], None)
        }
        for row in document["requirements"]
    }


def _areas(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    grouped: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        grouped.setdefault(row["area"], []).append(row)
    return [(area, grouped[area]) for area in dict.fromkeys((*AREAS, *grouped)) if area in grouped]


def _posts(table: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    situations = list(dict.fromkeys(row["situation"] for row in table))
    columns = list(dict.fromkeys((row["surface"], row["model"], row["streamed"]) for row in table))
    cells = {(row["surface"], row["model"], row["streamed"], row["situation"]): row for row in table}
    return {
        "situations": situations,
        "rows": [
            (column, [cells.get((*column, situation)) for situation in situations]) for column in columns
        ],
    }


def render(document: Mapping[str, Any], evidence: Evidence | None) -> str:
    """The page.

    Args:
        document: the report.
        evidence: the exchanges behind it; without any the page has no exchanges and no pictures of streams.
    """
    style, script = asset("report.css"), asset("report.js")
    shown = (
        embed(document, evidence) if evidence is not None else {"exchanges": [], "headers": [], "marks": {}}
    )
    pictures = list(streams.pictures(evidence)) if evidence is not None else []
    rows = document["requirements"]
    clock = document["clock"]
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            report=document,
            product=" ".join(
                document["target"]["identity"].get(part, "") for part in ("vendor", "product", "version")
            ).strip(),
            policy=content_policy(script, style),
            style=style,
            script=script,
            findings=findings(document),
            areas=_areas(rows),
            bars=bars,
            posts=_posts(document["upstream_posts"]),
            needs=sorted({need for row in rows for need in row["needs"]}),
            baseline=document.get("baseline"),
            diff=document.get("diff"),
            beyond=document.get("beyond", []),
            counts_of={"exchanges": len(shown["exchanges"]), "streams": len(pictures)},
            rows_data=packed(_rows(document)),
            evidence_data=packed(
                shown
                | {
                    "streams": pictures,
                    "money": document["money"],
                    "clock": clock,
                    "max_uncertainty_ms": streams.MAX_UNCERTAINTY_S * 1000,
                    "max_body": MAX_BODY,
                }
            ),
        )
    )
