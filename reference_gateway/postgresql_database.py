"""PostgreSQL through a small pool of asyncpg connections: one transaction for each operation, many at the same time.

Processes and hosts share the server. Read committed is enough, because every change of money first locks the row of its
account; what the server undoes for a deadlock runs again. Operations of one lane (an account) queue up here instead of
at the row lock, which keeps their order and the pool free. Early operations commit without waiting for the disk: a
crash of the server may lose them, a crash of the gateway cannot, and nothing durable is ever ahead of them.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import Any, ClassVar
from urllib.parse import urlsplit

import asyncpg

from reference_gateway.database import (
    Connection,
    ConstraintError,
    Database,
    DatabaseClosedError,
    Operation,
    StorageError,
    T,
    new_worker,
)
from reference_gateway.identifiers import random_hex
from reference_gateway.migrations import migrate

_log = logging.getLogger(__name__)
_MOST_WAITING = 100_000
_MOST_ATTEMPTS = 10
_CONNECT_S = 10.0
_STATEMENT_S = 30.0
_MIGRATION_LOCK = 0x5765_6967
_BEGIN = "BEGIN"
_BEGIN_EARLY = "BEGIN; SET LOCAL synchronous_commit TO OFF"
# The server undid the whole transaction, so it may run again.
_UNDONE = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
_BROKEN = (OSError, TimeoutError, asyncio.TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


class PostgresqlConnection:
    """Statements inside the transaction that is open on one connection of the pool."""

    for_update = " FOR NO KEY UPDATE"
    skip_locked = " FOR NO KEY UPDATE SKIP LOCKED"
    dialect = "postgresql"

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def fetch(self, sql: str, *values: Any) -> Sequence[Sequence[Any]]:
        rows: Sequence[Sequence[Any]] = await _told(self._connection.fetch, _numbered(sql), *values)
        return rows

    async def fetch_one(self, sql: str, *values: Any) -> Sequence[Any] | None:
        row: Sequence[Any] | None = await _told(self._connection.fetchrow, _numbered(sql), *values)
        return row

    async def execute(self, sql: str, *values: Any) -> int:
        status: str = await _told(self._connection.execute, _numbered(sql), *values)
        return int(status.rpartition(" ")[2])

    async def has_table(self, name: str) -> bool:
        return await _told(self._connection.fetchval, "SELECT to_regclass($1)::text", name) is not None

    async def script(self, sql: str) -> None:
        await _told(self._connection.execute, sql)


@lru_cache(maxsize=1024)
def _numbered(sql: str) -> str:
    """`?` as PostgreSQL writes it; our statements hold no question mark in a literal."""
    first, *rest = sql.split("?")
    return first + "".join(f"${number}{part}" for number, part in enumerate(rest, 1))


async def _told(statement: Callable[..., Awaitable[Any]], *values: Any) -> Any:
    """The result of a statement; its errors as ours."""
    try:
        return await statement(*values)
    except _UNDONE:
        raise
    except (asyncpg.IntegrityConstraintViolationError, asyncpg.NumericValueOutOfRangeError) as error:
        raise ConstraintError(str(error)) from error
    except _BROKEN as error:
        raise StorageError(str(error) or type(error).__name__) from error


class PostgresqlDatabase(Database):
    """Owns the pool, and one more connection whose session shows that this process is alive."""

    shared: ClassVar[bool] = True

    def __init__(self, url: str, connections: int) -> None:
        super().__init__()
        self._url = url
        self._connections = connections
        self._pool: Any = None
        self._presence: Any = None
        self._lock_key = _new_lock_key()
        self._open: set[asyncio.Task[Any]] = set()
        self._lanes: dict[str, asyncio.Task[Any]] = {}

    async def start(self) -> None:
        try:
            self._pool = await asyncpg.create_pool(
                self._url,
                min_size=1,
                max_size=self._connections,
                max_inactive_connection_lifetime=0,
                reset=_no_reset,
                timeout=_CONNECT_S,
                command_timeout=_STATEMENT_S,
                server_settings={"application_name": f"reference_gateway {self.worker}"},
            )
        except (ValueError, *_BROKEN) as error:
            raise StorageError(f"{_shown(self._url)}: {error or type(error).__name__}") from error
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                # Workers start together; one of them migrates, the others find it done.
                await connection.execute("SELECT pg_advisory_xact_lock($1)", _MIGRATION_LOCK)
                await migrate(PostgresqlConnection(connection))
        except BaseException:
            await self._drop()
            raise

    def submit(
        self, operation: Operation[T], *, early: bool = False, lane: str | None = None
    ) -> "asyncio.Future[T]":
        if self._pool is None:
            raise DatabaseClosedError("the ledger is not open")
        if len(self._open) >= _MOST_WAITING:
            raise DatabaseClosedError(f"more than {_MOST_WAITING} ledger operations are waiting")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        before = None if lane is None else self._lanes.get(lane)
        running = loop.create_task(self._run(operation, early, before))
        self._open.add(running)
        if lane is not None:
            self._lanes[lane] = running
        running.add_done_callback(self._resolver(future, lane))
        return future

    async def close(self) -> None:
        while self._open:
            await asyncio.wait(self._open)
        await self._drop()

    async def _drop(self) -> None:
        pool, self._pool = self._pool, None
        presence, self._presence = self._presence, None
        if presence is not None:
            await presence.close(timeout=_CONNECT_S)
        if pool is not None:
            await pool.close()

    def _resolver(self, future: "asyncio.Future[T]", lane: str | None) -> Callable[[asyncio.Task[T]], None]:
        def resolve(running: asyncio.Task[T]) -> None:
            self._open.discard(running)
            if lane is not None and self._lanes.get(lane) is running:
                del self._lanes[lane]
            if running.cancelled():
                future.cancel()
                return
            error = running.exception()
            if future.cancelled():
                if error is not None:
                    _log.error("a ledger operation failed after its caller had gone", exc_info=error)
            elif error is not None:
                future.set_exception(error)
            else:
                future.set_result(running.result())

        return resolve

    async def _run(self, operation: Operation[T], early: bool, before: asyncio.Task[Any] | None) -> T:
        if before is not None:
            await asyncio.wait([before])
        for attempt in range(1, _MOST_ATTEMPTS + 1):
            try:
                return await self._transaction(operation, early)
            except _UNDONE as error:
                if attempt == _MOST_ATTEMPTS:
                    raise StorageError(f"gave up after {attempt} attempts: {error}") from error
                await asyncio.sleep(0.002 * attempt)
        raise AssertionError

    async def _transaction(self, operation: Operation[T], early: bool) -> T:
        try:
            connection = await self._pool.acquire()
        except _BROKEN as error:
            raise StorageError(f"the database cannot be reached: {error or type(error).__name__}") from error
        try:
            try:
                await _told(connection.execute, _BEGIN_EARLY if early else _BEGIN)
                result = await operation(PostgresqlConnection(connection))
                await _told(connection.execute, "COMMIT")
            except BaseException:
                await _undo(connection)
                raise
            return result
        finally:
            await self._pool.release(connection)

    async def enlist(self) -> None:
        """Hold a lock by a session of its own; the server lets go of it as soon as this process is gone.

        A process whose session was lost comes back under another name. What it had begun under the old one may have
        been given back by others, or half of it lost with the server, so it is taken over like a dead worker's.
        """
        if self._presence is not None and self._presence.is_closed():
            self._presence = None
            _log.warning("%s has lost its session at the database and begins anew", self.worker)
            self.worker, self._lock_key = new_worker(), _new_lock_key()
        if self._presence is None:
            try:
                self._presence = await asyncpg.connect(
                    self._url,
                    timeout=_CONNECT_S,
                    command_timeout=_STATEMENT_S,
                    server_settings={"application_name": f"reference_gateway presence of {self.worker}"},
                )
                # The server may still be ending the session that was lost; then the lock is free a moment later.
                await self._presence.execute("SELECT pg_advisory_lock($1)", self._lock_key)
            except _BROKEN as error:
                raise StorageError(str(error) or type(error).__name__) from error
        await _told(self._presence.execute, _BEAT, self.worker, self._lock_key, _HOST, os.getpid())

    async def bury(self, connection: Connection, lease_s: float) -> None:
        await connection.execute(_BURY, self.worker, lease_s)


def _new_lock_key() -> int:
    return int(random_hex()[:15], 16)


_HOST = socket.gethostname()
_BEAT = """
INSERT INTO workers (worker, lock_key, host, pid, beat_at)
VALUES ($1, $2, $3, $4, extract(epoch FROM clock_timestamp()))
ON CONFLICT (worker) DO UPDATE SET beat_at = excluded.beat_at
"""
# Gone: without its session, or without a sign of life for the length of a lease.
_BURY = """
DELETE FROM workers AS w WHERE worker <> ? AND (
  beat_at < extract(epoch FROM clock_timestamp()) - ?::double precision
  OR NOT EXISTS (
    SELECT 1 FROM pg_locks AS l
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (l.classid::bigint << 32 | l.objid::bigint) = w.lock_key))
"""


async def _undo(connection: Any) -> None:
    """End a transaction that failed; a connection that cannot even do that is not used again."""
    try:
        await connection.execute("ROLLBACK")
    except _BROKEN as error:
        _log.warning("a connection to the database is given up: %s", error)
        with contextlib.suppress(asyncpg.InterfaceError):
            connection.terminate()


async def _no_reset(_connection: Any) -> None:
    """Nothing outlives a transaction here, so a connection goes back as it is."""


def _shown(url: str) -> str:
    """A database URL without its password."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"
