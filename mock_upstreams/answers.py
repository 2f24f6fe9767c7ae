"""From a request as received to the plan of its answer: the whole of a provider's behaviour, without a socket."""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mock_upstreams import anthropic_replies, openai_replies
from mock_upstreams.anthropic_requests import read_messages
from mock_upstreams.calls import Call, Identity, Json, load_object, tokens_of
from mock_upstreams.config import SimulatorConfig
from mock_upstreams.errors import (
    ANTHROPIC,
    OPENAI,
    default_message,
    error_document,
    request_id_header,
)
from mock_upstreams.fault_plans import INSTEAD_OF_REPLY, faulty_document, faulty_stream, replacement
from mock_upstreams.faults import CHAT, MESSAGES, OTHER
from mock_upstreams.journal import Entry
from mock_upstreams.media import PROMPT_FIELDS, Jobs, file_document, job_document, read_submission
from mock_upstreams.openai_requests import read_chat
from mock_upstreams.plans import Document, Plan, StreamParts, document_plan, json_document
from mock_upstreams.prompt_cache import CacheUse, PromptCache
from mock_upstreams.refusals import Refusal
from mock_upstreams.replies import Reply, compose
from mock_upstreams.routes import UNKNOWN, Place
from mock_upstreams.scenario import NO_SCENARIO, Scenario, Token, read_scenario

_SURFACES: Final = {"chat": CHAT, "messages": MESSAGES}
_MODELS_CREATED: Final = 1_767_225_600


@dataclass(frozen=True, slots=True)
class Received:
    """A request, read in full. `origin` is the address under which the caller reached the simulator."""

    place: Place
    method: str
    body: bytes
    token: Token | None
    credential: str | None
    origin: str
    anthropic_version: bool = False


@dataclass(frozen=True, slots=True)
class _Dialect:
    """How one chat dialect is read and written."""

    provider: str
    read: Callable[[Json], Call]
    whole: Callable[[Call, Reply, Identity, Scenario], Document]
    streamed: Callable[[Call, Reply, Identity, Scenario], StreamParts]


_DIALECTS: Final = {
    "chat": _Dialect(OPENAI, read_chat, openai_replies.completion, openai_replies.chunk_stream),
    "messages": _Dialect(ANTHROPIC, read_messages, anthropic_replies.message, anthropic_replies.event_stream),
}


class Providers:
    """The providers behind one simulator, with all that they remember between calls."""

    def __init__(self, config: SimulatorConfig) -> None:
        self._config = config
        self._random = random.Random(config.seed)  # noqa: S311 - ids need to differ, not to be secret
        self.cache = PromptCache(config.cache_capacity, config.cache_window_s)
        self.jobs = Jobs(config.job_capacity)
        self._operations: Mapping[str, Callable[[Received, Entry, Identity], Plan]] = {
            "chat": self._chat,
            "messages": self._chat,
            "count_tokens": self._count_tokens,
            "models": self._models,
            "submit": self._submit,
            "job": self._job,
            "file": self._file,
        }

    def answer(self, received: Received, entry: Entry) -> Plan:
        """The plan for a request; fills in what the journal can only know once the body is understood."""
        identity = self._identity()
        route = received.place.route
        try:
            self._admit(received)
            return self._operations[route.operation](received, entry, identity)
        except Refusal as refusal:
            return self.refuse(received.place, refusal, identity)

    def refuse(self, place: Place, refusal: Refusal, identity: Identity | None = None) -> Plan:
        """The plan of a refusal, in the dialect of the place."""
        request_id = (identity or self._identity()).request_id
        route = place.route
        document = error_document(
            route.dialect, refusal.status, refusal.message, request_id, refusal.param, refusal.code
        )
        if refusal.status == 405 and route.method is not None:
            document = Document(405, document.body, (*document.headers, ("allow", route.method)))
        return document_plan(document, close=refusal.status == 413)

    def _identity(self) -> Identity:
        digits = f"{self._random.getrandbits(128):032x}"
        return Identity(digits, f"req_{digits[8:]}", int(time.time()))

    @staticmethod
    def _admit(received: Received) -> None:
        route = received.place.route
        if route.operation == UNKNOWN:
            raise Refusal(404, "Unknown request URL: there is nothing at this path; check the base URL")
        if received.method != route.method:
            raise Refusal(405, f"{received.method} is not allowed here; use {route.method}")
        if route.needs_credential and received.credential is None:
            raise Refusal(
                401, "You didn't provide an API key; send Authorization: Bearer KEY or x-api-key: KEY"
            )

    # Chat, both dialects

    def _chat(self, received: Received, entry: Entry, identity: Identity) -> Plan:
        operation = received.place.route.operation
        dialect = _DIALECTS[operation]
        body = load_object(received.body)
        _note_call(entry, body)
        call = dialect.read(body)
        scenario = self._scenario(received, _SURFACES[operation], streamed=call.stream)
        if scenario.fault in INSTEAD_OF_REPLY:
            return self._replacement(received, scenario, identity, streamed=call.stream)
        reply = compose(call, scenario, self._cache_use(received, call, scenario), self._config.seed)
        if call.stream:
            return faulty_stream(dialect.streamed(call, reply, identity, scenario), scenario)
        beats = max(0, reply.pieces - 1)
        return faulty_document(
            dialect.whole(call, reply, identity, scenario),
            scenario,
            delay_s=(scenario.ttft_ms + scenario.gap_ms * beats) / 1000,
        )

    def _cache_use(self, received: Received, call: Call, scenario: Scenario) -> CacheUse:
        if not call.marks or scenario.counts_scripted:
            return CacheUse()
        return self.cache.use(received.credential or "", call.marks, time.monotonic())

    def _count_tokens(self, received: Received, entry: Entry, identity: Identity) -> Plan:
        body = load_object(received.body)
        _note_call(entry, body)
        call = read_messages(body, counting=True)
        return self._document(received, json_document(200, {"input_tokens": call.input_tokens}), identity)

    def _models(self, received: Received, entry: Entry, identity: Identity) -> Plan:
        del entry
        listing = _anthropic_models if received.anthropic_version else _openai_models
        return self._document(received, json_document(200, listing(self._config.models)), identity)

    # Media

    def _submit(self, received: Received, entry: Entry, identity: Identity) -> Plan:
        body = load_object(received.body)
        _note_call(entry, body)
        scenario = self._scenario(received, OTHER, streamed=False)
        job_id = f"job_{identity.digits}"
        prompt = " ".join(body[name] for name in PROMPT_FIELDS if isinstance(body.get(name), str))
        call = Call("media", stream=False, prompt=prompt, input_tokens=tokens_of(len(prompt)))
        job = read_submission(
            body,
            job_id,
            scenario,
            now=time.monotonic(),
            base=(self._config.public_url or received.origin) + received.place.prefix,
            chance=self._random.getrandbits(16),
            text=compose(call, NO_SCENARIO, CacheUse(), self._config.seed).text,
        )
        if scenario.fault in INSTEAD_OF_REPLY:
            return self._replacement(received, scenario, identity, streamed=False)
        self.jobs.add(job)
        answer = json_document(202, {"job_id": job_id, "state": "queued"})
        return self._finished(received, answer, scenario, identity)

    def _job(self, received: Received, entry: Entry, identity: Identity) -> Plan:
        job_id = received.place.route.arguments[0]
        job = self.jobs.find(job_id)
        if job is None:
            raise Refusal(404, f"there is no job {job_id[:64]!r}")
        entry.model = job.model
        entry.id = job.scenario.id or entry.id
        return self._document(received, job_document(job, time.monotonic()), identity)

    def _file(self, received: Received, entry: Entry, identity: Identity) -> Plan:
        job_id, name = received.place.route.arguments
        job = self.jobs.find(job_id)
        if job is None:
            raise Refusal(404, f"there is no job {job_id[:64]!r}")
        entry.model = job.model
        entry.id = job.scenario.id or entry.id
        return self._document(received, file_document(job, name, time.monotonic()), identity)

    # What all of them share

    def _document(self, received: Received, document: Document, identity: Identity) -> Plan:
        """The plan of a plain answer, under the scenario that the request carries, if any."""
        scenario = self._scenario(received, OTHER, streamed=False)
        if scenario.fault in INSTEAD_OF_REPLY:
            return self._replacement(received, scenario, identity, streamed=False)
        return self._finished(received, document, scenario, identity)

    @staticmethod
    def _finished(received: Received, document: Document, scenario: Scenario, identity: Identity) -> Plan:
        header = request_id_header(received.place.route.dialect, identity.request_id)
        document = Document(document.status, document.body, (*document.headers, header))
        return faulty_document(document, scenario, delay_s=scenario.ttft_ms / 1000)

    @staticmethod
    def _replacement(received: Received, scenario: Scenario, identity: Identity, *, streamed: bool) -> Plan:
        status = scenario.status or 500
        error = error_document(
            received.place.route.dialect,
            status,
            default_message(status) if scenario.message is None else scenario.message,
            identity.request_id,
        )
        return replacement(scenario, error, streamed=streamed)

    @staticmethod
    def _scenario(received: Received, surface: str, *, streamed: bool) -> Scenario:
        if received.token is None:
            return NO_SCENARIO
        return read_scenario(received.token, surface, streamed=streamed)


def _note_call(entry: Entry, body: Json) -> None:
    model = body.get("model")
    entry.model = model[:256] if isinstance(model, str) else None
    stream = body.get("stream", False)
    entry.stream = stream if isinstance(stream, bool) else None


def _openai_models(models: tuple[str, ...]) -> dict[str, Any]:
    data = [
        {"id": model, "object": "model", "created": _MODELS_CREATED, "owned_by": "simulator"}
        for model in models
    ]
    return {"object": "list", "data": data}


def _anthropic_models(models: tuple[str, ...]) -> dict[str, Any]:
    data = [
        {"type": "model", "id": model, "display_name": model, "created_at": "2026-01-01T00:00:00Z"}
        for model in models
    ]
    return {"data": data, "has_more": False, "first_id": models[0], "last_id": models[-1]}
