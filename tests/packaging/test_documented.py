"""Whatever has a name is on a page: flags, exit codes, verdicts, capabilities, scenario keys, faults, report fields.

The page is made from the places that define these, so what is new shows as a stale page. That this bites is
shown by adding a made-up member of each kind, and by taking the line of a real one away.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
import typer

import mock_upstreams
from mock_upstreams.faults import FAULTS
from weighbridge import capabilities, cli, describe, reference_pages
from weighbridge.errors import ExitCode
from weighbridge.verdict import Verdict

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference.md"
SCHEMA = ROOT / "spec" / "schemas" / "report.schema.json"
#: Words that stand in the second column of the tables of fields, beside the names of definitions.
_KIND = re.compile(
    r"(list of |object of )*(`[\w.-]+`|string|integer|number|object|boolean|null|any)( or .*)?"
)


def test_the_reference_is_what_the_code_gives() -> None:
    assert reference_pages.main(["--check"]) == 0


def test_every_exit_code_and_verdict_has_its_sentence() -> None:
    assert set(reference_pages.EXIT_CODES) == set(ExitCode)
    assert set(reference_pages.VERDICTS) == set(Verdict)
    for code in ExitCode:
        assert f"\n| {int(code)} | " in PAGE.read_text(encoding="utf-8")


def without_meaning(page: str) -> list[str]:
    """The rows of a page that name something and say nothing about it."""
    found = []
    for line in page.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) >= 2 and cells[0].startswith("`"):
            meaning = cells[2] if len(cells) == 3 and _KIND.fullmatch(cells[1]) else cells[1]
            if not meaning:
                found.append(cells[0])
    return found


def test_nothing_is_listed_without_a_meaning() -> None:
    assert without_meaning(reference_pages.page()) == []
    assert without_meaning("| `--new` |  |  |\n| `a.b` | string |  |\n") == ["`--new`", "`a.b`"]


# ------------------------------------------------------------------- a member that nobody wrote down
def _new_capability(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(describe, "CAPABILITIES", {**capabilities.CAPABILITIES, "weather": "how it is outside"})


def _new_fault(patch: pytest.MonkeyPatch) -> None:
    made_up = next(iter(FAULTS.values()))
    patch.setattr(mock_upstreams, "FAULTS", {**FAULTS, "hiccup": made_up})


def _new_exit_code(patch: pytest.MonkeyPatch) -> None:
    codes: dict[int, str] = {int(code): text for code, text in reference_pages.EXIT_CODES.items()}
    codes[77] = "Something new."
    patch.setattr(reference_pages, "EXIT_CODES", codes)


def _new_flag(patch: pytest.MonkeyPatch) -> None:
    group: Any = typer.main.get_command(cli.app)
    group.commands["explain"].params.append(click.Option(["--loudly"], help="loudly"))
    patch.setattr(typer.main, "get_command", lambda _app: group)


def _new_field(patch: pytest.MonkeyPatch, *path: str) -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    place = schema
    for name in path:
        place = place[name]
    place["properties"]["mood"] = {"type": "string", "description": "How it felt."}
    patch.setattr(reference_pages, "report_schema", lambda: schema)


MEMBERS: Mapping[str, Callable[[pytest.MonkeyPatch], None]] = {
    "capability": _new_capability,
    "fault": _new_fault,
    "exit code": _new_exit_code,
    "flag": _new_flag,
    "report field": _new_field,
    "field within a report field": lambda patch: _new_field(patch, "properties", "run"),
    "field of a row": lambda patch: _new_field(
        patch, "$defs", "requirement", "properties", "sources", "items"
    ),
}


@pytest.mark.parametrize("kind", MEMBERS)
def test_a_new_member_that_is_on_no_page_is_noticed(
    kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    MEMBERS[kind](monkeypatch)
    assert reference_pages.main(["--check"]) == 1
    assert "stale" in capsys.readouterr().err


@pytest.mark.parametrize(
    "row", ["| `--dry-run` |", "| 5 |", "| `upstream` |", "| `stall` |", "| `run.seed` |"]
)
def test_a_line_that_was_taken_away_is_noticed(
    row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(row)]
    assert len(kept) < len(lines), f"{row} is on no line of the page"
    place = tmp_path / "reference.md"
    place.write_text("".join(kept), encoding="utf-8")
    monkeypatch.setattr(reference_pages, "page_path", lambda: place)
    assert reference_pages.main(["--check"]) == 1


def test_every_capability_has_a_section_with_its_hooks() -> None:
    page = (ROOT / "docs" / "capabilities.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^### (.*)$", page, re.MULTILINE))))
    assert named == set(capabilities.CAPABILITIES)
