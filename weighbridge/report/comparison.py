"""`weighbridge compare A B...`: implementations side by side, requirement by requirement.

A cell has a glyph of its own for each verdict and for "no data", so that a row nobody looked at is never
taken for one that passed. Reports of different editions are compared only by saying so above the table, since
a claim of one edition says nothing about another.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weighbridge.errors import UsageError
from weighbridge.output import replace_file, require_file
from weighbridge.recorded import load_report
from weighbridge.report.html import asset, content_policy, environment
from weighbridge.report.markdown import CLAIM_SIGNS, WORDS, escaped

NO_DATA = "no_data"
GLYPHS = {
    "pass": "✓", "fail": "✕", "warn": "!", "unsupported": "∅", "not_verified": "?", "not_applicable": "·",
    "harness_error": "⚠", NO_DATA: " ",
}  # fmt: skip
TITLES = {name: name.replace("_", " ") for name in GLYPHS}
_LEVELS = {"MUST": 2, "SHOULD": 1, "MAY": 0}


@dataclass(frozen=True, slots=True)
class Column:
    """One implementation: its report, its name in the table, and where its page is, seen from the table."""

    name: str
    report: Mapping[str, Any]
    page: str | None
    verdicts: Mapping[str, str]

    @property
    def edition(self) -> str:
        """The edition of its claims."""
        return str(self.report["edition"])


@dataclass(frozen=True, slots=True)
class Row:
    """One requirement over all columns."""

    id: str
    title: str
    level: str
    area: str
    cells: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether those that have data disagree."""
        return len({cell for cell in self.cells if cell != NO_DATA}) > 1


@dataclass(frozen=True, slots=True)
class Matrix:
    """The comparison."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    profiles: tuple[str, ...]

    @property
    def editions(self) -> tuple[str, ...]:
        """The editions that are mixed here, or the only one."""
        return tuple(sorted({column.edition for column in self.columns}))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know before comparing."""
        told = []
        if len(self.editions) > 1:
            by_edition = "; ".join(
                f"{edition}: {', '.join(column.name for column in self.columns if column.edition == edition)}"
                for edition in self.editions
            )
            told.append(
                f"These reports are of different editions, so their claims do not compare: {by_edition}."
            )
        partial = [column.name for column in self.columns if column.report["run"]["scope"] == "partial"]
        if partial:
            told.append(f"Narrowed runs claim nothing and leave rows out: {', '.join(partial)}.")
        return tuple(told)

    def claim(self, column: Column, profile: str) -> Mapping[str, Any] | None:
        """A column's claim for a profile."""
        return next((claim for claim in column.report["claims"] if claim["profile"] == profile), None)

    def counts(self, column: int) -> Counter[str]:
        """How often each verdict, and no data, stands in a column."""
        return Counter(row.cells[column] for row in self.rows)


def _names(reports: Sequence[Mapping[str, Any]]) -> list[str]:
    """A name for each report that no other has: target, then version, then run."""
    plain = [str(item["target"]["name"]) for item in reports]
    result = []
    for item, name in zip(reports, plain, strict=True):
        if plain.count(name) == 1:
            result.append(name)
            continue
        version = item["target"]["identity"].get("version")
        result.append(f"{name} {version}" if version else f"{name} ({item['run']['id']})")
    return [
        name if result.count(name) == 1 else f"{name} ({item['run']['id']})"
        for item, name in zip(reports, result, strict=True)
    ]


def build(reports: Sequence[Mapping[str, Any]], pages: Sequence[str | None]) -> Matrix:
    """The matrix of some reports.

    Args:
        reports: at least one.
        pages: where each report's HTML page is, seen from the comparison; None where there is none.
    """
    columns = tuple(
        Column(name, item, page, {row["id"]: row["verdict"] for row in item["requirements"]})
        for name, item, page in zip(_names(reports), reports, pages, strict=True)
    )
    known: dict[str, dict[str, Any]] = {}
    for item in reports:
        for row in item["requirements"]:
            held = known.setdefault(row["id"], dict(row))
            if _LEVELS[row["level"]] > _LEVELS[held["level"]]:
                held["level"] = row["level"]
    rows = tuple(
        Row(
            id_,
            row["title"],
            row["level"],
            row["area"],
            tuple(column.verdicts.get(id_, NO_DATA) for column in columns),
        )
        for id_, row in known.items()
    )
    profiles = dict.fromkeys(claim["profile"] for item in reports for claim in item["claims"])
    return Matrix(columns, rows, tuple(profiles))


def render_html(matrix: Matrix, title: str = "Comparison") -> str:
    """The comparison as one self-contained page."""
    style, script = asset("report.css") + asset("comparison.css"), asset("comparison.js")
    areas: dict[str, list[Row]] = {}
    for row in matrix.rows:
        areas.setdefault(row.area, []).append(row)
    return (
        environment()
        .get_template("comparison.html.j2")
        .render(
            matrix=matrix,
            areas=areas,
            title=title,
            policy=content_policy(script, style),
            style=style,
            script=script,
            glyphs=GLYPHS,
            titles=TITLES,
        )
    )


def render_markdown(matrix: Matrix, title: str = "Comparison") -> str:
    """The comparison as Markdown: claims, then the rows on which implementations differ, then all others by count."""
    return "\n".join(_markdown(matrix, title)) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _linked(column: Column) -> str:
    name = escaped(column.name)
    return f"[{name}]({column.page})" if column.page else name


def _cell(column: Column, row: Row, verdict: str) -> str:
    glyph = GLYPHS[verdict] if verdict != NO_DATA else "no data"
    return f"[{glyph}]({column.page}#{row.id})" if column.page and verdict != NO_DATA else glyph


def _markdown(matrix: Matrix, title: str) -> Iterator[str]:
    yield f"# {escaped(title)}"
    yield ""
    for warning in matrix.warnings:
        yield f"> **Note:** {escaped(warning)}"
        yield ""
    head = ["", *(_linked(column) for column in matrix.columns)]
    claims = [["Edition", *(column.edition for column in matrix.columns)]]
    for profile in matrix.profiles:
        cells = [matrix.claim(column, profile) for column in matrix.columns]
        claims.append(
            [
                profile,
                *(
                    "no data" if cell is None else f"{CLAIM_SIGNS[cell['status']]} {WORDS[cell['status']]}"
                    for cell in cells
                ),
            ]
        )
    yield from _table(head, claims)
    yield ""
    yield f"Glyphs: {', '.join(f'{GLYPHS[name]} {TITLES[name]}' for name in GLYPHS if name != NO_DATA)}, and the words no data."
    yield ""
    differing = [row for row in matrix.rows if row.differs]
    yield f"## Rows on which they differ: {len(differing)} of {len(matrix.rows)}"
    yield ""
    yield from _rows_table(matrix, differing)
    yield ""
    yield "## All other rows"
    yield ""
    yield from _rows_table(matrix, [row for row in matrix.rows if not row.differs])


def _rows_table(matrix: Matrix, rows: Sequence[Row]) -> Iterator[str]:
    if not rows:
        yield "None."
        return
    yield from _table(
        ["Requirement", "Level", *(escaped(column.name) for column in matrix.columns)],
        [
            [
                f"{row.id} {escaped(row.title)}",
                row.level,
                *(_cell(column, row, cell) for column, cell in zip(matrix.columns, row.cells, strict=True)),
            ]
            for row in rows
        ],
    )


def _page_of(path: Path) -> Path | None:
    folder = path if path.is_dir() else path.parent
    page = folder / "report.html"
    return page if page.exists() else None


def _link(page: Path | None, seen_from: Path | None) -> str | None:
    if page is None:
        return None
    start = (seen_from.parent if seen_from is not None else Path()).resolve()
    try:
        return Path(os.path.relpath(page.resolve(), start)).as_posix()
    except ValueError:  # another drive
        return page.resolve().as_uri()


def compare_reports(paths: Sequence[Path], html: Path | None, markdown: Path | None) -> Iterator[str]:
    """Compare reports and write what was asked for; without a file the Markdown is yielded.

    Raises:
        UsageError: fewer than two reports, or one that is none.
    """
    if len(paths) < 2:
        raise UsageError("compare takes at least two runs; name a second folder or report.json")
    for option, file in (("--html", html), ("--markdown", markdown)):
        if file is not None:
            require_file(option, file)
    reports = [load_report(path) for path in paths]
    pages = [_page_of(path) for path in paths]

    def seen_from(file: Path | None) -> Matrix:
        return build(reports, [_link(page, file) for page in pages])

    if html is not None:
        replace_file(html, render_html(seen_from(html)).encode())
        yield f"Comparison: {html}"
    if markdown is not None:
        replace_file(markdown, render_markdown(seen_from(markdown)).encode())
        yield f"Comparison: {markdown}"
    if html is None and markdown is None:
        yield render_markdown(seen_from(None)).rstrip("\n")
    for warning in build(reports, [None] * len(reports)).warnings:
        yield f"Note: {warning}"
