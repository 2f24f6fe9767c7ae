"""SQLite behind one writer thread with group commit.

Operations run one after the other in the order of submission, each in its own savepoint, and as many as are waiting
share one durable commit (WAL, synchronous=FULL). So a settlement costs a fraction of a disk flush under load, readers
see everything submitted before them, and no two operations interleave.
"""

import asyncio
import logging
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from reference_gateway.database import (
    Connection,
    ConstraintError,
    Database,
    DatabaseClosedError,
    Operation,
    StorageError,
    T,
)
from reference_gateway.migrations import migrate

_log = logging.getLogger(__name__)
_MOST_PER_COMMIT = 512
_MOST_WAITING = 100_000
_LOCK_S = 0.5

_PRAGMAS = (
    # One gateway per file: a second one would take the first one's open holds for leftovers.
    "PRAGMA locking_mode=EXCLUSIVE",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
)


class SqliteConnection:
    """Statements on one connection, each done when the method returns: nothing here ever waits."""

    for_update = ""
    skip_locked = ""
    dialect = "sqlite"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def fetch(self, sql: str, *values: Any) -> Sequence[Sequence[Any]]:
        return self._execute(sql, values).fetchall()

    async def fetch_one(self, sql: str, *values: Any) -> Sequence[Any] | None:
        row: Sequence[Any] | None = self._execute(sql, values).fetchone()
        return row

    async def execute(self, sql: str, *values: Any) -> int:
        return self._execute(sql, values).rowcount

    async def has_table(self, name: str) -> bool:
        return bool(self._execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (name,)).fetchall())

    async def script(self, sql: str) -> None:
        try:
            self._connection.executescript(f"BEGIN IMMEDIATE;\n{sql}\n;COMMIT;")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise StorageError(str(error)) from error

    def _execute(self, sql: str, values: tuple[Any, ...]) -> sqlite3.Cursor:
        try:
            return self._connection.execute(sql, values)
        except sqlite3.IntegrityError as error:
            raise ConstraintError(str(error)) from error
        except (sqlite3.Error, OverflowError) as error:
            raise StorageError(str(error)) from error


@dataclass(slots=True)
class _Job:
    operation: Operation[Any]
    future: "asyncio.Future[Any]"
    early: bool


@dataclass(slots=True)
class _Outcome:
    job: _Job
    result: Any = None
    error: BaseException | None = None


class SqliteDatabase(Database):
    """Owns the connection and the thread."""

    shared: ClassVar[bool] = False

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(
            target=self._run, args=(opened, self._loop), name="gateway-ledger", daemon=True
        )
        self._thread.start()
        try:
            await opened
        except BaseException:
            self._thread.join()
            self._thread = None
            raise

    def submit(
        self,
        operation: Operation[T],
        *,
        early: bool = False,
        lane: str | None = None,  # noqa: ARG002 - everything is in order here
    ) -> "asyncio.Future[T]":
        if self._thread is None or self._loop is None:
            raise DatabaseClosedError("the ledger is not open")
        if self._jobs.qsize() >= _MOST_WAITING:
            raise DatabaseClosedError(f"more than {_MOST_WAITING} ledger operations are waiting")
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put(_Job(operation, future, early))
        return future

    async def close(self) -> None:
        if self._thread is None:
            return
        thread, self._thread = self._thread, None
        self._jobs.put(None)
        await asyncio.to_thread(thread.join)

    async def enlist(self) -> None:
        """The lock on the file shows it; the list is for what belongs to this worker."""
        await self.submit(
            lambda connection: connection.execute(
                "INSERT INTO workers (worker, lock_key, host, pid, beat_at) VALUES (?, 0, '', ?, 0)"
                " ON CONFLICT (worker) DO NOTHING",
                self.worker,
                os.getpid(),
            )
        )

    async def bury(self, connection: Connection, lease_s: float) -> None:  # noqa: ARG002 - nobody else can be here
        await connection.execute("DELETE FROM workers WHERE worker <> ?", self.worker)

    def _run(self, opened: "asyncio.Future[None]", loop: asyncio.AbstractEventLoop) -> None:
        try:
            connection = sqlite3.connect(self._path, isolation_level=None, timeout=_LOCK_S)
        except sqlite3.Error as error:
            loop.call_soon_threadsafe(opened.set_exception, StorageError(str(error)))
            return
        wrapped = SqliteConnection(connection)
        try:
            try:
                for pragma in _PRAGMAS:
                    connection.execute(pragma)
                run_to_end(migrate(wrapped))
                connection.execute("PRAGMA foreign_keys=ON")
            except (sqlite3.Error, StorageError) as error:
                loop.call_soon_threadsafe(opened.set_exception, StorageError(str(error)))
                return
            loop.call_soon_threadsafe(opened.set_result, None)
            while self._serve(connection, wrapped, loop):
                pass
        finally:
            connection.close()

    def _serve(
        self, connection: sqlite3.Connection, wrapped: SqliteConnection, loop: asyncio.AbstractEventLoop
    ) -> bool:
        jobs, more = self._gather()
        if jobs:
            outcomes = _transaction(
                connection, wrapped, jobs, lambda early: loop.call_soon_threadsafe(_resolve, early)
            )
            loop.call_soon_threadsafe(_resolve, outcomes)
        return more

    def _gather(self) -> tuple[list[_Job], bool]:
        jobs: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            jobs.append(job)
            if len(jobs) == _MOST_PER_COMMIT:
                return jobs, True
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return jobs, True
        return jobs, False


def run_to_end(operation: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that waits for nothing; raises `RuntimeError` for one that does."""
    try:
        operation.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    operation.close()
    raise RuntimeError("a ledger operation may wait for nothing but its connection")


def _transaction(
    connection: sqlite3.Connection,
    wrapped: SqliteConnection,
    jobs: list[_Job],
    announce: Callable[[list[_Outcome]], object],
) -> list[_Outcome]:
    """Run the jobs in one transaction; early ones are announced before the commit, the others are returned."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        outcomes = [_run_job(connection, wrapped, job) for job in jobs]
    except sqlite3.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        return [_Outcome(job, error=StorageError(str(error))) for job in jobs]
    early = [outcome for outcome in outcomes if outcome.job.early]
    if early:
        announce(early)
    late = [outcome for outcome in outcomes if not outcome.job.early]
    try:
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        return [_Outcome(outcome.job, error=StorageError(str(error))) for outcome in late]
    return late


def _run_job(connection: sqlite3.Connection, wrapped: SqliteConnection, job: _Job) -> _Outcome:
    connection.execute("SAVEPOINT job")
    try:
        result = run_to_end(job.operation(wrapped))
    except Exception as error:  # noqa: BLE001 - whatever an operation raises belongs to whoever submitted it
        connection.execute("ROLLBACK TO job")
        connection.execute("RELEASE job")
        return _Outcome(job, error=error)
    connection.execute("RELEASE job")
    return _Outcome(job, result)


def _resolve(outcomes: list[_Outcome]) -> None:
    for outcome in outcomes:
        future = outcome.job.future
        if future.cancelled():
            if outcome.error is not None:
                _log.error("a ledger operation failed after its caller had gone", exc_info=outcome.error)
        elif outcome.error is not None:
            future.set_exception(outcome.error)
        else:
            future.set_result(outcome.result)
