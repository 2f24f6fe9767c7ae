"""What the answers of all providers share: the request as read, its scenario, and an answer in one piece under it."""

import time
import zlib
from collections.abc import Mapping
from typing import Final, NamedTuple

from mock_upstreams import recurring
from mock_upstreams.calls import Identity, Json
from mock_upstreams.errors import default_message, error_document, request_id_header
from mock_upstreams.fault_plans import INSTEAD_OF_REPLY, faulty_document, replacement
from mock_upstreams.faults import CHAT, JOBS, MESSAGES, OTHER, RESPONSES
from mock_upstreams.journal import Entry
from mock_upstreams.library import HEADER, MODEL_PREFIX, Asked, Library
from mock_upstreams.plans import Document, Plan
from mock_upstreams.routes import Place
from mock_upstreams.scenario import NO_SCENARIO, Scenario, Token
from mock_upstreams.scenario_pace import first_s

_SURFACES: Final = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES, "submit": JOBS}
_NO_HEADERS: Final[Mapping[str, str]] = {}


class Received(NamedTuple):
    """A request, read in full. `origin` is the address under which the caller reached the simulator."""

    place: Place
    method: str
    body: bytes
    token: Token | None
    credential: str | None
    origin: str
    anthropic_version: bool = False
    headers: Mapping[str, str] = _NO_HEADERS


def note_call(entry: Entry, body: Json) -> None:
    """Tell the journal what the body says of the call."""
    model = body.get("model")
    entry.model = model[:256] if isinstance(model, str) else None
    stream = body.get("stream", False)
    entry.stream = stream if isinstance(stream, bool) else None


def plain(library: Library, received: Received, entry: Entry, document: Document, identity: Identity) -> Plan:
    """The plan of a plain answer, under the scenario that the request carries, if any."""
    scenario = scenario_of(library, received, entry, streamed=False)
    if scenario.fault in INSTEAD_OF_REPLY:
        return replaced(received, scenario, identity, streamed=False)
    return finished(received, document, scenario, identity)


def finished(received: Received, document: Document, scenario: Scenario, identity: Identity) -> Plan:
    """The plan of an answer in one piece, under its scenario."""
    header = request_id_header(received.place.route.dialect, identity.request_id)
    document = Document(document.status, document.body, (*document.headers, header))
    return faulty_document(document, scenario, delay_s=_delay_s(received, scenario))


def replaced(received: Received, scenario: Scenario, identity: Identity, *, streamed: bool) -> Plan:
    """What comes in place of the answer."""
    status = scenario.status or 500
    error = error_document(
        received.place.route.dialect,
        status,
        default_message(status) if scenario.message is None else scenario.message,
        identity.request_id,
    )
    return replacement(scenario, error, _delay_s(received, scenario), streamed=streamed)


def scenario_of(library: Library, received: Received, entry: Entry, *, streamed: bool) -> Scenario:
    """The scenario that a call is to be answered by; the short way where nothing but its own token can name one."""
    token = received.token
    route = received.place.route
    surface = _SURFACES.get(route.operation, OTHER)
    model = entry.model or ""
    if (
        not library.bindings
        and not library.file_rules
        and not library.outages
        and not model.startswith(MODEL_PREFIX)
        and HEADER not in received.headers
    ):
        scenario = NO_SCENARIO if token is None else recurring.scenario_of(token, surface, streamed=streamed)
        if scenario is not None:
            return scenario
    return library.choose(
        Asked(
            operation=route.operation,
            surface=surface,
            streamed=streamed,
            token=token,
            provider=route.provider,
            upstream=received.place.upstream,
            path=entry.path,
            model=model,
            headers=received.headers,
            now=time.monotonic(),
        )
    )


def _delay_s(received: Received, scenario: Scenario) -> float:
    """How long an answer is held back that is not made of content events."""
    spike_ms = scenario.spike_ms if scenario.fault == "latency_spike" else 0.0
    name = (received.token.id if received.token else None) or ""
    return first_s(scenario.ttft_ms, zlib.crc32(name.encode())) + spike_ms / 1000
