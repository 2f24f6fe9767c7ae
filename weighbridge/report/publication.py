"""Published claims: `reports/EDITION/NAME/` holds report.json, evidence and page; this writes the index of them.

`python -m weighbridge.report.publication` writes `reports/index.md`, `reports/index.html` and a comparison for
each edition. With `--check` it writes nothing and fails where the index is not what the reports give; with
`--verify` it also judges every claim again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weighbridge.errors import UsageError, WeighbridgeError
from weighbridge.locate import folder
from weighbridge.output import replace_file
from weighbridge.recorded import load_report
from weighbridge.report import badge, comparison
from weighbridge.report.markdown import CLAIM_SIGNS, WORDS, escaped
from weighbridge.verification import verify

_HEAD = """\
<!-- Written by `python -m weighbridge.report.publication` from the reports beside it; publish a report instead. -->

# Published reports

Each line is a claim of one edition, with its evidence; [the rules](README.md) say what a claim must bring along.
"""


@dataclass(frozen=True, slots=True)
class Published:
    """One published claim and its folder below `reports/`."""

    place: str
    report: Mapping[str, Any]

    @property
    def edition(self) -> str:
        """The edition, as the folder names it."""
        return self.place.partition("/")[0]


def reports_folder() -> Path:
    """Where published reports stand in a checkout."""
    return folder("spec").parent / "reports"


def published(root: Path) -> list[Published]:
    """All published claims, by edition and name.

    Raises:
        UsageError: a report is damaged, or stands below another edition than its own.
    """
    found = []
    for path in sorted(root.glob("*/*/report.json")):
        place = path.parent.relative_to(root).as_posix()
        if place.startswith("runs/"):
            continue
        item = Published(place, load_report(path))
        if item.report["edition"] != item.edition:
            raise UsageError(
                f"{path} is of edition {item.report['edition']}; it belongs below reports/{item.report['edition']}/"
            )
        found.append(item)
    return found


def files(items: Sequence[Published]) -> Iterator[tuple[str, str]]:
    """Name and text of every generated file."""
    lines = [_HEAD]
    editions = sorted({item.edition for item in items}, reverse=True)
    for edition in editions:
        mine = [item for item in items if item.edition == edition]
        lines += [f"## Edition {edition}", ""]
        if len(mine) > 1:
            lines += [f"[Side by side]({edition}/comparison.html) ([Markdown]({edition}/comparison.md))", ""]
        lines += [
            "| Implementation | Version | Profile | Claim | Run | Report |",
            "|---|---|---|---|---|---|",
        ]
        lines += [line for item in mine for line in _claims(item)]
        lines.append("")
        if len(mine) > 1:
            matrix = comparison.build(
                [item.report for item in mine],
                [f"{item.place.partition('/')[2]}/report.html" for item in mine],
            )
            title = f"Published reports, edition {edition}"
            yield f"{edition}/comparison.html", comparison.render_html(matrix, title)
            yield f"{edition}/comparison.md", comparison.render_markdown(matrix, title)
    yield "index.md", "\n".join(lines).rstrip("\n") + "\n"
    matrix = comparison.build(
        [item.report for item in items], [f"{item.place}/report.html" for item in items]
    )
    yield "index.html", comparison.render_html(matrix, "Published reports")
    for item in items:
        yield f"{item.place}/badge.svg", badge.render(item.report)


def _claims(item: Published) -> Iterator[str]:
    target, run = item.report["target"], item.report["run"]
    for claim in item.report["claims"]:
        yield (
            f"| {escaped(target['name'])} | {escaped(target['identity'].get('version', '')) or '-'} | {claim['profile']} "
            f"| {CLAIM_SIGNS[claim['status']]} {WORDS[claim['status']]} | {run['started'][:10]} "
            f"| [page]({item.place}/report.html), [JSON]({item.place}/report.json) |"
        )


def main(arguments: Sequence[str]) -> int:
    """Write the index, or with `--check` say whether it is fresh."""
    root = reports_folder()
    try:
        items = published(root)
        if "--verify" in arguments:
            return _verify(root, items)
    except WeighbridgeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    stale = []
    for name, text in files(items):
        path = root / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            replace_file(path, text.encode())
    if stale and "--check" in arguments:
        sys.stderr.write(f"not fresh: {', '.join(stale)}; run python -m weighbridge.report.publication\n")
        return 1
    return 0


def _verify(root: Path, items: Sequence[Published]) -> int:
    bad = 0
    for item in items:
        result = verify(root / item.place)
        bad += bool(result.differences)
        sys.stdout.write("\n".join(result.lines()) + "\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
