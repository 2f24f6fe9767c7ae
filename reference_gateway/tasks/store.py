"""Tasks in the ledger's database, so that a task and its money always change in one transaction.

Request bodies are not kept (public docs, Privacy): a task whose provider job is unknown after a restart is failed and
refunded, all others are followed further.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from reference_gateway.config import MediaKind
from reference_gateway.database import Connection, Database, storable
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

MOST_IDEMPOTENCY_KEYS: Final = 100_000
MOST_CLAIMED: Final = 100
_ORPHANS: Final = (
    "SELECT task FROM tasks WHERE status = 'processing' AND worker NOT IN (SELECT worker FROM workers)"
    " ORDER BY task LIMIT ?"
)
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
        return self._database.submit(
            lambda connection: self.post_created(connection, task, idempotency_key), lane=task.account
        )

    def find(self, task_id: str) -> "asyncio.Future[Task | None]":
        """A task by its id, whoever owns it."""
        return self._database.submit(lambda connection: self.read_task(connection, task_id))

    def claim(self) -> "asyncio.Future[list[Task]]":
        """Take over some of the unfinished tasks whose worker is gone; none when there are none left."""
        return self._database.submit(self.post_claim)

    def record_job(self, task_id: str, job: str) -> "asyncio.Future[bool]":
        """Remember the provider's job, so that a restart can follow it; False when the task has ended meanwhile."""
        return self._database.submit(lambda connection: self.post_job(connection, task_id, job))

    def complete(self, task_id: str, output: TaskOutput) -> "asyncio.Future[bool]":
        """Make the result visible; False when the task had ended already."""
        return self._database.submit(lambda connection: self.post_completed(connection, task_id, output))

    def fail(self, task_id: str, error: TaskError, *, refund: bool) -> "asyncio.Future[bool]":
        """Make the failure visible and refund in the same transaction; False when the task had ended already."""
        return self._database.submit(
            lambda connection: self.post_failed(connection, task_id, error, refund=refund)
        )

    def withdraw(self, task: Task, error: TaskError) -> "asyncio.Future[bool]":
        """Fail and refund a task that may exist; False when it does not."""
        return self._database.submit(
            lambda connection: self.post_withdrawn(connection, task, error), lane=task.account
        )

    def idempotency_keys(self) -> "asyncio.Future[list[IdempotencyRecord]]":
        """The recorded headers, oldest first."""
        return self._database.submit(self.read_idempotency_keys)

    async def post_created(self, connection: Connection, task: Task, idempotency_key: str | None) -> None:
        """Debit first: without the money nothing else happens."""
        rate = task.price // task.quantity if task.quantity else 0
        term = {"name": "task", "quantity": task.quantity, "rate": str(rate), "amount": str(task.price)}
        detail: JsonObject = {
            "model": task.model,
            "usage": {"tasks": task.quantity},
            "terms": [term],
            "total": str(task.price),
        }
        await self._ledger.post_debit(connection, task.id, task.account, task.price, detail)
        await connection.execute(
            "INSERT INTO tasks (task, account, model, kind, price, created_at, worker) VALUES (?, ?, ?, ?, ?, ?, ?)",
            task.id,
            task.account,
            task.model,
            task.kind.value,
            task.price,
            task.created_at,
            self._database.worker,
        )
        if idempotency_key is not None:
            row = await connection.fetch_one(
                "INSERT INTO idempotency_keys (value, account, task, at) VALUES (?, ?, ?, ?) RETURNING seq",
                idempotency_key,
                task.account,
                task.id,
                int(time.time()),
            )
            newest = 0 if row is None else int(row[0])
            await connection.execute(
                "DELETE FROM idempotency_keys WHERE seq <= ?", newest - MOST_IDEMPOTENCY_KEYS
            )

    async def post_job(self, connection: Connection, task_id: str, job: str) -> bool:
        """Write the provider's id."""
        changed = await connection.execute(
            "UPDATE tasks SET job = ? WHERE task = ? AND status = 'processing'", job, task_id
        )
        return changed == 1

    async def post_completed(self, connection: Connection, task_id: str, output: TaskOutput) -> bool:
        """Only a processing task can complete."""
        changed = await connection.execute(
            "UPDATE tasks SET status = 'completed', output = ? WHERE task = ? AND status = 'processing'",
            encode(_output_json(output)),
            task_id,
        )
        return changed == 1

    async def post_failed(
        self, connection: Connection, task_id: str, error: TaskError, *, refund: bool
    ) -> bool:
        """Only a processing task can fail, so the refund comes once; the ledger's unique index insists on it too."""
        row = await connection.fetch_one(
            "UPDATE tasks SET status = 'failed', error = ? WHERE task = ? AND status = 'processing' RETURNING account",
            encode(_error_json(error)),
            task_id,
        )
        if row is None:
            return False
        if refund:
            await self._ledger.post_refund(connection, task_id, row[0], _error_json(error))
        return True

    async def post_withdrawn(self, connection: Connection, task: Task, error: TaskError) -> bool:
        """Behind the lock of the account, so that a creation which is still being committed is seen."""
        await self._ledger.lock_balance(connection, task.account)
        return await self.post_failed(connection, task.id, error, refund=True)

    async def read_task(self, connection: Connection, task_id: str) -> Task | None:
        """One task."""
        if not storable(task_id):
            return None
        row = await connection.fetch_one(f"SELECT {_COLUMNS} FROM tasks WHERE task = ?", task_id)  # noqa: S608 - constant columns
        return None if row is None else _task(row)

    async def post_claim(self, connection: Connection) -> list[Task]:
        """Tasks whose worker is gone, oldest first: they are this worker's now, and nobody else gets them."""
        orphans = _ORPHANS + connection.skip_locked
        rows = await connection.fetch(
            f"UPDATE tasks SET worker = ? WHERE task IN ({orphans}) RETURNING {_COLUMNS}",  # noqa: S608 - constants, and the dialect's lock
            self._database.worker,
            MOST_CLAIMED,
        )
        return sorted((_task(row) for row in rows), key=lambda task: task.id)

    async def read_idempotency_keys(self, connection: Connection) -> list[IdempotencyRecord]:
        """Recorded headers, oldest first."""
        rows = await connection.fetch("SELECT value, account, task, at FROM idempotency_keys ORDER BY seq")
        return [IdempotencyRecord(*row) for row in rows]


def _task(row: Sequence[Any]) -> Task:
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
