"""Where the books are is told in one key; what cannot be is refused in one sentence."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from reference_gateway import ConfigError, Gateway, GatewayStartError, reapi_config
from reference_gateway.database import Connection, StorageError
from reference_gateway.ledger import Ledger
from reference_gateway.postgresql_database import PostgresqlDatabase

URLS: dict[str, Any] = {
    "openai_url": "http://127.0.0.1:9/v1",
    "anthropic_url": "http://127.0.0.1:9",
    "media_url": "http://127.0.0.1:9",
    "upstream_key": "k",
    "operator_token": "t",
}


def test_another_kind_of_database_is_refused() -> None:
    with pytest.raises(ConfigError, match="'mysql' is not known; give postgresql"):
        reapi_config(**URLS, database="mysql://host/name")


def test_postgresql_needs_a_folder_that_all_workers_share() -> None:
    with pytest.raises(ConfigError, match="files: is missing"):
        reapi_config(**URLS, database="postgresql://host/name")


def test_a_server_that_is_not_there_is_told_in_one_sentence_without_the_password(tmp_path: Path) -> None:
    async def main() -> None:
        url = f"postgresql://user:secret@/name?host={tmp_path}"
        config = reapi_config(**URLS, database=url, files=str(tmp_path))
        with pytest.raises(GatewayStartError) as refused:
            await Gateway(config).__aenter__()
        assert "cannot be opened" in str(refused.value)
        assert "secret" not in str(refused.value)

    asyncio.run(main())


def test_a_cancelled_operation_on_postgresql_still_runs_in_its_place(postgresql_url: str) -> None:
    async def main() -> None:
        database = PostgresqlDatabase(postgresql_url, 4)
        await database.start()
        seen: list[int] = []

        def noting(number: int) -> Any:
            async def operation(connection: Connection) -> None:
                await connection.fetch_one("SELECT pg_sleep(0.002)")
                seen.append(number)

            return operation

        for number in range(10):
            future = database.submit(noting(number), lane="a")
            if number % 2:
                future.cancel()
        await database.submit(noting(10), lane="a")
        assert seen == list(range(11))
        await database.close()

    asyncio.run(main())


def test_operations_that_lock_each_other_out_run_again(postgresql_url: str) -> None:
    async def main() -> None:
        database = PostgresqlDatabase(postgresql_url, 4)
        await database.start()

        async def rows(connection: Connection) -> None:
            for name in ("a", "b"):
                await connection.execute(
                    "INSERT INTO rate_windows (name, second, count) VALUES (?, 0, 0)", name
                )

        await database.submit(rows)

        def raising(first: str, second: str) -> Any:
            async def operation(connection: Connection) -> None:
                for name in (first, second):
                    await connection.execute("UPDATE rate_windows SET count = count + 1 WHERE name = ?", name)
                    await connection.fetch_one("SELECT pg_sleep(0.1)")

            return operation

        await asyncio.gather(database.submit(raising("a", "b")), database.submit(raising("b", "a")))
        counts = await database.submit(lambda connection: connection.fetch("SELECT count FROM rate_windows"))
        assert [row[0] for row in counts] == [2, 2]
        await database.close()

    asyncio.run(main())


def test_a_connection_that_breaks_fails_its_operation_and_not_the_next_one(postgresql_url: str) -> None:
    async def main() -> None:
        database = PostgresqlDatabase(postgresql_url, 1)
        await database.start()

        async def broken(connection: Connection) -> None:
            await connection.fetch_one("SELECT pg_terminate_backend(pg_backend_pid())")

        with pytest.raises(StorageError):
            await database.submit(broken)
        assert await Ledger(database).audit() == []
        await database.close()

    asyncio.run(main())
