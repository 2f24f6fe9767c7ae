"""Event streams that differ in their name only: rendered once, stamped for each call.

Two streams with the same content are the same bytes but for the id and the second that each of their events repeats:
the name. A stencil is such a stream with gaps where the name goes. Whoever renders one writes `GAP` there, a byte that
neither JSON nor an event stream can hold.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Final, Self

from mock_upstreams.plans import Event, Kind, chunk

GAP: Final = b"\0"

_Cut = tuple[Kind, bytes, bytes]
"""An event before and after its gap; nothing is after it if it has none."""


class Stencil:
    """The events of a stream without its name, which has to be `length` bytes long."""

    __slots__ = ("_parts", "chunked", "lengths", "pieces")

    def __init__(self, plain: Iterable[_Cut], length: int) -> None:
        self.chunked = tuple(_chunked(cut, length) for cut in plain)
        self.pieces = sum(kind is Kind.CONTENT for kind, _, _ in self.chunked)
        self._parts: tuple[bytes, ...] | None = None
        self.lengths = tuple(
            len(before) + (length + len(after) if after else 0) for _, before, after in self.chunked
        )

    @property
    def parts(self) -> tuple[bytes, ...]:
        """What stands between the names of the whole stream; made when it is first wanted, which paced streams never do."""
        if self._parts is None:
            self._parts = _between_gaps(self.chunked)
        return self._parts

    @classmethod
    def of(cls, events: Iterable[Event], length: int) -> Self:
        """From events with at most one `GAP` each."""
        cuts = ((kind, *data.partition(GAP)) for kind, data in events)
        return cls(((kind, before, after) for kind, before, _, after in cuts), length)


def _chunked(cut: _Cut, length: int) -> _Cut:
    """The same in a chunk of HTTP/1.1's chunked framing."""
    kind, before, after = cut
    if not after:
        return kind, chunk(before), after
    return kind, b"%x\r\n%b" % (len(before) + length + len(after), before), after + b"\r\n"


def _plain(cut: _Cut) -> _Cut:
    """The same without its chunk: what `_chunked` has put around it."""
    kind, before, after = cut
    data = before.partition(b"\r\n")[2]
    return (kind, data, after[:-2]) if after else (kind, data[:-2], after)


def _between_gaps(cuts: Iterable[_Cut]) -> tuple[bytes, ...]:
    found = [b""]
    for _, before, after in cuts:
        found[-1] += before
        if after:
            found.append(after)
    return tuple(found)


class Stamped(Collection[Event]):
    """The events of one stream: those of a stencil, bearing a name."""

    __slots__ = ("_name", "_stencil")

    def __init__(self, stencil: Stencil, name: bytes) -> None:
        self._stencil = stencil
        self._name = name

    def __iter__(self) -> Iterator[Event]:
        return _stamped(map(_plain, self._stencil.chunked), self._name)

    def __len__(self) -> int:
        return len(self._stencil.chunked)

    def __contains__(self, event: object) -> bool:
        return any(event == item for item in self)

    def chunked(self) -> Iterator[Event]:
        """The same events, each in an HTTP/1.1 chunk of its own."""
        return _stamped(self._stencil.chunked, self._name)

    def joined(self, before: bytes, after: bytes) -> bytes:
        """What `chunked` yields as one string, between two others."""
        return b"%b%b%b" % (before, self._name.join(self._stencil.parts), after)

    def lengths(self) -> list[int]:
        """Those of what `chunked` yields."""
        return list(self._stencil.lengths)

    def __getitem__(self, number: int) -> bytes:
        """One of what `chunked` yields, without its kind."""
        _, before, after = self._stencil.chunked[number]
        return before + self._name + after if after else before

    @property
    def pieces(self) -> int:
        """How many of the events are content; all of them follow one another, after the first event."""
        return self._stencil.pieces


NOTHING_STAMPED: Final = Stamped(Stencil((), 0), b"")


def _stamped(cuts: Iterable[_Cut], name: bytes) -> Iterator[Event]:
    return ((kind, before + name + after if after else before) for kind, before, after in cuts)
