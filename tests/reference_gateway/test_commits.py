"""What reaches the disk when: one commit for each settled call, and nothing that is promised waits for a later one."""

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from reference_gateway.accounts import AccountDirectory, Workspace
from reference_gateway.database import Connection, StorageError
from reference_gateway.ledger import Ledger
from reference_gateway.membership import Membership
from reference_gateway.postgresql_database import PostgresqlDatabase
from reference_gateway.sqlite_database import SqliteDatabase


@asynccontextmanager
async def books(path: Path) -> AsyncIterator[tuple[SqliteDatabase, Ledger, str]]:
    """Open books with one account of 1,000."""
    database = SqliteDatabase(path)
    await database.start()
    try:
        await Membership(database, 5.0).join()
        ledger = Ledger(database)
        account, _ = await AccountDirectory(database, ledger).create(Workspace.CHAT, 1000, None, {})
        yield database, ledger, account.id
    finally:
        await database.close()


def on_disk(path: Path, copy: Path, sql: str) -> Any:
    """What a crash at this moment would leave: the answer of a copy of the files."""
    copy.mkdir(exist_ok=True)
    for name in (path.name, f"{path.name}-wal"):
        if path.with_name(name).exists():
            shutil.copy(path.with_name(name), copy / name)
    connection = sqlite3.connect(copy / path.name)
    try:
        return connection.execute(sql).fetchone()[0]
    finally:
        connection.close()


def commits(database: SqliteDatabase) -> list[str]:
    """Every commit and the thread that made it, from now on."""
    made: list[str] = []
    inner = database._books
    assert inner is not None

    def traced(statement: str) -> None:
        if statement == "COMMIT":
            made.append(threading.current_thread().name)

    inner._connection.set_trace_callback(traced)
    return made


def test_a_settled_call_makes_one_commit_and_a_failed_one_none_of_its_own(tmp_path: Path) -> None:
    async def main() -> None:
        async with books(tmp_path / "l.sqlite") as (database, ledger, account):
            made = commits(database)
            await ledger.hold("call", account, 400)
            await ledger.settle("call", account, 150, {})
            assert made == ["gateway-ledger"]
            await ledger.hold("failed", account, 400)
            await ledger.release("failed", account)
            assert made == ["gateway-ledger"]
            assert await ledger.balance(account) == 850

    asyncio.run(main())


def test_a_settlement_is_on_the_disk_when_it_is_told_and_a_hold_before_long(
    tmp_path: Path, wait_for: Any
) -> None:
    path, copy = tmp_path / "l.sqlite", tmp_path / "copy"
    settled = "SELECT count(*) FROM transfers WHERE reason = 'settle'"
    held = "SELECT count(*) FROM holds"

    async def main() -> None:
        async with books(path) as (_, ledger, account):
            await ledger.hold("call", account, 400)
            await ledger.settle("call", account, 150, {})
            assert on_disk(path, copy, settled) == 1
            await ledger.hold("long", account, 400)

            async def written() -> bool:
                return bool(on_disk(path, copy, held) == 1)

            assert await wait_for(written)

    asyncio.run(main())


def test_what_is_open_when_the_books_are_closed_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"

    async def main() -> None:
        async with books(path) as (_, ledger, account):
            await ledger.hold("call", account, 400)

    asyncio.run(main())
    assert on_disk(path, tmp_path / "copy", "SELECT count(*) FROM holds") == 1


def test_an_early_operation_never_overtakes_one_that_waits(tmp_path: Path) -> None:
    async def main() -> None:
        async with books(tmp_path / "l.sqlite") as (database, _, _):
            ran: list[str] = []
            go = threading.Event()

            async def slow(_connection: Connection) -> None:
                go.wait(10)
                ran.append("slow")

            def note(name: str) -> Any:
                async def operation(_connection: Connection) -> None:
                    ran.append(name)

                return operation

            waiting = [
                database.submit(slow),
                database.submit(note("first"), early=True),
                database.submit(note("second")),
                database.submit(note("third"), early=True),
            ]
            assert ran == []
            go.set()
            await asyncio.gather(*waiting)
            assert ran == ["slow", "first", "second", "third"]
            await database.submit(note("alone"), early=True)
            assert ran[-1] == "alone"

    asyncio.run(main())


def test_a_hold_that_a_failing_disk_takes_back_charges_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with books(tmp_path / "l.sqlite") as (database, ledger, account):
            await ledger.hold("call", account, 400)
            inner = database._books
            assert inner is not None
            pages = inner._connection.execute("PRAGMA page_count").fetchone()[0]

            async def large(connection: Connection) -> None:
                await connection.execute(f"PRAGMA max_page_count = {pages}")
                await connection.execute("CREATE TABLE filler (content BLOB)")
                await connection.execute("INSERT INTO filler VALUES (zeroblob(1000000))")

            with pytest.raises(StorageError):
                await database.submit(large)
            await ledger.release("call", account)
            assert await ledger.balance(account) == 1000
            assert await ledger.audit() == []

    asyncio.run(main())


def test_a_worker_whose_session_was_lost_begins_anew_and_takes_over_from_itself(postgresql_url: str) -> None:
    async def main() -> None:
        database = PostgresqlDatabase(postgresql_url, 2)
        await database.start()
        membership = Membership(database, 60.0)
        await membership.join()
        ledger = Ledger(database)
        account, _ = await AccountDirectory(database, ledger).create(Workspace.CHAT, 1000, None, {})
        await ledger.hold("lost", account.id, 400)
        before = database.worker
        await membership.join()
        assert (database.worker, await ledger.release_open_holds()) == (before, 0)
        other = PostgresqlDatabase(postgresql_url, 1)
        await other.start()
        await other.submit(
            lambda connection: connection.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name LIKE 'reference_gateway presence%'"
            )
        )
        await other.close()
        async with asyncio.timeout(10):
            while database.worker == before:
                await asyncio.sleep(0.01)
                await membership.join()
        assert await ledger.release_open_holds() == 1
        assert await ledger.balance(account.id) == 1000
        await ledger.hold("next", account.id, 100)
        await ledger.settle("next", account.id, 10, {})
        assert await ledger.release_open_holds() == 0
        await membership.stop()
        await database.close()

    asyncio.run(main())


def test_holds_that_waited_together_are_told_one_a_turn_of_the_loop(tmp_path: Path) -> None:
    """So that calls that waited together do not go on in step."""

    async def main() -> None:
        async with books(tmp_path / "books.sqlite") as (database, ledger, account):
            inner, loop, turns = database._books, asyncio.get_running_loop(), 0
            assert inner is not None
            told: list[tuple[int, int]] = []

            def turn() -> None:
                nonlocal turns
                turns += 1
                if len(told) < 20:
                    loop.call_soon(turn)

            with inner.free:
                held = [ledger.hold(f"call-{n}", account, 1) for n in range(20)]

            def note(n: int, _future: "asyncio.Future[int]") -> None:
                told.append((n, turns))

            for n, future in enumerate(held):
                future.add_done_callback(partial(note, n))
            turn()
            async with asyncio.timeout(10):
                assert await asyncio.gather(*held) == [1] * 20
            assert [n for n, _ in told] == list(range(20))
            # The first may have been alone; no two of the others come in one turn.
            assert len({at for _, at in told}) >= 19

    asyncio.run(main())


def test_a_database_that_closes_tells_the_outcome_of_every_hold(tmp_path: Path) -> None:
    async def main() -> None:
        async with books(tmp_path / "books.sqlite") as (database, ledger, account):
            assert database._books is not None
            with database._books.free:
                held = [ledger.hold(f"call-{n}", account, 1) for n in range(20)]
            await database.close()
            async with asyncio.timeout(10):
                assert await asyncio.gather(*held) == [1] * 20

    asyncio.run(main())
