"""Submissions of tasks: what is accepted, what is answered, and what an Idempotency-Key may not do."""

import asyncio
from functools import cached_property

from aiohttp import web

from defects.definition import Defect
from reference_gateway import Components
from reference_gateway.accounts import Account
from reference_gateway.config import TaskModel
from reference_gateway.errors import TaskErrorRenderer
from reference_gateway.failures import Kind, refuse
from reference_gateway.jsonwire import JsonObject, encode
from reference_gateway.surface import Handler
from reference_gateway.tasks.model import Task, TaskStatus
from reference_gateway.tasks.service import TaskService
from reference_gateway.tasks.surface import TasksSurface, TaskView
from reference_gateway.tasks.validation import TaskValidator
from reference_gateway.validation.fields import invalid

_KEYS_KEPT = 10_000


class Deduplicates(TaskService):
    """Answers a repeated Idempotency-Key with the first task, as payment services do."""

    @cached_property
    def _by_key(self) -> dict[tuple[str, str], Task]:
        return {}

    async def submit(
        self, account: Account, endpoint: str, body: JsonObject, idempotency_key: str | None
    ) -> Task:
        place = (account.id, idempotency_key or "")
        if idempotency_key is not None and place in self._by_key:
            return self._by_key[place]
        task = await super().submit(account, endpoint, body, idempotency_key)
        if len(self._by_key) < _KEYS_KEPT:
            self._by_key[place] = task
        return task


class RefusesReusedKeys(TaskService):
    """Refuses an Idempotency-Key that comes with another body."""

    @cached_property
    def _bodies(self) -> dict[tuple[str, str], bytes]:
        return {}

    async def submit(
        self, account: Account, endpoint: str, body: JsonObject, idempotency_key: str | None
    ) -> Task:
        if idempotency_key is not None and len(self._bodies) < _KEYS_KEPT:
            first = self._bodies.setdefault((account.id, idempotency_key), encode(body))
            if first != encode(body):
                raise invalid("Idempotency-Key", "This Idempotency-Key was used with another body.")
        return await super().submit(account, endpoint, body, idempotency_key)


class RefusesIdempotencyKeys(TaskService):
    """Refuses the header that it does not implement."""

    async def submit(
        self, account: Account, endpoint: str, body: JsonObject, idempotency_key: str | None
    ) -> Task:
        if idempotency_key is not None:
            raise invalid("Idempotency-Key", "Idempotency-Key is not supported.")
        return await super().submit(account, endpoint, body, idempotency_key)


class MergesEqualBodies(TaskService):
    """Takes an equal body of the same account for a repetition, whatever its headers say."""

    @cached_property
    def _known(self) -> dict[tuple[str, str, bytes], Task]:
        return {}

    async def submit(
        self, account: Account, endpoint: str, body: JsonObject, idempotency_key: str | None
    ) -> Task:
        place = (account.id, endpoint, encode(body))
        if place in self._known:
            return self._known[place]
        task = await super().submit(account, endpoint, body, idempotency_key)
        if len(self._known) < _KEYS_KEPT:
            self._known[place] = task
        return task


class WaitsForResult(TaskService):
    """Answers a submission when the work is done."""

    async def submit(
        self, account: Account, endpoint: str, body: JsonObject, idempotency_key: str | None
    ) -> Task:
        task = await super().submit(account, endpoint, body, idempotency_key)
        found: Task | None = task
        while found is not None and found.status is TaskStatus.PROCESSING:
            await asyncio.sleep(0.02)
            found = await self._store.find(task.id)
        return found or task


class AliasOnly(TaskView):
    """Calls the id task_id, as the prose does and no sample."""

    def submitted(self, task: Task) -> JsonObject:
        return {"task_id" if name == "id" else name: value for name, value in super().submitted(task).items()}


class Queued(TaskView):
    """Answers with a status of its own."""

    def submitted(self, task: Task) -> JsonObject:
        return {**super().submitted(task), "status": "queued"}

    def polled(self, task: Task) -> JsonObject:
        return {**super().polled(task), "status": task.status.value}


class IsoTime(TaskView):
    """`created_at` as text."""

    def submitted(self, task: Task) -> JsonObject:
        return {**super().submitted(task), "created_at": "2026-11-21T12:00:00Z"}


class NoPromptNeeded(TaskValidator):
    """Starts a job without a prompt."""

    def check_required(self, body: JsonObject, names: tuple[str, ...]) -> None:
        super().check_required(body, tuple(name for name in names if name != "prompt"))


class DefaultTaskModel(TaskValidator):
    """Has a model for those who name none."""

    def find(self, endpoint: str, body: JsonObject) -> TaskModel:
        if self.is_missing(body, "model"):
            body["model"] = next(m.id for m in self._models.values() if m.endpoint == endpoint)
        return super().find(endpoint, body)


class TakesAnyMedia(TaskValidator):
    """Takes data URLs for reference media."""

    def validate(self, endpoint: str, body: JsonObject) -> TaskModel:
        media = {name for name, value in body.items() if name.endswith(("_url", "_urls"))}
        return super().validate(endpoint, {name: value for name, value in body.items() if name not in media})


class TakesAnyValue(TaskValidator):
    """Checks that fields are there and not what they hold."""

    def validate(self, endpoint: str, body: JsonObject) -> TaskModel:
        model = self.find(endpoint, body)
        self.check_required(body, model.required)
        return model


class PromptAndModelOnly(TaskValidator):
    """Refuses the fields of a model's own page."""

    def validate(self, endpoint: str, body: JsonObject) -> TaskModel:
        model = super().validate(endpoint, body)
        for name in body:
            if name not in {"model", *model.required}:
                raise invalid(name, f"Unknown field `{name[:80]}`.")
        return model


class UnknownModel404(TaskErrorRenderer):
    """404 for an unknown model."""

    def status_for(self, kind: Kind) -> int:
        return 404 if kind is Kind.UNKNOWN_MODEL else super().status_for(kind)


class BadJson500(TaskErrorRenderer):
    """The parser's exception goes unhandled."""

    def status_for(self, kind: Kind) -> int:
        return super().status_for(Kind.INTERNAL if kind is Kind.MALFORMED_BODY else kind)

    def code_for(self, kind: Kind) -> int:
        return super().code_for(Kind.INTERNAL if kind is Kind.MALFORMED_BODY else kind)


class TextToolsMissing(TasksSurface):
    """The text tools are documented and not served."""

    def submit(self, endpoint: str) -> Handler:
        if endpoint not in {"humanize", "detect", "essay"}:
            return super().submit(endpoint)

        async def unknown(request: web.Request) -> web.StreamResponse:
            await self.admit(request)
            raise refuse(Kind.UNKNOWN_ROUTE, f"There is no route {request.path}.")

        return unknown


DEFECTS = (
    Defect(
        "idempotency-key-deduplicates",
        "A repeated Idempotency-Key is answered with the first task",
        ("TIDM-02", "TIDM-03", "TIDM-04"),
        lambda: Components(task_service=Deduplicates),
    ),
    Defect(
        "idempotency-key-reuse-refused",
        "An Idempotency-Key with another body is refused",
        ("TIDM-05",),
        lambda: Components(task_service=RefusesReusedKeys),
    ),
    Defect(
        "idempotency-key-refused",
        "A submission with an Idempotency-Key is refused",
        ("TIDM-01",),
        lambda: Components(task_service=RefusesIdempotencyKeys),
    ),
    Defect(
        "equal-bodies-merged",
        "A second submission with an equal body gets the first one's task",
        ("TIDM-06", "TIDM-02", "TIDM-04"),
        lambda: Components(task_service=MergesEqualBodies),
    ),
    Defect(
        "submission-waits",
        "A submission is answered when the work is done",
        ("TSUB-01", "TSUB-07", "TSUB-08"),
        lambda: Components(task_service=WaitsForResult),
    ),
    Defect(
        "task-id-under-other-name",
        "A submission is answered with task_id and without id",
        ("TSUB-02",),
        lambda: Components(task_view=AliasOnly),
    ),
    Defect(
        "submission-status-queued",
        "A submission is answered with status queued",
        ("TSUB-04",),
        lambda: Components(task_view=Queued),
    ),
    Defect(
        "created-at-is-text",
        "`created_at` of a task is a text",
        ("TSUB-04", "FUZZ-TASK-03"),
        lambda: Components(task_view=IsoTime),
    ),
    Defect(
        "prompt-not-required",
        "A task without a prompt is accepted",
        ("TSUB-11",),
        lambda: Components(task_validator=NoPromptNeeded),
    ),
    Defect(
        "task-model-defaulted",
        "A task without a model is served by a default one",
        ("TSUB-10",),
        lambda: Components(task_validator=DefaultTaskModel),
    ),
    Defect(
        "data-url-accepted",
        "Reference media may be data URLs",
        ("TSUB-16",),
        lambda: Components(task_validator=TakesAnyMedia),
    ),
    Defect(
        "task-values-unchecked",
        "Values outside a model's ranges are accepted",
        ("TSUB-15",),
        lambda: Components(task_validator=TakesAnyValue),
    ),
    Defect(
        "model-fields-refused",
        "Fields of a model's page are refused",
        ("TSUB-18",),
        lambda: Components(task_validator=PromptAndModelOnly),
    ),
    Defect(
        "unknown-task-model-404",
        "An unknown task model is answered with 404",
        ("TSUB-13",),
        lambda: Components(task_errors=UnknownModel404),
    ),
    Defect(
        "task-bad-json-500",
        "A task body that is not JSON is answered with 500",
        ("TSUB-14",),
        lambda: Components(task_errors=BadJson500),
    ),
    Defect(
        "text-tools-missing",
        "The text tools are not served",
        ("TSUB-09",),
        lambda: Components(tasks_surface=TextToolsMissing),
    ),
)
