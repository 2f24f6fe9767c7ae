"""Refunds of failed tasks: absent, late, repeated, or of another amount."""

# ruff: noqa: ARG002 - a defect ignores what it ought to look at

import asyncio
from functools import cached_property

from defects.definition import Defect
from reference_gateway import Components
from reference_gateway.accounts import Account
from reference_gateway.database import Connection
from reference_gateway.identifiers import random_hex
from reference_gateway.jsonwire import JsonObject
from reference_gateway.ledger import Ledger, Reason
from reference_gateway.tasks.model import Task, TaskError, TaskFailureCode, TaskOutput, TaskStatus
from reference_gateway.tasks.service import TaskService
from reference_gateway.tasks.store import TaskStore
from reference_gateway.tasks.worker import TaskOutcomes

_LATE_S = 0.5
_BETWEEN_S = 0.03


class RefundsPerPoll(TaskService):
    """The refund is made by the poll that shows the failure, and so by each of them."""

    async def find(self, account: Account, task_id: str) -> Task:
        task = await super().find(account, task_id)
        if task.status is TaskStatus.FAILED:
            await self._ledger.top_up(f"refund_{random_hex()}", account.id, task.price)
        return task


class NoRefund(TaskOutcomes):
    """Keeps the credits of failed tasks."""

    def refund_on(self, error: TaskError) -> bool:
        return False


class RefundsOnFirstPoll(TaskService):
    """Gives the credits back when somebody looks, once."""

    @cached_property
    def _refunded(self) -> set[str]:
        return set()

    async def find(self, account: Account, task_id: str) -> Task:
        task = await super().find(account, task_id)
        if task.status is TaskStatus.FAILED and task_id not in self._refunded:
            self._refunded.add(task_id)
            await self._ledger.top_up(f"refund_{random_hex()}", account.id, task.price)
        return task


class NoRefundForModeration(TaskOutcomes):
    """Keeps the credits of moderated tasks, as a penalty."""

    def refund_on(self, error: TaskError) -> bool:
        return error.code is not TaskFailureCode.MODERATED


class RefundsLater(TaskStore):
    """Shows the failure first and refunds it in a second transaction, half a second later."""

    @cached_property
    def _refunding(self) -> set["asyncio.Task[None]"]:
        return set()

    def fail(self, task_id: str, error: TaskError, *, refund: bool) -> "asyncio.Future[bool]":
        later = asyncio.create_task(self._refund(task_id))
        self._refunding.add(later)
        later.add_done_callback(self._refunding.discard)
        return super().fail(task_id, error, refund=False)

    async def _refund(self, task_id: str) -> None:
        await asyncio.sleep(_LATE_S)
        task = await self.find(task_id)
        if task is not None:
            await self._database.submit(
                lambda connection: self._ledger.post_refund(connection, task_id, task.account, {})
            )


class RefundsTwice(Ledger):
    """Gives back twice what was taken."""

    async def post_refund(self, connection: Connection, call: str, account: str, detail: JsonObject) -> int:
        await super().post_refund(connection, call, account, detail)
        again = await self.read_debited(connection, call)
        return await self.post(connection, Reason.REFUND, f"{call}_again", account, again, detail)


class RefundsHalf(Ledger):
    """Keeps half of the credits as a fee for the attempt."""

    async def read_debited(self, connection: Connection, call: str) -> int:
        return await super().read_debited(connection, call) // 2


class RefundsCompleted(TaskStore):
    """Releases the debit of each task that has ended, however it ended."""

    async def post_completed(self, connection: Connection, task_id: str, output: TaskOutput) -> bool:
        done = await super().post_completed(connection, task_id, output)
        task = await self.read_task(connection, task_id)
        if done and task is not None:
            await self._ledger.post_refund(connection, task_id, task.account, {})
        return done


class RefundsInARace(TaskService):
    """The polls at the moment of a failure all see that nobody has refunded it yet."""

    @cached_property
    def _refunded(self) -> set[str]:
        return set()

    async def find(self, account: Account, task_id: str) -> Task:
        task = await super().find(account, task_id)
        if task.status is TaskStatus.FAILED and task_id not in self._refunded:
            await asyncio.sleep(_BETWEEN_S)
            await self._ledger.top_up(f"refund_{random_hex()}", account.id, task.price)
            self._refunded.add(task_id)
        return task


DEFECTS = (
    Defect(
        "no-refund",
        "Failed tasks are not refunded",
        ("TBIL-04", "TBIL-11", "TBIL-08"),
        lambda: Components(task_outcomes=NoRefund),
    ),
    Defect(
        "no-refund-for-moderation",
        "Moderated tasks are not refunded",
        ("TBIL-11",),
        lambda: Components(task_outcomes=NoRefundForModeration),
    ),
    Defect(
        "refund-after-status",
        "The refund follows the failure by half a second",
        ("TBIL-05",),
        lambda: Components(task_store=RefundsLater),
    ),
    Defect(
        "refund-only-when-polled",
        "A failed task is refunded when somebody polls it",
        ("TBIL-06",),
        lambda: Components(task_outcomes=NoRefund, task_service=RefundsOnFirstPoll),
    ),
    Defect(
        "refund-per-poll",
        "Each poll of a failed task refunds it again",
        ("TBIL-07", "TBIL-09", "FUZZ-TASK-01"),
        lambda: Components(task_outcomes=NoRefund, task_service=RefundsPerPoll),
    ),
    Defect(
        "refund-races",
        "Polls at the same moment refund a task several times",
        ("TBIL-09",),
        lambda: Components(task_outcomes=NoRefund, task_service=RefundsInARace),
    ),
    Defect(
        "refund-twice",
        "A failed task is refunded twice over",
        ("TBIL-08", "TBIL-11"),
        lambda: Components(ledger=RefundsTwice),
    ),
    Defect(
        "refund-partial",
        "A failed task is refunded by half",
        ("TBIL-08", "TBIL-11"),
        lambda: Components(ledger=RefundsHalf),
    ),
    Defect(
        "completed-refunded",
        "A completed task is refunded",
        ("TBIL-10",),
        lambda: Components(task_store=RefundsCompleted),
    ),
)
