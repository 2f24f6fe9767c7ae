"""Credits of the task gateway: taken too often, too late or for nothing."""

# ruff: noqa: ARG002 - a defect ignores what it ought to look at

import asyncio
from dataclasses import replace
from functools import cached_property

from aiohttp import web

from defects.definition import Defect
from reference_gateway import Components
from reference_gateway.accounts import Account
from reference_gateway.config import TaskModel
from reference_gateway.database import Connection
from reference_gateway.failures import GatewayError
from reference_gateway.identifiers import random_hex
from reference_gateway.jsonwire import JsonObject, encode
from reference_gateway.ledger import InsufficientError, Ledger, Reason
from reference_gateway.tasks.model import Task, TaskStatus
from reference_gateway.tasks.service import TaskService
from reference_gateway.tasks.store import TaskStore
from reference_gateway.tasks.surface import TasksSurface
from reference_gateway.tasks.validation import TaskValidator

_LATE_S = 0.5
_BETWEEN_S = 0.03
_MOST_KEPT = 10_000


class ChargesPolls(TaskService):
    """One credit for each poll."""

    async def find(self, account: Account, task_id: str) -> Task:
        task = await super().find(account, task_id)
        await self._ledger.top_up(f"poll_{random_hex()}", account.id, -1)
        return task


class ChargesBalanceReads(TaskService):
    """One credit for each look at the balance."""

    async def balance(self, account: Account) -> int:
        return await self._ledger.top_up(f"read_{random_hex()}", account.id, -1)


class DebitsLater(TaskService):
    """Books debits in the background; the answer to a submission does not wait for them."""

    @cached_property
    def _booking(self) -> set["asyncio.Task[None]"]:
        return set()

    async def accept(self, task: Task, request: JsonObject, idempotency_key: str | None) -> None:
        await super().accept(task, request, idempotency_key)
        await self._ledger.top_up(f"unbooked_{task.id}", task.account, task.price)
        later = asyncio.create_task(self._book(task))
        self._booking.add(later)
        later.add_done_callback(self._booking.discard)

    async def _book(self, task: Task) -> None:
        await asyncio.sleep(_LATE_S)
        await self._ledger.top_up(f"booked_{task.id}", task.account, -task.price)

    async def close(self) -> None:
        await super().close()
        await asyncio.gather(*self._booking)


class ServesOnCredit(Ledger):
    """Takes credits that are not there: what is missing is lent."""

    async def post_debit(
        self, connection: Connection, call: str, account: str, amount: int, detail: JsonObject
    ) -> int:
        missing = amount - await self.lock_balance(connection, account)
        if missing > 0:
            await self.post(connection, Reason.TOPUP, f"loan_{call}", account, missing)
        return await super().post_debit(connection, call, account, amount, detail)


class ChecksBalanceApart(TaskStore):
    """Looks at the balance in one transaction and takes the credits in another, a moment later."""

    def create(self, task: Task, idempotency_key: str | None) -> "asyncio.Future[None]":
        return asyncio.ensure_future(self._check_then_create(task, idempotency_key))

    async def _check_then_create(self, task: Task, idempotency_key: str | None) -> None:
        if await self._ledger.balance(task.account) < task.price:
            raise InsufficientError
        await asyncio.sleep(_BETWEEN_S)
        await super().create(task, idempotency_key)


class RunsUnpaid(TaskService):
    """Answers 402 and hands the work on all the same."""

    async def accept(self, task: Task, request: JsonObject, idempotency_key: str | None) -> None:
        try:
            await super().accept(task, request, idempotency_key)
        except InsufficientError:
            await self._store.create(replace(task, price=0), idempotency_key)
            self._worker.begin(task, request)
            raise


class ChargesRefusals(TaskService):
    """One credit for a submission that is refused."""

    async def submit(
        self, account: Account, endpoint: str, body: JsonObject, idempotency_key: str | None
    ) -> Task:
        try:
            return await super().submit(account, endpoint, body, idempotency_key)
        except GatewayError:
            await self._ledger.top_up(f"refused_{random_hex()}", account.id, -1)
            raise


class FreeAfterFailure(TaskService):
    """The submission after a failed one is for nothing; welcome, but not what the books say."""

    @cached_property
    def _last(self) -> dict[str, str]:
        return {}

    async def submit(
        self, account: Account, endpoint: str, body: JsonObject, idempotency_key: str | None
    ) -> Task:
        task = await super().submit(account, endpoint, body, idempotency_key)
        before = await self._store.find(self._last.get(account.id, ""))
        if before is not None and before.status is TaskStatus.FAILED:
            await self._ledger.top_up(f"again_{task.id}", account.id, task.price)
        if len(self._last) < _MOST_KEPT:
            self._last[account.id] = task.id
        return task


class OnePriceForAnyCount(TaskValidator):
    """Charges for one image, however many are asked for."""

    def price(self, model: TaskModel, body: JsonObject) -> int:
        return model.price


class BalanceAsText(TasksSurface):
    """The balance is a text, as money often is."""

    async def balance(self, request: web.Request) -> web.StreamResponse:
        balance = await self._service.balance(await self.admit(request))
        return web.Response(body=encode({"balance": str(balance)}), content_type="application/json")


class BalancePerKey(TasksSurface):
    """Each key has a budget of its own, and the balance is what is left of that."""

    @cached_property
    def _first(self) -> dict[str, str]:
        return {}

    async def balance(self, request: web.Request) -> web.StreamResponse:
        account = await self.admit(request)
        first = self._first.setdefault(account.id, request.headers["Authorization"])
        balance = await self._service.balance(account) if request.headers["Authorization"] == first else 0
        return web.Response(body=encode({"balance": balance}), content_type="application/json")


DEFECTS = (
    Defect(
        "polls-charged", "A poll costs a credit", ("TPOL-17",), lambda: Components(task_service=ChargesPolls)
    ),
    Defect(
        "balance-reads-charged",
        "Reading the balance costs a credit",
        ("BAL-02",),
        lambda: Components(task_service=ChargesBalanceReads),
    ),
    Defect(
        "debit-late",
        "The debit follows the answer to the submission by half a second",
        ("TBIL-02",),
        lambda: Components(task_service=DebitsLater),
    ),
    Defect(
        "tasks-on-credit",
        "A submission without enough credits is accepted",
        ("TBIL-13",),
        lambda: Components(ledger=ServesOnCredit),
    ),
    Defect(
        "overdraw-under-concurrency",
        "Parallel submissions overdraw the balance",
        ("TBIL-14",),
        lambda: Components(ledger=ServesOnCredit, task_store=ChecksBalanceApart),
    ),
    Defect(
        "unpaid-task-runs",
        "A submission answered with 402 runs all the same",
        ("TBIL-13", "TSUB-17"),
        lambda: Components(task_service=RunsUnpaid),
    ),
    Defect(
        "refused-submission-charged",
        "A submission answered with a 4xx costs a credit",
        ("TBIL-12",),
        lambda: Components(task_service=ChargesRefusals),
    ),
    Defect(
        "resubmission-for-nothing",
        "A submission after a failed one is not charged",
        ("TBIL-16",),
        lambda: Components(task_service=FreeAfterFailure),
    ),
    Defect(
        "price-ignores-count",
        "n images cost as much as one",
        ("TBIL-15",),
        lambda: Components(task_validator=OnePriceForAnyCount),
    ),
    Defect(
        "balance-is-text",
        "The balance is a text",
        ("BAL-01",),
        lambda: Components(tasks_surface=BalanceAsText),
    ),
    Defect(
        "balance-per-key",
        "The balance differs between two keys of a user",
        ("BAL-04",),
        lambda: Components(tasks_surface=BalancePerKey),
    ),
)
