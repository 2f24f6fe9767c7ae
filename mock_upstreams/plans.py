"""What will be written for one request, decided before a byte is sent.

A plan is a head, a list of events and an ending. Everything about content, order and faults is settled here as
plain data; the player (`player.py`) only adds time and a socket.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Final

import orjson

from mock_upstreams.pacing import AT_ONCE, Pace


class Kind(IntEnum):
    """The part an event plays; decides when it is due and what a fault may do with it."""

    NOW = 0
    """Due at once."""
    LEAD = 1
    """Due with the content event that follows."""
    CONTENT = 2
    """A piece of the reply: due at time to first token + index * gap."""
    FINISH = 3
    USAGE = 4
    END = 5
    """[DONE] or message_stop."""
    TAIL = 6
    """The rest of a character cut in two: due a moment after its first part, so that both travel alone."""
    BYTE = 7
    """One byte of an event, in a write of its own."""


Event = tuple[Kind, bytes]
"""One write of a stream. A plain tuple, because a stream has many and a named one costs five times as much."""


def chunk(data: bytes) -> bytes:
    """`data` as one chunk of HTTP/1.1's chunked framing."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@dataclass(frozen=True, slots=True)
class Run:
    """Events that differ in one place only: `before` + piece + `after`, for each of `pieces`."""

    kind: Kind
    before: bytes
    pieces: Sequence[bytes]
    after: bytes

    def __len__(self) -> int:
        return len(self.pieces)

    def __iter__(self) -> Iterator[Event]:
        kind, before, after = self.kind, self.before, self.after
        return ((kind, before + piece + after) for piece in self.pieces)

    def chunked(self) -> Iterator[Event]:
        kind, openings, ending = self.kind, self._openings(), self.after + b"\r\n"
        return ((kind, openings[len(piece)] + piece + ending) for piece in self.pieces)

    def chunks(self) -> list[bytes]:
        """All events, each in a chunk of its own, in parts that only have to be joined."""
        openings, ending = self._openings(), self.after + b"\r\n"
        if len(openings) == 1:
            (opening,) = openings.values()
            return [opening, (ending + opening).join(self.pieces), ending]
        return [part for piece in self.pieces for part in (openings[len(piece)], piece, ending)]

    def _openings(self) -> dict[int, bytes]:
        """What goes before a piece, by its length: the size of the chunk, and `before`."""
        size = len(self.before) + len(self.after)
        return {length: b"%x\r\n%b" % (size + length, self.before) for length in set(map(len, self.pieces))}


class Script(Collection[Event]):
    """The events of a stream, made as they are read: thousands of open streams then keep no frames in memory."""

    __slots__ = ("_parts",)

    def __init__(self, *parts: Event | Run) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[Event]:
        for part in self._parts:
            if isinstance(part, Run):
                yield from part
            else:
                yield part

    def __len__(self) -> int:
        return sum(len(part) if isinstance(part, Run) else 1 for part in self._parts)

    def __contains__(self, event: object) -> bool:
        return any(event == item for item in self)

    def chunked(self) -> Iterator[Event]:
        """The same events, each in an HTTP/1.1 chunk of its own."""
        for part in self._parts:
            if isinstance(part, Run):
                yield from part.chunked()
            else:
                kind, data = part
                yield kind, chunk(data)

    def joined(self, before: bytes, after: bytes) -> bytes:
        """What `chunked` yields as one string, between two others: copied once, since it may be long."""
        parts = [before]
        for part in self._parts:
            if isinstance(part, Run):
                parts += part.chunks()
            else:
                parts.append(chunk(part[1]))
        parts.append(after)
        return b"".join(parts)

    def lengths(self) -> list[int]:
        """Those of what `chunked` yields."""
        return [len(data) for _, data in self.chunked()]

    @property
    def pieces(self) -> int:
        """How many of the events are content."""
        return sum(
            (len(part) if part.kind is Kind.CONTENT else 0)
            if isinstance(part, Run)
            else part[0] is Kind.CONTENT
            for part in self._parts
        )


class Ending(Enum):
    CLEAN = "clean"
    """The framing is completed; the connection lives on."""
    FIN = "fin"
    RST = "rst"
    SILENCE = "silence"
    """Nothing more, until the caller leaves."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One answer. `length` None means chunked; `status` None means that no head is sent.

    `delay_s` holds back everything, head included; `pace` is that of the events of a stream. With a `raw_head` the
    head and all events go out as they are, without any framing.
    """

    status: int | None
    headers: tuple[tuple[str, str], ...]
    events: Collection[Event]
    length: int | None = None
    ending: Ending = Ending.CLEAN
    delay_s: float = 0.0
    pace: Pace = AT_ONCE
    raw_head: bytes | None = None
    fault: str | None = None
    close: bool = False


@dataclass(frozen=True, slots=True)
class StreamParts:
    """A complete event stream; `spoilers` makes the events of its dialect that faults need."""

    headers: tuple[tuple[str, str], ...]
    events: Collection[Event]
    spoilers: Callable[[], "Spoilers"]


@dataclass(frozen=True, slots=True)
class Spoilers:
    """Events that have no place in a sound stream."""

    error: bytes
    unknown: bytes
    truncated: bytes
    late: bytes


JSON_TYPE: Final = ("content-type", "application/json")
EVENT_STREAM_HEADERS: Final = (
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-cache"),
)


@dataclass(frozen=True, slots=True)
class Document:
    """A whole answer that is not a stream."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = field(default=(JSON_TYPE,))


def json_document(status: int, value: object, *headers: tuple[str, str]) -> Document:
    return Document(status, orjson.dumps(value), (JSON_TYPE, *headers))


def document_plan(
    document: Document, *, delay_s: float = 0.0, fault: str | None = None, close: bool = False
) -> Plan:
    """The plan that sends a document whole."""
    events = [(Kind.NOW, document.body)] if document.body else []
    return Plan(
        status=document.status,
        headers=document.headers,
        events=events,
        length=len(document.body),
        delay_s=delay_s,
        fault=fault,
        close=close,
    )


def stream_plan(parts: StreamParts, pace: Pace) -> Plan:
    return Plan(status=200, headers=parts.headers, events=parts.events, pace=pace)
