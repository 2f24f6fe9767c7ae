"""Stories of tasks, and rules about submissions (TSUB, TIDM rows).

A submission with its polls is a `Story`; polls belong to the submission whose id stands in their path. Rules
about one answer take a `Call`, rules about a course of events take a `Story`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from weighbridge.checks.findings import (
    broken,
    excerpt,
    holds,
    is_int,
    member,
    met,
    needs,
    not_applicable,
    on_success,
    outcome_of,
    situation,
    unjudged,
)
from weighbridge.evidence import Call, Observation
from weighbridge.verdict import Finding, Outcome

STATUSES = ("processing", "completed", "failed")
TERMINAL = ("completed", "failed")


@dataclass(frozen=True, slots=True)
class Story:
    """One submission and what was seen of its task afterwards.

    Attributes:
        polls: in the order in which they were sent.
        fetches: downloads of its results.
    """

    submission: Call
    polls: tuple[Call, ...] = ()
    fetches: tuple[Call, ...] = ()

    @property
    def kind(self) -> str:
        """The kind of output: the first word of the role."""
        return (self.submission.role or "").partition("_")[0]

    @property
    def last(self) -> Call | None:
        """The last poll that was served."""
        return next((call for call in reversed(self.polls) if call.exchange.ok), None)

    @property
    def end(self) -> Call | None:
        """The first poll that showed a terminal status."""
        return next((call for call in self.polls if status_of(call) in TERMINAL), None)


StoryRule = Callable[[Story], Finding]


def status_of(call: Call) -> Any:
    """The status that an answer shows, if it was served."""
    return member(call.exchange.json, "status") if call.exchange.ok else None


def task_id(call: Call) -> str | None:
    """The id in the answer to a submission."""
    value = member(call.exchange.json, "id") if call.exchange.ok else None
    return value if isinstance(value, str) and value else None


def polls_of(observation: Observation, names: Iterable[str], id_: str) -> tuple[Call, ...]:
    """The polls of one task that was submitted in these situations, in the order in which they were sent."""
    path = f"/tasks/{quote(id_, safe='')}"
    calls = (
        c
        for c in observation.where(*(f"{name}:poll" for name in names))
        if urlsplit(c.exchange.request.url).path.endswith(path)
    )
    return tuple(sorted(calls, key=lambda call: call.exchange.started))


def stories(observation: Observation, *names: str, kind: str | None = None) -> tuple[Story, ...]:
    """The stories of some situations, of one kind of output if asked for."""
    found = []
    for call in observation.where(*names):
        id_ = task_id(call)
        fetches = observation.where(f"{call.situation}:fetch", role=call.role)
        polls = () if id_ is None else polls_of(observation, call.situations, id_)
        found.append(Story(call, polls, fetches))
    return tuple(story for story in found if kind is None or story.kind == kind)


def told(
    observation: Observation, names: Iterable[str], rule: StoryRule, *, kind: str | None = None
) -> list[Finding]:
    """One finding per story of these situations; one that says why where there is none."""
    findings: list[Finding] = []
    for name in names:
        found = stories(observation, name, kind=kind)
        if found:
            findings += [rule(story) for story in found]
        else:
            findings.append(_absent(observation, name, kind))
    return findings


def _absent(observation: Observation, name: str, kind: str | None) -> Finding:
    left_out = next((note for note in observation.notes if note.startswith(f"{name}: ")), None)
    if left_out is not None:
        return not_applicable(left_out.partition(": ")[2])
    calls = situation(observation, name)
    if isinstance(calls, list) or kind is not None:
        return needs(f"models.{kind}: a model of this kind that can be submitted")
    return calls


def unsubmitted(story: Story) -> Finding:
    """There is nothing to poll."""
    return unjudged(story.submission, f"no task came about: {outcome_of(story.submission)}")


def ended_as(story: Story, status: str) -> Call | Finding:
    """The poll that showed the end, if it is the expected one; else why the story says nothing."""
    end = story.end
    if end is None:
        return unjudged(story.submission, f"no end was seen: {outcome_of(story.submission)}")
    if status_of(end) != status:
        return unjudged(end, f"the task ended as {status_of(end)}")
    return end


def sent(call: Call) -> Any:
    """The body that we sent, as JSON."""
    try:
        return json.loads(call.exchange.request.body)
    except ValueError:
        return None


@on_success
def names_task(call: Call) -> Finding:
    """The task's id is the member `id`, a non-empty string (reading C2)."""
    value = member(call.exchange.json, "id")
    return holds(call, isinstance(value, str) and bool(value), "id is a non-empty string", f"id is {value!r}")


@on_success
def alias_agrees(call: Call) -> Finding:
    """A `task_id`, where one is sent, is the same id."""
    body = call.exchange.json
    if not isinstance(body, dict) or "task_id" not in body:
        return met(call, "task_id, if sent, equals id", "no task_id is sent")
    agrees = body["task_id"] == body.get("id")
    return holds(
        call, agrees, "task_id, if sent, equals id", f"task_id {body['task_id']!r}, id {body.get('id')!r}"
    )


@on_success
def describes_task(call: Call) -> Finding:
    """model as asked for, status processing, created_at as Unix time in seconds."""
    body = call.exchange.json
    problems = []
    if member(body, "model") != call.model:
        problems.append(f"model {member(body, 'model')!r}")
    if member(body, "status") != "processing":
        problems.append(f"status {member(body, 'status')!r}")
    if not _is_unix_seconds(member(body, "created_at")):
        problems.append(f"created_at {member(body, 'created_at')!r}")
    required = f"model {call.model}, status processing, created_at in Unix seconds"
    return holds(call, not problems, required, ", ".join(problems) or "as required")


def _is_unix_seconds(value: Any) -> bool:
    """Between 2020 and 2100, which milliseconds are not."""
    return is_int(value) and 1_577_836_800 <= value <= 4_102_444_800


def accepted(call: Call) -> Finding:
    """Answered with a 2xx in whole; 200 is recommended."""
    return holds(call, call.exchange.ok, "the submission is accepted with a 2xx", outcome_of(call))


def starts_task(call: Call) -> Finding:
    """Accepted, with an id, at work: what every submission endpoint has in common."""
    if not call.exchange.ok:
        return broken(call, "a 2xx with id and status processing", outcome_of(call))
    ok = task_id(call) is not None and status_of(call) == "processing"
    return holds(
        call, ok, "a 2xx with id and status processing", f"id {task_id(call)!r}, status {status_of(call)!r}"
    )


@on_success
def answers_at_once(call: Call) -> Finding:
    """The answer comes while the provider still works; the scripted job takes seconds."""
    if call.scenario is None or call.scenario.duration_ms is None:
        return needs("upstream")
    took, job = call.exchange.ended_at, call.scenario.duration_ms / 1000
    required = f"an answer with a task id before the job of {job:g} s ends"
    return holds(
        call,
        took < job * 0.9 and task_id(call) is not None,
        required,
        f"id {task_id(call)!r} after {took:.2f} s",
    )


def ids_are_new(calls: Sequence[Call], *, expected: int = 2) -> Finding:
    """Every accepted submission has an id of its own."""
    named = [(call, id_) for call in calls if (id_ := task_id(call)) is not None]
    if len(named) < expected:
        return Finding(
            Outcome.NOT_VERIFIED,
            observed=f"{len(named)} accepted submissions, {expected} are needed to compare",
            evidence=tuple(call.id for call in calls),
            inside_scope=True,
        )
    seen: dict[str, Call] = {}
    for call, id_ in named:
        if id_ in seen:
            return broken(call, "an id that was never used before", f"{id_} again, as in {seen[id_].id}")
        seen[id_] = call
    return met(named[-1][0], "ids never used before", f"{len(named)} different ids")


#: Refusals that say nothing about a repetition: no credits, and too many requests.
_OTHER_REFUSALS = frozenset({402, 429})


def each_is_a_task(calls: Sequence[Call]) -> Finding:
    """Equal submissions are each accepted, under an id of its own; one that is refused as a repetition is none."""
    for number, call in enumerate(calls):
        status = call.exchange.status
        if number and status is not None and 400 <= status < 500 and status not in _OTHER_REFUSALS:
            before = calls[number - 1]
            if task_id(before) is not None:
                return broken(
                    call,
                    "a task for each of two equal submissions",
                    f"{outcome_of(call)}, though {before.id} was accepted",
                )
    return ids_are_new(calls)


def creates_nothing(call: Call) -> Finding:
    """A refused submission has no id and reached no provider; the latter is not known where none is seen."""
    status = call.exchange.status
    if status is None or call.exchange.ok:
        return unjudged(call, f"not refused: {outcome_of(call)}")
    required = "no task: no id in the refusal, no call at the provider"
    if isinstance(member(call.exchange.json, "id"), str):
        return broken(call, required, f"{status} with id {member(call.exchange.json, 'id')!r}")
    if call.posts is None:
        return needs("upstream")
    return holds(call, not call.posts, required, f"{call.posts} provider calls after {status}")


def reaches_provider(calls: Sequence[Call]) -> Finding:
    """As many provider submissions as accepted ones; equal submissions share one correlation id."""
    if not calls or calls[0].upstream is None:
        return needs("upstream")
    good = [call for call in calls if call.exchange.ok]
    if not good:
        return unjudged(calls[0], f"nothing was accepted: {outcome_of(calls[0])}")
    posts = sum(call.posts or 0 for call in {call.id: call for call in good}.values())
    return holds(
        good[-1], posts == len(good), f"{len(good)} provider submissions", f"{posts} provider submissions"
    )


def speaks_json(call: Call) -> Finding:
    """Under /api/v1, and the answer is a JSON object declared as such."""
    response = call.exchange.response
    if response is None:
        return unjudged(call, outcome_of(call))
    path = urlsplit(call.exchange.request.url).path
    if "/api/v1/" not in path:
        return broken(call, "an endpoint under /api/v1", path)
    ok = isinstance(response.json, dict) and response.content_type == "application/json"
    seen = f"{response.status} with {response.content_type or 'no Content-Type'}: {excerpt(response.text)}"
    return holds(call, ok, "a JSON object as application/json", seen)
