"""Published claims stand below their edition, and the index says what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.report.records import a_document
from weighbridge.catalogue import load
from weighbridge.describe import explain_lines
from weighbridge.engine import Evidence
from weighbridge.errors import UsageError
from weighbridge.report import document as report
from weighbridge.report import publication
from weighbridge.requirement_pages import page
from weighbridge.requirement_texts import texts
from weighbridge.suite import load_checks

Run = tuple[Evidence, dict[str, Any]]


def publish(root: Path, run: Run) -> None:
    report.write(run[1], root / "2026.11" / "one" / "report.json")
    report.write(a_document(run[0], {}, name="two | pipes"), root / "2026.11" / "two" / "report.json")
    report.write(
        a_document(run[0], {}, name="old", edition="2026.05"), root / "2026.05" / "old" / "report.json"
    )
    report.write(a_document(run[0], {}, name="local"), root / "runs" / "x" / "report.json")


def test_the_index_lists_every_claim_by_edition_and_no_local_run(run: Run, tmp_path: Path) -> None:
    publish(tmp_path, run)
    made = dict(publication.files(publication.published(tmp_path)))
    text = made["index.md"]
    assert text.index("## Edition 2026.11") < text.index("## Edition 2026.05")
    assert text.count("| [page](") == 6
    assert "local" not in text
    assert "two \\| pipes" in text
    assert "2026.11/comparison.html" in made
    assert "2026.05/comparison.html" not in made
    assert "different editions" in made["index.html"]
    assert 'href="one/report.html#CSTR-04"' in made["2026.11/comparison.html"]
    assert 'href="2026.11/one/report.html#CSTR-04"' in made["index.html"]


def test_a_report_below_another_edition_is_refused(run: Run, tmp_path: Path) -> None:
    report.write(run[1], tmp_path / "2026.05" / "one" / "report.json")
    with pytest.raises(UsageError, match=re.escape("belongs below reports/2026.11/")):
        publication.published(tmp_path)


def test_the_index_in_the_repository_is_fresh() -> None:
    assert publication.main(["--check"]) == 0


def test_explain_docs_and_report_say_the_same_of_every_requirement(run: Run) -> None:
    docs = page(load(), load_checks())
    rows = {row["id"]: row for row in run[1]["requirements"]}
    for id_, row in load().requirements.items():
        told = texts(row)
        explained = " ".join(" ".join(explain_lines(id_)).split())
        for text in (told.statement, told.why, told.source, told.needs, told.reading):
            assert " ".join(text.split()) in explained
            assert text in docs
        if id_ in rows:
            assert (rows[id_]["statement"], rows[id_]["why"], rows[id_]["reading"]) == (
                told.statement, told.why, told.reading,
            )  # fmt: skip
