"""Server-sent events from bytes, for a client that must not lose time: whole payloads, nothing else.

An event may be cut at any byte, CRLF included. The usual block, one `data: ` line ended by LF, is taken
by slicing; every other shape (comments, several data lines, CR or CRLF, a byte order mark, fields without
a space) takes the careful way and gives the same result.

Source of the rules: HTML Living Standard, 9.2.6 "Interpreting an event stream".
"""

from __future__ import annotations

_BOM = b"\xef\xbb\xbf"
#: The comment with which the simulator tells its clock at the write of the event behind it.
STAMP = b": wb-sent "
#: An event larger than this is no chunk of any API here; it bounds what one stream may hold in memory.
MAX_EVENT = 8 * 1024 * 1024


class Splitter:
    """Feed bytes, get the data of each event that they complete. One instance for one stream.

    Attributes:
        stamp: the simulator's clock (CLOCK_MONOTONIC, ns) of the earliest stamped event since it was last taken.

    Raises (feed):
        ValueError: an event grew beyond `MAX_EVENT` bytes.
    """

    __slots__ = ("_after_cr", "_pieces", "_size", "_started", "stamp")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._after_cr = False
        self._started = False
        self.stamp: int | None = None

    @property
    def pending(self) -> bool:
        """Whether an event, or a line end, has begun and is not whole yet; also before the first byte."""
        return bool(self._pieces) or self._after_cr or not self._started

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads of the events that these bytes complete, in order."""
        if b"\r" in data or self._after_cr:
            data = self._with_line_feeds(data)
        if b"\n" not in data:
            # Without a line end nothing can become complete, so a long event is joined once, not once a read.
            self._keep(data)
            return []
        if self._pieces:
            self._pieces.append(data)
            data = b"".join(self._pieces)
            self._pieces.clear()
            self._size = 0
        if not self._started:
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._keep(data)
                return []
            data = data.removeprefix(_BOM)
            self._started = True
        blocks = data.split(b"\n\n")
        rest = blocks.pop()
        if rest:
            self._keep(rest)
        payloads: list[bytes] = []
        for block in blocks:
            if block.startswith(b"data: ") and b"\n" not in block:
                payloads.append(block[6:])
            else:
                if block.startswith(STAMP):
                    self._stamped(block)
                payload = _payload(block)
                if payload is not None:
                    payloads.append(payload)
        return payloads

    def close(self) -> bytes | None:
        """The data of an event that was never ended by its blank line, or None if there is none."""
        rest = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        return _payload(rest.removeprefix(_BOM) if not self._started else rest)

    def _stamped(self, block: bytes) -> None:
        clock = block[len(STAMP) : block.find(b"\n")]
        if self.stamp is None and clock.isdigit():
            self.stamp = int(clock)

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > MAX_EVENT:
            raise ValueError(f"an event of more than {MAX_EVENT} bytes")
        self._pieces.append(data)

    def _with_line_feeds(self, data: bytes) -> bytes:
        """CR and CRLF as LF, also when a read ends between the two."""
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data


def _payload(block: bytes) -> bytes | None:
    """The joined data lines of a block; None for one without any."""
    lines = []
    for line in block.split(b"\n"):
        if line.startswith(b"data:"):
            value = line[5:]
            lines.append(value.removeprefix(b" "))
        elif line == b"data":
            lines.append(b"")
    return b"\n".join(lines) if lines else None
