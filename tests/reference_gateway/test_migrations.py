"""An older database is brought forward with all its money; a newer one is refused."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from reference_gateway.database import Connection, StorageError
from reference_gateway.ledger import Ledger, Reason
from reference_gateway.membership import Membership
from reference_gateway.migrations import NAMES, VERSION, statements
from reference_gateway.postgresql_database import PostgresqlDatabase
from reference_gateway.sqlite_database import SqliteDatabase
from reference_gateway.tasks.store import TaskStore

# What a gateway of the first version has left behind: an open call, a settled one, and a task that was handed on.
_BOOKS = """
INSERT INTO accounts (account, workspace, balance, created_at) VALUES ('chat', 'chat', 500, 1), ('tasks', 'tasks', 60, 1);
INSERT INTO keys (key_id, account, digest) VALUES ('key', 'chat', {digest});
INSERT INTO transfers (call, reason, account, counter, amount, balance_after, at) VALUES
  ('t1', 'topup', 'chat', 'funding', 1000, 1000, 1),
  ('open', 'hold', 'chat', 'held', -400, 600, 1),
  ('done', 'hold', 'chat', 'held', -200, 400, 1),
  ('done', 'release', 'chat', 'held', 200, 600, 1),
  ('done', 'settle', 'chat', 'revenue', -100, 500, 1),
  ('t2', 'topup', 'tasks', 'funding', 100, 100, 1),
  ('task_1', 'debit', 'tasks', 'revenue', -40, 60, 1);
INSERT INTO tasks (task, account, model, kind, price, created_at, job)
  VALUES ('task_1', 'tasks', 'gpt-image-2', 'image', 40, 1, 'job-1');
"""


def _open(place: str) -> SqliteDatabase | PostgresqlDatabase:
    return PostgresqlDatabase(place, 2) if "://" in place else SqliteDatabase(Path(place))


async def _write(place: str, script: str) -> None:
    """Statements past all our code."""
    if "://" in place:
        import asyncpg

        connection = await asyncpg.connect(place)
        await connection.execute(script)
        await connection.close()
    else:
        import sqlite3

        with sqlite3.connect(place) as file:
            file.executescript(script)
        file.close()


def _first_version(place: str) -> str:
    dialect, digest = ("postgresql", "'\\x6b'") if "://" in place else ("sqlite", "x'6b'")
    return statements(1, dialect) + _BOOKS.format(digest=digest)


def test_a_database_of_the_first_version_keeps_its_books_and_is_recovered(storage: Any) -> None:
    async def main() -> None:
        place = storage["database"]
        await _write(place, _first_version(place))
        for _ in range(2):
            database = _open(place)
            await database.start()
            await Membership(database, 5.0).join()
            ledger = Ledger(database)
            released = await ledger.release_open_holds()
            claimed = await TaskStore(database, ledger).claim()
            assert await ledger.audit() == []
            assert await ledger.balance("chat") == 900
            assert await ledger.balance("tasks") == 60
            assert [row.reason for row in await ledger.explain("open")] == [Reason.HOLD, Reason.RELEASE]
            assert [(task.id, task.job) for task in claimed] == [("task_1", "job-1")]
            await database.close()
        assert released == 0

    asyncio.run(main())


def test_a_newer_database_is_refused_in_one_sentence(storage: Any) -> None:
    async def main() -> None:
        place = storage["database"]
        database = _open(place)
        await database.start()

        async def steps(connection: Connection) -> list[tuple[int, str]]:
            rows = await connection.fetch("SELECT version, step FROM schema_versions ORDER BY version")
            return [(row[0], row[1]) for row in rows]

        assert await database.submit(steps) == list(enumerate(NAMES, 1))
        await database.close()
        await _write(place, f"INSERT INTO schema_versions (version, step) VALUES ({VERSION + 1}, 'future')")
        with pytest.raises(StorageError, match=f"version {VERSION + 1}.*up to {VERSION}") as refused:
            await _open(place).start()
        assert "\n" not in str(refused.value)

    asyncio.run(main())


def test_a_step_that_fails_leaves_the_older_version_untouched(storage: Any) -> None:
    async def main() -> None:
        place = storage["database"]
        # The step would add this table itself.
        await _write(place, _first_version(place) + "CREATE TABLE rate_cards (version TEXT);")
        for _ in range(2):
            with pytest.raises(StorageError, match="rate_cards"):
                await _open(place).start()
        await _write(place, "DROP TABLE rate_cards")
        database = _open(place)
        await database.start()
        assert await Ledger(database).audit() == []
        await database.close()

    asyncio.run(main())


def test_workers_that_start_together_migrate_once(postgresql_url: str) -> None:
    async def main() -> None:
        databases = [PostgresqlDatabase(postgresql_url, 2) for _ in range(4)]
        await asyncio.gather(*(database.start() for database in databases))
        await asyncio.gather(*(database.close() for database in databases))

    asyncio.run(main())
