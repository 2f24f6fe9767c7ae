"""The journal: what arrived, what was sent, and how it ended, one entry a request.

Entries are kept raw and rendered when read, so that writing one costs a handler next to nothing. The journal is
bounded by number and by bytes; what falls out is counted, so that a reader knows when it cannot rely on it.
"""

import hashlib
import logging
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from mock_upstreams.counts import Counts

_LOG: Final = logging.getLogger("mock_upstreams")

BODY_KEPT: Final = 64 * 1024
"""Bytes of a request body that an entry keeps."""

_SECRET_HEADERS: Final = frozenset(
    {"authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "proxy-authorization"}
)
WRITES_KEPT: Final = 256
"""Writes of an answer whose time an entry keeps."""
_ENTRY_OVERHEAD: Final = 1024 + 8 * WRITES_KEPT
_HEADER_OVERHEAD: Final = 128


def masked(value: str) -> str:
    """A secret as it may be shown: its last four characters, fewer of a short one."""
    shown = min(4, len(value) // 3)
    return "***" + (value[-shown:] if shown else "")


@dataclass(slots=True)
class Entry:
    """One request as received. Times are `time.monotonic_ns`; it lives on until `ending` is no longer "open".

    `fault` is what was done to the answer on purpose, whoever ended it; `retry_after_s` what Retry-After asked for, in
    seconds from when the answer was made.
    """

    upstream: str
    provider: str
    operation: str
    method: str
    path: str
    query: str
    raw_headers: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    credential: str | None = field(repr=False)
    arrived_ns: int
    seq: int = 0
    id: str | None = None
    token: str | None = None
    body: bytes = b""
    body_bytes: int = 0
    body_sha256: str | None = None
    model: str | None = None
    stream: bool | None = None
    status: int | None = None
    head_sent_ns: int | None = None
    first_content_ns: int | None = None
    events_sent: int = 0
    finished_ns: int | None = None
    fault: str | None = None
    retry_after_s: float | None = None
    ending: str = "open"
    caller_left_ns: int | None = None
    caller_left_by: str | None = None
    headers_weight: int | None = field(default=None, repr=False, compare=False)
    counts: Counts | None = field(default=None, repr=False, compare=False)
    writes_us: "array[int]" = field(default_factory=lambda: array("L"), repr=False)

    def keep_body(self, body: bytes) -> None:
        self.body_bytes = len(body)
        if len(body) > BODY_KEPT:
            self.body_sha256 = hashlib.sha256(body).hexdigest()
            body = body[:BODY_KEPT]
        self.body = body

    def wrote(self, now_ns: int) -> None:
        """Keep when a part of the answer was written, in microseconds after the arrival."""
        if len(self.writes_us) < WRITES_KEPT:
            self.writes_us.append((now_ns - self.arrived_ns) // 1000)

    def finish(self, ending: str) -> None:
        """Close the entry; the first ending stands."""
        if self.ending == "open":
            self.ending = ending
            self.finished_ns = self.caller_left_ns or time.monotonic_ns()
            if self.counts is not None:
                self.counts.ended(self)

    def caller_left(self, by: str | None = None) -> None:
        """`by` is "fin" for a connection that was closed, "rst" for one that was reset, None if that is not known."""
        if self.ending == "open":
            self.caller_left_ns = time.monotonic_ns()
            self.finish("caller_left")
        if self.ending == "caller_left" and self.caller_left_by is None:
            self.caller_left_by = by

    @property
    def weight(self) -> int:
        """Bytes that this entry is held to cost: what callers decide the length of, and what Python adds."""
        if self.headers_weight is None:
            self.headers_weight = headers_weight(self.raw_headers)
        called = len(self.path) + len(self.query) + len(self.token or "")
        return _ENTRY_OVERHEAD + self.headers_weight + called + len(self.body)

    def as_json(self) -> dict[str, Any]:
        return {
            "seq": self.seq,
            "id": self.id,
            "upstream": self.upstream,
            "provider": self.provider,
            "operation": self.operation,
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "headers": _readable_headers(self.raw_headers),
            "credential_sha256": credential_digest(self.credential),
            "body": self.body.decode("utf-8", "replace"),
            "body_truncated": self.body_bytes > len(self.body),
            "body_sha256": self.body_sha256 or hashlib.sha256(self.body).hexdigest(),
            "body_bytes": self.body_bytes,
            "model": self.model,
            "stream": self.stream,
            "token": self.token,
            "arrived_ns": self.arrived_ns,
            "status": self.status,
            "head_sent_ns": self.head_sent_ns,
            "first_content_ns": self.first_content_ns,
            "events_sent": self.events_sent,
            "finished_ns": self.finished_ns,
            "fault": self.fault,
            "retry_after_s": self.retry_after_s,
            "ending": self.ending,
            "caller_left_ns": self.caller_left_ns,
            "caller_left_by": self.caller_left_by,
            "writes_us": self.writes_us.tolist(),
        }

    def as_line(self) -> bytes:
        """The same as one line of NDJSON."""
        return orjson.dumps(self.as_json()) + b"\n"


def headers_weight(raw_headers: Iterable[tuple[bytes, bytes]]) -> int:
    """Bytes that headers are held to cost."""
    return sum(_HEADER_OVERHEAD + len(name) + len(value) for name, value in raw_headers)


def credential_digest(credential: str | None) -> str | None:
    """Tells credentials apart without showing them: 16 hex digits of their SHA-256."""
    if credential is None:
        return None
    return hashlib.sha256(credential.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _readable_headers(raw: Iterable[tuple[bytes, bytes]]) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in raw:
        name = raw_name.decode("utf-8", "replace").lower()
        value = raw_value.decode("utf-8", "replace")
        value = masked(value) if name in _SECRET_HEADERS else value
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


class Follower:
    """Hands out entries as lines of NDJSON, each once and as soon as it is finished.

    An entry that the journal drops meanwhile is still handed out; one dropped before it was looked at is not, and the
    next line says how many there were: {"missed": N}.
    """

    def __init__(self, journal: "Journal", since: int) -> None:
        self._journal = journal
        self._seq = since
        self._open: list[Entry] = []

    def lines(self) -> list[bytes]:
        """What has been finished since the last call."""
        arrived = self._journal.since(self._seq)
        found: list[bytes] = []
        if arrived:
            missed = arrived[0].seq - self._seq - 1
            if missed > 0:
                found.append(orjson.dumps({"missed": missed}) + b"\n")
            self._seq = arrived[-1].seq
        waiting = self._open + arrived
        self._open = [entry for entry in waiting if entry.ending == "open"]
        return found + [entry.as_line() for entry in waiting if entry.ending != "open"]


@dataclass(slots=True)
class Journal:
    """The bounded sequence of entries, in order of arrival; `seq` never restarts, not even on `clear`.

    `number`, if given, gives the next `seq` in place of the next whole number: several journals can share one count.
    """

    capacity: int
    capacity_bytes: int
    dropped: int = 0
    dropped_ever: int = 0
    seq: int = 0
    number: Callable[[], int] | None = None
    counts: Counts = field(default_factory=Counts)
    _weight: int = 0
    _entries: deque[Entry] = field(default_factory=deque)
    _by_id: dict[str, deque[Entry]] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        self.seq = self.seq + 1 if self.number is None else self.number()
        entry.seq = self.seq
        self.counts.begun()
        if entry.ending == "open":
            entry.counts = self.counts
        else:
            self.counts.ended(entry)
        self._entries.append(entry)
        self._weight += entry.weight
        if entry.id is not None:
            self._by_id.setdefault(entry.id, deque()).append(entry)
        while len(self._entries) > self.capacity or self._weight > self.capacity_bytes:
            if not self.dropped:
                _LOG.warning(
                    "the journal is full (%d entries, %d bytes) and drops the oldest from here on",
                    len(self._entries),
                    self._weight,
                )
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        entry = self._entries.popleft()
        self._weight -= entry.weight
        self.dropped += 1
        self.dropped_ever += 1
        if entry.id is not None:
            same_id = self._by_id[entry.id]
            same_id.popleft()
            if not same_id:
                del self._by_id[entry.id]

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """What the entries are held to cost together."""
        return self._weight

    def with_ids(self, ids: Iterable[str]) -> list[Entry]:
        found = [entry for name in set(ids) for entry in self._by_id.get(name, ())]
        return sorted(found, key=lambda entry: entry.seq)

    def without_id_since(self, seq: int) -> list[Entry]:
        return [entry for entry in self.since(seq) if entry.id is None]

    def since(self, seq: int, limit: int | None = None) -> list[Entry]:
        """Entries after `seq`, oldest first, at most `limit` of them."""
        found: list[Entry] = []
        for entry in reversed(self._entries):
            if entry.seq <= seq:
                break
            found.append(entry)
        found.reverse()
        return found if limit is None else found[:limit]

    def ndjson(self, since: int) -> Iterator[bytes]:
        """Entries after `since` as lines of JSON, oldest first; a first line tells of entries that were dropped."""
        if self.dropped:
            yield orjson.dumps({"dropped": self.dropped}) + b"\n"
        for entry in self.since(since):
            yield entry.as_line()

    def clear(self) -> None:
        self._entries.clear()
        self._by_id.clear()
        self._weight = 0
        self.dropped = 0
