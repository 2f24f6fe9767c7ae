"""Answers of the task gateway that say the right thing in the wrong form, and tasks that begin or end oddly."""

from collections import Counter
from dataclasses import replace
from functools import cached_property

from aiohttp import web

from defects.definition import Defect
from reference_gateway import Components
from reference_gateway.accounts import Account
from reference_gateway.errors import TaskErrorRenderer
from reference_gateway.failures import Failure, Kind, refuse
from reference_gateway.identifiers import random_hex
from reference_gateway.jsonwire import JsonObject
from reference_gateway.tasks.model import Task, TaskStatus
from reference_gateway.tasks.service import TaskService
from reference_gateway.tasks.surface import TasksSurface, TaskView

_MOST_KEPT = 10_000


class ErrorAsText(TaskErrorRenderer):
    """`error` is a text, with code and id beside it."""

    def envelope(self, failure: Failure, request: str) -> JsonObject:
        error = super().envelope(failure, request)["error"]
        return {"error": error["message"], "code": error["code"], "request_id": error["request_id"]}


class ThreeDigits(TaskErrorRenderer):
    """The code is the HTTP status."""

    def code_for(self, kind: Kind) -> int:
        return self.status_for(kind)


class ListOfMessages(TaskErrorRenderer):
    """`message` is a list, since a body can have several faults."""

    def envelope(self, failure: Failure, request: str) -> JsonObject:
        error = super().envelope(failure, request)["error"]
        return {"error": {**error, "message": [error["message"]]}}


class NumberedRequests(TaskErrorRenderer):
    """`request_id` is a number."""

    def envelope(self, failure: Failure, request: str) -> JsonObject:
        error = super().envelope(failure, request)["error"]
        return {"error": {**error, "request_id": int(random_hex()[:12], 16)}}


class PollsAsText(TasksSurface):
    """A poll is JSON under the type of plain text."""

    async def poll(self, request: web.Request) -> web.StreamResponse:
        response = await super().poll(request)
        response.content_type = "text/plain"
        return response


class Running(TaskView):
    """A poll calls a task that is at work running, the provider's word."""

    def polled(self, task: Task) -> JsonObject:
        shown = super().polled(task)
        return {**shown, "status": "running"} if task.status is TaskStatus.PROCESSING else shown


class ErrorZero(TaskView):
    """A completed task has an error that says that there was none."""

    def polled(self, task: Task) -> JsonObject:
        shown = super().polled(task)
        fine = {"code": 0, "message": "ok", "request_id": task.id}
        return {**shown, "error": fine} if task.status is TaskStatus.COMPLETED else shown


class EmptyOutput(TaskView):
    """A failed task has an output with nothing in it."""

    def polled(self, task: Task) -> JsonObject:
        shown = super().polled(task)
        return {**shown, "output": {}} if task.status is TaskStatus.FAILED else shown


class AnswerInData(TaskView):
    """The answer to a submission stands under `data`."""

    def submitted(self, task: Task) -> JsonObject:
        return {"data": super().submitted(task)}

    def polled(self, task: Task) -> JsonObject:
        shown = super().polled(task)
        return {**shown.pop("data"), **shown}


class TriesFailedAgain(TaskService):
    """Takes up a failed task once more when it has been looked at, and fails again."""

    @cached_property
    def _reads(self) -> Counter[str]:
        return Counter()

    async def find(self, account: Account, task_id: str) -> Task:
        task = await super().find(account, task_id)
        if task.status is not TaskStatus.FAILED:
            return task
        self._reads[task_id] += 1
        again = self._reads[task_id] == 2
        return replace(task, status=TaskStatus.PROCESSING, error=None) if again else task


class ForgetsFailed(TaskService):
    """Removes a failed task from the list, so a poll finds nothing."""

    async def find(self, account: Account, task_id: str) -> Task:
        task = await super().find(account, task_id)
        if task.status is TaskStatus.FAILED:
            raise refuse(Kind.UNKNOWN_TASK, "There is no such task.")
        return task


class FirstOneIsFree(TaskService):
    """The first task of an account is on the house, which no page says."""

    @cached_property
    def _known(self) -> set[str]:
        return set()

    async def accept(self, task: Task, request: JsonObject, idempotency_key: str | None) -> None:
        if task.account not in self._known and len(self._known) < _MOST_KEPT:
            self._known.add(task.account)
            task = replace(task, price=0)
        await super().accept(task, request, idempotency_key)


class ReleasesUnheld(TaskService):
    """Releases a hold of one credit with each look at the balance; none was taken."""

    async def balance(self, account: Account) -> int:
        return await self._ledger.top_up(f"release_{random_hex()}", account.id, 1)


def _error(id_: str, title: str, row: str, errors: type[TaskErrorRenderer]) -> Defect:
    return Defect(id_, title, (row,), lambda: Components(task_errors=errors))


def _view(id_: str, title: str, row: str, view: type[TaskView]) -> Defect:
    return Defect(id_, title, (row,), lambda: Components(task_view=view))


def _service(id_: str, title: str, row: str, service: type[TaskService]) -> Defect:
    return Defect(id_, title, (row,), lambda: Components(task_service=service))


DEFECTS = (
    _error("task-error-as-text", "`error` of a task error is a text", "TERR-01", ErrorAsText),
    _error("task-code-is-status", "`code` of a task error has three digits", "TERR-02", ThreeDigits),
    _error("task-message-is-list", "`message` of a task error is a list", "TERR-03", ListOfMessages),
    _error(
        "task-request-id-is-number", "request_id of a task error is a number", "TERR-04", NumberedRequests
    ),
    Defect(
        "poll-as-plain-text",
        "A poll has the Content-Type text/plain",
        ("SURF-08",),
        lambda: Components(tasks_surface=PollsAsText),
    ),
    _view("status-running", "A task at work has the status running", "TPOL-02", Running),
    _view("completed-with-error-zero", "A completed task has an error with code 0", "TPOL-06", ErrorZero),
    _view("failed-with-empty-output", "A failed task has an empty output", "TPOL-07", EmptyOutput),
    _view("submission-under-data", "The answer to a submission stands under `data`", "TSUB-02", AnswerInData),
    _service(
        "failed-task-runs-again", "A failed task is seen as processing once more", "TPOL-05", TriesFailedAgain
    ),
    _service("failed-task-404", "The poll of a failed task is answered with 404", "TERR-17", ForgetsFailed),
    _service(
        "first-task-for-nothing", "The first task of an account takes no credits", "TBIL-01", FirstOneIsFree
    ),
    _service("balance-read-adds-credits", "Each look at the balance adds a credit", "BAL-02", ReleasesUnheld),
)
