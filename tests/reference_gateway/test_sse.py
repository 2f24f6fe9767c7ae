"""The event-stream reader: the standard's grammar, however the bytes arrive."""

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_gateway import sse
from reference_gateway.sse import EventTooLargeError, SseEvent, SseReader

STREAMS: list[tuple[bytes, list[SseEvent]]] = [
    (b"data: a\n\n", [SseEvent("", b"a")]),
    (b"data:a\r\n\r\ndata: b\r\r", [SseEvent("", b"a"), SseEvent("", b"b")]),
    (b"\xef\xbb\xbfdata: a\n\n", [SseEvent("", b"a")]),
    (b": comment\n\ndata: a\n\n", [SseEvent("", b"a")]),
    (b"event: x\ndata: 1\ndata: 2\nid: 7\nretry: 5\n\n", [SseEvent("x", b"1\n2")]),
    (b"event: x\n\ndata: a\n\n", [SseEvent("", b"a")]),
    (b"data\n\n", [SseEvent("", b"")]),
    (b"data: a\n\ndata: unfinished\n", [SseEvent("", b"a")]),
    ("data: Grüße 世界\n\n".encode(), [SseEvent("", "Grüße 世界".encode())]),
    (b"\xef\xbb", []),
]


@pytest.mark.parametrize(("stream", "events"), STREAMS)
def test_a_stream_gives_its_events_whole_or_byte_by_byte(stream: bytes, events: list[SseEvent]) -> None:
    assert SseReader().feed(stream) == events
    reader = SseReader()
    assert [
        event for index in range(len(stream)) for event in reader.feed(stream[index : index + 1])
    ] == events


@given(st.sampled_from(STREAMS), st.lists(st.integers(0, 100), max_size=6))
def test_any_cuts_give_the_same_events(case: tuple[bytes, list[SseEvent]], cuts: list[int]) -> None:
    stream, events = case
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    reader = SseReader()
    found = []
    for begin, end in pairwise(edges):
        found += reader.feed(stream[begin:end])
    assert found == events


def test_an_event_without_end_is_not_collected_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MOST_BYTES_PER_EVENT", 100)
    reader = SseReader()
    with pytest.raises(EventTooLargeError):
        reader.feed(b"data: 12345678\n" * 20)
    with pytest.raises(EventTooLargeError):
        SseReader().feed(b"x" * 200)


def test_a_large_event_in_small_reads_is_joined_once() -> None:
    reader, piece = SseReader(), b"x" * 1024
    began = time.process_time()
    found = reader.feed(b"data: ")
    for _ in range(20_000):
        found += reader.feed(piece)
    found += reader.feed(b"\n\n")
    assert [len(event.data) for event in found] == [20_000 * 1024]
    # Joined anew with each read this takes half a minute.
    assert time.process_time() - began < 3
