"""The control API under /_wb/: health, the journal, faults, scenarios, bindings, outages, listeners, reset.

It is for the harness, not for the gateway under test, and leaves no trace in the journal. `control.openapi.yaml`
describes it; a test holds the two together.
"""

import hmac
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict
from importlib import metadata
from typing import Final
from urllib.parse import parse_qs

from mock_upstreams import control_scenarios as of
from mock_upstreams.calls import Json, load_object
from mock_upstreams.control_request import Asked, Controls
from mock_upstreams.faults import FAULTS
from mock_upstreams.journal import Entry
from mock_upstreams.metrics import CONTENT_TYPE, exposition, families
from mock_upstreams.plans import Document, json_document
from mock_upstreams.refusals import Refusal, bad_request

PREFIX: Final = "/_wb/"
SERVICE: Final = "weighbridge-simulator"
FOLLOW: Final = "/_wb/journal/stream"
"""GET: the journal as NDJSON that goes on; answered by the server itself, since it takes its time."""
NDJSON_TYPE: Final = ("content-type", "application/x-ndjson")
_PAGE: Final = 1000
_MAX_IDS: Final = 10_000


def _installed_version() -> str:
    try:
        return metadata.version("weighbridge")
    except metadata.PackageNotFoundError:
        return "0+unpackaged"


VERSION: Final = _installed_version()


async def answer(
    controls: Controls, method: str, path: str, query: str, body: bytes, credential: str | None
) -> Document:
    """The answer to one control request; a mistake in it is told in one sentence."""
    try:
        operation, argument = _operation(method, path)
        if operation is not _health:
            authorise(controls, credential)
        found = operation(controls, Asked(query, body, argument))
        if isinstance(found, Document):
            return found
        return json_document(200, await found if isinstance(found, Awaitable) else found)
    except Refusal as refusal:
        return refused(refusal)


def refused(refusal: Refusal) -> Document:
    """The refusal of a control request."""
    return json_document(refusal.status, {"error": {"message": refusal.message, "path": refusal.param}})


def authorise(controls: Controls, credential: str | None) -> None:
    """Refuse (401) who does not have the token, where there is one."""
    if controls.token is None:
        return
    given = (credential or "").encode("utf-8", "surrogateescape")
    if not hmac.compare_digest(given, controls.token.encode()):
        raise Refusal(401, "the control API needs its token; send Authorization: Bearer TOKEN")


def _health(controls: Controls, asked: Asked) -> Json:
    del controls, asked
    return {"service": SERVICE, "version": VERSION, "monotonic_ns": time.monotonic_ns()}


def _faults(controls: Controls, asked: Asked) -> Json:
    del controls, asked
    return {"faults": [asdict(fault) for fault in FAULTS.values()]}


def _cursor(controls: Controls, asked: Asked) -> Json:
    del asked
    return {"seq": controls.journal.seq, "bytes": controls.journal.size_bytes}


def _reset(controls: Controls, asked: Asked) -> Json:
    del asked
    controls.journal.clear()
    controls.providers.reset()
    return {"seq": controls.journal.seq}


def _given(query: str, *known: str) -> dict[str, str]:
    given = {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise bad_request(f"unknown parameter {unknown[0][:64]!r}; known: {', '.join(known)}")
    return given


def read_since(query: str) -> int:
    """The cursor that a reader of the journal starts from. Raises Refusal."""
    return _count("since", _given(query, "since").get("since", "0"))


def _export(controls: Controls, asked: Asked) -> Document:
    return Document(200, b"".join(controls.journal.ndjson(read_since(asked.query))), (NDJSON_TYPE,))


def _page(controls: Controls, asked: Asked) -> Json:
    given = _given(asked.query, "since", "limit")
    since = _count("since", given.get("since", "0"))
    limit = min(_count("limit", given.get("limit", str(_PAGE))), _PAGE)
    return _listing(controls, controls.journal.since(since, limit))


def _query(controls: Controls, asked: Asked) -> Json:
    given = load_object(asked.body)
    if set(given) == {"ids"}:
        ids = given["ids"]
        if not isinstance(ids, list) or len(ids) > _MAX_IDS or not all(isinstance(item, str) for item in ids):
            raise bad_request(f"ids: expected at most {_MAX_IDS} strings")
        return _listing(controls, controls.journal.with_ids(ids))
    if set(given) == {"without_id_since"}:
        since = given["without_id_since"]
        if isinstance(since, bool) or not isinstance(since, int) or since < 0:
            raise bad_request("without_id_since: expected the seq of a journal entry, 0 or more")
        return _listing(controls, controls.journal.without_id_since(since))
    raise bad_request('expected {"ids": [...]} or {"without_id_since": SEQ}')


def _listing(controls: Controls, entries: Iterable[Entry]) -> Json:
    return {"entries": [entry.as_json() for entry in entries], "dropped": controls.journal.dropped}


def _count(name: str, value: str) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > 18:
        raise bad_request(f"{name}: expected a whole number, 0 or more")
    return int(value)


def _callbacks(controls: Controls, asked: Asked) -> Json:
    del asked
    callbacks = controls.providers.media.callbacks
    return {"callbacks": [] if callbacks is None else list(callbacks.log)}


def _metrics(controls: Controls, asked: Asked) -> Document:
    del asked
    return Document(200, exposition(families(controls.journal)), (CONTENT_TYPE,))


def _operation(method: str, path: str) -> "tuple[_Operation, str]":
    by_method = OPERATIONS.get(path)
    argument = ""
    if by_method is None:
        parts = path.split("/")
        if len(parts) > 3 and parts[3]:
            argument, parts[3] = parts[3], "{}"
        by_method = OPERATIONS.get("/".join(parts))
    if by_method is None:
        raise Refusal(404, f"no such control; known: {', '.join(OPERATIONS)}")
    if method not in by_method:
        raise Refusal(405, f"{method} is not for {path}; use {' or '.join(by_method)}")
    return by_method[method], argument


_Operation = Callable[[Controls, Asked], Json | Document | Awaitable[Json]]
OPERATIONS: Final[dict[str, dict[str, _Operation]]] = {
    "/_wb/health": {"GET": _health},
    "/_wb/faults": {"GET": _faults},
    "/_wb/reset": {"POST": _reset},
    "/_wb/journal": {"GET": _page},
    "/_wb/journal/export": {"GET": _export},
    "/_wb/journal/cursor": {"GET": _cursor},
    "/_wb/journal/query": {"POST": _query},
    "/_wb/scenarios": {"GET": of.list_scenarios},
    "/_wb/scenarios/{}": {"GET": of.get_scenario, "PUT": of.put_scenario, "DELETE": of.delete_scenario},
    "/_wb/bindings": {"GET": of.list_bindings, "POST": of.add_binding},
    "/_wb/bindings/{}": {"DELETE": of.delete_binding},
    "/_wb/outages": {"GET": of.list_outages, "POST": of.add_outage},
    "/_wb/outages/{}": {"DELETE": of.delete_outage},
    "/_wb/listeners": {"GET": of.list_listeners, "POST": of.add_listener},
    "/_wb/listeners/{}": {"DELETE": of.delete_listener},
    "/_wb/listeners/{}/refuse": {"POST": of.refuse_connections},
    "/_wb/callbacks": {"GET": _callbacks},
    "/_wb/metrics": {"GET": _metrics},
}
"""By path, `{}` for its variable part, and method."""
