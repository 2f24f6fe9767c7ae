"""Rate limits in fixed windows of one second: per account and group for chat, per user for tasks; at the AI/ML API per
account, where calls at the same time are limited as well.

Only the counts of the current window are kept, so memory is bounded by one second's callers.
Source: public docs, API Overview, Rate limits (10 requests per second and user); Errors of the chat pages (per group);
Errors: 4xx of the AI/ML API (rate and concurrency).
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from reference_gateway.accounts import Account
from reference_gateway.config import Group
from reference_gateway.failures import Failure, GatewayError, Kind

K = TypeVar("K")

WINDOW_S = 1.0


class FixedWindows(Generic[K]):
    """Counts per key in the current window."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._window = -1
        self._counts: dict[K, int] = {}

    def take(self, key: K, limit: int) -> float | None:
        """Count one request in; if it exceeds the limit, the seconds until the next window."""
        now = self._clock()
        window = int(now / WINDOW_S)
        if window != self._window:
            self._window = window
            self._counts.clear()
        count = self._counts.get(key, 0)
        if count >= limit:
            return (window + 1) * WINDOW_S - now
        self._counts[key] = count + 1
        return None


class GroupLimiter:
    """The chat workspace's limit."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._windows: FixedWindows[tuple[str, str]] = FixedWindows(clock)

    def admit(self, account: Account, group: Group) -> None:
        """Count a call; raises `GatewayError` (429) above the limit."""
        limit = self.limit_for(account, group)
        if limit is None:
            return
        wait = self._windows.take(self.key(account, group), limit)
        if wait is not None:
            raise limited(f"Group {group.name} is limited to {limit} requests per second; {ADVICE}", wait)

    def key(self, account: Account, group: Group) -> tuple[str, str]:
        """What shares one count."""
        return account.id, group.name

    def limit_for(self, account: Account, group: Group) -> int | None:
        """Calls per second: the account's own figure for the group, its general one, or the group's; None is none."""
        own = account.group_limits.get(group.name, account.requests_per_second)
        return group.requests_per_second if own is None else own


class AccountLimiter(GroupLimiter):
    """The AI/ML API's limits: calls per second and calls at the same time, both per account."""

    def __init__(self, concurrent: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._concurrent = concurrent
        self._running: Counter[str] = Counter()

    @contextmanager
    def running(self, account: Account) -> Iterator[None]:
        """Count a call for as long as it lasts; raises `GatewayError` (429) above the limit."""
        limit = self.concurrent_for(account)
        if limit is not None and self._running[account.id] >= limit:
            raise limited(f"Limited to {limit} calls at the same time; {ADVICE}", WINDOW_S)
        self._running[account.id] += 1
        try:
            yield
        finally:
            self._running[account.id] -= 1
            if not self._running[account.id]:
                del self._running[account.id]

    def concurrent_for(self, account: Account) -> int | None:  # noqa: ARG002 - a deployment may have tiers
        """Calls at the same time; None is no limit."""
        return self._concurrent


class UserLimiter:
    """The task gateway's limit, shared by submissions, polls and balance reads and by all keys of a user."""

    def __init__(self, default_limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._default_limit = default_limit
        self._windows: FixedWindows[str] = FixedWindows(clock)

    def admit(self, account: Account) -> None:
        """Count a request; raises `GatewayError` (429) above the limit."""
        limit = self.limit_for(account)
        wait = self._windows.take(self.key(account), limit)
        if wait is not None:
            raise limited(f"Limited to {limit} requests per second and user; {ADVICE}", wait)

    def key(self, account: Account) -> str:
        """What shares one count."""
        return account.id

    def limit_for(self, account: Account) -> int:
        """Requests per second."""
        return self._default_limit if account.requests_per_second is None else account.requests_per_second


ADVICE = "wait for the time in Retry-After."


def limited(message: str, wait_s: float) -> GatewayError:
    """A 429 whose Retry-After is in whole seconds, at least one."""
    return GatewayError(Failure(Kind.RATE_LIMITED, message, retry_after=max(1, math.ceil(wait_s))))
