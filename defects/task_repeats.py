"""Submissions that look alike: taken for one, told apart too late, or refused; and tasks that are looked at too often."""

import time
from functools import cached_property

from defects.definition import Defect
from reference_gateway import Components
from reference_gateway.accounts import Account
from reference_gateway.jsonwire import JsonObject, encode
from reference_gateway.limits import limited
from reference_gateway.tasks.model import Task, TaskStatus
from reference_gateway.tasks.service import TaskService
from reference_gateway.validation.fields import invalid

_MOST_KEPT = 10_000
#: A double click is over by then.
_DEBOUNCE_S = 30.0
#: The slower of the two paces that the pages recommend.
_SLOW_PACE_S = 2.0


class ReusesIds(TaskService):
    """Makes ids of the account, the model and the minute, so a later task of that minute has the id of the first."""

    @cached_property
    def _first(self) -> dict[tuple[str, str], tuple[float, Task]]:
        return {}

    async def submit(
        self, account: Account, endpoint: str, body: JsonObject, idempotency_key: str | None
    ) -> Task:
        task = await super().submit(account, endpoint, body, idempotency_key)
        now, place = time.monotonic(), (account.id, task.model)
        began, first = self._first.get(place, (now, task))
        if now - began >= 60:
            began, first = now, task
        if len(self._first) < _MOST_KEPT:
            self._first[place] = began, first
        return first


class RefusesKeysInUse(TaskService):
    """Refuses an Idempotency-Key while the first task that came with it is at work."""

    @cached_property
    def _tasks(self) -> dict[tuple[str, str], str]:
        return {}

    async def submit(
        self, account: Account, endpoint: str, body: JsonObject, idempotency_key: str | None
    ) -> Task:
        place = (account.id, idempotency_key or "")
        before = await self._store.find(self._tasks[place]) if place in self._tasks else None
        if before is not None and before.status is TaskStatus.PROCESSING:
            raise invalid("Idempotency-Key", "A request with this Idempotency-Key is being processed.")
        task = await super().submit(account, endpoint, body, idempotency_key)
        if idempotency_key is not None and len(self._tasks) < _MOST_KEPT:
            self._tasks[place] = task.id
        return task


class RefusesDuplicates(TaskService):
    """Refuses a body that the account sent a moment ago, as a guard against double clicks."""

    @cached_property
    def _sent(self) -> dict[tuple[str, str, bytes], float]:
        return {}

    async def submit(
        self, account: Account, endpoint: str, body: JsonObject, idempotency_key: str | None
    ) -> Task:
        place = (account.id, endpoint, encode(body))
        now = time.monotonic()
        if idempotency_key is None and now - self._sent.get(place, -_DEBOUNCE_S) < _DEBOUNCE_S:
            raise invalid("prompt", "This request was sent a moment ago.")
        task = await super().submit(account, endpoint, body, idempotency_key)
        if len(self._sent) < _MOST_KEPT:
            self._sent[place] = now
        return task


class SlowPaceOnly(TaskService):
    """Lets a task that is at work be looked at once in two seconds."""

    @cached_property
    def _seen(self) -> dict[str, float]:
        return {}

    async def find(self, account: Account, task_id: str) -> Task:
        task = await super().find(account, task_id)
        if task.status is TaskStatus.PROCESSING:
            now = time.monotonic()
            wait = self._seen.get(task_id, -_SLOW_PACE_S) + _SLOW_PACE_S - now
            if wait > 0:
                raise limited("This task was polled a moment ago.", wait)
            if len(self._seen) < _MOST_KEPT:
                self._seen[task_id] = now
        return task


DEFECTS = (
    Defect(
        "task-id-repeats",
        "All tasks of one model and minute get the same id",
        ("TSUB-06", "TIDM-06"),
        lambda: Components(task_service=ReusesIds),
    ),
    Defect(
        "idempotency-key-in-use-refused",
        "A second submission with one Idempotency-Key is refused while the first is at work",
        ("TIDM-01",),
        lambda: Components(task_service=RefusesKeysInUse),
    ),
    Defect(
        "equal-body-refused",
        "A submission equal to one of the last half minute is refused",
        ("TIDM-06",),
        lambda: Components(task_service=RefusesDuplicates),
    ),
    Defect(
        "task-polled-each-second-refused",
        "A task at work that is polled twice within two seconds is rate-limited",
        ("TPOL-22",),
        lambda: Components(task_service=SlowPaceOnly),
    ),
)
