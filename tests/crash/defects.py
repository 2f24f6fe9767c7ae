"""Gateways that lose or make money when they are killed: the harness must find each of them."""

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self

from aiohttp import web

from reference_gateway.calls import CallPlan, CallService
from reference_gateway.config import GatewayConfig
from reference_gateway.database import Connection
from reference_gateway.jsonwire import JsonObject
from reference_gateway.ledger import Ledger, Reason
from reference_gateway.payment import Payment
from reference_gateway.pricing import Usage
from reference_gateway.tasks.model import Task, TaskError
from reference_gateway.tasks.store import TaskStore
from reference_gateway.tasks.worker import TaskWorker

_SCRIPT: Final = re.compile(rb"in=(\d+);out=(\d+)")


class RefundsInASecondTransaction(TaskStore):
    """The failure is visible first, the refund follows on its own."""

    def fail(self, task_id: str, error: TaskError, *, refund: bool) -> "asyncio.Future[bool]":
        return asyncio.ensure_future(self._fail_then_refund(task_id, error, refund=refund))

    async def _fail_then_refund(self, task_id: str, error: TaskError, *, refund: bool) -> bool:
        failed = await super().fail(task_id, error, refund=False)
        task = await self.find(task_id)
        if failed and refund and task is not None:
            await self._database.submit(
                lambda connection: self._ledger.post_refund(connection, task_id, task.account, {})
            )
        return failed


class ChargesBeforeTheReply(CallService):
    """Knows what a call will use and settles it at dispatch."""

    async def serve(self, request: web.Request, plan: CallPlan) -> web.StreamResponse:
        script = _SCRIPT.search(plan.upstream_body)
        payment = self.payment(plan)
        async with payment:
            if script is not None:
                await payment.complete(Usage(int(script[1]), int(script[2])))
        return await super().serve(request, replace(plan, call=f"{plan.call}-free"))

    def payment(self, plan: CallPlan) -> Payment:
        payment = super().payment(plan)
        return _Free(payment) if plan.call.endswith("-free") else payment


class _Free(Payment):
    """The second half: nothing more is to pay."""

    def __init__(self, paid: Payment) -> None:
        self.charge = None
        self.call = paid.call

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        pass

    async def complete(self, usage: Usage | None) -> None:
        pass

    async def release(self) -> None:
        pass

    def abandon(self) -> None:
        pass


class AnswersBeforeTheCommit(Ledger):
    """A settlement is taken for done as soon as it has run."""

    def settle(self, call: str, account: str, charge: int, detail: JsonObject) -> "asyncio.Future[None]":
        async def later(connection: Connection) -> None:
            await self.post_settle(connection, call, account, charge, detail)

        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        asyncio.get_running_loop().call_later(0.1, self._database.submit, later)
        return done


class WritesBalancesOver(Ledger):
    """Reads a balance and writes another one, without a lock: right alone, wrong beside a second process."""

    async def lock_balance(self, connection: Connection, account: str) -> int:
        return await self.read_balance(connection, account)

    async def post_release(self, connection: Connection, call: str, account: str) -> None:
        # Two workers that start together and release one hold would end at the database's own constraint: no loss.
        await super().lock_balance(connection, account)
        await super().post_release(connection, call, account)

    async def post(
        self,
        connection: Connection,
        reason: Reason,
        call: str,
        account: str,
        amount: int,
        detail: JsonObject | None = None,
    ) -> int:
        before = await self.read_balance(connection, account)
        after = await super().post(connection, reason, call, account, amount, detail)
        await connection.execute(
            "UPDATE accounts SET balance = ? WHERE account = ?", before + amount, account
        )
        return after


class ForgetsHolds(Ledger):
    """What a dead gateway has set aside stays there."""

    async def release_open_holds(self) -> int:
        return 0


def _sends_again(config: GatewayConfig) -> dict[str, Any]:
    """Keeps the requests, and sends an intent without a job once more after a restart."""
    assert config.files is not None
    kept: Path = config.files.parent / "requests"

    class SendsIntentsAgain(TaskWorker):
        def begin(self, task: Task, request: JsonObject) -> None:
            kept.mkdir(exist_ok=True)
            # Whole or not at all: the process may be killed in the middle of this line.
            part = kept / f"{task.id}.part"
            part.write_text(json.dumps(request))
            part.replace(kept / task.id)
            super().begin(task, request)

        async def resume(self, task: Task) -> None:
            if task.job is None and (kept / task.id).exists():
                self._own(task, self.dispatch(task, json.loads((kept / task.id).read_text())))
            else:
                await super().resume(task)

    return {"task_worker": SendsIntentsAgain}


EXPECTED: Final[Mapping[str, str]] = {
    "refund in a second transaction": "failed, refunded None of 40",
    "charge before the reply": "charged without a whole reply of the provider",
    "answer before the commit": "delivered whole and not charged",
    "balances written over": "but its transfers sum to",
    "holds forgotten": "are still held",
    "intents sent again": "sent 2 times",
}
"""What the harness says about each."""

Change = Callable[[GatewayConfig], dict[str, Any]]

AMONG_WORKERS: Final = ("answer before the commit", "balances written over", "holds forgotten")
"""Those that a gateway of several processes is tried with; the middle one is wrong nowhere else."""

DEFECTS: Final[Mapping[str, Change]] = {
    "refund in a second transaction": lambda _config: {"task_store": RefundsInASecondTransaction},
    "charge before the reply": lambda _config: {"calls": ChargesBeforeTheReply},
    "answer before the commit": lambda _config: {"ledger": AnswersBeforeTheCommit},
    "balances written over": lambda _config: {"ledger": WritesBalancesOver},
    "holds forgotten": lambda _config: {"ledger": ForgetsHolds},
    "intents sent again": _sends_again,
}


def components(config: GatewayConfig, defect: str | None) -> dict[str, Any]:
    """The parts that a defect replaces."""
    return {} if defect is None else DEFECTS[defect](config)
