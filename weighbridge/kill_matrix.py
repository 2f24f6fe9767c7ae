"""docs/kill-matrix.md from what `weighbridge prove --json` wrote: which requirement caught what.

`python -m weighbridge.kill_matrix MATRIX.json` writes the page. It names only defects that were judged, so a
test compares it with the lists of today: a new defect makes the page stale until the matrix is proved again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from weighbridge import __version__
from weighbridge.catalogue import EDITION, load

PAGE = Path("docs") / "kill-matrix.md"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def page(document: Mapping[str, Any], date: str) -> str:
    """The page as text.

    Args:
        document: the matrix of a whole proof.
        date: the day of the proof.
    """
    return "\n".join(_lines(document, date)) + "\n"


def _lines(document: Mapping[str, Any], date: str) -> Iterator[str]:
    defects, variants = document["defects"], document["variants"]
    killed = sum(1 for defect in defects if defect["verdict"] == "killed")
    spared = sum(1 for variant in variants if variant["id"] not in document["accused"])
    yield "# Kill matrix"
    yield ""
    yield (
        "Each defect is the reference gateway with one behaviour replaced by a mistake; a requirement catches it "
        "when its verdict becomes `fail` (`warn` for SHOULD). Each variant is odd but right, and must not be "
        "accused. Written by `make kill-matrix`; do not edit."
    )
    yield ""
    yield f"- version {__version__}, edition {EDITION}, proved on {date}"
    yield f"- {killed} of {len(defects)} defects killed by a requirement that they name"
    yield f"- {spared} of {len(variants)} right gateways not accused"
    yield f"- {len(document['toothless'])} checks of MUST rows that no defect makes fail"
    yield ""
    yield "## Defects"
    yield ""
    yield "| defect | what is wrong | caught by | also broken |"
    yield "|---|---|---|---|"
    for defect in defects:
        caught = ", ".join(defect["killed_by"]) or "**survived**"
        also = ", ".join(defect["also_broken"][:6]) + (" ..." if len(defect["also_broken"]) > 6 else "")
        yield f"| `{defect['id']}` | {_cell(defect['title'])} | {caught} | {also} |"
    yield ""
    yield "## Requirements"
    yield ""
    yield "Defects by which each requirement was seen to fail, those that name it first."
    yield ""
    yield "| requirement | title | defects |"
    yield "|---|---|---|"
    yield from _by_requirement(defects)
    yield ""
    yield "## Variants"
    yield ""
    yield "| variant | what is unusual | accused |"
    yield "|---|---|---|"
    for variant in variants:
        accused = ", ".join(variant["failed"]) if variant["id"] in document["accused"] else "no"
        yield f"| `{variant['id']}` | {_cell(variant['title'])} | {accused} |"


def _by_requirement(defects: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for row in load().requirements.values():
        named = [defect["id"] for defect in defects if row.id in defect["killed_by"]]
        others = [defect["id"] for defect in defects if row.id in defect["also_broken"]]
        if row.not_checked or not (named or others):
            continue
        shown = [f"`{name}`" for name in (named + others)[:8]]
        more = len(named) + len(others) - len(shown)
        tail = f" and {more} more" if more > 0 else ""
        yield f"| {row.id} | {_cell(row.title)} | {', '.join(shown)}{tail} |"


def main(arguments: Sequence[str]) -> int:
    """Write the page from a matrix; returns the process's exit code."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m weighbridge.kill_matrix MATRIX.json\n")
        return 2
    path = Path(arguments[0])
    document = json.loads(path.read_text(encoding="utf-8"))
    date = datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()
    PAGE.write_text(page(document, date), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
