"""`weighbridge replay ROW --in RUN`: sends a recorded history once more, in a fresh account, and judges it again.

A generated finding is judged from its record; whether the target still does it, only the target can tell. Every step
is taken as it was recorded, with a correlation id of its own and with the ids of the tasks that it makes this time.
Where what came of the steps is not what was recorded, a target that shows no mistake has not shown that it has none.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

from weighbridge import evidence_file
from weighbridge.engine import Settings, blocked, prepare
from weighbridge.errors import ExitCode, UsageError
from weighbridge.evidence import Call, Ending
from weighbridge.history import REVOKED, Action, History, Step, books_of, broken_history
from weighbridge.lab import PROBES, Lab
from weighbridge.leftovers import Made, made_tasks, remove
from weighbridge.likeness import Pair
from weighbridge.money import PICO_PER_USD, usd
from weighbridge.preflight import preflight
from weighbridge.probes.tasks_flow import TERMINAL, follow, poll, status_of, task_id
from weighbridge.probes.tasks_models import model_of
from weighbridge.probes.walked_account import WALK_REQUESTS_PER_SECOND, note_addition
from weighbridge.target import CHAT_PATH, EMBEDDED_PLACE, Principal, Target
from weighbridge.verdict import Finding, Outcome
from weighbridge.wire import Leave

#: The exit code of each outcome: a finding that came again is a violation, one that cannot be judged is incomplete.
_CODES = {Outcome.BROKEN: ExitCode.VIOLATION, Outcome.MET: ExitCode.OK}


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of a history that was sent again.

    Attributes:
        place: of the target that it was sent to.
        told: one line for each step.
        differences: what came of its steps otherwise than recorded, up to the reading that was wrong in the record.
        finding: of the same check, on what was seen this time.
        left: what could not be removed again.
    """

    history: History
    place: str
    told: tuple[str, ...]
    differences: tuple[str, ...]
    finding: Finding
    left: tuple[Made, ...]

    @property
    def outcome(self) -> Outcome:
        """That of the finding; books that agree after another history say nothing about this one."""
        if self.finding.outcome is Outcome.MET and self.differences:
            return Outcome.NOT_VERIFIED
        return self.finding.outcome

    @property
    def exit_code(self) -> ExitCode:
        """1 where the finding came again, 0 where the history agrees now, 3 where it could not be judged."""
        return _CODES.get(self.outcome, ExitCode.INCOMPLETE)

    def lines(self) -> Iterator[str]:
        """What is printed."""
        history = self.history
        yield f"{history.books.row}: {history.label}, recorded: {history.finding.observed}"
        yield f"sent again to {self.place}"
        yield from (f"  {line}" for line in self.told)
        word = {Outcome.BROKEN: "Reproduced", Outcome.MET: "Not reproduced"}.get(
            self.outcome, "Could not be judged"
        )
        if self.outcome is self.finding.outcome:
            yield f"{word}: {self.finding.message}"
        else:
            more = f"; and {len(self.differences) - 3} more" if len(self.differences) > 3 else ""
            told = "; ".join(self.differences[:3])
            yield f"{word}: the history did not come about as it was recorded: {told}{more}"
        yield from (f"left behind: {item.kind} {item.id} ({item.note})" for item in self.left)


def replay(
    row: str,
    recorded: Path,
    target: Target | None,
    settings: Settings,
    tell: Callable[[str], None],
    *,
    to_embedded: bool = False,
) -> ExitCode:
    """Replay the shortest history of a record that breaks a row.

    Args:
        row: id of a requirement that is judged by histories.
        recorded: folder of a run, or its evidence file.
        target: where to send it; None is a fresh embedded pair.
        settings: whether command hooks may run, and how long a call may take.
        tell: prints a line.
        to_embedded: the pair is meant, also for a record of another target.

    Raises:
        UsageError: there is no such finding, no target is named, or it lacks what a replay takes.
        WeighbridgeError: the target cannot be reached, or refuses its key or model.
    """
    books = books_of(row)
    file = recorded / evidence_file.NAME if recorded.is_dir() else recorded
    if target is not None and to_embedded:
        raise UsageError("--target and --embedded name two targets; leave one of them out")
    evidence, context, _ = evidence_file.read(file)
    history = broken_history(books, evidence.observations, evidence.facts)
    judged = context.get("target", {}).get("place", "a target that it does not name")
    if target is None and not to_embedded and judged != EMBEDDED_PLACE:
        raise UsageError(
            f"{recorded} is a record of {judged}; add --target FILE to send its history there again, "
            "or --embedded to send it to the embedded gateway"
        )

    async def work() -> Replayed:
        async with _target(target) as chosen:
            return await take_again(history, chosen, settings)

    result = asyncio.run(work())
    if target is None:
        result = replace(result, left=())  # gone with the pair
    for line in result.lines():
        tell(line)
    return result.exit_code


@asynccontextmanager
async def _target(named: Target | None) -> AsyncIterator[Target]:
    if named is not None:
        yield named
        return
    from weighbridge.embed import embedded

    async with embedded() as target:
        yield target


async def take_again(history: History, target: Target, settings: Settings) -> Replayed:
    """Take the steps of a history again at a target, and judge what was seen.

    Raises:
        UsageError: the target lacks what the history takes.
        WeighbridgeError: the target cannot be reached, or refuses its key or model.
    """
    books = history.books
    _require(history, target)
    shared = prepare(target, settings)
    hooks = frozenset({(books.surface, "accounts"), (books.surface, "balance")})
    first = await preflight(Lab(shared, "preflight"), (books.surface,), hooks)
    shared.facts = replace(shared.facts, own_usage=first.own_usage)
    lab = Lab(shared, books.probe)
    walk = _Walk(lab, history)
    try:
        told = [line async for line in walk.lines()]
        seen = None
        if shared.control is not None:
            seen = await shared.control.settled_calls(call.id for call in lab.calls)
    finally:
        left = await remove(Lab(shared, "clean-up"), made_tasks(lab.calls))
    finding = books.judge_one(lab.calls, lab.readings, shared.facts, lab.notes)
    return Replayed(
        history,
        target.place,
        tuple(told),
        tuple(what for pair in walk.pairs if (what := pair.difference(seen)) is not None),
        finding,
        tuple(item for item in left if not item.removed),
    )


def _require(history: History, target: Target) -> None:
    books = history.books
    lacking = blocked(PROBES[books.probe], target)
    if lacking is not None:
        raise UsageError(
            f"{target.place}: a history of {books.row} is replayed in a fresh account whose money can be read, "
            f"and the target file declares no {lacking}; see docs/capabilities.md"
        )
    unknown = {call.role for call in history.calls if call.role and call.role not in target.models}
    if unknown:
        raise UsageError(
            f"{target.place}: the history calls models.{min(unknown)}, which the target file does not name"
        )
    taken = {step.action for step in history.steps}
    hooks = {hook for hook, _ in target.hooks}
    for action, hook in ((Action.TOP_UP, "top_up"), (Action.REVOKE, "revoke")):
        if action in taken and hook not in hooks:
            raise UsageError(
                f"{target.place}: the history has a step `{action}`; add hooks.{hook} to the target file"
            )


@dataclass
class _Walk:
    """A history on its way: which task of the record is which task now, and what became of each call.

    Attributes:
        pairs: the calls up to the reading that was wrong in the record; what differs behind it may follow from that.
    """

    lab: Lab
    history: History
    tasks: dict[str, str] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    pairs: list[Pair] = field(default_factory=list)

    @property
    def _surface(self) -> str:
        return self.history.books.surface

    async def lines(self) -> AsyncIterator[str]:
        """Take the steps one after the other; a line for each that shows something."""
        who = await self.lab.make_account(
            self._surface,
            balance=self._in_hook_unit(self.history.opening),
            requests_per_second=WALK_REQUESTS_PER_SECOND if self._surface == "tasks" else None,
        )
        await self.lab.money(who, self.history.label, "before")
        for step in self.history.steps:
            line = await self._take(step, who)
            if line is not None:
                yield line

    async def _take(self, step: Step, who: Principal) -> str | None:
        if step.call is not None:
            return await self._send(step, step.call, who)
        label = self.history.label
        if step.action is Action.TOP_UP:
            began = self.lab.now()
            await self.lab.steer("top_up", who, amount=self._in_hook_unit(step.amount))
            note_addition(self.lab, label, began, step.amount)
            return f"top up by {self._shown(step.amount)}"
        if step.action is Action.REVOKE:
            self.lab.notes.append(f"{REVOKED}{label}\t{self.lab.now()}")
            await self.lab.steer("revoke", who)
            return "revoke the key"
        return await self._weigh(step, who)

    async def _weigh(self, step: Step, who: Principal) -> str:
        label = self.history.label
        after = self.lab.calls[-1] if step.after_call and self.lab.calls else None
        number = sum(item.situation == label for item in self.lab.readings)
        opened = next(item.amount for item in self.lab.readings if item.situation == label)
        amount = await self.lab.money(who, label, f"step-{number}", after=after)
        gone = "unreadable" if amount is None else self._shown(opened - amount)
        return f"{gone} gone, recorded {self._shown(self.history.opening - step.amount)}"

    def _pair(self, step: Step, call: Call, again: Call | None) -> None:
        if step.at <= self.history.wrong_at:
            self.pairs.append(Pair(self.history.calls.index(call) + 1, call, again))

    async def _send(self, step: Step, call: Call, who: Principal) -> str | None:
        if call.exchange.request.method == "GET":
            return await self._look(step, call, who)
        role = call.role or ""
        id_ = self.lab.shared.ids()
        endpoint = CHAT_PATH
        if self._surface == "tasks":
            model = model_of(self.lab, role)
            assert model is not None  # noqa: S101 - _require has seen the role
            endpoint = model.endpoint
        again = await self.lab.send(
            self._surface,
            endpoint,
            situation=call.situation,
            who=who,
            raw=self._body(call, id_),
            role=role,
            scenario=call.scenario,
            streamed=call.streamed,
            correlation_id=id_,
            leave=leave_of(call),
        )
        old, new = task_id(call), task_id(again)
        if old is not None and new is not None:
            self.tasks[old] = new
        self._pair(step, call, again)
        return f"send {_shape(call)}: {_outcome(again)}, recorded {_outcome(call)}"

    async def _look(self, step: Step, call: Call, who: Principal) -> str | None:
        """A poll; where the record saw the end come by many polls, this waits for the end in its own way."""
        task = self.tasks.get(call.exchange.request.url.rpartition("/")[2])
        if task is None:
            self._pair(step, call, None)
            return "poll: left out, its task was not made this time"
        terminal = status_of(call) in TERMINAL
        label, role = self.history.label, call.role or ""
        if terminal and task not in self.ended:
            self.ended.add(task)
            last = await follow(self.lab, role, label, who, task, race=True)
        elif call.contention:
            return None
        else:
            last = await poll(self.lab, role, label, who, task)
        self._pair(step, call, last)
        return f"poll: {status_of(last) or _outcome(last)}, recorded {status_of(call) or _outcome(call)}"

    def _body(self, call: Call, id_: str) -> bytes:
        """The recorded body, with an id of this call and the name that this target has for the model."""
        document = json.loads(call.exchange.request.body.replace(call.id.encode(), id_.encode()))
        document["model"] = self.lab.target.models[call.role or ""]
        return json.dumps(document, ensure_ascii=False).encode()

    def _in_hook_unit(self, amount: int) -> str:
        return str(amount) if self._surface == "tasks" else f"{Decimal(amount) / PICO_PER_USD:f}"

    def _shown(self, amount: int) -> str:
        return f"{amount} credits" if self._surface == "tasks" else usd(amount)


def leave_of(call: Call) -> Leave | None:
    """When to hang up, so that the call is left where it was left before."""
    seen = call.exchange
    if seen.ending is not Ending.LEFT:
        return None
    if seen.response is None:
        return Leave(after_s=seen.ended_at)
    return Leave(after_chunks=len(seen.response.chunks))


def _shape(call: Call) -> str:
    words = [call.model or "a request", "streamed" if call.streamed else ""]
    script = call.scenario
    if script is not None:
        words += [f"fault {script.fault}" if script.fault else "", script.outcome or ""]
        tokens = (script.prompt_tokens, script.completion_tokens)
        words += [f"{tokens[0]} + {tokens[1] or 0} tokens" if tokens[0] else ""]
    return ", ".join(word for word in words if word)


def _outcome(call: Call) -> str:
    status = call.exchange.status
    if call.exchange.ending is Ending.COMPLETE:
        return str(status)
    return f"{status or 'no response'} ({call.exchange.ending})"
