"""The ledger: every thing once, by constraint; balances are sums; nothing is lost or paid twice across a restart."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from reference_gateway.accounts import AccountDirectory, Workspace
from reference_gateway.database import Database, DatabaseClosedError
from reference_gateway.ledger import SCHEMA, InsufficientError, Ledger, Reason


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Ledger]:
    database = Database(path)
    await database.start(SCHEMA)
    try:
        ledger = Ledger(database)
        yield ledger
        assert await ledger.audit() == []
    finally:
        await database.close()


async def account_with(ledger: Ledger, amount: int, workspace: Workspace = Workspace.CHAT) -> str:
    directory = AccountDirectory(ledger._database, ledger)
    account, _ = await directory.create(workspace, amount, None, {})
    return account.id


async def reasons(ledger: Ledger, account: str) -> list[tuple[Reason, int]]:
    return [(transfer.reason, transfer.amount) for transfer in await ledger.transfers(account)]


def test_a_call_holds_and_settles_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "l.sqlite") as ledger:
            account = await account_with(ledger, 1000)
            assert await ledger.hold("call", account, 400) == 400
            assert await ledger.balance(account) == 600
            await ledger.settle("call", account, 150, {"why": "test"})
            assert await ledger.balance(account) == 850
            assert (await reasons(ledger, account))[1:] == [
                (Reason.HOLD, -400),
                (Reason.RELEASE, 400),
                (Reason.SETTLE, -150),
            ]

    asyncio.run(main())


def test_a_second_settlement_breaks_on_the_unique_constraint_and_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "l.sqlite") as ledger:
            account = await account_with(ledger, 1000)
            await ledger.hold("call", account, 400)
            both = await asyncio.gather(
                *(ledger.settle("call", account, 150, {}) for _ in range(5)), return_exceptions=True
            )
            assert [type(result) for result in both] == [type(None)] + [sqlite3.IntegrityError] * 4
            assert "UNIQUE constraint failed" in str(both[1])
            assert await ledger.balance(account) == 850

    asyncio.run(main())


def test_a_released_call_cannot_be_settled_any_more(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "l.sqlite") as ledger:
            account = await account_with(ledger, 1000)
            await ledger.hold("call", account, 400)
            await ledger.release("call", account)
            await ledger.release("call", account)
            with pytest.raises(sqlite3.IntegrityError):
                await ledger.settle("call", account, 150, {})
            assert await ledger.balance(account) == 1000

    asyncio.run(main())


def test_a_call_without_a_hold_cannot_be_settled(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "l.sqlite") as ledger:
            account = await account_with(ledger, 1000)
            with pytest.raises(sqlite3.IntegrityError, match="has no hold"):
                await ledger.settle("call", account, 1, {})

    asyncio.run(main())


@pytest.mark.parametrize("balance", [0, None])
def test_nothing_is_held_from_a_balance_of_zero_or_less(tmp_path: Path, balance: int | None) -> None:
    async def main() -> None:
        async with opened(tmp_path / "l.sqlite") as ledger:
            account = await account_with(ledger, balance or 10)
            if balance is None:
                await ledger.hold("dear", account, 10)
                await ledger.settle("dear", account, 25, {})
                assert await ledger.balance(account) == -15
            else:
                account = await account_with(ledger, 0)
            with pytest.raises(InsufficientError):
                await ledger.hold("call", account, 1)

    asyncio.run(main())


def test_a_charge_beyond_the_balance_is_split_into_settlement_and_overrun(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "l.sqlite") as ledger:
            account = await account_with(ledger, 100)
            assert await ledger.hold("call", account, 400) == 100
            await ledger.settle("call", account, 130, {})
            assert (await reasons(ledger, account))[2:] == [
                (Reason.RELEASE, 100),
                (Reason.SETTLE, -100),
                (Reason.OVERRUN, -30),
            ]

    asyncio.run(main())


def test_parallel_holds_cannot_hold_the_same_money(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "l.sqlite") as ledger:
            account = await account_with(ledger, 100)
            held = await asyncio.gather(
                *(ledger.hold(f"call{i}", account, 40) for i in range(5)), return_exceptions=True
            )
            assert held[:3] == [40, 40, 20]
            assert all(isinstance(result, InsufficientError) for result in held[3:])

    asyncio.run(main())


def test_a_refund_returns_the_debit_exactly_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "l.sqlite") as ledger:
            account = await account_with(ledger, 100, Workspace.TASKS)
            database = ledger._database
            await database.submit(lambda connection: ledger.post_debit(connection, "task", account, 30, {}))
            refunds = [
                database.submit(lambda connection: ledger.post_refund(connection, "task", account, {}))
                for _ in range(3)
            ]
            results = await asyncio.gather(*refunds, return_exceptions=True)
            assert results[0] == 100
            assert all(isinstance(result, sqlite3.IntegrityError) for result in results[1:])
            assert await ledger.balance(account) == 100

    asyncio.run(main())


def test_a_debit_beyond_the_credits_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "l.sqlite") as ledger:
            account = await account_with(ledger, 29, Workspace.TASKS)
            with pytest.raises(InsufficientError):
                await ledger._database.submit(
                    lambda connection: ledger.post_debit(connection, "task", account, 30, {})
                )
            assert await ledger.balance(account) == 29

    asyncio.run(main())


def test_open_holds_are_given_back_when_the_ledger_is_opened_again(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "l.sqlite"
        async with opened(path) as ledger:
            account = await account_with(ledger, 1000)
            await ledger.hold("open", account, 400)
            await ledger.hold("settled", account, 100)
            await ledger.settle("settled", account, 50, {})
        async with opened(path) as ledger:
            assert await ledger.balance(account) == 550
            assert await ledger.release_open_holds() == 1
            assert await ledger.balance(account) == 950
            assert await ledger.release_open_holds() == 0

    asyncio.run(main())


def test_one_failing_operation_does_not_take_its_neighbours_in_the_commit_along(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "l.sqlite") as ledger:
            account = await account_with(ledger, 1000)
            operations = [ledger.top_up(f"t{index % 3}", account, 1) for index in range(6)]
            results = await asyncio.gather(*operations, return_exceptions=True)
            assert [type(result) for result in results] == [int] * 3 + [sqlite3.IntegrityError] * 3
            assert await ledger.balance(account) == 1003

    asyncio.run(main())


def test_an_operation_whose_caller_has_gone_still_runs_and_the_release_behind_it_undoes_it(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        async with opened(tmp_path / "l.sqlite") as ledger:
            account = await account_with(ledger, 1000)
            ledger.hold("call", account, 400).cancel()
            ledger.release("call", account).cancel()
            assert await ledger.balance(account) == 1000
            assert [reason for reason, _ in await reasons(ledger, account)][1:] == [
                Reason.HOLD,
                Reason.RELEASE,
            ]

    asyncio.run(main())


def test_a_second_gateway_cannot_open_the_same_ledger(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "l.sqlite") as ledger:
            await account_with(ledger, 1)
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                await Database(tmp_path / "l.sqlite").start(SCHEMA)

    asyncio.run(main())


def test_a_closed_ledger_takes_no_operations(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "l.sqlite") as ledger:
            pass
        with pytest.raises(DatabaseClosedError):
            ledger.balance("account")

    asyncio.run(main())
