"""Reads one streamed response: marks its moments, feeds the stream, keeps the bytes. Runs in the event loop's callback."""

from __future__ import annotations

from itertools import pairwise

from loadtests.dialect import EventStream
from loadtests.recorder import MOST_GAPS, Recorder
from weighbridge.evidence import Headers
from weighbridge.load.figures import TRUE_LAG


class Timed:
    """One stream's moments.

    Attributes:
        origin: from when latencies count: the intended start in an open load, else the moment before the send.
        sent: the moment before the send.
        stall: the largest gap between two reads with content, in nanoseconds.
    """

    __slots__ = (
        "_bytes_left",
        "_keep_bytes",
        "_read_at",
        "_reads",
        "_recorder",
        "_shapes",
        "first_at",
        "head_at",
        "headers",
        "last_at",
        "length",
        "measured",
        "origin",
        "sent",
        "stall",
        "status",
        "stream",
    )

    def __init__(
        self, stream: EventStream, recorder: Recorder, keep_bytes: int, origin: int, sent: int
    ) -> None:
        self.stream = stream
        self._recorder = recorder
        self._keep_bytes = self._bytes_left = keep_bytes
        self.origin = origin
        self.sent = sent
        self.measured = recorder.measures(origin)
        self.status: int | None = None
        self.headers: Headers = ()
        self.head_at: int | None = None
        self.first_at: int | None = None
        self.last_at = 0
        self.stall = 0
        self.length = 0
        #: Kept apart and paired at the end: so many pairs alive would keep the garbage collector busy, and a
        #: collection is a pause in which nothing is read. Of a usual event only its text, since memory that is
        #: touched for the first time costs more than all that is done with the event.
        self._read_at: list[int] = []
        self._reads: list[bytes] = []
        #: Which of the reads is there as it came, and what stands around the texts behind it.
        self._shapes: list[tuple[int, bytes, bytes]] = []

    def on_head(self, at: int, status: int, headers: Headers) -> None:
        """The head is there."""
        self.status = status
        self.headers = headers
        self.head_at = at
        if self.measured and 200 <= status < 300:
            self._recorder.tally.histograms["ttfb"].record((at - self.origin) // 1000)

    def on_quick(self, at: int, data: bytes) -> bool:
        """A read of whole chunks: taken at once if it is the usual content event."""
        if self.first_at is None:
            return False
        text = self.stream.quick(data)
        if text is None:
            return False
        length = len(data)
        self.length += length
        if self._bytes_left > 0:
            self._bytes_left -= length
            self._read_at.append(at)
            self._reads.append(text)
        recorder = self._recorder
        gap = at - self.last_at
        if gap > self.stall:  # noqa: PLR1730 - a call of max costs as much as all the rest of this line
            self.stall = gap
        self.last_at = at
        if self.measured:
            gaps = recorder.gaps
            gaps.append(gap)
            if len(gaps) >= MOST_GAPS:
                recorder.count_gaps()
        else:
            recorder.chunks += 1
        return True

    def on_body(self, at: int, data: bytes) -> None:
        """Body bytes of one read."""
        self.length += len(data)
        good = self.status is not None and 200 <= self.status < 300
        count = self.stream.feed(data) if good else 0
        if self._bytes_left > 0:
            self._bytes_left -= len(data)
            self._shapes.append((len(self._reads), *self.stream.around))
            self._read_at.append(at)
            self._reads.append(data)
        if not count:
            return
        recorder = self._recorder
        recorder.chunks += count
        first = self.first_at is None
        if not first:
            self.stall = max(self.stall, at - self.last_at)
        if self.measured:
            tally = recorder.tally
            tally.chunks += count
            tally.coalesced += count - 1
            if first:
                recorder.ttft.record((at - self.origin) // 1000)
                tally.histograms["ttft_sent"].record((at - self.sent) // 1000)
            else:
                recorder.icl.record((at - self.last_at) // 1000)
            stamp = self.stream.stamp
            if stamp is not None:
                tally.histograms[TRUE_LAG].record(max(0, at - stamp) // 1000)
        if first:
            self.first_at = at
        self.last_at = at

    @property
    def chunks(self) -> tuple[tuple[int, bytes], ...]:
        """The reads that were kept, each with its moment; of a large body only the first ones."""
        reads: list[bytes] = []
        for (place, before, behind), (following, *_) in pairwise(
            [*self._shapes, (len(self._reads), b"", b"")]
        ):
            reads.append(self._reads[place])
            reads += [before + text + behind for text in self._reads[place + 1 : following]]
        return tuple(zip(self._read_at, reads, strict=True))

    @property
    def whole_record(self) -> bool:
        """Whether all bytes that arrived were kept."""
        return self.length <= self._keep_bytes

    def latencies(self, tokens: int, ended: int) -> dict[str, int]:
        """What this stream's user felt, in microseconds; only what there was to feel."""
        found: dict[str, int] = {}
        if self.head_at is not None:
            found["ttfb"] = (self.head_at - self.origin) // 1000
        if self.first_at is not None:
            found["ttft"] = (self.first_at - self.origin) // 1000
            if tokens > 1:
                found["tpot"] = (self.last_at - self.first_at) // (tokens - 1) // 1000
            if self.last_at > self.first_at:
                found["stall"] = self.stall // 1000
        found["e2e"] = (ended - self.origin) // 1000
        return found
