"""What all tests share: a PostgreSQL server, one for each session, and a fresh database for each test that wants one.

With REQUIRE_ALL=1 every skip is a failure, of a test as of a whole module, whoever asked for it; those that are right by
design are listed here.
"""

import os
import sys
from collections.abc import Generator, Iterator, Mapping
from typing import Final

import pytest

from tests.postgresql.server import NoServerError, PostgresqlServer

#: Reasons of skips that nothing can be installed against, and why; every other skip fails with REQUIRE_ALL=1.
SKIPS_BY_DESIGN: Final[Mapping[str, str]] = {
    "only Linux has sendmmsg": "elsewhere the simulator sends chunk by chunk, and other tests see that it does",
    "an installed package has no development tools": "the wheel is tested without the checkout that holds them",
}


def _refuse_a_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Make a failure of a skip that is not by design; an expected failure is no skip."""
    if os.environ.get("REQUIRE_ALL") != "1" or not report.skipped or hasattr(report, "wasxfail"):
        return
    skip = report.longrepr
    file, line, reason = skip if isinstance(skip, tuple) else (report.nodeid, "?", str(skip))
    reason = reason.removeprefix("Skipped: ")
    if reason in SKIPS_BY_DESIGN:
        return
    report.outcome = "failed"
    report.longrepr = (
        f"{file}:{line}: skipped, and REQUIRE_ALL=1 allows no skip: {reason}\n"
        "Install what is missing (tests/bring.sh and `make setup` do), or run without REQUIRE_ALL; "
        "a skip by design goes into SKIPS_BY_DESIGN in tests/conftest.py with its reason."
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Look at each test's skip after pytest made its report of it."""
    report = yield
    _refuse_a_skip(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Look at the skip of a whole module, which ends its collection."""
    report = yield
    _refuse_a_skip(report)
    return report


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    """A running server; without one, a skip that says how to get it."""
    server = PostgresqlServer()
    try:
        server.__enter__()
    except NoServerError as error:
        sentence = f"tests on PostgreSQL are left out: {error}"
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
