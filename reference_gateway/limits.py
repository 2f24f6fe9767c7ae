"""Rate limits in fixed windows of one second: per account and group for chat, per user for tasks; at the AI/ML API per
account, where calls at the same time are limited as well.

Where the counts are kept (`Windows`, `RunningCalls`) decides for whom they hold: for this process, or for all that share
a database.
Source: public docs, API Overview, Rate limits (10 requests per second and user); Errors of the chat pages (per group);
Errors: 4xx of the AI/ML API (rate and concurrency).
"""

import asyncio
import logging
import math
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from reference_gateway.accounts import Account
from reference_gateway.config import Group
from reference_gateway.database import Connection, Database, DatabaseClosedError
from reference_gateway.failures import Failure, GatewayError, Kind
from reference_gateway.identifiers import random_hex
from reference_gateway.windows import WINDOW_S, Windows

# How long a call that could not be counted out waits for the next try.
_AGAIN_S: Final = 1.0

_log = logging.getLogger(__name__)


class RunningCalls:
    """How many calls of an account are running, in this process."""

    def __init__(self) -> None:
        self._running: Counter[str] = Counter()

    async def enter(self, account: str, limit: int | None) -> str | None:
        """Count a call in; a token to leave with, or None above the limit."""
        if limit is not None and self._running[account] >= limit:
            return None
        self._running[account] += 1
        return account

    def leave(self, token: str) -> None:
        """Count a call out."""
        self._running[token] -= 1
        if not self._running[token]:
            del self._running[token]


class SharedRunningCalls(RunningCalls):
    """The same for all that share a database; calls of workers that are gone do not count."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database

    async def enter(self, account: str, limit: int | None) -> str | None:
        if limit is None:
            return ""
        slot = random_hex()

        async def take(connection: Connection) -> bool:
            await connection.fetch_one(
                f"SELECT 1 FROM accounts WHERE account = ?{connection.for_update}",  # noqa: S608 - a constant of the dialect
                account,
            )
            await connection.execute(
                "DELETE FROM running_calls WHERE account = ? AND worker NOT IN (SELECT worker FROM workers)",
                account,
            )
            row = await connection.fetch_one("SELECT count(*) FROM running_calls WHERE account = ?", account)
            if row is None or row[0] >= limit:
                return False
            await connection.execute(
                "INSERT INTO running_calls (slot, account, worker) VALUES (?, ?, ?)",
                slot,
                account,
                self._database.worker,
            )
            return True

        taking = self._database.submit(take, early=True, lane=slot)
        try:
            return slot if await taking else None
        except BaseException:
            self.leave(slot)
            raise

    def leave(self, token: str) -> None:
        if not token:
            return
        try:
            leaving = self._database.submit(
                lambda connection: connection.execute("DELETE FROM running_calls WHERE slot = ?", token),
                early=True,
                lane=token,
            )
        except DatabaseClosedError as error:
            # It goes with this worker.
            _log.error("a call could not be counted out: %s", error)
            return
        leaving.add_done_callback(partial(self._left, token))

    def _left(self, token: str, leaving: "asyncio.Future[int]") -> None:
        """A call that has ended must not count for as long as this worker lives."""
        if not leaving.cancelled() and (error := leaving.exception()) is not None:
            _log.error("a call could not be counted out yet", exc_info=error)
            asyncio.get_running_loop().call_later(_AGAIN_S, self.leave, token)


class GroupLimiter:
    """The chat workspace's limit."""

    def __init__(self, windows: Windows) -> None:
        self._windows = windows

    async def admit(self, account: Account, group: Group) -> None:
        """Count a call; raises `GatewayError` (429) above the limit."""
        limit = self.limit_for(account, group)
        if limit is None:
            return
        wait = await self._windows.take(" ".join(self.key(account, group)), limit)
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

    def __init__(self, windows: Windows, concurrent: int | None, running: RunningCalls) -> None:
        super().__init__(windows)
        self._concurrent = concurrent
        self._running = running

    @asynccontextmanager
    async def running(self, account: Account) -> AsyncIterator[None]:
        """Count a call for as long as it lasts; raises `GatewayError` (429) above the limit."""
        limit = self.concurrent_for(account)
        token = await self._running.enter(account.id, limit)
        if token is None:
            raise limited(f"Limited to {limit} calls at the same time; {ADVICE}", WINDOW_S)
        try:
            yield
        finally:
            self._running.leave(token)

    def concurrent_for(self, account: Account) -> int | None:  # noqa: ARG002 - a deployment may have tiers
        """Calls at the same time; None is no limit."""
        return self._concurrent


class UserLimiter:
    """The task gateway's limit, shared by submissions, polls and balance reads and by all keys of a user."""

    def __init__(self, windows: Windows, default_limit: int) -> None:
        self._default_limit = default_limit
        self._windows = windows

    async def admit(self, account: Account) -> None:
        """Count a request; raises `GatewayError` (429) above the limit."""
        limit = self.limit_for(account)
        wait = await self._windows.take(self.key(account), limit)
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
