"""Whatever has a name is on a page: flags, exit codes, verdicts, capabilities, scenario keys, faults, report fields."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from weighbridge import reference_pages
from weighbridge.errors import ExitCode
from weighbridge.verdict import Verdict

ROOT = Path(__file__).resolve().parents[2]


def test_the_reference_is_what_the_code_gives() -> None:
    assert reference_pages.main(["--check"]) == 0


def test_every_exit_code_and_verdict_has_its_sentence() -> None:
    assert set(reference_pages.EXIT_CODES) == set(ExitCode)
    assert set(reference_pages.VERDICTS) == set(Verdict)


def test_nothing_is_listed_without_a_meaning() -> None:
    for line in reference_pages.page().splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) >= 2 and cells[0].startswith("`"):
            meaning = (
                cells[2]
                if cells[1] in {"string", "integer", "number", "object", "array", "boolean"}
                else cells[1]
            )
            assert meaning, f"{cells[0]} has no meaning on the reference page"


def test_a_stale_page_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference_pages, "EXIT_CODES", {ExitCode.OK: "Something else."})
    assert reference_pages.main(["--check"]) == 1
