"""The recorded history of one generated walk, as steps that can be taken again.

A walk of a state machine is calls, money that was added, the end of a key, and a look at the money after each step.
All of it stands in the evidence: calls and readings as such, the rest as notes of the probe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from types import MappingProxyType

from weighbridge.checks.books import additions, books_agree, ledger_findings
from weighbridge.checks.task_books import credit_finding, credits_agree
from weighbridge.errors import UsageError, nearest
from weighbridge.evidence import Call, Observation, Reading, RunFacts
from weighbridge.verdict import Finding, Outcome

#: A note of a probe about a key that it withdrew: `revoked:LABEL<TAB>AT`.
REVOKED = "revoked:"
#: What a throttled attempt is called, which was sent once more under the name of its situation.
_THROTTLED = "throttled"


@dataclass(frozen=True, slots=True)
class Books:
    """A row that is judged by histories.

    Attributes:
        probe: whose observation holds them.
        judge: one finding for each history, the shortest first.
        judge_one: the finding of one history.
    """

    row: str
    surface: str
    probe: str
    judge: Callable[[Observation, RunFacts], list[Finding]]
    judge_one: Callable[[Sequence[Call], Sequence[Reading], RunFacts, Iterable[str]], Finding]


BOOKS: Mapping[str, Books] = MappingProxyType(
    {
        books.row: books
        for books in (
            Books("FUZZ-CHAT-03", "chat", "chat_books", books_agree, ledger_findings),
            Books("FUZZ-TASK-01", "tasks", "tasks_books", credits_agree, credit_finding),
        )
    }
)


class Action(StrEnum):
    """What a step does."""

    SEND = "send"
    TOP_UP = "top up"
    REVOKE = "revoke"
    WEIGH = "weigh"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a history.

    Attributes:
        at: when it was taken, on the clock of its run.
        call: of a step that sends.
        amount: of money that was added, in the unit of readings; of a look at the money, what was there.
        after_call: the look waited for the effect of the call before it.
    """

    at: float
    action: Action
    call: Call | None = None
    amount: int = 0
    after_call: bool = False


@dataclass(frozen=True, slots=True)
class History:
    """One walk.

    Attributes:
        label: its situation in the record.
        opening: the money it began with, in the unit of readings.
        finding: what its check found.
        wrong_at: when the reading was taken that first left what the history allows, on the clock of its run.
    """

    books: Books
    label: str
    opening: int
    steps: tuple[Step, ...]
    finding: Finding
    wrong_at: float = inf

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every call of it."""
        return tuple(step.call for step in self.steps if step.call is not None)


def books_of(row: str) -> Books:
    """What judges a row by histories.

    Raises:
        UsageError: the row is not judged so.
    """
    if row not in BOOKS:
        raise UsageError(
            f"{row} has no history to replay; rows with one are {', '.join(BOOKS)}{nearest(row, BOOKS)}"
        )
    return BOOKS[row]


def broken_history(books: Books, observations: Mapping[str, Observation], facts: RunFacts) -> History:
    """The shortest history of a record that breaks the row.

    Raises:
        UsageError: the record holds none, or only part of one.
    """
    observation = observations.get(books.probe)
    if observation is None or not observation.calls:
        raise UsageError(f"the record holds no history for {books.row}; it was not part of that run")
    findings = books.judge(observation, facts)
    finding = next((item for item in findings if item.outcome is Outcome.BROKEN), None)
    if finding is None:
        raise UsageError(f"the record holds no finding of {books.row}: its {len(findings)} histories agree")
    first = next(call for call in observation.calls if call.id == finding.evidence[0])
    label = first.situation.partition(":")[0]
    steps = steps_of(observation, label)
    if any(step.call is not None and step.call.cut for step in steps):
        raise UsageError(f"the record keeps only part of a body of {label}, so it cannot be sent again")
    readings = [item for item in observation.readings if item.situation == label]
    wrong_at = _wrong_at(books, label, observation, readings, facts)
    return History(books, label, readings[0].amount, steps, finding, wrong_at)


def _wrong_at(
    books: Books, label: str, observation: Observation, readings: Sequence[Reading], facts: RunFacts
) -> float:
    """When the first reading was taken with which the books no longer agree."""
    calls = [call for call in observation.calls if call.situation.partition(":")[0] == label]
    for count in range(2, len(readings)):
        so_far = books.judge_one(calls, readings[:count], facts, observation.notes)
        if so_far.outcome is Outcome.BROKEN:
            return readings[count - 1].at
    return inf


def steps_of(observation: Observation, label: str) -> tuple[Step, ...]:
    """The steps of one walk in their order, without the look at the money that it opens with."""
    steps = [
        Step(call.exchange.started, Action.SEND, call)
        for call in observation.calls
        if call.situation.partition(":")[0] == label and call.situation.rpartition(":")[2] != _THROTTLED
    ]
    steps += [
        Step(item.at, Action.TOP_UP, amount=item.amount) for item in additions(observation.notes, label)
    ]
    revoked = (
        note.removeprefix(REVOKED).split("\t") for note in observation.notes if note.startswith(REVOKED)
    )
    steps += [Step(float(at), Action.REVOKE) for name, at in revoked if name == label]
    readings = [item for item in observation.readings if item.situation == label]
    steps += [
        Step(item.at, Action.WEIGH, amount=item.amount, after_call=item.after is not None)
        for item in readings[1:]
    ]
    return tuple(sorted(steps, key=lambda step: step.at))
