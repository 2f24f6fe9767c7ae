"""What all tests share: a PostgreSQL server, one for each session, and a fresh database for each test that wants one."""

import os
import sys
from collections.abc import Iterator

import pytest

from tests.postgresql.server import NoServerError, PostgresqlServer


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    """A running server; without one, a skip that says how to get it, or a failure with REQUIRE_ALL=1."""
    server = PostgresqlServer()
    try:
        server.__enter__()
    except NoServerError as error:
        sentence = f"tests on PostgreSQL are left out: {error}"
        if os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail(sentence)
        sys.stderr.write(f"\n{sentence}\n")
        pytest.skip(sentence)
    yield server
    server.__exit__(None, None, None)


@pytest.fixture
def postgresql_url(postgresql_server: PostgresqlServer) -> Iterator[str]:
    """The URL of an empty database of this test's own."""
    url = postgresql_server.database()
    yield url
    postgresql_server.drop(url)
