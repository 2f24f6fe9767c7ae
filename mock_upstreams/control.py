"""The control API under /_wb/: health, the journal, reset, and the table of faults.

It is for the harness, not for the gateway under test, and leaves no trace in the journal.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any, Final
from urllib.parse import parse_qs

from mock_upstreams.calls import Json, load_object
from mock_upstreams.faults import FAULTS
from mock_upstreams.journal import Entry, Journal
from mock_upstreams.plans import Document, json_document
from mock_upstreams.prompt_cache import PromptCache
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


@dataclass(frozen=True, slots=True)
class Controls:
    """What the control API may read and change."""

    journal: Journal
    cache: PromptCache

    def answer(self, method: str, path: str, query: str, body: bytes) -> Document:
        """The answer to one control request; a mistake in it is told in one sentence."""
        try:
            found = _operation(method, path)(self, query, body)
            return found if isinstance(found, Document) else json_document(200, found)
        except Refusal as refusal:
            return json_document(refusal.status, {"error": {"message": refusal.message}})


def _health(controls: Controls, query: str, body: bytes) -> Json:
    del controls, query, body
    return {"service": SERVICE, "version": VERSION, "monotonic_ns": time.monotonic_ns()}


def _faults(controls: Controls, query: str, body: bytes) -> Json:
    del controls, query, body
    return {"faults": [asdict(fault) for fault in FAULTS.values()]}


def _cursor(controls: Controls, query: str, body: bytes) -> Json:
    del query, body
    return {"seq": controls.journal.seq, "bytes": controls.journal.size_bytes}


def _reset(controls: Controls, query: str, body: bytes) -> Json:
    del query, body
    controls.journal.clear()
    controls.cache.clear()
    return {"seq": controls.journal.seq}


def _asked(query: str, *known: str) -> dict[str, str]:
    asked = {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}
    unknown = sorted(set(asked) - set(known))
    if unknown:
        raise bad_request(f"unknown parameter {unknown[0][:64]!r}; known: {', '.join(known)}")
    return asked


def read_since(query: str) -> int:
    """The cursor that a reader of the journal starts from. Raises Refusal."""
    return _count("since", _asked(query, "since").get("since", "0"))


def _export(controls: Controls, query: str, body: bytes) -> Document:
    del body
    return Document(200, b"".join(controls.journal.ndjson(read_since(query))), (NDJSON_TYPE,))


def _page(controls: Controls, query: str, body: bytes) -> Json:
    del body
    asked = _asked(query, "since", "limit")
    since = _count("since", asked.get("since", "0"))
    limit = min(_count("limit", asked.get("limit", str(_PAGE))), _PAGE)
    return _listing(controls, controls.journal.since(since, limit))


def _query(controls: Controls, query: str, body: bytes) -> Json:
    del query
    asked = load_object(body)
    if set(asked) == {"ids"}:
        ids = asked["ids"]
        if not isinstance(ids, list) or len(ids) > _MAX_IDS or not all(isinstance(item, str) for item in ids):
            raise bad_request(f"ids: expected at most {_MAX_IDS} strings")
        return _listing(controls, controls.journal.with_ids(ids))
    if set(asked) == {"without_id_since"}:
        since = asked["without_id_since"]
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


def _operation(method: str, path: str) -> "_Operation":
    by_method = _OPERATIONS.get(path)
    if by_method is None:
        raise Refusal(404, f"no such control; known: {', '.join(_OPERATIONS)}")
    if method not in by_method:
        raise Refusal(405, f"{method} is not for {path}; use {' or '.join(by_method)}")
    return by_method[method]


_Operation = Callable[[Controls, str, bytes], dict[str, Any] | Document]
_OPERATIONS: Final[dict[str, dict[str, _Operation]]] = {
    "/_wb/health": {"GET": _health},
    "/_wb/faults": {"GET": _faults},
    "/_wb/reset": {"POST": _reset},
    "/_wb/journal": {"GET": _page},
    "/_wb/journal/export": {"GET": _export},
    "/_wb/journal/cursor": {"GET": _cursor},
    "/_wb/journal/query": {"POST": _query},
}
