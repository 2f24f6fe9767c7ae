"""The search for the highest level that meets the gates."""

from collections.abc import Callable

import pytest

from weighbridge.errors import ExitCode, UsageError
from weighbridge.load.capacity import MAX_STEPS, PRECISION, Search, Step, finish, levels, parse_range


def searched(low: float, high: float, judge: Callable[[float], Step], *, whole: bool = False) -> Search:
    asked = levels(low, high, whole=whole)
    level = next(asked)
    while True:
        try:
            level = asked.send(judge(level))
        except StopIteration as over:
            return finish("starts/s", over.value)


def at_most(limit: float) -> Callable[[float], Step]:
    return lambda level: Step(level, level <= limit, True, "gates met" if level <= limit else "too slow")


@pytest.mark.parametrize("limit", [7.3, 41, 99, 333.3, 480])
def test_the_capacity_is_found_within_its_precision(limit: float) -> None:
    search = searched(5, 500, at_most(limit))
    assert search.found is not None
    assert search.found <= limit <= search.found * (1 + PRECISION) + 1e-6
    assert len(search.steps) <= MAX_STEPS
    assert "fails: too slow" in search.statement


def test_users_are_whole() -> None:
    search = searched(1, 64, at_most(23), whole=True)
    assert search.found is not None
    assert 21 <= search.found <= 23
    assert all(step.level == int(step.level) for step in search.steps)


def test_a_level_that_is_never_too_high_is_a_lower_bound() -> None:
    search = searched(5, 100, at_most(1e9))
    assert search.found == 100
    assert "at least 100" in search.statement


def test_a_level_that_is_always_too_high_is_no_capacity() -> None:
    search = searched(5, 100, at_most(1))
    assert search.found is None
    assert len(search.steps) == 1
    assert "already fails: too slow" in search.statement


@pytest.mark.parametrize(
    ("trusted", "code"), [(True, ExitCode.VIOLATION), (False, ExitCode.INVALID_MEASUREMENT)]
)
def test_only_a_trusted_client_accuses_at_the_lowest_level(trusted: bool, code: ExitCode) -> None:
    search = searched(5, 100, lambda level: Step(level, met=False, trusted=trusted, why="late"))
    assert search.found is None
    assert search.failed is trusted
    assert ("too much for the client" in search.statement) is not trusted
    assert search.exit_codes == (code,)


def test_a_client_at_its_limit_is_not_taken_for_the_target() -> None:
    search = searched(5, 500, lambda level: Step(level, level <= 50, level <= 50, "the client was late"))
    assert "beyond it the client is the limit" in search.statement


@pytest.mark.parametrize("text", ["5", "5..", "..5", "9..5", "0..5", "a..b", "5..5"])
def test_a_bad_range_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="the lowest and the highest level"):
        parse_range(text)
