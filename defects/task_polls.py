"""Polls of tasks: who may read what, which words are used, and what a finished task shows."""

# ruff: noqa: ARG002 - a defect ignores what it ought to look at

import itertools
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

from aiohttp import web

from defects.definition import Defect
from reference_gateway import Components
from reference_gateway.accounts import Account
from reference_gateway.errors import TaskErrorRenderer
from reference_gateway.failures import Kind, refuse
from reference_gateway.jsonwire import JsonObject
from reference_gateway.tasks.media import Job
from reference_gateway.tasks.model import StoredFile, Task, TaskFailureCode, TaskOutput, TaskStatus
from reference_gateway.tasks.service import TaskService
from reference_gateway.tasks.surface import TasksSurface, TaskView
from reference_gateway.tasks.worker import TaskWorker


class _Polled(TaskView, ABC):
    """A poll in which some members say something else."""

    def polled(self, task: Task) -> JsonObject:
        return self.changed(task, super().polled(task))

    @abstractmethod
    def changed(self, task: Task, shown: JsonObject) -> JsonObject:
        """The answer with the mistake in it."""


class SaysSucceeded(_Polled):
    """`succeeded`, the provider's word for completed."""

    def changed(self, task: Task, shown: JsonObject) -> JsonObject:
        return {**shown, "status": "succeeded"} if task.status is TaskStatus.COMPLETED else shown


class OtherCreatedAt(_Polled):
    """`created_at` of a poll is the time of the poll's own row."""

    def changed(self, task: Task, shown: JsonObject) -> JsonObject:
        return {**shown, "created_at": task.created_at + 1}


class NoOutput(_Polled):
    """A completed task has nothing in `output`."""

    def changed(self, task: Task, shown: JsonObject) -> JsonObject:
        return {**shown, "output": None}


class NoError(_Polled):
    """A failed task does not say why."""

    def changed(self, task: Task, shown: JsonObject) -> JsonObject:
        return {**shown, "error": None}


class ErrorCodeAsText(_Polled):
    """The code of a failed task is a word."""

    def changed(self, task: Task, shown: JsonObject) -> JsonObject:
        return {**shown, "error": {**shown["error"], "code": "provider_error"}} if shown["error"] else shown


class ResultChanges(TaskView):
    """Moves the result on each poll, so that a URL kept from an earlier one leads nowhere."""

    @cached_property
    def _polls(self) -> "itertools.count[int]":
        return itertools.count()

    def url(self, task: Task, name: str) -> str:
        return super().url(task, f"{next(self._polls)}-{name}")


class StaleReplica(TaskService):
    """Every third read of a task comes from a replica that still sees it processing."""

    @cached_property
    def _reads(self) -> Counter[str]:
        return Counter()

    async def find(self, account: Account, task_id: str) -> Task:
        task = await super().find(account, task_id)
        if task.status is TaskStatus.PROCESSING:
            return task
        self._reads[task_id] += 1
        stale = self._reads[task_id] % 3 == 2
        return replace(task, status=TaskStatus.PROCESSING, output=None, error=None) if stale else task


class OneUrlAsText(TaskView):
    """One URL is a text and no array of one."""

    members: ClassVar[frozenset[str]] = frozenset({"image_urls", "video_urls", "audio_urls"})

    def output(self, task: Task, output: TaskOutput) -> JsonObject:
        shown = super().output(task, output)
        return {name: self._single(value) if name in self.members else value for name, value in shown.items()}

    def _single(self, value: Any) -> Any:
        return value[0] if len(value) == 1 else value


class FirstFileOnly(TaskView):
    """Shows one image, however many were asked and paid for."""

    def output(self, task: Task, output: TaskOutput) -> JsonObject:
        return super().output(task, replace(output, files=output.files[:1]))


class NoLastFrame(TaskView):
    """Keeps the last frame and does not show it."""

    def output(self, task: Task, output: TaskOutput) -> JsonObject:
        return super().output(task, replace(output, last_frame=None))


class NoTracks(TaskView):
    """Leaves it to the caller to find out which file is which."""

    def output(self, task: Task, output: TaskOutput) -> JsonObject:
        return {name: value for name, value in super().output(task, output).items() if name != "tracks"}


class KeepsProviderUrls(TaskWorker):
    """Notes the provider's URL as the file's name instead of fetching it."""

    async def fetch(self, task: Task, job: Job) -> TaskOutput:
        if not job.outputs:
            return await super().fetch(task, job)
        files = tuple(StoredFile(output.url, output.type, output.label) for output in job.outputs)
        return TaskOutput(files, job.last_frame_url)


class ShowsProviderUrls(TaskView):
    """The other half: a name that is a URL is shown as it is."""

    def url(self, task: Task, name: str) -> str:
        return name


class ModerationIsAFailure(TaskWorker):
    """Gives moderation the code of any other failure."""

    def code_for(self, job: Job) -> TaskFailureCode:
        return TaskFailureCode.PROVIDER_FAILED


class ShowsAllTasks(TaskService):
    """Looks a task up by its id and at nobody's name."""

    def visible_to(self, account: Account, task: Task) -> bool:
        return True


class TellsForeignTasks(TaskService):
    """Says that a task is somebody else's, and so that it exists."""

    async def find(self, account: Account, task_id: str) -> Task:
        task = await self._store.find(task_id)
        if task is not None and not self.visible_to(account, task):
            raise refuse(Kind.UNKNOWN_GROUP, "This task belongs to another user.")
        return await super().find(account, task_id)


class ForbidsForeignTasks(TaskErrorRenderer):
    """The other half: the status and code of that refusal."""

    statuses: ClassVar[Mapping[Kind, int]] = {**TaskErrorRenderer.statuses, Kind.UNKNOWN_GROUP: 403}
    codes: ClassVar[Mapping[Kind, int]] = {**TaskErrorRenderer.codes, Kind.UNKNOWN_GROUP: 40301}


class UnknownTask400(TaskErrorRenderer):
    """400 for an unknown task."""

    statuses: ClassVar[Mapping[Kind, int]] = {**TaskErrorRenderer.statuses, Kind.UNKNOWN_TASK: 400}


class UnknownTask200(TaskErrorRenderer):
    """200 for an unknown task, with the error in the body."""

    statuses: ClassVar[Mapping[Kind, int]] = {**TaskErrorRenderer.statuses, Kind.UNKNOWN_TASK: 200}


class FailedTaskIsHttpError(TasksSurface):
    """The poll of a failed task is answered with 500."""

    async def poll(self, request: web.Request) -> web.StreamResponse:
        response = await super().poll(request)
        task = await self._service.find(
            self._authenticator.authenticate(request.headers), request.match_info["task"]
        )
        if task.status is TaskStatus.FAILED:
            raise refuse(Kind.UPSTREAM_FAILED, "The task failed.")
        return response


class PollsWithoutKey(TasksSurface):
    """The id of a task is taken for a secret, and no key is asked for."""

    async def poll(self, request: web.Request) -> web.StreamResponse:
        if "Authorization" in request.headers:
            return await super().poll(request)
        raise refuse(Kind.UNKNOWN_TASK, "There is no such task.")


class NeverEnds(TaskWorker):
    """Loses the jobs that fail: their tasks are processing for ever."""

    async def follow(self, task: Task, job_id: str) -> None:
        job = await self._ended(task, job_id)
        if job.outputs or job.text is not None:
            await self._outcomes.completed(task, await self.fetch(task, job))


DEFECTS = (
    Defect(
        "status-succeeded",
        "A completed task has status succeeded",
        ("TPOL-02",),
        lambda: Components(task_view=SaysSucceeded),
    ),
    Defect(
        "poll-created-at-differs",
        "`created_at` of a poll is not that of the submission",
        ("TPOL-01",),
        lambda: Components(task_view=OtherCreatedAt),
    ),
    Defect(
        "task-result-changes",
        "Result URLs change from poll to poll",
        ("TPOL-04",),
        lambda: Components(task_view=ResultChanges),
    ),
    Defect(
        "finished-task-processing-again",
        "A finished task is seen as processing again",
        ("TPOL-05", "TPOL-04"),
        lambda: Components(task_service=StaleReplica),
    ),
    Defect(
        "completed-without-output",
        "A completed task has no output",
        ("TPOL-06", "TPOL-10", "TPOL-11", "TPOL-12"),
        lambda: Components(task_view=NoOutput),
    ),
    Defect(
        "failed-without-error",
        "A failed task has no error",
        ("TPOL-07",),
        lambda: Components(task_view=NoError),
    ),
    Defect(
        "task-failure-code-is-word",
        "The code of a failed task is a word",
        ("TPOL-08",),
        lambda: Components(task_view=ErrorCodeAsText),
    ),
    Defect(
        "moderation-code-wrong",
        "A moderated task does not have code 80006",
        ("TPOL-09",),
        lambda: Components(task_worker=ModerationIsAFailure),
    ),
    Defect(
        "one-url-as-text",
        "A single result URL is a text and not an array",
        ("TPOL-10", "TPOL-11"),
        lambda: Components(task_view=OneUrlAsText),
    ),
    Defect(
        "last-frame-missing",
        "last_frame_url is not shown",
        ("TPOL-13",),
        lambda: Components(task_view=NoLastFrame),
    ),
    Defect("tracks-missing", "Stems have no tracks", ("TPOL-14",), lambda: Components(task_view=NoTracks)),
    Defect(
        "one-image-of-n",
        "One image is shown where n were asked for",
        ("TPOL-15",),
        lambda: Components(task_view=FirstFileOnly),
    ),
    Defect(
        "provider-urls-shown",
        "Result URLs are the provider's",
        ("TPOL-16",),
        lambda: Components(task_worker=KeepsProviderUrls, task_view=ShowsProviderUrls),
    ),
    Defect(
        "foreign-task-readable",
        "A task can be read by another user",
        ("TPOL-19",),
        lambda: Components(task_service=ShowsAllTasks),
    ),
    Defect(
        "foreign-task-403",
        "Another user's task is answered with 403",
        ("TPOL-19",),
        lambda: Components(task_service=TellsForeignTasks, task_errors=ForbidsForeignTasks),
    ),
    Defect(
        "unknown-task-400",
        "An unknown task is answered with 400",
        ("TPOL-18",),
        lambda: Components(task_errors=UnknownTask400),
    ),
    Defect(
        "unknown-task-200",
        "An unknown task is answered with 200",
        ("TPOL-18",),
        lambda: Components(task_errors=UnknownTask200),
    ),
    Defect(
        "failed-task-500",
        "The poll of a failed task is answered with 500",
        ("TERR-17",),
        lambda: Components(tasks_surface=FailedTaskIsHttpError),
    ),
    Defect(
        "poll-without-key-404",
        "A poll without a key is answered with 404",
        ("TPOL-21", "AUTH-13"),
        lambda: Components(tasks_surface=PollsWithoutKey),
    ),
    Defect(
        "failed-task-never-ends",
        "A task whose job failed is processing for ever",
        ("TPOL-03", "TBIL-04"),
        lambda: Components(task_worker=NeverEnds),
    ),
)
