"""Killed at any moment, the gateway loses nothing and pays nothing twice; a gateway that would is found out."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.defects import AMONG_WORKERS, DEFECTS, EXPECTED
from tests.crash.harness import CrashRun
from tests.crash.workers import WAYS, WorkersRun
from tests.postgresql.server import PostgresqlServer

KILLS = 20
# One of each way, more in `make crash`: programs take their time to start.
WORKER_KILLS = len(WAYS)


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


@pytest.mark.parametrize("defect", [name for name in DEFECTS if name != "balances written over"])
def test_a_gateway_that_loses_or_makes_money_when_killed_is_found(defect: str, tmp_path: Path) -> None:
    place = str(tmp_path / "books.sqlite")
    tally = asyncio.run(CrashRun(tmp_path, place, 7, defect=defect).run(KILLS))
    assert any(EXPECTED[defect] in sentence for sentence in tally.wrong), tally.line(defect)


@pytest.fixture(scope="module")
def mortal_server(postgresql_server: PostgresqlServer) -> Iterator[PostgresqlServer]:
    """A server that may be killed; asking for the other one first has said what to do where there is none."""
    with PostgresqlServer(durable=True) as server:
        yield server


def test_workers_their_parent_and_the_server_may_die_and_nothing_is_lost_or_paid_twice(
    mortal_server: PostgresqlServer, tmp_path: Path
) -> None:
    run = WorkersRun(tmp_path, mortal_server, mortal_server.database(), 20261121)
    tally = asyncio.run(run.run(WORKER_KILLS))
    assert tally.wrong == []
    assert set(tally.ways) == set(WAYS)
    assert min(tally.charges, tally.tasks, tally.refunds) >= 5


@pytest.mark.parametrize("defect", AMONG_WORKERS)
def test_workers_that_lose_or_make_money_are_found(
    defect: str, mortal_server: PostgresqlServer, tmp_path: Path
) -> None:
    run = WorkersRun(tmp_path, mortal_server, mortal_server.database(), 7, defect=defect, kills_per_look=3)
    tally = asyncio.run(run.run(2 * WORKER_KILLS))
    assert any(EXPECTED[defect] in sentence for sentence in tally.wrong), tally.line(defect)
