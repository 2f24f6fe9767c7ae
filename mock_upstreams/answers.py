"""From a request as received to the plan of its answer: the whole of a provider's behaviour, without a socket."""

import contextlib
import hashlib
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mock_upstreams import anthropic_replies, openai_replies, recurring, responses_replies, strict
from mock_upstreams.anthropic_requests import read_messages
from mock_upstreams.calls import Call, Identity, Json, load_object, tokens_of
from mock_upstreams.config import SimulatorConfig
from mock_upstreams.errors import ANTHROPIC, OPENAI, error_document
from mock_upstreams.fault_plans import INSTEAD_OF_REPLY, faulty_document
from mock_upstreams.journal import Entry
from mock_upstreams.library import Library
from mock_upstreams.media_answers import MediaAnswers
from mock_upstreams.numbers import CallNumbers
from mock_upstreams.openai_requests import read_chat
from mock_upstreams.pacing import AT_ONCE, Pace
from mock_upstreams.plain_answers import Received, note_call, plain, replaced, scenario_of
from mock_upstreams.plans import Document, Kind, Plan, StreamParts, document_plan, json_document
from mock_upstreams.prompt_cache import CacheUse, PromptCache
from mock_upstreams.quotas import Quotas
from mock_upstreams.refusals import Refusal
from mock_upstreams.replay import Replay
from mock_upstreams.replies import Reply, compose
from mock_upstreams.response_store import ResponseStore, Stored
from mock_upstreams.responses_requests import read_response
from mock_upstreams.routes import UNKNOWN, Place
from mock_upstreams.scenario import Scenario
from mock_upstreams.scenario_files import load_library
from mock_upstreams.scenario_pace import pace_of
from mock_upstreams.stream_faults import faulty_stream

_NO_CACHE: Final = CacheUse()
_MODELS_CREATED: Final = 1_767_225_600


@dataclass(frozen=True, slots=True)
class _Dialect:
    """How one chat dialect is read and written."""

    provider: str
    read: Callable[[Json], Call]
    whole: Callable[[Call, Reply, Identity, Scenario], Document]
    streamed: Callable[[Call, Reply, Identity, Scenario], StreamParts]


_DIALECTS: Final = {
    "chat": _Dialect(OPENAI, read_chat, openai_replies.completion, recurring.chunk_stream),
    "messages": _Dialect(ANTHROPIC, read_messages, anthropic_replies.message, anthropic_replies.event_stream),
    "responses": _Dialect(
        OPENAI, read_response, responses_replies.whole_response, responses_replies.response_stream
    ),
}


class Providers:
    """The providers behind one simulator, with all that they remember between calls."""

    def __init__(self, config: SimulatorConfig) -> None:
        self._config = config
        self._random = random.Random(_seed(config))  # noqa: S311 - ids need to differ, not to be secret
        self.numbers = CallNumbers()
        self.quotas = Quotas()
        self.library = Library() if config.scenarios is None else load_library(config.scenarios)
        self.replay = None if config.replay is None else Replay.of_file(config.replay, config.replay_speed)
        self.responses = ResponseStore(config.job_capacity)
        self.cache = PromptCache(config.cache_capacity, config.cache_window_s)
        self.media = MediaAnswers(config, self.library, self._random)
        self._operations: Mapping[str, Callable[[Received, Entry, Identity], Plan]] = {
            "chat": self._chat,
            "messages": self._chat,
            "responses": self._chat,
            "response": self._response,
            "count_tokens": self._count_tokens,
            "models": self._models,
            "submit": self.media.submit,
            "job": self.media.job,
            "file": self.media.file,
        }

    def answer(self, received: Received, entry: Entry) -> Plan:
        """The plan for a request; fills in what the journal can only know once the body is understood."""
        identity = self._identity(entry.id)
        route = received.place.route
        try:
            if self.replay is not None:
                with contextlib.suppress(Refusal):
                    note_call(entry, load_object(received.body))
                return self.replay.plan(received.method, entry.path, entry.query, received.body)
            self._admit(received)
            return self._operations[route.operation](received, entry, identity)
        except Refusal as refusal:
            return self.refuse(received.place, refusal, identity)

    def refuse(self, place: Place, refusal: Refusal, identity: Identity | None = None) -> Plan:
        """The plan of a refusal, in the dialect of the place."""
        request_id = (identity or self._identity(None)).request_id
        route = place.route
        document = error_document(
            route.dialect, refusal.status, refusal.message, request_id, refusal.param, refusal.code
        )
        if refusal.status == 405 and route.method is not None:
            document = Document(405, document.body, (*document.headers, ("allow", route.method)))
        if refusal.headers:
            document = Document(document.status, document.body, document.headers + refusal.headers)
        return document_plan(document, close=refusal.status == 413)

    def _identity(self, name: str | None) -> Identity:
        """What the next answer is known by.

        For a call with an id it depends on the seed, the id and its number among the calls of that id, so that it
        does not matter which of several calls arrives first.
        """
        if name is None:
            digits = f"{self._random.getrandbits(128):032x}"
        else:
            number = self.numbers.next(name)
            source = f"{self._config.seed}\0{name}\0{number}".encode()
            digits = hashlib.blake2b(source, digest_size=16).hexdigest()
        clock = self._config.clock
        return Identity(digits, f"req_{digits[8:]}", int(time.time()) if clock is None else clock)

    def reset(self) -> None:
        """Forget what earlier calls have left behind: caches, stored responses, sequences, quotas, outages."""
        if self.replay is not None:
            self.replay.reset()
        self.cache.clear()
        self.responses.clear()
        self.media.jobs.clear()
        self.library.reset()
        self.quotas.clear()
        self.numbers.clear()
        self._random.seed(_seed(self._config))

    @staticmethod
    def _admit(received: Received) -> None:
        route = received.place.route
        if route.operation == UNKNOWN:
            raise Refusal(404, "Unknown request URL: there is nothing at this path; check the base URL")
        if received.method != route.method and received.method not in (route.method or "").split(", "):
            raise Refusal(405, f"{received.method} is not allowed here; use {route.method}")
        if route.needs_credential and received.credential is None:
            raise Refusal(
                401, "You didn't provide an API key; send Authorization: Bearer KEY or x-api-key: KEY"
            )

    # Chat, in all dialects

    def _chat(self, received: Received, entry: Entry, identity: Identity) -> Plan:
        operation = received.place.route.operation
        dialect = _DIALECTS[operation]
        if self._config.strict:
            strict.check_size(operation, len(received.body))
        body = load_object(received.body)
        note_call(entry, body)
        call = self._read(dialect, body, received)
        scenario = scenario_of(self.library, received, entry, streamed=call.stream)
        if scenario.fault in INSTEAD_OF_REPLY:
            return replaced(received, scenario, identity, streamed=call.stream)
        if scenario.requests_per_minute is not None or scenario.tokens_per_minute is not None:
            self.quotas.admit(
                scenario,
                dialect.provider,
                received.credential or "",
                call.model,
                scenario.input_tokens or call.input_tokens,
                time.monotonic(),
            )
        reply = compose(call, scenario, self._cache_use(received, call, scenario), self._config.seed)
        if operation == "responses" and call.echo.get("store"):
            self._store(received, call, reply, identity, scenario)
        if call.stream:
            parts = dialect.streamed(call, reply, identity, scenario)
            spike = scenario.fault == "latency_spike"
            events = sum(kind is Kind.CONTENT for kind, _ in parts.events) if spike else 0
            return faulty_stream(parts, scenario, self._pace(call, reply, scenario, entry, events))
        pace = self._pace(call, reply, scenario, entry, reply.pieces)
        document = dialect.whole(call, reply, identity, scenario)
        return faulty_document(document, scenario, delay_s=pace.length_s(reply.pieces))

    def _pace(self, call: Call, reply: Reply, scenario: Scenario, entry: Entry, events: int) -> Pace:
        if not scenario.is_paced:
            return AT_ONCE
        tokens = tokens_of(len(reply.text)) / max(1, reply.pieces)
        return pace_of(
            scenario, events, tokens, f"{self._config.seed}\0{entry.id}\0{call.model}\0{call.prompt}"
        )

    def _read(self, dialect: _Dialect, body: Json, received: Received) -> Call:
        if "previous_response_id" in body and dialect.read is read_response:
            before = self.responses.tokens_before(received.credential or "", body["previous_response_id"])
            call = read_response(body, before)
        else:
            call = dialect.read(body)
        if self._config.strict:
            strict.check(received.place.route.operation, body, call, received.headers, self._config.models)
        return call

    def _store(
        self, received: Received, call: Call, reply: Reply, identity: Identity, scenario: Scenario
    ) -> None:
        document = responses_replies.whole_response(call, reply, identity, scenario)
        stored = Stored(document.body, call.input_tokens + reply.usage.output)
        self.responses.add(received.credential or "", f"resp_{identity.digits}", stored)

    def _response(self, received: Received, entry: Entry, identity: Identity) -> Plan:
        credential, response_id = received.credential or "", received.place.route.arguments[0]
        stored = self.responses.find(credential, response_id)
        if received.method != "DELETE":
            return plain(self.library, received, entry, Document(200, stored.body), identity)
        self.responses.remove(credential, response_id)
        gone = {"id": response_id, "object": "response", "deleted": True}
        return plain(self.library, received, entry, json_document(200, gone), identity)

    def _cache_use(self, received: Received, call: Call, scenario: Scenario) -> CacheUse:
        if not call.marks or scenario.counts_scripted:
            return _NO_CACHE
        return self.cache.use(received.credential or "", call.marks, time.monotonic())

    def _count_tokens(self, received: Received, entry: Entry, identity: Identity) -> Plan:
        body = load_object(received.body)
        note_call(entry, body)
        call = read_messages(body, counting=True)
        if self._config.strict:
            strict.check("count_tokens", body, call, received.headers, self._config.models)
        return plain(
            self.library, received, entry, json_document(200, {"input_tokens": call.input_tokens}), identity
        )

    def _models(self, received: Received, entry: Entry, identity: Identity) -> Plan:
        listing = _anthropic_models if received.anthropic_version else _openai_models
        return plain(
            self.library, received, entry, json_document(200, listing(self._config.models)), identity
        )


def _seed(config: SimulatorConfig) -> int | str:
    """Ids of calls without one differ between workers."""
    return config.seed if config.worker is None else f"{config.seed}:{config.worker}"


def _openai_models(models: tuple[str, ...]) -> dict[str, Any]:
    data = [
        {"id": model, "object": "model", "created": _MODELS_CREATED, "owned_by": "simulator"}
        for model in models
    ]
    return {"object": "list", "data": data}


def _anthropic_models(models: tuple[str, ...]) -> dict[str, Any]:
    data = [
        {
            "type": "model",
            "id": model,
            "display_name": model,
            "created_at": "2026-01-01T00:00:00Z",
            "lifecycle": "active",
        }
        for model in models
    ]
    return {"data": data, "has_more": False, "first_id": models[0], "last_id": models[-1]}
