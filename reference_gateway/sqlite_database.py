"""SQLite behind one writer thread with group commit.

Operations run one after the other in the order of submission, each in its own savepoint, and as many as are waiting
share one durable commit (WAL, synchronous=FULL). So a settlement costs a fraction of a disk flush under load, readers
see everything submitted before them, and no two operations interleave.

Early operations cause no commit of their own: they stay in the open transaction, go to the disk with the next durable
one, or after a moment in which none came. While the writer has nothing to do they run at once, in the caller's thread.
So a chat call, whose hold is early and whose settlement is not, costs one change of threads and one flush.
"""

import asyncio
import logging
import os
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from enum import Enum
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
# How long early operations may wait for a durable one whose commit takes them along.
_LINGER_S = 0.05

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


class _Order(Enum):
    """What the writer is told beside jobs."""

    COMMIT = "make durable what is not"
    STOP = "end"


@dataclass(slots=True)
class _Outcome:
    job: _Job
    result: Any = None
    error: BaseException | None = None


class _Books:
    """The connection and its open transaction. Only who holds `free` may touch it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.free = threading.Lock()
        self._connection = connection
        self._wrapped = SqliteConnection(connection)
        #: Early operations that have been announced and are not on the disk yet.
        self.uncommitted = 0

    def migrate(self) -> None:
        """Make the database ready; raises `sqlite3.Error` and `StorageError`."""
        for pragma in _PRAGMAS:
            self._connection.execute(pragma)
        run_to_end(migrate(self._wrapped))
        self._connection.execute("PRAGMA foreign_keys=ON")

    def perform(self, jobs: Sequence[_Job]) -> list[_Outcome]:
        """Run jobs inside the open transaction."""
        connection = self._connection
        try:
            if not connection.in_transaction:
                connection.execute("BEGIN IMMEDIATE")
            outcomes = [self._run_job(job) for job in jobs]
        except sqlite3.Error as error:
            self._undo(error)
            return [_Outcome(job, error=StorageError(str(error))) for job in jobs]
        self.uncommitted += sum(job.early for job in jobs)
        return outcomes

    def commit(self) -> StorageError | None:
        """Make everything so far durable; what went wrong, and then nothing of it has happened."""
        try:
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._undo(error)
            return StorageError(str(error))
        self.uncommitted = 0
        return None

    def close(self) -> None:
        """Commit what is left, and let go of the file."""
        self.commit()
        self._connection.close()

    def _undo(self, error: sqlite3.Error) -> None:
        if self.uncommitted:
            # Where a crash would have left them: a hold that is gone holds nothing, and its call cannot be charged.
            _log.error("%d holds and releases are undone: %s", self.uncommitted, error)
            self.uncommitted = 0
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _run_job(self, job: _Job) -> _Outcome:
        connection = self._connection
        connection.execute("SAVEPOINT job")
        try:
            result = run_to_end(job.operation(self._wrapped))
        except Exception as error:  # noqa: BLE001 - whatever an operation raises belongs to whoever submitted it
            connection.execute("ROLLBACK TO job")
            connection.execute("RELEASE job")
            return _Outcome(job, error=error)
        connection.execute("RELEASE job")
        return _Outcome(job, result)


class SqliteDatabase(Database):
    """Owns the file and the thread."""

    shared: ClassVar[bool] = False

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._jobs: queue.SimpleQueue[_Job | _Order] = queue.SimpleQueue()
        self._waiting = 0
        self._untold: deque[_Outcome] = deque()
        self._books: _Books | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._linger: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[_Books] = self._loop.create_future()
        self._thread = threading.Thread(
            target=self._run, args=(opened, self._loop), name="gateway-ledger", daemon=True
        )
        self._thread.start()
        try:
            self._books = await opened
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
        books = self._books
        if self._thread is None or self._loop is None or books is None:
            raise DatabaseClosedError("the ledger is not open")
        if self._waiting >= _MOST_WAITING:
            raise DatabaseClosedError(f"more than {_MOST_WAITING} ledger operations are waiting")
        future: asyncio.Future[T] = self._loop.create_future()
        job = _Job(operation, future, early)
        if early and not self._waiting and books.free.acquire(blocking=False):
            try:
                outcomes = books.perform([job])
            finally:
                books.free.release()
            self._settled(outcomes)
        else:
            self._waiting += 1
            self._jobs.put(job)
        return future

    async def close(self) -> None:
        if self._thread is None:
            return
        thread, self._thread = self._thread, None
        if self._linger is not None:
            self._linger.cancel()
        self._jobs.put(_Order.STOP)
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

    def _run(self, opened: "asyncio.Future[_Books]", loop: asyncio.AbstractEventLoop) -> None:
        try:
            connection = sqlite3.connect(
                self._path, isolation_level=None, timeout=_LOCK_S, check_same_thread=False
            )
        except sqlite3.Error as error:
            loop.call_soon_threadsafe(opened.set_exception, StorageError(str(error)))
            return
        books = _Books(connection)
        try:
            books.migrate()
        except (sqlite3.Error, StorageError) as error:
            connection.close()
            loop.call_soon_threadsafe(opened.set_exception, StorageError(str(error)))
            return
        loop.call_soon_threadsafe(opened.set_result, books)
        more = True
        while more:
            jobs, more = self._gather()
            with books.free:
                self._serve(books, jobs, loop)
        with books.free:
            books.close()

    def _gather(self) -> tuple[list[_Job], bool]:
        """What is waiting, at least one job or one order; whether there will be more."""
        jobs: list[_Job] = []
        found = self._jobs.get()
        while found is not _Order.STOP:
            if isinstance(found, _Job):
                jobs.append(found)
            if len(jobs) == _MOST_PER_COMMIT:
                return jobs, True
            try:
                found = self._jobs.get_nowait()
            except queue.Empty:
                return jobs, True
        return jobs, False

    def _serve(self, books: _Books, jobs: Sequence[_Job], loop: asyncio.AbstractEventLoop) -> None:
        """Run a batch; early outcomes are told before the commit, which a batch of nothing else does not make."""
        outcomes = books.perform(jobs) if jobs else []
        early = [outcome for outcome in outcomes if outcome.job.early]
        late = [outcome for outcome in outcomes if not outcome.job.early]
        if early:
            loop.call_soon_threadsafe(self._told, early)
        if late or not jobs:
            failure = books.commit()
            if failure is not None:
                late = [_Outcome(outcome.job, error=failure) for outcome in late]
        if late:
            loop.call_soon_threadsafe(self._told, late)

    def _told(self, outcomes: Sequence[_Outcome]) -> None:
        self._waiting -= len(outcomes)
        if not outcomes[0].job.early:
            self._settled(outcomes)
            return
        idle = not self._untold
        self._untold.extend(outcomes)
        if idle:
            self._tell()

    def _tell(self) -> None:
        """Hand over one early outcome for each turn of the loop, and all of them once there will be no more turns.

        Calls that waited for one commit together would go to their providers in one moment, and from then on the chunks
        of all their streams would come in one moment, again and again, each behind the others.
        """
        self._settled([self._untold.popleft()])
        while self._untold and self._thread is None:
            self._settled([self._untold.popleft()])
        if self._untold and self._loop is not None:
            self._loop.call_soon(self._tell)

    def _settled(self, outcomes: Sequence[_Outcome]) -> None:
        """Hand outcomes to whoever waits for them; see to it that early ones reach the disk before long."""
        for outcome in outcomes:
            _resolve(outcome)
        if self._linger is None and self._loop is not None and outcomes[0].job.early:
            self._linger = self._loop.call_later(_LINGER_S, self._lingered)

    def _lingered(self) -> None:
        self._linger = None
        if self._books is not None and self._books.uncommitted:
            self._jobs.put(_Order.COMMIT)


def run_to_end(operation: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that waits for nothing; raises `RuntimeError` for one that does."""
    try:
        operation.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    operation.close()
    raise RuntimeError("a ledger operation may wait for nothing but its connection")


def _resolve(outcome: _Outcome) -> None:
    future = outcome.job.future
    if future.cancelled():
        if outcome.error is not None:
            _log.error("a ledger operation failed after its caller had gone", exc_info=outcome.error)
    elif outcome.error is not None:
        future.set_exception(outcome.error)
    else:
        future.set_result(outcome.result)
