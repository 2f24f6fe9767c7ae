"""SQLite behind one writer thread with group commit.

Operations are functions of a connection. They run one after the other in the order of submission, each in its own
savepoint, and as many as are waiting share one durable commit (WAL, synchronous=FULL). So a settlement costs a
fraction of a disk flush under load, readers see everything submitted before them, and no two operations interleave.
"""

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], T]

_log = logging.getLogger(__name__)
_MOST_PER_COMMIT = 512
_MOST_WAITING = 100_000
_LOCK_S = 0.5

_PRAGMAS = (
    # One gateway per file: a second one would take the first one's open holds for leftovers.
    "PRAGMA locking_mode=EXCLUSIVE",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
)


class DatabaseClosedError(RuntimeError):
    """The database does not take operations: not yet, not any more, or too many are waiting."""


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


class Database:
    """Owns the connection and the thread. Bound to the event loop that calls `start`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self, schema: str) -> None:
        """Open the file, create what is missing and begin to take operations; raises `sqlite3.Error`."""
        self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(
            target=self._run, args=(schema, opened, self._loop), name="gateway-ledger", daemon=True
        )
        self._thread.start()
        try:
            await opened
        except BaseException:
            self._thread.join()
            self._thread = None
            raise

    def submit(self, operation: Operation[T], *, early: bool = False) -> "asyncio.Future[T]":
        """Queue an operation. The future is done when it is durable, or with `early` as soon as it has run.

        A cancelled future does not take the operation back.
        """
        if self._thread is None or self._loop is None:
            raise DatabaseClosedError("the ledger is not open")
        if self._jobs.qsize() >= _MOST_WAITING:
            raise DatabaseClosedError(f"more than {_MOST_WAITING} ledger operations are waiting")
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put(_Job(operation, future, early))
        return future

    async def close(self) -> None:
        """Run everything that was submitted, then close the file."""
        if self._thread is None:
            return
        thread, self._thread = self._thread, None
        self._jobs.put(None)
        await asyncio.to_thread(thread.join)

    def _run(self, schema: str, opened: "asyncio.Future[None]", loop: asyncio.AbstractEventLoop) -> None:
        try:
            connection = sqlite3.connect(self._path, isolation_level=None, timeout=_LOCK_S)
        except sqlite3.Error as error:
            loop.call_soon_threadsafe(opened.set_exception, error)
            return
        try:
            try:
                for pragma in _PRAGMAS:
                    connection.execute(pragma)
                connection.executescript(schema)
            except sqlite3.Error as error:
                loop.call_soon_threadsafe(opened.set_exception, error)
                return
            loop.call_soon_threadsafe(opened.set_result, None)
            while self._serve(connection, loop):
                pass
        finally:
            connection.close()

    def _serve(self, connection: sqlite3.Connection, loop: asyncio.AbstractEventLoop) -> bool:
        jobs, more = self._gather()
        if jobs:
            outcomes = _transaction(
                connection, jobs, lambda early: loop.call_soon_threadsafe(_resolve, early)
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


def _transaction(
    connection: sqlite3.Connection, jobs: list[_Job], announce: Callable[[list[_Outcome]], object]
) -> list[_Outcome]:
    """Run the jobs in one transaction; early ones are announced before the commit, the others are returned."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        outcomes = [_run_job(connection, job) for job in jobs]
    except sqlite3.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        return [_Outcome(job, error=error) for job in jobs]
    early = [outcome for outcome in outcomes if outcome.job.early]
    if early:
        announce(early)
    late = [outcome for outcome in outcomes if not outcome.job.early]
    try:
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        return [_Outcome(outcome.job, error=error) for outcome in late]
    return late


def _run_job(connection: sqlite3.Connection, job: _Job) -> _Outcome:
    connection.execute("SAVEPOINT job")
    try:
        result = job.operation(connection)
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
