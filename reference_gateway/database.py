"""The seam between the gateway and where it keeps its books: SQLite in this process, or a PostgreSQL server.

An operation is a coroutine function of a `Connection` and runs in one transaction. It may wait for its connection and
for nothing else; so SQLite can run it to its end in the writer thread, PostgreSQL in the event loop, and there is one
text of every rule. Statements are SQL that both understand, with `?` for values; what only one of them has (row locks)
is a text of the connection that is empty for the other.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

from reference_gateway.identifiers import random_hex

T = TypeVar("T")


class StorageError(Exception):
    """The database did not do what was asked; nothing was changed, unless its connection broke during a commit."""


class ConstraintError(StorageError):
    """A constraint of the schema forbids the change."""


class DatabaseClosedError(StorageError):
    """The database does not take operations: not yet, not any more, or too many are waiting."""


class Connection(Protocol):
    """One transaction. All methods raise `StorageError`."""

    for_update: str
    """Ends a SELECT whose rows others may not change meanwhile."""
    skip_locked: str
    """Ends a SELECT that takes rows for itself and passes over those that others are taking."""

    async def fetch(self, sql: str, *values: Any) -> Sequence[Sequence[Any]]:
        """All rows of a statement."""

    async def fetch_one(self, sql: str, *values: Any) -> Sequence[Any] | None:
        """The first row."""

    async def execute(self, sql: str, *values: Any) -> int:
        """How many rows were changed."""


class SchemaConnection(Connection, Protocol):
    """What a migration works with."""

    dialect: str

    async def has_table(self, name: str) -> bool:
        """Whether the schema has such a table."""

    async def script(self, sql: str) -> None:
        """Run statements without values, all or none of them."""


Operation = Callable[[Connection], Coroutine[Any, Any, T]]


def new_worker() -> str:
    """A name that no other process has had."""
    return f"worker_{random_hex()}"


class Database(ABC):
    """Takes operations from the event loop that called `start`. Bounded: too many waiting ones are refused."""

    shared: ClassVar[bool]
    """Whether other processes may work with the same books at the same time."""

    def __init__(self) -> None:
        self.worker = new_worker()
        """This process among those that share the books."""

    @abstractmethod
    async def start(self) -> None:
        """Open, migrate and begin to take operations; raises `StorageError`."""

    @abstractmethod
    def submit(
        self, operation: Operation[T], *, early: bool = False, lane: str | None = None
    ) -> "asyncio.Future[T]":
        """Queue an operation. The future is done when it is durable; with `early` as soon as others can see it.

        Operations of one lane run in the order of submission. A cancelled future does not take its operation back.
        """

    @abstractmethod
    async def close(self) -> None:
        """Run everything that was submitted, then close."""

    @abstractmethod
    async def enlist(self) -> None:
        """Show the others that this process is here; it is seen to be gone as soon as it dies."""

    @abstractmethod
    async def bury(self, connection: Connection, lease_s: float) -> None:
        """Strike the processes off the list that are gone, or have not renewed their lease."""


def storable(text: str) -> bool:
    """Whether a text of a caller can be a key at all: no database keeps NUL or half of a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text
