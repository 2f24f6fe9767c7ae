"""Promises of the task gateway: its envelope, its credits, its polls, and refusals that leave nothing behind."""

# ruff: noqa: ARG002 - a defect ignores what it ought to look at

import time
from functools import cached_property

from aiohttp import web

from defects.definition import Defect
from reference_gateway import Components
from reference_gateway.accounts import Account
from reference_gateway.config import MediaKind, TaskModel
from reference_gateway.errors import TaskErrorRenderer
from reference_gateway.failures import Failure, GatewayError, Kind, refuse
from reference_gateway.jsonwire import JsonObject, encode
from reference_gateway.limits import limited
from reference_gateway.surface import Handler
from reference_gateway.tasks.model import Task, new_task_id
from reference_gateway.tasks.service import TaskService
from reference_gateway.tasks.surface import TasksSurface
from reference_gateway.tasks.validation import TaskValidator

_ONE_SECOND = 1.0
_TASKS_A_SECOND = 2


class FlatErrors(TaskErrorRenderer):
    """Sends the members of an error without the object around them."""

    def envelope(self, failure: Failure, request: str) -> JsonObject:
        error: JsonObject = super().envelope(failure, request)["error"]
        return error


class Unpaid(TaskValidator):
    """Has no price for anything yet."""

    def price(self, model: TaskModel, body: JsonObject) -> int:
        return 0


class CreditsWithFraction(TasksSurface):
    """Shows the balance in hundreds of credits."""

    async def balance(self, request: web.Request) -> web.StreamResponse:
        credits_ = await self._service.balance(await self.admit(request))
        return web.Response(body=encode({"balance": credits_ / 100}), content_type="application/json")


class BalanceAsPage(TasksSurface):
    """Sends the balance as a page."""

    async def balance(self, request: web.Request) -> web.StreamResponse:
        credits_ = await self._service.balance(await self.admit(request))
        return web.Response(text=f"<p>{credits_} credits</p>", content_type="text/html")


class BalanceForStrangers(TasksSurface):
    """Tells those without a valid key that they have no credits."""

    async def balance(self, request: web.Request) -> web.StreamResponse:
        try:
            return await super().balance(request)
        except GatewayError as refusal:
            if refusal.failure.kind is Kind.RATE_LIMITED:
                raise
            return web.Response(body=encode({"balance": 0}), content_type="application/json")


class SendsElsewhere(TasksSurface):
    """Answers a video or audio submission with a redirect to the task."""

    def submit(self, endpoint: str) -> Handler:
        handle = super().submit(endpoint)

        async def submit(request: web.Request) -> web.StreamResponse:
            response = await handle(request)
            if endpoint in {"videos", "audio"}:
                response.set_status(303)
            return response

        return submit


class AudioElsewhere(TaskService):
    """Has audio tasks in a table that polls do not look into."""

    async def find(self, account: Account, task_id: str) -> Task:
        task = await super().find(account, task_id)
        if task.kind is MediaKind.AUDIO:
            raise refuse(Kind.UNKNOWN_TASK, "There is no such task.")
        return task


class FewTasksASecond(TaskService):
    """Limits how many tasks a user may look at within a second."""

    @cached_property
    def _looks(self) -> dict[str, dict[str, float]]:
        return {}

    async def find(self, account: Account, task_id: str) -> Task:
        task = await super().find(account, task_id)
        now = time.monotonic()
        before = self._looks.get(account.id, {})
        looks = {task: at for task, at in before.items() if now - at < _ONE_SECOND}
        if task_id not in looks and len(looks) >= _TASKS_A_SECOND:
            raise limited("Too many tasks are polled.", _ONE_SECOND)
        self._looks[account.id] = {**looks, task_id: now}
        return task


class RunsRefused(TaskService):
    """Hands a job on before its values are checked, and refuses the submission afterwards."""

    async def submit(
        self, account: Account, endpoint: str, body: JsonObject, idempotency_key: str | None
    ) -> Task:
        try:
            return await super().submit(account, endpoint, body, idempotency_key)
        except GatewayError as refusal:
            if refusal.failure.kind is Kind.INVALID_FIELD:
                model = self._validator.find(endpoint, body)
                task = Task(new_task_id(), account.id, model.id, model.kind, 0, int(time.time()))
                await self.accept(task, self.job_request(model, body), idempotency_key)
            raise


DEFECTS = (
    Defect(
        "task-error-without-envelope",
        "Task errors have code and message without the error object around them",
        ("TERR-01",),
        lambda: Components(task_errors=FlatErrors),
    ),
    Defect(
        "tasks-for-nothing",
        "A submission takes no credits",
        ("TBIL-01", "TBIL-02", "TBIL-15"),
        lambda: Components(task_validator=Unpaid),
    ),
    Defect(
        "balance-with-fraction",
        "The balance is in hundreds of credits",
        ("TBIL-03", "BAL-01"),
        lambda: Components(tasks_surface=CreditsWithFraction),
    ),
    Defect(
        "balance-as-page",
        "The balance is an HTML page",
        ("SURF-08", "BAL-01"),
        lambda: Components(tasks_surface=BalanceAsPage),
    ),
    Defect(
        "balance-for-strangers",
        "The balance is 0 for those without a valid key",
        ("BAL-03", "AUTH-13"),
        lambda: Components(tasks_surface=BalanceForStrangers),
    ),
    Defect(
        "submission-redirected",
        "Video and audio submissions are answered with 303",
        ("TSUB-05", "TSUB-07", "TSUB-08"),
        lambda: Components(tasks_surface=SendsElsewhere),
    ),
    Defect(
        "audio-tasks-not-polled",
        "Audio tasks are unknown to polls",
        ("TPOL-24",),
        lambda: Components(task_service=AudioElsewhere),
    ),
    Defect(
        "few-tasks-polled-at-once",
        "Polls of a third task within a second are rate-limited",
        ("TPOL-22",),
        lambda: Components(task_service=FewTasksASecond),
    ),
    Defect(
        "refused-task-runs",
        "A submission with a bad value is refused and runs all the same",
        ("TSUB-17",),
        lambda: Components(task_service=RunsRefused),
    ),
)
