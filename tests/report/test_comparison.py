"""Implementations side by side: a glyph for each verdict, links per cell, and no editions mixed in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.core.running import command
from tests.report.conftest import Opened
from tests.report.records import a_document, broken
from weighbridge.engine import Evidence
from weighbridge.report import comparison
from weighbridge.report import document as report

Run = tuple[Evidence, dict[str, Any]]


@pytest.fixture
def folders(run: Run, tmp_path: Path) -> list[Path]:
    """Three reports: one with everything, one that fails elsewhere, one of a single profile."""
    seen, first = run
    second = a_document(seen, {"CSTR-10": broken("c1", "finish last", "it is not")}, name="<b>other</b>")
    third = a_document(seen, {}, profiles=["openai-chat"], name="small")
    made = []
    for name, item in (("first", first), ("second", second), ("third", third)):
        report.write(item, tmp_path / name / "report.json")
        (tmp_path / name / "report.html").write_text("page", encoding="utf-8")
        made.append(tmp_path / name)
    return made


def test_every_verdict_and_no_data_has_a_glyph_of_its_own() -> None:
    assert len(set(comparison.GLYPHS.values())) == len(comparison.GLYPHS) == 8


def test_cells_link_to_the_requirement_in_that_report(
    folders: list[Path], tmp_path: Path, opened: Opened
) -> None:
    target = tmp_path / "out" / "matrix.html"
    list(comparison.compare_reports(folders, target, None))
    page = opened.open(target)
    cell = page.locator("#CSTR-04 td a")
    assert cell.evaluate_all("nodes => nodes.map(node => node.getAttribute('href'))") == [
        "../first/report.html#CSTR-04", "../second/report.html#CSTR-04", "../third/report.html#CSTR-04",
    ]  # fmt: skip
    expect(cell.nth(0)).to_have_attribute("aria-label", "test gateway, CSTR-04: fail")
    expect(page.locator("#TSUB-01 .g-no_data")).to_have_count(1)
    page.get_by_label("only where they differ").check()
    expect(page.locator("tr.item:visible")).to_have_count(9)


def test_axe_finds_no_violation_in_the_matrix(
    folders: list[Path], tmp_path: Path, opened: Opened, node_modules: Path
) -> None:
    target = tmp_path / "matrix.html"
    list(comparison.compare_reports(folders, target, None))
    page = opened.open(target)
    page.evaluate((node_modules / "axe-core" / "axe.min.js").read_text(encoding="utf-8"))
    assert (
        page.evaluate("axe.run(document).then(r => r.violations.map(v => `${v.id}: ${v.nodes[0].html}`))")
        == []
    )


def test_mixed_editions_are_said_above_the_table(run: Run, folders: list[Path], tmp_path: Path) -> None:
    older = a_document(run[0], {}, name="older", edition="2026.05")
    report.write(older, tmp_path / "older.json")
    lines = list(comparison.compare_reports([folders[0], tmp_path / "older.json"], None, tmp_path / "m.md"))
    text = (tmp_path / "m.md").read_text(encoding="utf-8")
    assert text.index("different editions") < text.index("| CERR-01")
    assert any("different editions" in line for line in lines)
    assert "2026.05" in comparison.render_html(comparison.build([run[1], older], [None, None]))


def test_markdown_shows_where_they_differ_first_and_escapes_names(
    folders: list[Path], tmp_path: Path
) -> None:
    list(comparison.compare_reports(folders, None, tmp_path / "m.md"))
    text = (tmp_path / "m.md").read_text(encoding="utf-8")
    differing = text.index("## Rows on which they differ")
    assert differing < text.index("| CSTR-04") < text.index("## All other rows") < text.index("| CSTR-05")
    assert "<b>other" not in text
    assert "[✕](first/report.html#CSTR-04) | [✓](second/report.html#CSTR-04)" in text


def test_two_runs_of_one_target_get_names_of_their_own(run: Run) -> None:
    matrix = comparison.build([run[1], run[1] | {"run": run[1]["run"] | {"id": "other"}}], [None, None])
    assert len({column.name for column in matrix.columns}) == 2


def test_the_command_needs_two_reports_and_refuses_a_changed_one(folders: list[Path]) -> None:
    assert command("compare", str(folders[0])).code == 2
    text = json.loads((folders[1] / "report.json").read_text(encoding="utf-8"))
    text["claims"][0]["status"] = "conformant"
    (folders[1] / "report.json").write_text(json.dumps(text), encoding="utf-8")
    done = command("compare", str(folders[0]), str(folders[1]))
    assert done.code == 2
    assert "footer does not fit" in done.sentence
