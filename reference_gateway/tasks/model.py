"""Tasks as values: what a poll shows, what a failure says, what the worker knows.

Source: public docs, Tasks (states processing, completed, failed; the last two are final) and Errors.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from reference_gateway.config import MediaKind
from reference_gateway.identifiers import request_id, time_ordered_hex

ID_PREFIX = "task_"


class TaskStatus(StrEnum):
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


class TaskFailureCode(IntEnum):
    """Codes inside a failed task; the leading 8 is the category of work that failed."""

    INTERRUPTED = 80001
    TIMED_OUT = 80002
    PROVIDER_FAILED = 80003
    RESULT_LOST = 80004
    MODERATED = 80006
    INTERNAL = 80099


@dataclass(frozen=True, slots=True)
class TaskError:
    """Why a task failed."""

    code: TaskFailureCode
    message: str
    request_id: str


def task_error(code: TaskFailureCode, message: str) -> TaskError:
    """An error with a request id of its own."""
    return TaskError(code, message, request_id())


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One result in our storage: its file name, what it is, and the provider's label."""

    name: str
    type: str
    label: str | None = None


@dataclass(frozen=True, slots=True)
class TaskOutput:
    """What a completed task made."""

    files: tuple[StoredFile, ...] = ()
    last_frame: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """One task. `job` is the provider's id, unknown until the provider has answered.

    `quantity` is how many times the price of the model makes the price of the task; the ledger keeps it.
    """

    id: str
    account: str
    model: str
    kind: MediaKind
    price: int
    created_at: int
    status: TaskStatus = TaskStatus.PROCESSING
    job: str | None = None
    output: TaskOutput | None = None
    error: TaskError | None = None
    quantity: int = 1

    @property
    def folder(self) -> str:
        """The id without its prefix, as it appears in result URLs."""
        return self.id.removeprefix(ID_PREFIX)


def new_task_id() -> str:
    """An id that was never used before."""
    return ID_PREFIX + time_ordered_hex()
