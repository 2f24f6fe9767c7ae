"""Server-sent events: an incremental reader that does not care how the bytes were cut, and a writer.

Follows the event-stream grammar of the WHATWG HTML standard: CR, LF and CRLF end lines, a blank line dispatches,
lines that begin with a colon are comments, an event without data is none, an unfinished event at the end is dropped.
"""

from typing import NamedTuple

_BOM = b"\xef\xbb\xbf"
_PLAIN = b"data: "
MOST_BYTES_PER_EVENT = 32 * 1024 * 1024


class SseEvent(NamedTuple):
    """One dispatched event; `name` is empty when there was no event line. Data stays bytes: it is JSON, mostly."""

    name: str
    data: bytes


class EventTooLargeError(ValueError):
    """One event has grown past `MOST_BYTES_PER_EVENT`; the peer is not sending events."""


class SseReader:
    """Feed it bytes as they arrive; it returns the events that have become complete."""

    def __init__(self) -> None:
        # Of the line that has begun; joined once, however many reads it takes.
        self._rest: list[bytes] = []
        self._waiting = 0
        self._after_cr = False
        self._at_start = True
        self._name = ""
        self._data: list[bytes] = []
        self._size = 0
        # Whether the next byte begins an event.
        self._between = False

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """Take the next bytes in; raises `EventTooLargeError`."""
        if (
            self._between
            and chunk.startswith(_PLAIN)
            and chunk.endswith(b"\n")
            and chunk.find(b"\n") == len(chunk) - 2
            and b"\r" not in chunk
        ):
            # One unnamed event with one line of data, as most reads of a stream are.
            return [SseEvent("", chunk[len(_PLAIN) : -2])]
        text = self._normalised(chunk)
        if self._at_start:
            text = b"".join(self._rest) + text
            self._rest, self._waiting = [], 0
            if len(text) < len(_BOM) and _BOM.startswith(text):
                self._rest = [text]
                return []
            text = text.removeprefix(_BOM)
            self._at_start = False
        *lines, rest = text.split(b"\n")
        if lines and self._rest:
            lines[0] = b"".join((*self._rest, lines[0]))
            self._rest, self._waiting = [], 0
        if rest:
            self._rest.append(rest)
            self._waiting += len(rest)
        events = [event for line in lines if (event := self._line(line)) is not None]
        self._between = not self._rest and not self._data and not self._name and not self._after_cr
        if self._size + self._waiting > MOST_BYTES_PER_EVENT:
            raise EventTooLargeError(f"one event is larger than {MOST_BYTES_PER_EVENT} bytes")
        return events

    def _normalised(self, chunk: bytes) -> bytes:
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._after_cr = False
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if chunk:
            self._after_cr = False
        return chunk

    def _line(self, line: bytes) -> SseEvent | None:
        if not line:
            return self._dispatch()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
            self._size += len(value)
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")
        return None

    def _dispatch(self) -> SseEvent | None:
        name, data = self._name, self._data
        self._name, self._data, self._size = "", [], 0
        return SseEvent(name, b"\n".join(data)) if data else None


def frame(data: bytes) -> bytes:
    """An unnamed event with one line of data."""
    return b"data: " + data + b"\n\n"


def named_frame(name: str, data: bytes) -> bytes:
    """An event with an event line, as the Messages format wants it; data of several lines stays such."""
    return b"event: " + name.encode() + b"\ndata: " + data.replace(b"\n", b"\ndata: ") + b"\n\n"


DONE = frame(b"[DONE]")
