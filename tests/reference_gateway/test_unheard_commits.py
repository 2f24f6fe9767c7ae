"""A database that fails in the worst moment: after a commit of which nobody hears, or for a while.

Whoever was told of a failure has paid nothing in the end, and nothing is held for what is over.
"""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from reference_gateway import Components
from reference_gateway.database import StorageError
from reference_gateway.jsonwire import JsonObject
from reference_gateway.ledger import Ledger
from reference_gateway.tasks.model import Task
from reference_gateway.tasks.store import TaskStore

BODY = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "[[wb:x;in=1000;out=100]]"}]}


async def unheard(done: Any) -> Any:
    """The change is made and kept; who waits for it hears of a broken connection."""
    await done
    raise StorageError("the connection broke")


class DeafToSettlements(Ledger):
    def settle(self, call: str, account: str, charge: int, detail: JsonObject) -> "asyncio.Future[None]":
        return asyncio.ensure_future(unheard(super().settle(call, account, charge, detail)))


class DeafToHolds(Ledger):
    def hold(self, call: str, account: str, wanted: int) -> "asyncio.Future[int]":
        return asyncio.ensure_future(unheard(super().hold(call, account, wanted)))


class DeafToCreations(TaskStore):
    def create(self, task: Task, idempotency_key: str | None) -> "asyncio.Future[None]":
        return asyncio.ensure_future(unheard(super().create(task, idempotency_key)))


class SlowToRelease(Ledger):
    """Cannot release or give back anything at first."""

    failures = 3

    async def post_release(self, *values: Any) -> None:
        if self.failures:
            self.failures -= 1
            raise StorageError("disk I/O error")
        await super().post_release(*values)


async def nothing_is_held(d: Any, customer: Any, balance: str, wait_for: Any) -> None:
    async def whole() -> bool:
        return bool(await d.balance(customer) == balance)

    await wait_for(whole)
    reasons = [row["reason"] for row in await d.rows(customer)]
    assert reasons.count("hold") == reasons.count("release")


@pytest.mark.parametrize("usd", ["100", "0.001"], ids=["covered", "overrun"])
def test_a_charge_that_its_caller_was_refused_for_is_refunded(deploy: Any, wait_for: Any, usd: str) -> None:
    async def main() -> None:
        async with deploy(replace(Components.default(), ledger=DeafToSettlements)) as d:
            customer = await d.customer(usd)
            answer = await d.chat(customer, BODY)
            assert (answer.status, answer.json["error"]["code"]) == (500, "internal")
            await nothing_is_held(d, customer, usd, wait_for)
            (row,) = await d.rows(customer, "settle")
            assert (await d.operator("GET", f"/calls/{row['call']}"))["charged"] == "0"

    asyncio.run(main())


def test_a_hold_that_was_not_heard_of_is_given_back(deploy: Any, wait_for: Any) -> None:
    async def main() -> None:
        async with deploy(replace(Components.default(), ledger=DeafToHolds)) as d:
            customer = await d.customer("100")
            assert (await d.chat(customer, BODY)).status == 500
            await nothing_is_held(d, customer, "100", wait_for)
            assert await d.journal("x") == []

    asyncio.run(main())


@pytest.mark.parametrize("fault", ["status;status=500", "reset"])
@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_released_at_once_is_released_before_long(
    deploy: Any, wait_for: Any, fault: str, stream: bool
) -> None:
    async def main() -> None:
        async with deploy(replace(Components.default(), ledger=SlowToRelease)) as d:
            customer = await d.customer("100")
            body = {**BODY, "messages": [{"role": "user", "content": f"[[wb:x;fault={fault}]]"}]}
            answer = await d.chat(customer, {**body, "stream": stream})
            assert '"upstream_failed"' in answer.text
            await nothing_is_held(d, customer, "100", wait_for)

    asyncio.run(main())


def test_a_task_that_its_caller_was_refused_is_refunded_and_never_sent(deploy: Any, wait_for: Any) -> None:
    async def main() -> None:
        async with deploy(replace(Components.default(), task_store=DeafToCreations)) as d:
            customer = await d.task_customer(1000)
            answer = await d.submit(
                customer, "/images/generations", {"model": "gpt-image-2", "prompt": "[[wb:t]]"}
            )
            assert (answer.status, answer.json["error"]["code"]) == (500, 60099)

            async def refunded() -> bool:
                return bool(await d.credits(customer) == 1000)

            await wait_for(refunded)
            assert [row["reason"] for row in await d.rows(customer)] == ["topup", "debit", "refund"]
            assert await d.journal("t") == []

    asyncio.run(main())
