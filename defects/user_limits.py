"""The task gateway's limit per user: told in another way, spilling over to others, or lasting beyond its time."""

import time
from dataclasses import replace
from functools import cached_property

from aiohttp import web

from defects.definition import Defect
from reference_gateway import Components
from reference_gateway.accounts import Account
from reference_gateway.errors import TaskErrorRenderer
from reference_gateway.failures import Failure, GatewayError
from reference_gateway.limits import UserLimiter, limited
from reference_gateway.tasks.surface import TasksSurface


class PollsAreNotTold(TasksSurface):
    """Polls are limited by another part of the gateway, which knows no Retry-After."""

    async def admit(self, request: web.Request) -> Account:
        try:
            return await super().admit(request)
        except GatewayError as refusal:
            if request.method == "GET":
                raise GatewayError(replace(refusal.failure, retry_after=None)) from refusal
            raise


class RetryAfterWithUnit(TaskErrorRenderer):
    """Retry-After is written for people."""

    def headers(self, failure: Failure, request: str) -> dict[str, str]:
        headers = super().headers(failure, request)
        if "Retry-After" in headers:
            headers["Retry-After"] += "s"
        return headers


class RefusalsProlong(UserLimiter):
    """Each refused request makes the wait a second longer than announced."""

    @cached_property
    def _until(self) -> dict[str, float]:
        return {}

    async def admit(self, account: Account) -> None:
        now = time.monotonic()
        until = self._until.get(account.id, 0.0)
        if now < until:
            self._until[account.id] = until + 1.0
            raise limited("Blocked.", 1)
        try:
            await super().admit(account)
        except GatewayError:
            self._until[account.id] = now + 1.0
            raise


class ClosesForAll(UserLimiter):
    """A user at the limit makes the gateway take nobody for two seconds."""

    _until = 0.0

    async def admit(self, account: Account) -> None:
        now = time.monotonic()
        if now < self._until:
            raise limited("The gateway is busy.", self._until - now)
        try:
            await super().admit(account)
        except GatewayError:
            self._until = now + 2.0
            raise


DEFECTS = (
    Defect(
        "retry-after-missing-on-polls",
        "A poll answered with 429 has no Retry-After",
        ("TRAT-04",),
        lambda: Components(tasks_surface=PollsAreNotTold),
    ),
    Defect(
        "retry-after-with-unit",
        "Retry-After is 1s and no number",
        ("TRAT-05",),
        lambda: Components(task_errors=RetryAfterWithUnit),
    ),
    Defect(
        "refused-requests-prolong",
        "Each refused request makes the wait a second longer than announced",
        ("TRAT-06", "TRAT-11"),
        lambda: Components(user_limiter=RefusalsProlong),
    ),
    Defect(
        "limited-user-closes-gateway",
        "A user at the limit keeps all other users out for two seconds",
        ("TRAT-08",),
        lambda: Components(user_limiter=ClosesForAll),
    ),
)
