"""Drives every accepted task to one of its two ends: submit to the provider, poll, fetch the results, settle.

Each task has one coroutine, owned here; stopping cancels them, and the next start takes up what is left.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar

from reference_gateway.config import MediaKind
from reference_gateway.database import ConstraintError, DatabaseClosedError, StorageError
from reference_gateway.jsonwire import JsonObject
from reference_gateway.tasks.media import Job, JobState, MediaClient, MediaError
from reference_gateway.tasks.model import StoredFile, Task, TaskError, TaskFailureCode, TaskOutput, task_error
from reference_gateway.tasks.storage import MediaStorage
from reference_gateway.tasks.store import TaskStore

T = TypeVar("T")

MOST_LIVE: Final = 10_000
_STORAGE_PAUSE_S: Final = 0.1
_LONGEST_STORAGE_PAUSE_S: Final = 5.0
_DOWNLOAD_ATTEMPTS: Final = 3
_DOWNLOAD_PAUSE_S: Final = 0.2
#: A job that takes long is looked at less often: after a tenth of its age, and at most so many intervals.
_STRETCH: Final = 0.1
_MOST_STRETCHED: Final = 10
_FAILURES: Final[Mapping[TaskFailureCode, str]] = {
    TaskFailureCode.MODERATED: "The request was refused by content moderation; nothing was charged.",
    TaskFailureCode.PROVIDER_FAILED: "The provider failed to make the result; nothing was charged.",
}

_log = logging.getLogger(__name__)


class TaskOutcomes:
    """How tasks end: the state and the money in one transaction. `ended` hears of each end once: model, outcome."""

    def __init__(
        self, store: TaskStore, ended: Callable[[str, str], None] = lambda _model, _outcome: None
    ) -> None:
        self._store = store
        self._ended = ended

    async def completed(self, task: Task, output: TaskOutput) -> None:
        """The result is in our storage and may be shown."""
        if await self._store.complete(task.id, output):
            self._ended(task.model, "completed")

    async def failed(self, task: Task, error: TaskError) -> None:
        """The task failed; the credits come back before anybody can see it."""
        if await self._store.fail(task.id, error, refund=self.refund_on(error)):
            self._ended(task.model, error.code.name.lower())

    def refund_on(self, error: TaskError) -> bool:  # noqa: ARG002 - every failure is refunded, whatever it was
        """Failed and moderated tasks cost nothing (public docs, API Overview, Credits)."""
        return True


class TaskFailedError(Exception):
    """Ends the run of a task with an error."""

    def __init__(self, code: TaskFailureCode, message: str) -> None:
        super().__init__(message)
        self.error = task_error(code, message)


class TaskWorker:
    """Owns the running tasks."""

    def __init__(
        self,
        store: TaskStore,
        outcomes: TaskOutcomes,
        media: MediaClient,
        storage: MediaStorage,
        poll_interval_s: float,
        timeout_s: float,
        may_dispatch: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._outcomes = outcomes
        self._media = media
        self._storage = storage
        self._poll_interval_s = poll_interval_s
        self._timeout_s = timeout_s
        self._may_dispatch = may_dispatch
        self._running: set[asyncio.Task[None]] = set()

    def has_room(self) -> bool:
        """Whether another task can be taken on."""
        return len(self._running) < MOST_LIVE

    def begin(self, task: Task, request: JsonObject) -> None:
        """Take a new task on."""
        self._own(task, self.dispatch(task, request))

    def withdraw(self, task: Task) -> None:
        """End a task that may or may not have been created: nobody knows of it, so it is failed and refunded."""
        self._own(task, self._withdrawn(task))

    async def _withdrawn(self, task: Task) -> None:
        error = task_error(TaskFailureCode.INTERRUPTED, "The task was interrupted before it was handed on.")
        await _kept(lambda: self._store.withdraw(task, error))

    async def recover(self) -> None:
        """Take over from workers that are gone: follow the jobs that are known, fail and refund the others."""
        while self.has_room() and (tasks := await self._store.claim()):
            for task in tasks:
                await self.resume(task)

    async def resume(self, task: Task) -> None:
        """Go on with an unfinished task; one without a job may have been sent, so it is never sent again."""
        if task.job is None:
            error = task_error(
                TaskFailureCode.INTERRUPTED, "The task was interrupted before it was handed on."
            )
            await self._outcomes.failed(task, error)
        else:
            self._own(task, self.follow(task, task.job))

    async def stop(self) -> None:
        """Cancel all coroutines and wait for them."""
        running = list(self._running)
        for coroutine in running:
            coroutine.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def dispatch(self, task: Task, request: JsonObject) -> None:
        """Submit to the provider, once, and follow the job."""
        if not self._may_dispatch():
            raise TaskFailedError(
                TaskFailureCode.INTERRUPTED, "The task was interrupted before it was handed on."
            )
        try:
            job_id = await self._media.submit(request)
        except MediaError as error:
            _log.warning("%s: submission failed: %s", task.id, error)
            raise TaskFailedError(
                TaskFailureCode.PROVIDER_FAILED, "The provider did not accept the task."
            ) from error
        if await _kept(lambda: self._store.record_job(task.id, job_id)):
            await self.follow(task, job_id)

    async def follow(self, task: Task, job_id: str) -> None:
        """Poll until the job ends; trouble on the way is no failure of the task."""
        try:
            async with asyncio.timeout(self._timeout_s):
                job = await self._ended(task, job_id)
        except TimeoutError as error:
            raise TaskFailedError(
                TaskFailureCode.TIMED_OUT, f"The provider did not finish within {self._timeout_s:g} seconds."
            ) from error
        if job.state is JobState.FAILED:
            _log.warning("%s: the provider failed the job: %.200s", task.id, job.message)
            raise TaskFailedError(self.code_for(job), self.message_for(job))
        output = await self.fetch(task, job)
        await _kept(lambda: self._outcomes.completed(task, output))

    async def _ended(self, task: Task, job_id: str) -> Job:
        clock = asyncio.get_running_loop().time
        began = clock()
        while True:
            stretched = min((clock() - began) * _STRETCH, self._poll_interval_s * _MOST_STRETCHED)
            await asyncio.sleep(max(self._poll_interval_s, stretched))
            try:
                job = await self._media.poll(job_id)
            except MediaError as error:
                _log.info("%s: poll failed: %s", task.id, error)
                continue
            if job.state in {JobState.SUCCEEDED, JobState.FAILED}:
                return job

    def code_for(self, job: Job) -> TaskFailureCode:
        """The code of a failed job."""
        return TaskFailureCode.MODERATED if job.moderated else TaskFailureCode.PROVIDER_FAILED

    def message_for(self, job: Job) -> str:
        """What the caller is told about a failed job: our own words, since the provider's may hold its key."""
        kind = TaskFailureCode.MODERATED if job.moderated else TaskFailureCode.PROVIDER_FAILED
        return _FAILURES[kind]

    async def fetch(self, task: Task, job: Job) -> TaskOutput:
        """Bring all results into our storage."""
        if task.kind is MediaKind.TEXT:
            if job.text is None:
                raise TaskFailedError(TaskFailureCode.RESULT_LOST, "The provider finished without a result.")
            return TaskOutput(text=job.text)
        if not job.outputs:
            raise TaskFailedError(TaskFailureCode.RESULT_LOST, "The provider finished without a result.")
        files = [
            StoredFile(await self._keep(task, output.url, str(index), task.kind), output.type, output.label)
            for index, output in enumerate(job.outputs)
        ]
        last_frame = None
        if job.last_frame_url is not None:
            last_frame = await self._keep(task, job.last_frame_url, "last_frame", MediaKind.IMAGE)
        return TaskOutput(tuple(files), last_frame)

    async def _keep(self, task: Task, url: str, stem: str, kind: MediaKind) -> str:
        for attempt in range(1, _DOWNLOAD_ATTEMPTS + 1):
            try:
                return await self._storage.keep(self._media, url, task.folder, stem, kind)
            except MediaError as error:
                _log.warning("%s: download failed (attempt %d): %s", task.id, attempt, error)
            await asyncio.sleep(_DOWNLOAD_PAUSE_S * attempt)
        raise TaskFailedError(TaskFailureCode.RESULT_LOST, "The provider's result could not be fetched.")

    def _own(self, task: Task, run: Coroutine[Any, Any, None]) -> None:
        running = asyncio.create_task(self._guard(task, run), name=task.id)
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    async def _guard(self, task: Task, run: Coroutine[Any, Any, None]) -> None:
        try:
            await run
        except TaskFailedError as failed:
            error = failed.error
        except DatabaseClosedError:
            # Too late for an end; the next start takes the task up.
            return
        except Exception:  # noqa: BLE001 - no task may be left without an end
            _log.exception("%s failed unexpectedly", task.id)
            error = task_error(TaskFailureCode.INTERNAL, "The gateway failed while it worked on the task.")
        else:
            return
        await _kept(lambda: self._outcomes.failed(task, error))


async def _kept(write: Callable[[], Awaitable[T]]) -> T:
    """Write what has happened to a task, again and again while the database is away: every write is made for that.

    Raises `DatabaseClosedError` when the gateway stops.
    """
    pause = _STORAGE_PAUSE_S
    while True:
        try:
            return await write()
        except (ConstraintError, DatabaseClosedError):
            raise
        except StorageError as error:
            _log.error("a task waits for the database: %s", error)
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_STORAGE_PAUSE_S)
