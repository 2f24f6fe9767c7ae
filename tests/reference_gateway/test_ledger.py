"""The ledger: every thing once, by constraint; balances are sums; nothing is lost or paid twice across a restart."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from reference_gateway.accounts import AccountDirectory, Workspace
from reference_gateway.database import ConstraintError, Database, DatabaseClosedError, StorageError
from reference_gateway.identifiers import random_hex
from reference_gateway.jsonwire import decode
from reference_gateway.ledger import InsufficientError, Ledger, Reason
from reference_gateway.membership import Membership
from reference_gateway.postgresql_database import PostgresqlDatabase
from reference_gateway.rate_card import RateCard
from reference_gateway.sqlite_database import SqliteDatabase


@asynccontextmanager
async def opened(storage: Mapping[str, Any]) -> AsyncIterator[Ledger]:
    database = database_at(storage)
    await database.start()
    try:
        await Membership(database, 5.0).join()
        ledger = Ledger(database)
        yield ledger
        assert await ledger.audit() == []
    finally:
        await database.close()


def database_at(storage: Mapping[str, Any]) -> Database:
    place = storage["database"]
    return PostgresqlDatabase(place, 4) if "://" in place else SqliteDatabase(Path(place))


async def raw(database: Database, sql: str, *values: Any) -> int:
    """A statement past all our code."""
    return await database.submit(lambda connection: connection.execute(sql, *values))


async def account_with(ledger: Ledger, amount: int, workspace: Workspace = Workspace.CHAT) -> str:
    directory = AccountDirectory(ledger._database, ledger)
    account, _ = await directory.create(workspace, amount, None, {})
    return account.id


async def reasons(ledger: Ledger, account: str) -> list[tuple[Reason, int]]:
    return [(transfer.reason, transfer.amount) for transfer in await ledger.transfers(account)]


def test_a_call_holds_and_settles_once(storage: Any) -> None:
    async def main() -> None:
        async with opened(storage) as ledger:
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


def test_a_second_settlement_breaks_on_the_unique_constraint_and_changes_nothing(storage: Any) -> None:
    async def main() -> None:
        async with opened(storage) as ledger:
            account = await account_with(ledger, 1000)
            await ledger.hold("call", account, 400)
            both = await asyncio.gather(
                *(ledger.settle("call", account, 150, {}) for _ in range(5)), return_exceptions=True
            )
            assert [type(result) for result in both] == [type(None)] + [ConstraintError] * 4
            assert "unique" in str(both[1]).lower()
            assert await ledger.balance(account) == 850

    asyncio.run(main())


def test_a_released_call_cannot_be_settled_any_more(storage: Any) -> None:
    async def main() -> None:
        async with opened(storage) as ledger:
            account = await account_with(ledger, 1000)
            await ledger.hold("call", account, 400)
            await ledger.release("call", account)
            await ledger.release("call", account)
            with pytest.raises(ConstraintError):
                await ledger.settle("call", account, 150, {})
            assert await ledger.balance(account) == 1000

    asyncio.run(main())


def test_a_call_without_a_hold_cannot_be_settled(storage: Any) -> None:
    async def main() -> None:
        async with opened(storage) as ledger:
            account = await account_with(ledger, 1000)
            with pytest.raises(ConstraintError, match="has no hold"):
                await ledger.settle("call", account, 1, {})

    asyncio.run(main())


@pytest.mark.parametrize("balance", [0, None])
def test_nothing_is_held_from_a_balance_of_zero_or_less(storage: Any, balance: int | None) -> None:
    async def main() -> None:
        async with opened(storage) as ledger:
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


def test_a_charge_beyond_the_balance_is_split_into_settlement_and_overrun(storage: Any) -> None:
    async def main() -> None:
        async with opened(storage) as ledger:
            account = await account_with(ledger, 100)
            assert await ledger.hold("call", account, 400) == 100
            await ledger.settle("call", account, 130, {})
            assert (await reasons(ledger, account))[2:] == [
                (Reason.RELEASE, 100),
                (Reason.SETTLE, -100),
                (Reason.OVERRUN, -30),
            ]

    asyncio.run(main())


def test_parallel_holds_cannot_hold_the_same_money(storage: Any) -> None:
    async def main() -> None:
        async with opened(storage) as ledger:
            account = await account_with(ledger, 100)
            held = await asyncio.gather(
                *(ledger.hold(f"call{i}", account, 40) for i in range(5)), return_exceptions=True
            )
            assert held[:3] == [40, 40, 20]
            assert all(isinstance(result, InsufficientError) for result in held[3:])

    asyncio.run(main())


def test_a_refund_returns_the_debit_exactly_once(storage: Any) -> None:
    async def main() -> None:
        async with opened(storage) as ledger:
            account = await account_with(ledger, 100, Workspace.TASKS)
            database = ledger._database
            await database.submit(lambda connection: ledger.post_debit(connection, "task", account, 30, {}))
            refunds = [
                database.submit(lambda connection: ledger.post_refund(connection, "task", account, {}))
                for _ in range(3)
            ]
            results = await asyncio.gather(*refunds, return_exceptions=True)
            assert results[0] == 100
            assert all(isinstance(result, ConstraintError) for result in results[1:])
            assert await ledger.balance(account) == 100

    asyncio.run(main())


def test_a_debit_beyond_the_credits_is_refused(storage: Any) -> None:
    async def main() -> None:
        async with opened(storage) as ledger:
            account = await account_with(ledger, 29, Workspace.TASKS)
            with pytest.raises(InsufficientError):
                await ledger._database.submit(
                    lambda connection: ledger.post_debit(connection, "task", account, 30, {})
                )
            assert await ledger.balance(account) == 29

    asyncio.run(main())


def test_open_holds_are_given_back_when_the_ledger_is_opened_again(storage: Any) -> None:
    async def main() -> None:
        async with opened(storage) as ledger:
            account = await account_with(ledger, 1000)
            await ledger.hold("open", account, 400)
            await ledger.hold("settled", account, 100)
            await ledger.settle("settled", account, 50, {})
        async with opened(storage) as ledger:
            assert await ledger.balance(account) == 550
            assert await ledger.release_open_holds() == 1
            assert await ledger.balance(account) == 950
            assert await ledger.release_open_holds() == 0

    asyncio.run(main())


def test_one_failing_operation_does_not_take_its_neighbours_in_the_commit_along(storage: Any) -> None:
    async def main() -> None:
        async with opened(storage) as ledger:
            account = await account_with(ledger, 1000)
            operations = [ledger.top_up(f"t{index % 3}", account, 1) for index in range(6)]
            results = await asyncio.gather(*operations, return_exceptions=True)
            assert [type(result) for result in results] == [int] * 3 + [ConstraintError] * 3
            assert await ledger.balance(account) == 1003

    asyncio.run(main())


def test_an_operation_whose_caller_has_gone_still_runs_and_the_release_behind_it_undoes_it(
    storage: Any,
) -> None:
    async def main() -> None:
        async with opened(storage) as ledger:
            account = await account_with(ledger, 1000)
            ledger.hold("call", account, 400).cancel()
            ledger.release("call", account).cancel()
            assert await ledger.balance(account) == 1000
            assert [reason for reason, _ in await reasons(ledger, account)][1:] == [
                Reason.HOLD,
                Reason.RELEASE,
            ]

    asyncio.run(main())


def test_a_second_gateway_cannot_open_the_same_sqlite_file(tmp_path: Path) -> None:
    async def main() -> None:
        storage = {"database": str(tmp_path / "l.sqlite")}
        async with opened(storage) as ledger:
            await account_with(ledger, 1)
            with pytest.raises(StorageError, match="locked"):
                await database_at(storage).start()

    asyncio.run(main())


def test_a_closed_ledger_takes_no_operations(storage: Any) -> None:
    async def main() -> None:
        async with opened(storage) as ledger:
            pass
        with pytest.raises(DatabaseClosedError):
            ledger.balance("account")

    asyncio.run(main())


_TRANSFER = "INSERT INTO transfers (call, reason, account, counter, amount, balance_after, at) VALUES (?, ?, ?, ?, ?, ?, 0)"


@pytest.mark.parametrize("reason", [Reason.SETTLE, Reason.RELEASE])
def test_the_schema_itself_forbids_a_second_end_of_a_call(storage: Any, reason: Reason) -> None:
    async def main() -> None:
        async with opened(storage) as ledger:
            account = await account_with(ledger, 1000)
            await ledger.hold("call", account, 400)
            await ledger.settle("call", account, 150, {})
            with pytest.raises(ConstraintError):
                await raw(ledger._database, _TRANSFER, "call", reason.value, account, "held", 1, 1)

    asyncio.run(main())


def test_the_schema_itself_forbids_a_second_refund_and_negative_credits(storage: Any) -> None:
    async def main() -> None:
        async with opened(storage) as ledger:
            account = await account_with(ledger, 100, Workspace.TASKS)
            database = ledger._database
            await database.submit(lambda connection: ledger.post_debit(connection, "t", account, 30, {}))
            await database.submit(lambda connection: ledger.post_refund(connection, "t", account, {}))
            with pytest.raises(ConstraintError):
                await raw(database, _TRANSFER, "t", "refund", account, "revenue", 30, 130)
            with pytest.raises(ConstraintError):
                await raw(database, "UPDATE accounts SET balance = -1 WHERE account = ?", account)
            assert await ledger.balance(account) == 100

    asyncio.run(main())


def test_a_chat_balance_may_be_negative_by_exactly_the_overrun(storage: Any) -> None:
    async def main() -> None:
        async with opened(storage) as ledger:
            account = await account_with(ledger, 100)
            await ledger.hold("call", account, 400)
            await ledger.settle("call", account, 130, {})
            rows = {row.reason: row.amount for row in await ledger.explain("call")}
            assert rows[Reason.OVERRUN] == await ledger.balance(account) == -30

    asyncio.run(main())


def test_two_processes_cannot_hold_the_same_money(postgresql_url: str) -> None:
    async def main() -> None:
        storage = {"database": postgresql_url}
        async with opened(storage) as one, opened(storage) as two:
            account = await account_with(one, 100)
            held = await asyncio.gather(
                *((one, two)[index % 2].hold(f"call{index}", account, 40) for index in range(10)),
                return_exceptions=True,
            )
            amounts = [amount for amount in held if isinstance(amount, int)]
            assert sorted(amounts) == [20, 40, 40]
            assert await two.balance(account) == 0

    asyncio.run(main())


def test_a_worker_takes_over_from_one_that_is_gone_and_from_no_other(postgresql_url: str) -> None:
    async def main() -> None:
        storage = {"database": postgresql_url}
        async with opened(storage) as one:
            account = await account_with(one, 1000)
            await one.hold("alive", account, 100)
            async with opened(storage) as two:
                await two.hold("gone", account, 100)
                assert await one.release_open_holds() == 0
            await Membership(one._database, 60.0).join()
            assert await one.release_open_holds() == 1
            assert await one.balance(account) == 900
            await one.settle("alive", account, 10, {})

    asyncio.run(main())


def test_a_worker_that_hangs_loses_its_lease(postgresql_url: str) -> None:
    async def main() -> None:
        storage = {"database": postgresql_url}
        async with opened(storage) as one, opened(storage) as two:
            account = await account_with(one, 1000)
            await two.hold("hanging", account, 100)
            await raw(one._database, "UPDATE workers SET beat_at = beat_at - 60")
            await Membership(one._database, 5.0).join()
            assert await one.release_open_holds() == 1
            with pytest.raises(ConstraintError):
                await two.settle("hanging", account, 10, {})
            assert await one.balance(account) == 1000

    asyncio.run(main())


def test_an_operation_may_not_wait_for_anything_else(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened({"database": str(tmp_path / "l.sqlite")}) as ledger:

            async def waits(_connection: Any) -> None:
                await asyncio.sleep(0)

            with pytest.raises(RuntimeError, match="wait for nothing"):
                await ledger._database.submit(waits)

    asyncio.run(main())


def test_every_charge_names_its_rate_card_and_the_card_is_kept(storage: Any) -> None:
    async def main() -> None:
        async with opened(storage) as ledger:
            card = RateCard(random_hex(), b'{"chat":{}}')
            await ledger.use_rate_card(card)
            await ledger.use_rate_card(card)
            account = await account_with(ledger, 1000)
            await ledger.hold("call", account, 400)
            await ledger.settle("call", account, 150, {"total": "150"})
            settled = (await ledger.explain("call"))[-1]
            assert settled.detail is not None
            assert decode(settled.detail) == {"total": "150", "rate_card": card.version}
            assert await ledger.rate_card(card.version) == card
            assert await ledger.rate_card("unknown") is None

    asyncio.run(main())


def test_giving_back_takes_nothing_twice_and_makes_nothing(storage: Any, wait_for: Any) -> None:
    async def main() -> None:
        async with opened(storage) as ledger:
            account = await account_with(ledger, 1000)
            await ledger.hold("released", account, 100)
            await ledger.release("released", account)
            await ledger.hold("held", account, 400)
            await ledger.hold("charged", account, 400)
            await ledger.settle("charged", account, 1200, {})
            for call in ("held", "charged", "released", "unknown") * 2:
                ledger.give_back(call, account)

            async def whole() -> bool:
                return await ledger.balance(account) == 1000 and not ledger._giving

            await wait_for(whole)
            found = [transfer.reason for transfer in await ledger.transfers(account)]
            assert (found.count(Reason.REFUND), found.count(Reason.RELEASE)) == (1, 3)

    asyncio.run(main())


def test_a_key_that_another_worker_revokes_cannot_be_enabled_by_one_that_has_not_seen_it(
    storage: Any,
) -> None:
    async def main() -> None:
        async with opened(storage) as ledger:
            here, there = (AccountDirectory(ledger._database, ledger) for _ in range(2))
            _, key = await here.create(Workspace.CHAT, 0, None, {})
            await there.load()
            await here.revoke(key.id)
            await there.switch(key.id, enabled=True)
            for directory in (here, there):
                await directory.load()
                found = directory.key_for(key.secret)
                assert found is not None
                assert found.revoked

    asyncio.run(main())
