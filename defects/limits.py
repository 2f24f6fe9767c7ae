"""Rate limits: absent, counted over the wrong thing, or told wrongly."""

# ruff: noqa: ARG002 - a defect ignores what it ought to look at

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import ClassVar

from aiohttp import web

from defects.definition import Defect
from reference_gateway import Components
from reference_gateway.accounts import Account
from reference_gateway.config import Group
from reference_gateway.errors import ChatErrorRenderer, TaskErrorRenderer
from reference_gateway.failures import Failure, GatewayError, Kind
from reference_gateway.limits import GroupLimiter, UserLimiter, limited
from reference_gateway.surface import Handler, read_body
from reference_gateway.tasks.surface import TasksSurface
from reference_gateway.validation.fields import read_object


class NoGroupLimit(GroupLimiter):
    """The limits of groups are written down and not enforced."""

    def limit_for(self, account: Account, group: Group) -> int | None:
        return None


class OneLimitForAllGroups(GroupLimiter):
    """An account over the limit of one group is kept out of all of them for a second."""

    @cached_property
    def _until(self) -> dict[str, float]:
        return {}

    async def admit(self, account: Account, group: Group) -> None:
        now = time.monotonic()
        if now < self._until.get(account.id, 0.0):
            raise limited("Blocked.", self._until[account.id] - now)
        try:
            await super().admit(account, group)
        except GatewayError:
            self._until[account.id] = now + 1.0
            raise


class GroupStaysClosed(GroupLimiter):
    """An account that went over the limit of a group never gets in again."""

    @cached_property
    def _closed(self) -> set[tuple[str, str]]:
        return set()

    async def admit(self, account: Account, group: Group) -> None:
        try:
            await super().admit(account, group)
        except GatewayError:
            self._closed.add(self.key(account, group))
        if self.key(account, group) in self._closed:
            raise limited("Blocked.", 1)


class UnavailableForLimit(ChatErrorRenderer):
    """503 where a limit is exceeded."""

    statuses: ClassVar[Mapping[Kind, int]] = {**ChatErrorRenderer.statuses, Kind.RATE_LIMITED: 503}
    types: ClassVar[Mapping[int, str]] = {**ChatErrorRenderer.types, 503: "rate_limit_error"}


class NoUserLimit(UserLimiter):
    """The limit is documented and not enforced."""

    def limit_for(self, account: Account) -> int:
        return 1_000_000


class HalfTheLimit(UserLimiter):
    """Two instances behind a balancer, each with half of the limit, and all calls land on one."""

    def limit_for(self, account: Account) -> int:
        return max(1, super().limit_for(account) // 2)


class OneLimitForAllUsers(UserLimiter):
    """All users share one count."""

    def key(self, account: Account) -> str:
        return ""


class BlocksForLong(UserLimiter):
    """Announces a second and blocks for half a minute."""

    @cached_property
    def _until(self) -> dict[str, float]:
        return {}

    async def admit(self, account: Account) -> None:
        now = time.monotonic()
        if now < self._until.get(account.id, 0.0):
            raise limited("Blocked.", 1)
        try:
            await super().admit(account)
        except GatewayError:
            self._until[account.id] = now + 30
            raise


class LimitPerKey(TasksSurface):
    """Counts per key, so a user with ten keys has ten limits."""

    async def admit(self, request: web.Request) -> Account:
        account = self._authenticator.authenticate(request.headers)
        await self._limiter.admit(replace(account, id=request.headers["Authorization"]))
        return account


class LimitsSubmissionsOnly(TasksSurface):
    """Polls and balance reads are not counted."""

    async def admit(self, request: web.Request) -> Account:
        return (
            await super().admit(request)
            if request.method == "POST"
            else self._authenticator.authenticate(request.headers)
        )


class SubmitsInSpiteOfLimit(TasksSurface):
    """Answers 429 and lets the task run all the same."""

    def submit(self, endpoint: str) -> Handler:
        handle = super().submit(endpoint)

        async def submit_anyway(request: web.Request) -> web.StreamResponse:
            try:
                return await handle(request)
            except GatewayError as refusal:
                if refusal.failure.kind is Kind.RATE_LIMITED:
                    account = self._authenticator.authenticate(request.headers)
                    await self._service.submit(account, endpoint, read_object(await read_body(request)), None)
                raise

        return submit_anyway


class NoRetryAfter(TaskErrorRenderer):
    """A 429 without Retry-After."""

    def headers(self, failure: Failure, request: str) -> dict[str, str]:
        return super().headers(replace(failure, retry_after=None), request)


class RetryAfterZero(TaskErrorRenderer):
    """Retry-After is rounded down to nothing."""

    def headers(self, failure: Failure, request: str) -> dict[str, str]:
        limited_now = failure.retry_after is not None
        return super().headers(replace(failure, retry_after=0) if limited_now else failure, request)


class OwnLimitCode(TaskErrorRenderer):
    """The code of a 429 is another one than documented."""

    codes: ClassVar[Mapping[Kind, int]] = {**TaskErrorRenderer.codes, Kind.RATE_LIMITED: 50002}


class LimitAsForbidden(TaskErrorRenderer):
    """403 where the limit is exceeded."""

    statuses: ClassVar[Mapping[Kind, int]] = {**TaskErrorRenderer.statuses, Kind.RATE_LIMITED: 403}


DEFECTS = (
    Defect(
        "no-group-limit",
        "The limit of a group is not enforced",
        ("CERR-429-1",),
        lambda: Components(group_limiter=NoGroupLimit),
    ),
    Defect(
        "groups-share-a-limit",
        "All groups of an account share one limit",
        ("CERR-429-2",),
        lambda: Components(group_limiter=OneLimitForAllGroups),
    ),
    Defect(
        "group-stays-closed",
        "A group that was limited once does not serve again",
        ("CERR-429-3",),
        lambda: Components(group_limiter=GroupStaysClosed),
    ),
    Defect(
        "group-limit-503",
        "The limit of a group is answered with 503",
        ("CERR-429-1",),
        lambda: Components(chat_errors=UnavailableForLimit),
    ),
    Defect(
        "no-user-limit",
        "The task gateway's limit is not enforced",
        ("TRAT-02",),
        lambda: Components(user_limiter=NoUserLimit),
    ),
    Defect(
        "user-limit-halved",
        "Five requests a second are the limit, not ten",
        ("TRAT-01",),
        lambda: Components(user_limiter=HalfTheLimit),
    ),
    Defect(
        "users-share-a-limit",
        "All users share one limit",
        ("TRAT-08",),
        lambda: Components(user_limiter=OneLimitForAllUsers),
    ),
    Defect(
        "user-blocked-for-long",
        "A user at the limit is blocked for half a minute",
        ("TRAT-11", "TRAT-06"),
        lambda: Components(user_limiter=BlocksForLong),
    ),
    Defect(
        "limit-per-key",
        "The limit is counted per key and not per user",
        ("TRAT-07",),
        lambda: Components(tasks_surface=LimitPerKey),
    ),
    Defect(
        "polls-not-limited",
        "Polls do not count towards the limit",
        ("TRAT-09",),
        lambda: Components(tasks_surface=LimitsSubmissionsOnly),
    ),
    Defect(
        "limited-submission-runs",
        "A submission answered with 429 creates a task and is charged",
        ("TRAT-12",),
        lambda: Components(tasks_surface=SubmitsInSpiteOfLimit),
    ),
    Defect(
        "retry-after-missing",
        "A 429 has no Retry-After",
        ("TRAT-04",),
        lambda: Components(task_errors=NoRetryAfter),
    ),
    Defect(
        "retry-after-zero", "Retry-After is 0", ("TRAT-05",), lambda: Components(task_errors=RetryAfterZero)
    ),
    Defect(
        "limit-code-wrong",
        "The code of a 429 is not 50001",
        ("TRAT-03",),
        lambda: Components(task_errors=OwnLimitCode),
    ),
    Defect(
        "limit-403",
        "The task gateway's limit is answered with 403",
        ("TRAT-02",),
        lambda: Components(task_errors=LimitAsForbidden),
    ),
)
