"""Killed at any moment, the gateway loses nothing and pays nothing twice; a gateway that would is found out."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.crash.defects import DEFECTS, EXPECTED
from tests.crash.harness import CrashRun

KILLS = 20


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_twenty_kills_leave_books_that_balance_and_every_task_ended_once(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place: Any = (
        request.getfixturevalue("postgresql_url") if kind == "postgresql" else str(tmp_path / "books.sqlite")
    )
    tally = asyncio.run(CrashRun(tmp_path, place, 20261121).run(KILLS))
    assert tally.wrong == []
    assert tally.kills == KILLS
    assert len(tally.staged) >= 4
    # A run in which nothing was at stake would prove nothing.
    assert min(tally.charges, tally.tasks, tally.refunds) >= 5


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_gateway_that_loses_or_makes_money_when_killed_is_found(defect: str, tmp_path: Path) -> None:
    place = str(tmp_path / "books.sqlite")
    tally = asyncio.run(CrashRun(tmp_path, place, 7, defect=defect).run(KILLS))
    assert any(EXPECTED[defect] in sentence for sentence in tally.wrong), tally.line(defect)
