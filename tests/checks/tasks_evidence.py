"""Hand-made evidence of tasks: short ways to write submissions, polls, balance reads and bursts down."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from weighbridge.checks.tasks import Story
from weighbridge.evidence import (
    Call,
    Chunk,
    Ending,
    Exchange,
    Headers,
    Observation,
    Reading,
    Request,
    Response,
    UpstreamCall,
)
from weighbridge.scenario import Scenario

BASE = "http://gw.test/api/v1"
TASK = "task_0123456789abcdef0123456789abcdef"
CREATED = 1_795_000_000
_ids = itertools.count(1)


def call(
    body: Any,
    *,
    status: int | None = 200,
    situation: str = "completed",
    path: str = "/images/generations",
    method: str = "POST",
    sent: Any = None,
    headers: Headers = (("Content-Type", "application/json"),),
    role: str | None = "image",
    at: float = 0.0,
    took: float = 0.01,
    scenario: Scenario | None = None,
    upstream: Sequence[UpstreamCall] | None = (),
    ending: Ending = Ending.COMPLETE,
    url: str | None = None,
) -> Call:
    """One exchange; bytes go as they are, everything else as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    exchange = Exchange(
        id=f"w-{next(_ids)}",
        request=Request(method, url or BASE + path, (), json.dumps(sent or {}).encode()),
        response=None if status is None else Response(status, headers, (Chunk(took, raw),)),
        ending=ending,
        started=at,
        ended_at=took,
        head_at=took,
    )
    return Call(
        exchange,
        situation,
        "tasks",
        role=role,
        model="gpt-image-2",
        scenario=scenario,
        upstream=None if upstream is None else tuple(upstream),
    )


def provider(operation: str, path: str = "/media/v1/jobs", seq: int = 1) -> UpstreamCall:
    """One request as the simulator saw it."""
    method = "POST" if operation == "submit" else "GET"
    return UpstreamCall(
        seq, "w", "default", "media", operation, method, path, (), None, "{}", "gpt-image-2",
        stream=False, arrived_ns=seq, status=200, events_sent=0, ending="complete",
    )  # fmt: skip


def document(status: str = "processing", **more: Any) -> dict[str, Any]:
    """A task as the API shows it."""
    return {"id": TASK, "model": "gpt-image-2", "status": status, "created_at": CREATED} | more


def poll(status: str, *, at: float, situation: str = "completed", took: float = 0.01, **more: Any) -> Call:
    """A poll that was served."""
    return call(
        document(status, **more),
        situation=f"{situation}:poll",
        path=f"/tasks/{TASK}",
        method="GET",
        at=at,
        took=took,
    )


URLS = {"image_urls": ["http://gw.test/media/tasks/0123/0.png"]}


def completed(*, at: float, output: Any = None, **more: Any) -> Call:
    """A poll that shows a result."""
    return poll("completed", at=at, output=URLS if output is None else output, error=None, **more)


def failed(*, at: float, error: Any = None, **more: Any) -> Call:
    """A poll that shows a failure."""
    said = {"code": 80003, "message": "The provider failed."} if error is None else error
    return poll("failed", at=at, output=None, error=said, **more)


def story(*polls: Call, submission: Call | None = None, fetches: Iterable[Call] = ()) -> Story:
    """An image task with its polls."""
    return Story(submission or call(document()), polls, tuple(fetches))


def refusal(status: int, code: Any, situation: str = "x", **more: Any) -> Call:
    """A refusal in the documented envelope."""
    error = {"code": code, "message": "No.", "request_id": f"req_{next(_ids)}"}
    return call({"error": error}, status=status, situation=situation, **more)


def balance(
    amount: Any, moment: str, *, situation: str = "completed", role: str | None = "image", at: float = 0.0
) -> Call:
    """A GET /balance."""
    return call(
        {"balance": amount},
        situation=f"{situation}:balance:{moment}",
        path="/balance",
        method="GET",
        role=role,
        at=at,
    )


def credited(situation: str = "completed", /, **moments: int) -> Observation:
    """An accepted image task with its balance reads by moment."""
    reads = [balance(amount, moment, situation=situation) for moment, amount in moments.items()]
    return Observation("p", (call(document(), situation=situation), *reads))


def reading(label: str, moment: str, amount: int) -> Reading:
    """A reading through the operator's hook."""
    return Reading(label, moment, "tasks", "tasks.fresh", amount, 0.0)


def burst(
    count: int, refused: int, *, situation: str = "burst:poll", length: float = 0.3, at: float = 0.0
) -> tuple[Call, ...]:
    """That many requests over so many seconds, the last ones of them refused with 429."""
    gap = length / count
    served = count - refused
    headers = (("Content-Type", "application/json"), ("Retry-After", "1"))
    return tuple(
        call(document(), situation=situation, at=at + number * gap, took=gap / 2)
        if number < served
        else replace(refusal(429, 50001, situation, headers=headers, at=at + number * gap, took=gap / 2))
        for number in range(count)
    )
