"""The media provider: jobs that are submitted, polled and fetched.

A job has no timer of its own: its state is a function of the time at which it is looked at, so that any number of
jobs cost nothing between polls and a state never depends on how often it was polled.
"""

import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

from mock_upstreams import fields
from mock_upstreams.calls import Json
from mock_upstreams.media_files import FILES
from mock_upstreams.plans import Document, json_document
from mock_upstreams.refusals import Refusal, bad_request
from mock_upstreams.scenario import Scenario

_EXTENSIONS: Final = {"image": "png", "video": "mp4", "audio": "wav"}
_TEXT: Final = "text"
PROMPT_FIELDS: Final = ("prompt", "text", "input", "content")
_INPUTS: Final = (*PROMPT_FIELDS, "audio_url", "image_url", "video_url")
_CALLBACK_FIELDS: Final = ("webhook_url", "callback_url")
_LONGEST_URL: Final = 2048
_MAX_OUTPUTS: Final = 10
_QUEUED_SHARE: Final = 0.2
"""Part of a job's duration that it spends in the queue."""
_DEFAULT_DURATION_MS: Final = 50
_STEMS: Final = ("vocals", "instrumental", "drums", "bass", "other")
_LAST_FRAME: Final = "last"
_FILE_NAME: Final = re.compile(r"([0-9]{1,2}|last)\.([a-z0-9]{2,4})")

_FAILURES: Final = {
    "failed": ("provider_error", "The model could not complete the job."),
    "moderated": ("moderated", "The request was rejected by the safety system."),
}


@dataclass(frozen=True, slots=True)
class Job:
    """A job as submitted; times are monotonic seconds. `base` is where its files are served.

    `caller_id` is the id in the token of the submission: the polls of the job belong to it.
    """

    id: str
    kind: str
    model: str
    scenario: Scenario
    submitted: float
    duration_s: float
    outputs: int
    wants_last_frame: bool
    base: str
    text: str
    callback: str | None = None
    caller_id: str | None = None


def read_submission(
    body: Json,
    job_id: str,
    scenario: Scenario,
    *,
    caller_id: str | None,
    now: float,
    base: str,
    chance: int,
    text: str,
) -> Job:
    """The job that a submission asks for; `chance` picks its duration when none is scripted. Raises Refusal."""
    kind = fields.text(body, "kind")
    if kind not in _EXTENSIONS and kind != _TEXT:
        raise bad_request(f"kind: expected one of {', '.join((*_EXTENSIONS, _TEXT))}", "kind")
    model = fields.text(body, "model")
    given = [name for name in _INPUTS if body.get(name) is not None]
    if not given:
        raise bad_request(f"prompt: expected one of {', '.join(_INPUTS)}", "prompt")
    for name in given:
        fields.text(body, name)
    asked = fields.integer(body, "n", 1, _MAX_OUTPUTS)
    duration_ms = scenario.duration_ms
    return Job(
        id=job_id,
        caller_id=caller_id,
        kind=kind,
        model=model,
        scenario=scenario,
        submitted=now,
        duration_s=(chance % (_DEFAULT_DURATION_MS + 1) if duration_ms is None else duration_ms) / 1000,
        outputs=0 if kind == _TEXT else scenario.n or asked or 1,
        wants_last_frame=kind == "video" and fields.flag(body, "return_last_frame"),
        base=base,
        text=text,
        callback=_callback(body),
    )


def _callback(body: Json) -> str | None:
    """Where the caller wants to be told that the job is over."""
    name = next((name for name in _CALLBACK_FIELDS if body.get(name) is not None), None)
    if name is None:
        return None
    url = fields.text(body, name)
    if not url.startswith(("http://", "https://")) or len(url) > _LONGEST_URL:
        raise bad_request(f"{name}: expected an http(s) URL of at most {_LONGEST_URL} characters", name)
    return url


def state_of(job: Job, now: float) -> str:
    """queued, running, succeeded or failed at monotonic time `now`."""
    age = now - job.submitted
    if age < job.duration_s * _QUEUED_SHARE:
        return "queued"
    if age < job.duration_s or job.scenario.outcome == "stuck":
        return "running"
    return "succeeded" if job.scenario.outcome == "completed" else "failed"


def job_document(job: Job, now: float, polls: int = 1) -> Document:
    """The answer to a poll; `polls` is how often the finished job has been looked at."""
    state = state_of(job, now)
    done = state == "succeeded"
    body: dict[str, Any] = {
        "job_id": job.id,
        "state": state,
        "model": job.model,
        "kind": job.kind,
        "outputs": _outputs(job, polls) if done else [],
        "error": None,
    }
    if done and job.kind == _TEXT:
        body["text"] = job.text if job.scenario.text is None else job.scenario.text
    if done and job.wants_last_frame:
        body["last_frame_url"] = f"{job.base}/media/v1/files/{job.id}/{_LAST_FRAME}.png"
    if state == "failed":
        reason, message = _FAILURES[job.scenario.outcome]
        body["error"] = {"reason": reason, "message": job.scenario.message or message}
    return json_document(200, body)


def _outputs(job: Job, polls: int) -> list[dict[str, str]]:
    if job.kind not in _EXTENSIONS:
        return []
    extension = _EXTENSIONS[job.kind]
    content_type, _ = FILES[extension]
    first = job.outputs if job.scenario.fault == "result_changes" and polls > 1 else 0
    outputs = [
        {"url": f"{job.base}/media/v1/files/{job.id}/{i}.{extension}", "type": content_type}
        for i in range(first, first + job.outputs)
    ]
    if job.kind == "audio":
        for i, output in enumerate(outputs):
            output["label"] = _STEMS[i % len(_STEMS)]
    return outputs


def file_document(job: Job, name: str, now: float) -> Document:
    """One output file. Raises Refusal: 404 for a file that the job does not have (yet), 4xx once links have expired."""
    found = _FILE_NAME.fullmatch(name)
    number, extension = found.groups() if found else ("", "")
    most = job.outputs * (2 if job.scenario.fault == "result_changes" else 1)
    known = state_of(job, now) == "succeeded" and (
        (number == _LAST_FRAME and extension == "png" and job.wants_last_frame)
        or (number.isdigit() and int(number) < most and extension == _EXTENSIONS.get(job.kind))
    )
    if not known:
        raise Refusal(404, f"job {job.id} has no file {name[:64]!r}")
    expires_ms = job.scenario.expires_ms
    if expires_ms is not None and now >= job.submitted + job.duration_s + expires_ms / 1000:
        raise Refusal(job.scenario.expired_status, "the link has expired; submit the job again")
    content_type, make = FILES[extension]
    body = make(_MAX_OUTPUTS if number == _LAST_FRAME else int(number))
    return Document(200, body, (("content-type", content_type), ("cache-control", "no-store")))


class Jobs:
    """All jobs by id; bounded, the oldest is forgotten first."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._polls: dict[str, int] = {}

    def add(self, job: Job) -> None:
        self._jobs[job.id] = job
        while len(self._jobs) > self._capacity:
            forgotten, _ = self._jobs.popitem(last=False)
            self._polls.pop(forgotten, None)

    def polled(self, job: Job, now: float) -> int:
        """How often the job has been looked at since it finished, this time included."""
        if job.scenario.fault != "result_changes" or state_of(job, now) != "succeeded":
            return 1
        count = self._polls.get(job.id, 0) + 1
        self._polls[job.id] = count
        return count

    def clear(self) -> None:
        self._jobs.clear()
        self._polls.clear()

    def find(self, job_id: str) -> Job | None:
        return self._jobs.get(job_id)
