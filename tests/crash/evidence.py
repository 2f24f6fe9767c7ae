"""What is known after some kills, from three sides that do not know of each other: callers, providers, books."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any


class Kind(StrEnum):
    """What a caller did."""

    CHAT = "chat"
    STREAM = "stream"
    MESSAGES = "messages"
    LEAVES = "leaves"
    BROKEN = "broken"
    TASK = "task"
    FAILING_TASK = "failing task"


TASKS = frozenset({Kind.TASK, Kind.FAILING_TASK})


@dataclass(slots=True)
class Attempt:
    """One call as its caller saw it. `tokens` is unlike that of any other call, so it finds the charge."""

    name: str
    kind: Kind
    tokens: int
    whole: bool = False
    task: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request as a provider saw it. `whole`: the entire reply was sent."""

    name: str
    operation: str
    whole: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One transfer."""

    call: str
    reason: str
    account: str
    counter: str
    amount: int
    detail: Any


@dataclass(frozen=True, slots=True)
class StoredTask:
    """One task."""

    id: str
    price: int
    status: str
    job: str | None


@dataclass(frozen=True, slots=True)
class Books:
    """Everything in the database that is about money."""

    balances: dict[str, int]
    rows: tuple[Row, ...]
    tasks: tuple[StoredTask, ...]
    open_holds: int

    @property
    def at_rest(self) -> bool:
        """Whether nothing is left to be driven to an end."""
        return not self.open_holds and all(task.status != "processing" for task in self.tasks)


_BALANCES = "SELECT account, balance FROM accounts"
_ROWS = "SELECT call, reason, account, counter, amount, detail FROM transfers ORDER BY seq"
_TASKS = "SELECT task, price, status, job FROM tasks"
_HOLDS = "SELECT call FROM holds"


async def read_books(place: str) -> Books:
    """Read a database of a gateway that has stopped, by nothing but SQL."""
    balances, rows, tasks, holds = await _fetch(place, (_BALANCES, _ROWS, _TASKS, _HOLDS))
    return Books(
        {row[0]: row[1] for row in balances},
        tuple(_row(row) for row in rows),
        tuple(StoredTask(*row) for row in tasks),
        len(holds),
    )


def _row(row: Sequence[Any]) -> Row:
    call, reason, account, counter, amount, detail = row
    return Row(call, reason, account, counter, amount, None if detail is None else json.loads(detail))


async def _fetch(place: str, statements: Sequence[str]) -> list[list[Sequence[Any]]]:
    if "://" not in place:
        connection = sqlite3.connect(Path(place))
        try:
            return [connection.execute(statement).fetchall() for statement in statements]
        finally:
            connection.close()
    import asyncpg

    server = await asyncpg.connect(place)
    try:
        return [[tuple(row) for row in await server.fetch(statement)] for statement in statements]
    finally:
        await server.close()


def delivery(entry: dict[str, Any]) -> Delivery:
    """A journal entry of the simulator. A gateway may be gone before a stream's last bytes are acknowledged."""
    whole = entry["ending"] == "complete" and entry["status"] == 200
    if entry["ending"] == "caller_left":
        whole = entry["status"] == 200 and (not entry["stream"] or entry["events_sent"] >= CHUNKS + 2)
    return Delivery(entry["id"], entry["operation"], whole)


CHUNKS = 4
"""Content events of every stream; finish and usage come after them."""
