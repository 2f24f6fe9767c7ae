"""Rate limits under a clock of our own."""

import pytest

from reference_gateway.accounts import Account, Workspace
from reference_gateway.config import Group
from reference_gateway.failures import GatewayError
from reference_gateway.limits import FixedWindows, GroupLimiter, UserLimiter


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_window_takes_its_limit_and_the_next_one_begins_afresh() -> None:
    clock = Clock()
    windows: FixedWindows[str] = FixedWindows(clock)
    clock.now = 100.25
    assert [windows.take("a", 2) for _ in range(3)] == [None, None, 0.75]
    assert windows.take("b", 2) is None
    clock.now = 101.0
    assert windows.take("a", 2) is None


def test_the_users_limit_is_configured_or_the_accounts_own() -> None:
    clock = Clock()
    limiter = UserLimiter(2, clock)
    plain = Account("a", Workspace.TASKS)
    special = Account("b", Workspace.TASKS, requests_per_second=3)
    for account, limit in ((plain, 2), (special, 3)):
        for _ in range(limit):
            limiter.admit(account)
        with pytest.raises(GatewayError) as refused:
            limiter.admit(account)
        assert refused.value.failure.retry_after == 1


@pytest.mark.parametrize(
    ("group_limit", "own", "general", "limit"),
    [(5, None, None, 5), (5, 2, None, 2), (5, None, 3, 3), (5, 2, 3, 2), (None, None, None, None)],
)
def test_the_groups_limit_gives_way_to_the_accounts_own(
    group_limit: int | None, own: int | None, general: int | None, limit: int | None
) -> None:
    account = Account("a", Workspace.CHAT, general, {} if own is None else {"g": own})
    assert GroupLimiter(Clock()).limit_for(account, Group("g", {}, group_limit)) == limit
