"""An HTTP/1.1 response from raw bytes, incrementally: pure, bounded, and strict about framing.

Framing follows RFC 9112 sections 6 and 7: chunked first, then Content-Length, else until close.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from weighbridge.evidence import Chunk, Headers

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})(?: [^\r\n]*)?\Z")
_MAX_HEAD = 256 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds, so that no target can fill our memory.

    Attributes:
        body: bytes of one body.
        reads: pieces of one body; each costs more than its bytes.
        kept: bytes that are kept of a body that went past a bound, or that had no end in time.
    """

    body: int = 24 * 1024 * 1024
    reads: int = 100_000
    kept: int = 128 * 1024


class _Framing(Enum):
    HEAD = auto()
    LENGTH = auto()
    CHUNK_SIZE = auto()
    CHUNK_DATA = auto()
    CHUNK_END = auto()
    TRAILER = auto()
    UNTIL_CLOSE = auto()
    DONE = auto()


class InvalidHTTPError(Exception):
    """The peer's bytes are no HTTP/1.1 response."""


class ResponseReader:
    """Incremental reader of one response; pure, fed with bytes and the time of their arrival."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.status: int | None = None
        self.headers: Headers = ()
        self.chunks: list[Chunk] = []
        #: Whether the body went past a limit.
        self.too_large = False
        self.head_at: float | None = None
        self._limits = limits or Limits()
        self._buffer = bytearray()
        self._framing = _Framing.HEAD
        self._left = 0
        self._received = 0
        self._body = bytearray()

    @property
    def done(self) -> bool:
        """Whether the message is whole by its own framing."""
        return self._framing is _Framing.DONE

    def feed(self, at: float, data: bytes) -> None:
        """Take bytes from the socket.

        Raises:
            InvalidHTTPError: they are not HTTP.
        """
        self._buffer += data
        steps: dict[_Framing, Callable[[float], bool]] = {
            _Framing.HEAD: self._read_head,
            _Framing.LENGTH: self._read_length,
            _Framing.CHUNK_SIZE: self._read_chunk_size,
            _Framing.CHUNK_DATA: self._read_length,
            _Framing.CHUNK_END: self._read_chunk_end,
            _Framing.TRAILER: self._read_trailer,
            _Framing.UNTIL_CLOSE: self._read_all,
        }
        while (step := steps.get(self._framing)) is not None and step(at):
            pass
        if self._body:
            self.chunks.append(Chunk(at, bytes(self._body)))
            self._body.clear()
        if self.too_large or len(self.chunks) > self._limits.reads:
            self.too_large = True
            self.forget()
        if self.done and self._buffer:
            self._buffer.clear()  # what comes after a whole message is no part of it

    def forget(self) -> None:
        """Keep the beginning of a body that is too large to be evidence."""
        left = self._limits.kept
        kept: list[Chunk] = []
        for chunk in self.chunks:
            if left <= 0:
                break
            kept.append(Chunk(chunk.at, chunk.data[:left]))
            left -= len(chunk.data)
        self.chunks[:] = kept
        self._buffer.clear()

    def eof(self) -> bool:
        """The peer closed its side; returns whether the message is whole."""
        if self._framing is _Framing.UNTIL_CLOSE:
            self._framing = _Framing.DONE
        return self.done

    def _read_head(self, at: float) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _MAX_HEAD:
                raise InvalidHTTPError("a response head of more than 256 KiB")
            start = bytes(self._buffer[:5])
            if not b"HTTP/".startswith(start) and start != b"HTTP/":
                raise InvalidHTTPError(f"the reply begins with {bytes(self._buffer[:24])!r}, not HTTP/")
            return False
        lines = bytes(self._buffer[:end]).split(b"\r\n")
        del self._buffer[: end + 4]
        match = _STATUS_LINE.match(lines[0])
        if match is None:
            raise InvalidHTTPError(f"the status line is {lines[0][:80]!r}")
        status = int(match[1])
        if 100 <= status < 200:
            return True
        self.status = status
        self.headers = tuple(self._header(line) for line in lines[1:])
        self.head_at = at
        self._choose_framing()
        return True

    @staticmethod
    def _header(line: bytes) -> tuple[str, str]:
        name, colon, value = line.partition(b":")
        if not colon or not name or name != name.strip():
            raise InvalidHTTPError(f"a header line is {line[:80]!r}")
        return name.decode("latin-1"), value.strip().decode("latin-1")

    def _choose_framing(self) -> None:
        values = {name.lower(): value for name, value in self.headers}
        if self.status in {204, 304}:
            self._framing = _Framing.DONE
        elif values.get("transfer-encoding", "").lower().endswith("chunked"):
            self._framing = _Framing.CHUNK_SIZE
        elif "content-length" in values:
            if not values["content-length"].isdigit():
                raise InvalidHTTPError(f"Content-Length is {values['content-length']!r}")
            self._left = int(values["content-length"])
            self._framing = _Framing.LENGTH if self._left else _Framing.DONE
        else:
            self._framing = _Framing.UNTIL_CLOSE

    def _take(self, count: int) -> None:
        self._received += count
        self.too_large = self.too_large or self._received > self._limits.body
        if not self.too_large:
            self._body += self._buffer[:count]
        del self._buffer[:count]

    def _read_length(self, _at: float) -> bool:
        count = min(self._left, len(self._buffer))
        self._take(count)
        self._left -= count
        if self._left:
            return False
        self._framing = _Framing.DONE if self._framing is _Framing.LENGTH else _Framing.CHUNK_END
        return True

    def _read_chunk_size(self, _at: float) -> bool:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > 4096:
                raise InvalidHTTPError("a chunk size line of more than 4 KiB")
            return False
        text = bytes(self._buffer[:end]).partition(b";")[0].strip()
        del self._buffer[: end + 2]
        try:
            self._left = int(text, 16)
        except ValueError:
            raise InvalidHTTPError(f"a chunk size is {text[:40]!r}") from None
        self._framing = _Framing.CHUNK_DATA if self._left else _Framing.TRAILER
        return True

    def _read_chunk_end(self, _at: float) -> bool:
        if len(self._buffer) < 2:
            return False
        if self._buffer[:2] != b"\r\n":
            raise InvalidHTTPError(f"a chunk is followed by {bytes(self._buffer[:8])!r}")
        del self._buffer[:2]
        self._framing = _Framing.CHUNK_SIZE
        return True

    def _read_trailer(self, _at: float) -> bool:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return False
        del self._buffer[: end + 2]
        if end == 0:
            self._framing = _Framing.DONE
        return True

    def _read_all(self, _at: float) -> bool:
        self._take(len(self._buffer))
        return False
