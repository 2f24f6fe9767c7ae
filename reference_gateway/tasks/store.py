"""Tasks in the ledger's database, so that a task and its money always change in one transaction.

Request bodies are not kept (public docs, Privacy): a task whose provider job is unknown after a restart is failed and
refunded, all others are followed further.
"""

import asyncio
import sqlite3
import time
from dataclasses import dataclass
from typing import Any, Final

from reference_gateway.config import MediaKind
from reference_gateway.database import Database
from reference_gateway.jsonwire import JsonObject, decode_object, encode
from reference_gateway.ledger import Ledger
from reference_gateway.tasks.model import (
    StoredFile,
    Task,
    TaskError,
    TaskFailureCode,
    TaskOutput,
    TaskStatus,
)

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS tasks (
  task TEXT PRIMARY KEY,
  account TEXT NOT NULL REFERENCES accounts,
  model TEXT NOT NULL,
  kind TEXT NOT NULL,
  price INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  status TEXT NOT NULL DEFAULT 'processing' CHECK (status IN ('processing', 'completed', 'failed')),
  job TEXT,
  output BLOB,
  error BLOB,
  CHECK ((status = 'completed') = (output IS NOT NULL)),
  CHECK ((status = 'failed') = (error IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tasks_unfinished ON tasks (task) WHERE status = 'processing';
CREATE TABLE IF NOT EXISTS idempotency_keys (
  seq INTEGER PRIMARY KEY,
  value TEXT NOT NULL,
  account TEXT NOT NULL,
  task TEXT NOT NULL,
  at INTEGER NOT NULL
) STRICT;
"""
MOST_IDEMPOTENCY_KEYS: Final = 100_000
_COLUMNS: Final = "task, account, model, kind, price, created_at, status, job, output, error"


@dataclass(frozen=True, slots=True)
class IdempotencyRecord:
    """One Idempotency-Key as it was sent. It is looked at by people only."""

    value: str
    account: str
    task: str
    at: int


class TaskStore:
    """Reads and writes tasks."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger

    def create(self, task: Task, idempotency_key: str | None) -> "asyncio.Future[None]":
        """Debit and create in one transaction; raises `InsufficientError`, and then there is no task."""
        return self._database.submit(lambda connection: self.post_created(connection, task, idempotency_key))

    def find(self, task_id: str) -> "asyncio.Future[Task | None]":
        """A task by its id, whoever owns it."""
        return self._database.submit(lambda connection: self.read_task(connection, task_id))

    def unfinished(self) -> "asyncio.Future[list[Task]]":
        """Everything that is still processing."""
        return self._database.submit(self.read_unfinished)

    def record_job(self, task_id: str, job: str) -> "asyncio.Future[None]":
        """Remember the provider's job, so that a restart can follow it."""
        return self._database.submit(lambda connection: self.post_job(connection, task_id, job))

    def complete(self, task_id: str, output: TaskOutput) -> "asyncio.Future[bool]":
        """Make the result visible; False when the task had ended already."""
        return self._database.submit(lambda connection: self.post_completed(connection, task_id, output))

    def fail(self, task_id: str, error: TaskError, *, refund: bool) -> "asyncio.Future[bool]":
        """Make the failure visible and refund in the same transaction; False when the task had ended already."""
        return self._database.submit(
            lambda connection: self.post_failed(connection, task_id, error, refund=refund)
        )

    def idempotency_keys(self) -> "asyncio.Future[list[IdempotencyRecord]]":
        """The recorded headers, oldest first."""
        return self._database.submit(self.read_idempotency_keys)

    def post_created(self, connection: sqlite3.Connection, task: Task, idempotency_key: str | None) -> None:
        """Debit first: without the money nothing else happens."""
        detail: JsonObject = {"model": task.model, "credits": task.price}
        self._ledger.post_debit(connection, task.id, task.account, task.price, detail)
        connection.execute(
            "INSERT INTO tasks (task, account, model, kind, price, created_at) VALUES (?, ?, ?, ?, ?, ?)",
            (task.id, task.account, task.model, task.kind.value, task.price, task.created_at),
        )
        if idempotency_key is not None:
            cursor = connection.execute(
                "INSERT INTO idempotency_keys (value, account, task, at) VALUES (?, ?, ?, ?)",
                (idempotency_key, task.account, task.id, int(time.time())),
            )
            connection.execute(
                "DELETE FROM idempotency_keys WHERE seq <= ?",
                ((cursor.lastrowid or 0) - MOST_IDEMPOTENCY_KEYS,),
            )

    def post_job(self, connection: sqlite3.Connection, task_id: str, job: str) -> None:
        """Write the provider's id."""
        connection.execute("UPDATE tasks SET job = ? WHERE task = ?", (job, task_id))

    def post_completed(self, connection: sqlite3.Connection, task_id: str, output: TaskOutput) -> bool:
        """Only a processing task can complete."""
        cursor = connection.execute(
            "UPDATE tasks SET status = 'completed', output = ? WHERE task = ? AND status = 'processing'",
            (encode(_output_json(output)), task_id),
        )
        return cursor.rowcount == 1

    def post_failed(
        self, connection: sqlite3.Connection, task_id: str, error: TaskError, *, refund: bool
    ) -> bool:
        """Only a processing task can fail, so the refund comes once; the ledger's unique index insists on it too."""
        row = connection.execute(
            "UPDATE tasks SET status = 'failed', error = ? WHERE task = ? AND status = 'processing' RETURNING account",
            (encode(_error_json(error)), task_id),
        ).fetchone()
        if row is None:
            return False
        if refund:
            self._ledger.post_refund(connection, task_id, row[0], _error_json(error))
        return True

    def read_task(self, connection: sqlite3.Connection, task_id: str) -> Task | None:
        """One task."""
        row = connection.execute(f"SELECT {_COLUMNS} FROM tasks WHERE task = ?", (task_id,)).fetchone()  # noqa: S608 - constant columns
        return None if row is None else _task(row)

    def read_unfinished(self, connection: sqlite3.Connection) -> list[Task]:
        """Tasks that are processing, oldest first."""
        rows = connection.execute(f"SELECT {_COLUMNS} FROM tasks WHERE status = 'processing' ORDER BY task")  # noqa: S608 - constant columns
        return [_task(row) for row in rows]

    def read_idempotency_keys(self, connection: sqlite3.Connection) -> list[IdempotencyRecord]:
        """Recorded headers, oldest first."""
        rows = connection.execute("SELECT value, account, task, at FROM idempotency_keys ORDER BY seq")
        return [IdempotencyRecord(*row) for row in rows]


def _task(row: tuple[Any, ...]) -> Task:
    return Task(
        id=row[0],
        account=row[1],
        model=row[2],
        kind=MediaKind(row[3]),
        price=row[4],
        created_at=row[5],
        status=TaskStatus(row[6]),
        job=row[7],
        output=None if row[8] is None else _output(decode_object(row[8])),
        error=None if row[9] is None else _error(decode_object(row[9])),
    )


def _output_json(output: TaskOutput) -> JsonObject:
    return {
        "files": [{"name": file.name, "type": file.type, "label": file.label} for file in output.files],
        "last_frame": output.last_frame,
        "text": output.text,
    }


def _output(value: JsonObject) -> TaskOutput:
    files = tuple(StoredFile(file["name"], file["type"], file["label"]) for file in value["files"])
    return TaskOutput(files, value["last_frame"], value["text"])


def _error_json(error: TaskError) -> JsonObject:
    return {"code": int(error.code), "message": error.message, "request_id": error.request_id}


def _error(value: JsonObject) -> TaskError:
    return TaskError(TaskFailureCode(value["code"]), value["message"], value["request_id"])
