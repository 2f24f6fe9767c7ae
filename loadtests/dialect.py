"""What every dialect's stream has in common: lazy parsing, the scripted text, the class of a failure.

Parsing is lazy and loses nothing by it. The first content events of a stream are parsed; what surrounds the
text of one becomes the stream's *shape*. A later event that is the same bytes around a JSON string without
quotes, escapes and control characters is a content event of that shape beyond doubt, and is taken without
parsing. Every other event is parsed, by the dialect.

The classes of failure and their order are in `failure_of`.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import orjson

from loadtests.sse import Splitter
from weighbridge.evidence import Ending
from weighbridge.load.figures import Failure

#: The inside of a JSON string that stands for itself.
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]+')
#: The first event may also name the role, so a shape is learned again; where each event differs, not for ever.
_LESSONS = 4
_EXCERPT = 120
#: What a read of some length begins with if it is one HTTP chunk; the same for all streams.
_SIZES: dict[int, bytes] = {}
_MOST_SIZES = 4096
#: Texts that stand for themselves, seen before in any stream: models say the same words again and again.
_PLAIN_TEXTS: set[bytes] = set()
_MOST_TEXTS = 4096
_LONGEST_TEXT = 64


class EventStream(ABC):
    """One stream's state; fed by reads, asked at the end. A dialect says what its events mean.

    Attributes:
        events: events with data so far.
        chunks: content events so far (text, reasoning, refusal or tool call).
        ended: something said that the answer is over, so that no event is taken for text unparsed any more.
        malformed, error: the first event that is no JSON object, the first error object.
        unterminated: a whole body whose last event lacks its blank line.
        wrong_text: where the text departs from what the provider sent.
        usage: tokens as the stream itself reports them, by the words of `USAGE`; empty where it does not.
        quick_head, quick_tail: bytes around the text of a content event that is all of an HTTP chunk.
    """

    __slots__ = (
        "_amid",
        "_expected",
        "_head",
        "_lessons",
        "_position",
        "_splitter",
        "_tail",
        "chunks",
        "ended",
        "error",
        "events",
        "malformed",
        "quick_head",
        "quick_tail",
        "unterminated",
        "usage",
        "wrong_text",
    )
    #: What stands before the text in an event.
    text_key: ClassVar[re.Pattern[bytes]]

    def __init__(self, expected: str | None = None) -> None:
        self._splitter = Splitter()
        #: The splitter has begun an event and waits for the rest.
        self._amid = True
        self._expected = None if expected is None else expected.encode()
        self._position = 0
        self._head: bytes | None = None
        self._tail = b""
        self._lessons = _LESSONS
        self.events = 0
        self.chunks = 0
        self.ended = False
        self.malformed: str | None = None
        self.error: str | None = None
        self.unterminated = False
        self.wrong_text: str | None = None
        self.usage: dict[str, int] = {}
        self.quick_head: bytes | None = None
        self.quick_tail = b""

    # ---------------------------------------------------------------- what a dialect says
    @abstractmethod
    def parsed(self, data: bytes) -> None:
        """Take an event that is not of the learned shape."""

    @property
    @abstractmethod
    def begun_ending(self) -> bool:
        """Whether anything that belongs to a normal ending was seen."""

    @property
    @abstractmethod
    def broken_ending(self) -> str | None:
        """What is wrong with the ending of a stream that has any part of one, or None."""

    # ---------------------------------------------------------------- the way of every stream
    def feed(self, data: bytes) -> int:
        """Take the body bytes of one read; returns how many content events they completed."""
        before = self.chunks
        if self.malformed is not None:
            return 0
        try:
            payloads = self._splitter.feed(data)
            self._amid = self._splitter.pending
        except ValueError as error:
            self.malformed = str(error)
            return 0
        for payload in payloads:
            self._take(payload)
        return self.chunks - before

    def quick(self, data: bytes) -> bytes | None:
        """Take an HTTP chunk that is one whole content event of the learned shape and nothing else.

        The usual read of a paced stream, recognised without framing, splitting and parsing; whatever is not
        exactly that is left alone.

        Returns:
            the text, which stands between `quick_head` and `quick_tail`; None where nothing was taken.
        """
        head, length = self.quick_head, len(data)
        if self._amid or head is None:
            return None
        size = _SIZES.get(length) or _size_of(length)
        begin = len(size)
        if not (data.startswith(size) and data.startswith(head, begin) and data.endswith(self.quick_tail)):
            return None
        inside = data[begin + len(head) : -len(self.quick_tail)]
        if self.ended or not (inside in _PLAIN_TEXTS or _is_plain(inside)):
            return None
        self.events += 1
        self.chunks += 1
        if self._expected is not None:
            self.text(inside)
        return inside

    @property
    def around(self) -> tuple[bytes, bytes]:
        """What stands around the text of an event that `quick` takes, without the framing of HTTP."""
        return self.quick_head or b"", self.quick_tail.removesuffix(b"\r\n")

    def close(self, *, whole: bool = True) -> None:
        """The body is over.

        Args:
            whole: it ended by its own framing, so that what is left is an event without its blank line, and
                the text must be complete; of a body that broke off, neither can be said.
        """
        rest = self._splitter.close()
        if not whole:
            return
        if rest is not None:
            self.unterminated = True
            self._take(rest)
        if self._expected is not None and self.wrong_text is None and self._position != len(self._expected):
            self.wrong_text = f"{self._position} of {len(self._expected)} bytes of the text"

    def _take(self, data: bytes) -> None:
        self.events += 1
        head = self._head
        if head is not None and data.startswith(head) and data.endswith(self._tail):
            inside = data[len(head) : len(data) - len(self._tail)]
            if _is_plain(inside) and not self.ended:
                self.chunks += 1
                self.text(inside)
                return
        self.parsed(data)

    # ---------------------------------------------------------------- for dialects
    def json_object(self, data: bytes) -> dict[str, Any] | None:
        """The event as a JSON object; None, and noted as malformed, where it is none."""
        value = _json(data)
        if isinstance(value, dict):
            return value
        self.malformed = self.malformed or f"event {self.events} is {excerpt(data)}"
        return None

    def text(self, piece: bytes) -> None:
        """A piece of the answer's text, to be compared with what the provider sent."""
        if self._expected is None or self.wrong_text is not None:
            return
        if not self._expected.startswith(piece, self._position):
            self.wrong_text = f"the text differs at byte {self._position}"
        self._position += len(piece)

    def learn(self, data: bytes, text: str) -> None:
        """Remember the bytes around `text`, the only thing that this event says."""
        if not self._lessons:
            return
        self._lessons -= 1
        raw = text.encode("utf-8", "surrogatepass")
        quoted = b'"' + raw + b'"'
        place = data.find(quoted)
        if not _PLAIN.fullmatch(raw) or place < 0 or data.count(quoted) != 1:
            return
        if self.text_key.search(data[:place]):
            self._head, self._tail = data[: place + 1], data[place + 1 + len(raw) :]
            self.quick_head, self.quick_tail = b"data: " + self._head, self._tail + b"\n\n\r\n"

    def note_usage(self, usage: Any, names: Mapping[str, str]) -> None:
        """Remember token counts; `names` tells what each is called in this dialect."""
        if isinstance(usage, dict):
            for name, word in names.items():
                value = usage.get(name)
                if isinstance(value, int) and not isinstance(value, bool):
                    self.usage[word] = value

    @property
    def stamp(self) -> int | None:
        """The provider's clock at the first stamped event of the last read, taken away by this call."""
        stamp, self._splitter.stamp = self._splitter.stamp, None
        return stamp


def failure_of(
    stream: EventStream, ending: Ending, status: int | None, content_type: str, timeout: Failure | None
) -> tuple[Failure | None, str]:
    """The class of failure of a stream that is over, with a detail for people; None for a whole one.

    Args:
        stream: what was said; closed.
        ending: how the connection ended.
        status: of the response head, None without one.
        content_type: the media type of the head.
        timeout: which bound was exceeded, if one was.
    """
    if status is None:
        return unanswered(ending, timeout), "no response head"
    if not 200 <= status < 300:
        return status_failure(status), f"status {status}"
    sse = content_type == "text/event-stream"
    table: tuple[tuple[bool, Failure, str], ...] = (
        (
            not sse and not stream.begun_ending and not stream.chunks,
            Failure.NOT_SSE,
            content_type or "no Content-Type",
        ),
        (stream.malformed is not None, Failure.MALFORMED, stream.malformed or ""),
        (stream.error is not None, Failure.ERROR_EVENT, stream.error or ""),
        (ending is Ending.INVALID, Failure.BAD_HTTP, "the body's framing is broken"),
        (ending is Ending.TIMEOUT, timeout or Failure.TIMEOUT_TOTAL, f"after {stream.chunks} content events"),
        (ending is Ending.RESET, Failure.RESET, f"after {stream.chunks} content events"),
        (ending is not Ending.COMPLETE, Failure.TRUNCATED, f"closed after {stream.chunks} content events"),
        (stream.events == 0, Failure.EMPTY, "no event"),
        (
            not stream.begun_ending,
            Failure.TRUNCATED,
            f"a clean end without any sign of one after {stream.chunks} content events",
        ),
        (stream.broken_ending is not None, Failure.BROKEN_ENDING, stream.broken_ending or ""),
        (stream.wrong_text is not None, Failure.WRONG_TEXT, stream.wrong_text or ""),
    )
    return next(((failure, detail) for wrong, failure, detail in table if wrong), (None, ""))


_HEADLESS = {Ending.RESET: Failure.RESET, Ending.INVALID: Failure.BAD_HTTP, Ending.CLOSED: Failure.EMPTY}


def unanswered(ending: Ending, timeout: Failure | None) -> Failure:
    """The class of an exchange that ended without a response head."""
    return _HEADLESS.get(ending, timeout or Failure.EMPTY)


def status_failure(status: int) -> Failure:
    """The class of a status that is not 2xx."""
    if status == 429:
        return Failure.HTTP_429
    return {4: Failure.HTTP_4XX, 5: Failure.HTTP_5XX}.get(status // 100, Failure.HTTP_OTHER)


def _size_of(length: int) -> bytes:
    """The size line of an HTTP chunk that is all of a read of this length."""
    for figures in range(1, 8):
        size = b"%x\r\n" % max(
            length - figures - 4, 0
        )  # a line end behind the figures, and one behind the chunk
        if len(size) == figures + 2:
            break
    if len(_SIZES) < _MOST_SIZES:
        _SIZES[length] = size
    return size


def _is_plain(data: bytes) -> bool:
    """Whether these bytes, between quotes, are a JSON string that stands for itself."""
    if not _PLAIN.fullmatch(data):
        return False
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError:
            return False
    if len(_PLAIN_TEXTS) < _MOST_TEXTS and len(data) <= _LONGEST_TEXT:
        _PLAIN_TEXTS.add(data)
    return True


def _json(data: bytes) -> Any:
    """Parsed JSON, or None. orjson refuses lone surrogates, which are JSON all the same."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            return None


def excerpt(data: bytes) -> str:
    """The beginning of an event on one line."""
    text = " ".join(data.decode("utf-8", "replace").split())
    return text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}..."
