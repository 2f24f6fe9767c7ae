"""The answers of the media provider: jobs that are accepted, looked at and called back for, and their files."""

import random
import time
from typing import Final

from mock_upstreams.callbacks import Callbacks
from mock_upstreams.calls import Call, Identity, load_object, tokens_of
from mock_upstreams.config import SimulatorConfig
from mock_upstreams.fault_plans import INSTEAD_OF_REPLY
from mock_upstreams.journal import Entry
from mock_upstreams.library import Library
from mock_upstreams.media import PROMPT_FIELDS, Job, Jobs, file_document, job_document, read_submission
from mock_upstreams.plain_answers import Received, finished, note_call, plain, replaced, scenario_of
from mock_upstreams.plans import Plan, json_document
from mock_upstreams.prompt_cache import CacheUse
from mock_upstreams.refusals import Refusal
from mock_upstreams.replies import compose
from mock_upstreams.scenario import NO_SCENARIO

_CLOCK_STEP_S: Final = 1e-6
"""More than the error of a difference of two moments of the clock."""


class MediaAnswers:
    """The media provider of one simulator, with its jobs. `callbacks` is there while the simulator runs."""

    def __init__(self, config: SimulatorConfig, library: Library, chance: random.Random) -> None:
        self._config = config
        self._library = library
        self._chance = chance
        self.jobs = Jobs(config.job_capacity)
        self.callbacks: Callbacks | None = None

    def submit(self, received: Received, entry: Entry, identity: Identity) -> Plan:
        """A job is accepted, or refused."""
        body = load_object(received.body)
        note_call(entry, body)
        scenario = scenario_of(self._library, received, entry, streamed=False)
        job_id = f"job_{identity.digits}"
        prompt = " ".join(body[name] for name in PROMPT_FIELDS if isinstance(body.get(name), str))
        call = Call("media", stream=False, prompt=prompt, input_tokens=tokens_of(len(prompt)))
        job = read_submission(
            body,
            job_id,
            scenario,
            caller_id=received.token.id if received.token else None,
            now=time.monotonic(),
            base=(self._config.public_url or received.origin) + received.place.prefix,
            chance=self._chance.getrandbits(16),
            text=compose(call, NO_SCENARIO, CacheUse(), self._config.seed).text,
        )
        if scenario.fault in INSTEAD_OF_REPLY:
            return replaced(received, scenario, identity, streamed=False)
        self.jobs.add(job)
        self._promise_callback(job)
        answer = json_document(202, {"job_id": job_id, "state": "queued"})
        return finished(received, answer, scenario, identity)

    def _promise_callback(self, job: Job) -> None:
        """Post the job's document to the address that its submission named, when it is over."""
        fault, callbacks = job.scenario.fault, self.callbacks
        if job.callback is None or callbacks is None or fault == "callback_never":
            return
        if job.scenario.outcome != "stuck":
            times = 2 if fault == "callback_twice" else 1
            # A timer of uvloop may ring a millisecond early; what is told is the end all the same.
            over = job.submitted + job.duration_s + _CLOCK_STEP_S
            callbacks.schedule(
                job.id,
                job.callback,
                job.duration_s,
                times,
                lambda: job_document(job, max(over, time.monotonic())).body,
            )

    def job(self, received: Received, entry: Entry, identity: Identity) -> Plan:
        """How far a job has come."""
        job = self._found(received.place.route.arguments[0], entry)
        return plain(
            self._library,
            received,
            entry,
            job_document(job, time.monotonic(), self.jobs.polled(job, time.monotonic())),
            identity,
        )

    def file(self, received: Received, entry: Entry, identity: Identity) -> Plan:
        """A file that a job has made."""
        job_id, name = received.place.route.arguments
        job = self._found(job_id, entry)
        return plain(self._library, received, entry, file_document(job, name, time.monotonic()), identity)

    def _found(self, job_id: str, entry: Entry) -> Job:
        """The job of that id, which the journal's entry then belongs to."""
        job = self.jobs.find(job_id)
        if job is None:
            raise Refusal(404, f"there is no job {job_id[:64]!r}")
        entry.model = job.model
        entry.id = job.caller_id or entry.id
        return job
