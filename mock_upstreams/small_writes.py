"""Answers in very small writes: byte by byte, or cut inside a character."""

import itertools
from typing import Final

from mock_upstreams.plans import Event, Kind
from mock_upstreams.refusals import bad_request

_MOST_BYTES: Final = 512 * 1024
"""Bytes of an answer that is sent in very small writes."""


def bounded(size: int) -> None:
    """Refuse an answer that would take too many writes. Raises Refusal."""
    if size > _MOST_BYTES:
        raise bad_request(f"simulator: an answer of {size} bytes is too long for this fault; shorten text=")


def single_bytes(event: Event) -> list[Event]:
    """One event, a write for each byte."""
    kind, data = event
    return [(kind, data[:1]), *((Kind.BYTE, data[i : i + 1]) for i in range(1, len(data)))]


def split_characters(event: Event) -> list[Event]:
    """One event, cut after the first byte of every multi-byte character."""
    kind, data = event
    cuts = [i + 1 for i, byte in enumerate(data) if byte >= 0xC0]
    parts = [data[start:end] for start, end in itertools.pairwise([0, *cuts, len(data)])]
    return [(kind if i == 0 else Kind.TAIL, part) for i, part in enumerate(parts)]
