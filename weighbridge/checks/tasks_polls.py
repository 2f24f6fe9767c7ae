"""Rules about polls of tasks: their words, their end, what a failure says, and whose tasks they show (TPOL rows)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from weighbridge.bait import UPSTREAM_SECRET
from weighbridge.checks.findings import (
    broken,
    excerpt,
    holds,
    is_int,
    member,
    met,
    not_applicable,
    on_success,
    outcome_of,
    unjudged,
)
from weighbridge.checks.tasks import (
    STATUSES,
    TERMINAL,
    Story,
    StoryRule,
    ended_as,
    status_of,
    task_id,
    unsubmitted,
)
from weighbridge.evidence import Call
from weighbridge.verdict import Finding, Outcome

#: docs: agent skill repository, API reference.
MODERATED = 80006
FIVE_DIGITS = range(10_000, 100_000)


def same_task(story: Story) -> Finding:
    """Every poll is a 200 with the submission's id, model and created_at."""
    if task_id(story.submission) is None:
        return unsubmitted(story)
    if not story.polls:
        return unjudged(story.submission, "the task was never polled")
    told_at_first = {
        name: member(story.submission.exchange.json, name) for name in ("id", "model", "created_at")
    }
    for call in story.polls:
        if call.exchange.status != 200:
            return broken(call, "polls answer 200", outcome_of(call))
        for name, value in told_at_first.items():
            now = member(call.exchange.json, name)
            # What the submission did not say is judged there.
            if value is not None and now != value:
                return broken(call, f"{name} as in the submission: {value!r}", f"{name} is {now!r}")
            if now is None:
                return broken(
                    call, f"a poll has {name}", f"no {name}: {excerpt(json.dumps(call.exchange.json))}"
                )
    return met(story.polls[-1], "200 with the same id, model and created_at", f"{len(story.polls)} polls")


@on_success
def status_is_known(call: Call) -> Finding:
    """One of three words."""
    value = member(call.exchange.json, "status")
    return holds(call, value in STATUSES, f"status is one of {', '.join(STATUSES)}", f"status is {value!r}")


def ends(story: Story) -> Finding:
    """The task is seen as completed or failed within the bound."""
    if task_id(story.submission) is None:
        return unsubmitted(story)
    if story.end is not None:
        return met(story.end, "completed or failed in the end", str(status_of(story.end)))
    last = story.last
    if last is None:
        seen = outcome_of(story.polls[-1]) if story.polls else "it was never polled"
        return unjudged(story.submission, f"no poll of the task was served: {seen}")
    took = last.exchange.started - story.submission.exchange.started
    seen = f"{status_of(last)!r} after {len(story.polls)} polls, {took:.1f} s behind the submission"
    return broken(story.submission, "completed or failed in the end", seen)


def _after_end(story: Story) -> list[Call]:
    """Polls that were sent after the answer with the terminal status was here; overlapping ones have no order."""
    end = story.end
    if end is None:
        return []
    ended = min(
        call.exchange.started + call.exchange.ended_at for call in story.polls if status_of(call) in TERMINAL
    )
    return [call for call in story.polls if call.exchange.started >= ended and call.exchange.ok]


def stays_ended(story: Story) -> Finding:
    """No poll after the end shows processing."""
    later = _after_end(story)
    if not later:
        return unjudged(story.submission, "no poll came after the end")
    for call in later:
        if status_of(call) not in TERMINAL:
            return broken(call, "a finished task stays finished", f"status {status_of(call)!r} after the end")
    return met(later[-1], "a finished task stays finished", f"{len(later)} later polls")


def never_changes(story: Story) -> Finding:
    """Status, output and error of a finished task are the same in every later poll."""
    later, end = _after_end(story), story.end
    if not later or end is None:
        return unjudged(story.submission, "no poll came after the end")
    first = _result(end)
    for call in later:
        if _result(call) != first:
            return broken(
                call, f"the same result as before: {excerpt(str(first))}", excerpt(str(_result(call)))
            )
    return met(later[-1], "the same result in every poll", f"{len(later)} later polls")


def _result(call: Call) -> Any:
    """What may not change; a signature in a URL and the id of the request may."""
    body = call.exchange.json
    error = member(body, "error")
    kept = {k: v for k, v in error.items() if k != "request_id"} if isinstance(error, dict) else error
    return {"status": member(body, "status"), "output": _unsigned(member(body, "output")), "error": kept}


def _unsigned(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _unsigned(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_unsigned(item) for item in value]
    if isinstance(value, str) and value.startswith(("http://", "https://")):
        return value.partition("?")[0]
    return value


def completed_has_output(story: Story) -> Finding:
    """output is filled, error is null (or left out)."""
    end = ended_as(story, "completed")
    if isinstance(end, Finding):
        return end
    output, error = member(end.exchange.json, "output"), member(end.exchange.json, "error")
    seen = f"output {excerpt(json.dumps(output))}, error {excerpt(json.dumps(error))}"
    return holds(end, bool(output) and error is None, "output is filled and error is null", seen)


def failed_has_error(story: Story) -> Finding:
    """error is filled, output is null (or left out)."""
    end = ended_as(story, "failed")
    if isinstance(end, Finding):
        return end
    output, error = member(end.exchange.json, "output"), member(end.exchange.json, "error")
    seen = f"output {excerpt(json.dumps(output))}, error {excerpt(json.dumps(error))}"
    return holds(end, bool(error) and output is None, "error is filled and output is null", seen)


def failure_is_explained(story: Story) -> Finding:
    """The error has a five-digit code and a message."""
    end = ended_as(story, "failed")
    if isinstance(end, Finding):
        return end
    code, message = (member(end.exchange.json, "error", name) for name in ("code", "message"))
    ok = is_int(code) and code in FIVE_DIGITS and isinstance(message, str) and bool(message)
    return holds(end, ok, "error has a five-digit code and a message", f"code {code!r}, message {message!r}")


def failure_code(code: int) -> StoryRule:
    """The error of the failed task has this code."""

    def rule(story: Story) -> Finding:
        end = ended_as(story, "failed")
        if isinstance(end, Finding):
            return end
        seen = member(end.exchange.json, "error", "code")
        return holds(end, seen == code, f"error.code {code}", f"error.code {seen!r}")

    return rule


def fails_as_task(story: Story) -> Finding:
    """A provider's failure shows in the status of the task; no poll is an HTTP error."""
    if task_id(story.submission) is None:
        # Saying so at once is no HTTP error of a poll, and leaves nothing to poll.
        return not_applicable(
            f"the provider's failure was told at submission: {outcome_of(story.submission)}"
        )
    for call in story.polls:
        if call.exchange.status is not None and call.exchange.status >= 400 and call.exchange.status != 429:
            return broken(call, "polls answer 200 with status failed", outcome_of(call))
    end = story.end
    if end is None:
        return unjudged(story.submission, "the task was not seen to end")
    return holds(end, status_of(end) == "failed", "status failed", f"status {status_of(end)}")


def survives_server_errors(seen: Iterable[Story]) -> list[Finding]:
    """After a poll that was answered with 5xx the task is served again; without one there is nothing to judge."""
    findings = []
    for story in seen:
        for number, call in enumerate(story.polls):
            if call.exchange.status is not None and call.exchange.status >= 500:
                later = any(status_of(other) in STATUSES for other in story.polls[number + 1 :])
                findings.append(holds(call, later, "a poll after a 5xx is served", outcome_of(call)))
    missing = "a poll that the target answers with 5xx"
    return findings or [
        Finding(Outcome.NOT_VERIFIED, observed="no poll was answered with 5xx", missing=missing)
    ]


def hides_upstream_secret(call: Call) -> Finding:
    """What the provider said about its key never reaches the customer, whichever call shows it."""
    response = call.exchange.response
    leaked = response is not None and UPSTREAM_SECRET.encode() in response.body
    seen = f"the key is in the body: {excerpt(response.text)}" if leaked and response else "not in the body"
    return holds(call, not leaked, "the provider's key stays inside", seen)


def looks_unknown(foreign: Call, unknown: Call, *others: Call) -> Finding:
    """Another user's task and a task that never was answer alike, beside ids, headers and what differs from call to call.

    Args:
        foreign: the answer about another user's task.
        unknown: about one that never was, to the same caller.
        others: more answers about such: a member that differs among these tells nothing, as a time does.
    """
    required = "the same 404 as for an id that was never given out"
    if foreign.exchange.status != 404:
        return broken(foreign, required, outcome_of(foreign))
    ours, theirs = _face(foreign), _face(unknown)
    idle = {place for other in others for place in _differing(theirs, _face(other))} - _TELLING
    telling = _differing(ours, theirs) - idle
    return holds(foreign, not telling, required, f"{excerpt(str(ours))} against {excerpt(str(theirs))}")


#: Members that must be alike whatever else differs.
_TELLING = frozenset({"status", "type", "body", "body.error.code", "body.error.message"})


def _differing(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    return {place for place in one.keys() | other.keys() if one.get(place) != other.get(place)}


def _face(call: Call) -> dict[str, Any]:
    """Status, media type and each value of the body by its place, without the ids of task and request."""
    response = call.exchange.response
    if response is None:
        return {"status": None}
    asked = unquote(urlsplit(call.exchange.request.url).path.rpartition("/")[2])
    text = response.text.replace(asked, "<id>")
    request = member(response.json, "error", "request_id")
    if isinstance(request, str) and request:
        text = text.replace(request, "<request>")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = text
    return {"status": response.status, "type": response.content_type, **dict(_places(body, "body"))}


def _places(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """The values inside parsed JSON, each with its place; an empty object or list stands for itself."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [pair for name, item in inner for pair in _places(item, f"{place}.{name}")]
    yield from found or [(place, value)]
