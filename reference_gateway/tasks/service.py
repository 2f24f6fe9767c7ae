"""What users can do with tasks: submit, look at their own, read their balance.

Sources: public docs, API Overview (asynchronous tasks, Credits, Idempotency), Tasks, Balance, Terms (debit first).
"""

import asyncio
import time

from reference_gateway.accounts import Account
from reference_gateway.config import TaskModel
from reference_gateway.database import StorageError
from reference_gateway.failures import Kind, refuse
from reference_gateway.jsonwire import JsonObject
from reference_gateway.ledger import InsufficientError, Ledger
from reference_gateway.tasks.model import Task, new_task_id
from reference_gateway.tasks.store import TaskStore
from reference_gateway.tasks.validation import TaskValidator
from reference_gateway.tasks.worker import TaskWorker


class TaskService:
    """The rules; storage and provider are elsewhere."""

    def __init__(
        self, validator: TaskValidator, store: TaskStore, worker: TaskWorker, ledger: Ledger
    ) -> None:
        self._validator = validator
        self._store = store
        self._worker = worker
        self._ledger = ledger
        self._accepting: set[asyncio.Task[None]] = set()

    async def submit(
        self, account: Account, endpoint: str, body: JsonObject, idempotency_key: str | None
    ) -> Task:
        """Accept a submission: debit, create, hand on, in that order. Every success is a new task and a new charge.

        The Idempotency-Key is recorded and has no effect (public docs, API Overview, Idempotency).
        Raises `GatewayError`: 400 for the body, 402 without the credits, 503 when too many tasks are running.
        """
        model = self._validator.validate(endpoint, body)
        if not self._worker.has_room():
            raise refuse(Kind.OVERLOADED, "Too many tasks are running; try again later.")
        price = self._validator.price(model, body)
        task = Task(
            id=new_task_id(),
            account=account.id,
            model=model.id,
            kind=model.kind,
            price=price,
            created_at=int(time.time()),
            quantity=price // model.price if model.price else 1,
        )
        accepting = asyncio.create_task(self.accept(task, self.job_request(model, body), idempotency_key))
        self._accepting.add(accepting)
        accepting.add_done_callback(self._accepting.discard)
        try:
            # A caller who leaves now must not part the debit from the work it pays for.
            await asyncio.shield(accepting)
        except InsufficientError as error:
            raise refuse(
                Kind.INSUFFICIENT_BALANCE, f"This task costs {task.price} credits; top up and try again."
            ) from error
        return task

    async def accept(self, task: Task, request: JsonObject, idempotency_key: str | None) -> None:
        """Debit and create durably, then hand the work on."""
        try:
            await self._store.create(task, idempotency_key)
        except StorageError:
            # The caller is told of a failure; the commit may have gone through all the same.
            self._worker.withdraw(task)
            raise
        self._worker.begin(task, request)

    def job_request(self, model: TaskModel, body: JsonObject) -> JsonObject:
        """What the provider is asked for: the fields of the submission, and the kind of media."""
        return {**body, "kind": model.kind.value, "model": model.id}

    async def find(self, account: Account, task_id: str) -> Task:
        """A task of this user; raises `GatewayError` (404) alike for unknown and foreign ones."""
        task = await self._store.find(task_id)
        if task is None or not self.visible_to(account, task):
            raise refuse(Kind.UNKNOWN_TASK, "There is no such task.")
        return task

    def visible_to(self, account: Account, task: Task) -> bool:
        """Tasks belong to the user, not to the key."""
        return task.account == account.id

    async def balance(self, account: Account) -> int:
        """Whole credits."""
        return await self._ledger.balance(account.id)

    async def close(self) -> None:
        """Wait for submissions that are being accepted."""
        await asyncio.gather(*self._accepting, return_exceptions=True)
