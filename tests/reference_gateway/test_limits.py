"""Rate limits under a clock of our own."""

import asyncio
import math
import time
from typing import Any

import pytest

from reference_gateway import limits
from reference_gateway.accounts import Account, Workspace
from reference_gateway.config import Group
from reference_gateway.database import StorageError
from reference_gateway.failures import GatewayError
from reference_gateway.limits import GroupLimiter, SharedRunningCalls, UserLimiter
from reference_gateway.membership import Membership
from reference_gateway.postgresql_database import PostgresqlDatabase
from reference_gateway.windows import LocalWindows, SharedWindows


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_window_takes_its_limit_and_the_next_one_begins_afresh() -> None:
    async def main() -> None:
        clock = Clock()
        windows = LocalWindows(clock)
        clock.now = 100.25
        assert [await windows.take("a", 2) for _ in range(3)] == [None, None, 0.75]
        assert await windows.take("b", 2) is None
        clock.now = 101.0
        assert await windows.take("a", 2) is None

    asyncio.run(main())


def test_the_users_limit_is_configured_or_the_accounts_own() -> None:
    async def main() -> None:
        limiter = UserLimiter(LocalWindows(Clock()), 2)
        plain = Account("a", Workspace.TASKS)
        special = Account("b", Workspace.TASKS, requests_per_second=3)
        for account, limit in ((plain, 2), (special, 3)):
            for _ in range(limit):
                await limiter.admit(account)
            with pytest.raises(GatewayError) as refused:
                await limiter.admit(account)
            assert refused.value.failure.retry_after == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    ("group_limit", "own", "general", "limit"),
    [(5, None, None, 5), (5, 2, None, 2), (5, None, 3, 3), (5, 2, 3, 2), (None, None, None, None)],
)
def test_the_groups_limit_gives_way_to_the_accounts_own(
    group_limit: int | None, own: int | None, general: int | None, limit: int | None
) -> None:
    account = Account("a", Workspace.CHAT, general, {} if own is None else {"g": own})
    assert GroupLimiter(LocalWindows(Clock())).limit_for(account, Group("g", {}, group_limit)) == limit


def test_processes_that_share_a_window_never_admit_more_than_its_limit(postgresql_url: str) -> None:
    async def main() -> None:
        databases = [PostgresqlDatabase(postgresql_url, 4) for _ in range(3)]
        for database in databases:
            await database.start()
        windows = [SharedWindows(database, "test") for database in databases]
        admitted = 0

        async def server_time() -> float:
            row = await databases[0].submit(
                lambda connection: connection.fetch_one("SELECT extract(epoch FROM clock_timestamp())")
            )
            assert row is not None
            return float(row[0])

        async def caller(own: SharedWindows) -> None:
            nonlocal admitted
            while time.monotonic() < until:
                if await own.take("a", 7) is None:
                    admitted += 1

        began = await server_time()
        until = time.monotonic() + 2.5
        await asyncio.gather(*(caller(own) for own in windows * 3))
        ended = await server_time()
        whole = math.floor(ended) - math.ceil(began)
        assert whole >= 1
        assert 7 * whole <= admitted <= 7 * (math.floor(ended) - math.floor(began) + 1)
        for database in databases:
            await database.close()

    asyncio.run(main())


def test_a_shared_window_that_is_full_says_how_long_it_is_closed(postgresql_url: str) -> None:
    async def main() -> None:
        database = PostgresqlDatabase(postgresql_url, 4)
        await database.start()
        windows = SharedWindows(database, "test")
        waits = [await windows.take("a", 1) for _ in range(20)]
        assert any(wait is not None and 0 < wait <= 1 for wait in waits)
        assert await SharedWindows(database, "other").take("a", 1) is None
        await database.close()

    asyncio.run(main())


def test_running_calls_are_counted_together_and_those_of_dead_workers_are_not(postgresql_url: str) -> None:
    async def main() -> None:
        databases = [PostgresqlDatabase(postgresql_url, 2) for _ in range(2)]
        for database in databases:
            await database.start()
            await Membership(database, 5.0).join()
        here, there = (SharedRunningCalls(database) for database in databases)
        token = await here.enter("a", 2)
        assert token is not None
        assert await there.enter("a", 2) is not None
        assert await here.enter("a", 2) is None
        here.leave(token)
        assert await here.enter("a", 2) is not None
        assert await here.enter("a", 2) is None
        await databases[1].close()
        await Membership(databases[0], 5.0).join()
        assert await here.enter("a", 2) is not None
        await databases[0].close()

    asyncio.run(main())


def test_a_call_that_could_not_be_counted_out_at_once_is_counted_out_before_long(
    postgresql_url: str, wait_for: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_AGAIN_S", 0.05)

    async def main() -> None:
        database = PostgresqlDatabase(postgresql_url, 2)
        await database.start()
        await Membership(database, 5.0).join()
        calls, usual, failures = SharedRunningCalls(database), PostgresqlDatabase._transaction, [1, 2]
        token = await calls.enter("a", 1)
        assert token is not None

        async def failing(self: PostgresqlDatabase, *values: Any) -> Any:
            if failures:
                failures.pop()
                raise StorageError("the connection broke")
            return await usual(self, *values)

        async def over() -> bool:
            return not failures

        monkeypatch.setattr(PostgresqlDatabase, "_transaction", failing)
        calls.leave(token)
        await wait_for(over)
        await wait_for(lambda: calls.enter("a", 1))
        await database.close()
        calls.leave(token)

    asyncio.run(main())
