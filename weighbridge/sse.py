"""Server-sent events from raw bytes, by the WHATWG grammar, as a state table.

The parser keeps what a lenient client throws away: comments, the bytes after the last complete event
and the arrival time of each event, because those are what a verdict about framing rests on. It works
on bytes and decodes only whole lines, so an event may be cut at any byte, inside a UTF-8 character too.

Source of the rules: HTML Living Standard, 9.2.6 "Interpreting an event stream".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum, auto

_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\n|\r")
#: A line longer than this is no event of any API here; it bounds what one stream may hold in memory.
MAX_LINE = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Event:
    """One dispatched event, or what remained at the end of the stream (`complete` is False then).

    Attributes:
        at: arrival time of the bytes that completed it, on the caller's clock.
        name: the `event:` field; empty where there was none (a client then calls it `message`).
        data: the `data:` lines joined by line feeds; None for a block without any data line.
        comments: comment lines seen in the block.
        complete: whether the blank line that dispatches an event was seen.
    """

    at: float
    name: str = ""
    data: str | None = None
    id: str | None = None
    retry: int | None = None
    comments: tuple[str, ...] = ()
    valid_utf8: bool = True
    complete: bool = True


class _Line(Enum):
    """What the line splitter has just seen; CR may or may not be followed by its LF."""

    INSIDE = auto()
    AFTER_CR = auto()


@dataclass(slots=True)
class _Block:
    """Fields of the event being built."""

    name: str = ""
    data: list[str] = field(default_factory=list)
    id: str | None = None
    retry: int | None = None
    comments: list[str] = field(default_factory=list)
    valid_utf8: bool = True
    touched: bool = False

    def event(self, at: float, *, complete: bool) -> Event:
        return Event(
            at=at,
            name=self.name,
            data="\n".join(self.data) if self.data else None,
            id=self.id,
            retry=self.retry,
            comments=tuple(self.comments),
            valid_utf8=self.valid_utf8,
            complete=complete,
        )


def _on_data(block: _Block, value: str) -> None:
    block.data.append(value)


def _on_event(block: _Block, value: str) -> None:
    block.name = value


def _on_id(block: _Block, value: str) -> None:
    if "\0" not in value:
        block.id = value


def _on_retry(block: _Block, value: str) -> None:
    if value.isascii() and value.isdigit():
        block.retry = int(value)


_FIELDS: dict[str, Callable[[_Block, str], None]] = {
    "data": _on_data,
    "event": _on_event,
    "id": _on_id,
    "retry": _on_retry,
}


class Parser:
    """Feed bytes, get events. One instance for one stream.

    Raises:
        ValueError: a single line grew beyond `MAX_LINE` bytes.
    """

    def __init__(self) -> None:
        self._pending = bytearray()
        self._state = _Line.INSIDE
        self._block = _Block()
        self._at_start = True
        self._last_at = 0.0

    def feed(self, at: float, data: bytes) -> list[Event]:
        """Events that these bytes complete; `at` is when they arrived."""
        self._last_at = at
        events: list[Event] = []
        self._pending += data
        for line in self._lines():
            event = self._take(line, at)
            if event is not None:
                events.append(event)
        if len(self._pending) > MAX_LINE:
            raise ValueError(f"a line of more than {MAX_LINE} bytes")
        return events

    def close(self) -> Event | None:
        """What was left without its dispatching blank line, as an incomplete event, or None.

        The standard discards it; a judge wants to see it.
        """
        if self._pending:
            line = bytes(self._pending)
            self._pending.clear()
            self._take(line, self._last_at)
        return self._block.event(self._last_at, complete=False) if self._block.touched else None

    def _lines(self) -> Iterable[bytes]:
        """Whole lines so far; LF, CR and CRLF all end a line, also when a read cuts CRLF in two."""
        buffer = self._pending
        if self._at_start:
            if len(buffer) < len(_BOM) and _BOM.startswith(bytes(buffer)):
                return
            if buffer.startswith(_BOM):
                del buffer[: len(_BOM)]
            self._at_start = False
        start = 0
        if self._state is _Line.AFTER_CR and buffer:
            self._state = _Line.INSIDE
            start = 1 if buffer[0] == 0x0A else 0
        for end in _LINE_END.finditer(buffer, start):
            yield bytes(buffer[start : end.start()])
            start = end.end()
            if end.group() == b"\r" and start == len(buffer):
                self._state = _Line.AFTER_CR
        del buffer[:start]

    def _take(self, line: bytes, at: float) -> Event | None:
        block = self._block
        if not line:
            self._block = _Block()
            return block.event(at, complete=True) if block.touched else None
        block.touched = True
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            block.valid_utf8 = False
            text = line.decode("utf-8", errors="replace")
        name, colon, value = text.partition(":")
        if not name and colon:
            block.comments.append(value.removeprefix(" "))
            return None
        handler = _FIELDS.get(name)
        if handler is not None:
            handler(block, value.removeprefix(" "))
        return None


def parse(chunks: Iterable[tuple[float, bytes]]) -> tuple[Event, ...]:
    """All events of a recorded stream, the incomplete rest as the last one if there is any."""
    parser = Parser()
    events: list[Event] = []
    for at, data in chunks:
        events += parser.feed(at, data)
    rest = parser.close()
    return tuple([*events, rest] if rest is not None else events)
