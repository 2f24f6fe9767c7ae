"""Reads that are one whole event are taken without framing and parsing, and nothing else is."""

import gc
import json
from typing import Any

import gevent
import pytest

from loadtests.chat import ChatStream
from loadtests.dialling import now
from loadtests.recorder import MOST_GAPS, Recorder
from loadtests.timed import Timed


def event(content: str, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": None}
    return (
        b"data: "
        + json.dumps({"id": "c", "choices": [choice], **more}, ensure_ascii=False).encode()
        + b"\n\n"
    )


def piece(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def taught(expected: str | None = None) -> ChatStream:
    stream = ChatStream(expected)
    assert not stream.quick(piece(event("one")))
    stream.feed(event("one"))
    return stream


@pytest.mark.parametrize("text", ["two", "naïve 東京 🚚", " ", "x" * 5000])
def test_the_usual_event_is_taken_quickly(text: str) -> None:
    stream = taught(f"one{text}")
    assert stream.quick(piece(event(text)))
    assert (stream.chunks, stream.events) == (2, 2)
    stream.close()
    assert stream.wrong_text is None


def test_a_text_that_differs_is_noticed_there_too() -> None:
    stream = taught("oneTWO")
    assert stream.quick(piece(event("two")))
    assert stream.wrong_text is not None


@pytest.mark.parametrize(
    "data",
    [
        piece(event("two") + event("three")),
        piece(event("two")) + piece(event("three")),
        piece(event("two"))[:-1],
        piece(event("two"))[1:],
        piece(event('a "quoted" word')),
        piece(event("a\nline")),
        piece(event("two", extra=1)),
        piece(event("two")).replace(b"data", b"Data"),
        b"1" + piece(event("two")),
        b"zz\r\n" + event("two") + b"\r\n",
        piece(b"data: [DONE]\n\n"),
        b"0\r\n\r\n",
        b"",
        piece(event("two").replace(b"two", b"\xff\xfe")),
    ],
)
def test_everything_else_is_left_to_the_careful_way(data: bytes) -> None:
    stream = taught()
    assert not stream.quick(data)
    assert stream.chunks == 1


def test_nothing_is_taken_quickly_behind_a_part_of_an_event_or_behind_the_end() -> None:
    stream = taught()
    stream.feed(b"data: {")
    assert not stream.quick(piece(event("two")))
    stream = taught()
    stream.feed(event("").replace(b'"finish_reason": null', b'"finish_reason": "stop"'))
    assert not stream.quick(piece(event("two")))


def test_reads_are_kept_with_their_moments_and_wake_no_garbage_collection() -> None:
    recorder = Recorder(warm_up=0, sample=1, keep_failed=1)
    timed = Timed(ChatStream(), recorder, keep_bytes=1_000_000, origin=0, sent=0)
    timed.on_head(1, 200, ())
    timed.on_body(2, event("one"))
    reads = [piece(event(f"word {number}")) for number in range(2000)]
    gc.collect()
    gc.disable()
    try:
        before = gc.get_count()[0]
        for at, read in enumerate(reads, start=3):
            assert timed.on_quick(at, read)
        assert gc.get_count()[0] - before < 100
    finally:
        gc.enable()
    assert timed.chunks == (
        (2, event("one")),
        *((at, event(f"word {number}")) for number, at in enumerate(range(3, 2003))),
    )


def test_a_text_once_seen_is_still_judged_by_where_it_stands() -> None:
    stream = taught("onetwo")
    assert stream.quick(piece(event("two")))
    assert stream.quick(piece(event("two")))
    stream.close()
    assert stream.wrong_text is not None


def test_gaps_are_counted_in_batches_and_none_is_lost() -> None:
    recorder = Recorder(warm_up=0, sample=0, keep_failed=0)
    recorder.begin()
    try:
        opening = now()
        timed = Timed(ChatStream(), recorder, keep_bytes=0, origin=opening, sent=opening)
        timed.on_head(opening + 1, 200, ())
        timed.on_body(opening + 1_000_000, event("one"))
        at = opening + 1_000_000
        for number in range(2 * MOST_GAPS + 10):
            at += 20_000_000 + number
            assert timed.on_quick(at, piece(event("two")))
        assert len(recorder.gaps) == 10
        recorder.fold()
        assert (recorder.chunks, recorder.tally.chunks) == (2 * MOST_GAPS + 11,) * 2
        gaps = recorder.tally.histograms["icl"]
        assert (gaps.count, gaps.lowest, gaps.highest) == (2 * MOST_GAPS + 10, 20_000, 20_000)
    finally:
        recorder.end()


def test_the_record_of_a_stream_is_what_came_however_each_read_was_taken() -> None:
    recorder = Recorder(warm_up=0, sample=1, keep_failed=1)
    timed = Timed(ChatStream(), recorder, keep_bytes=1_000_000, origin=0, sent=0)
    timed.on_head(1, 200, ())
    other = event("two", more=1)
    came = [event("one"), event("two"), other, event("three"), event("four"), b": wait\n\n", event("five")]
    taken = []
    for at, data in enumerate(came, start=2):
        taken.append(timed.on_quick(at, piece(data)))
        if not taken[-1]:
            timed.on_body(at, data)
    assert taken.count(True) >= 2
    assert timed.chunks == tuple(enumerate(came, start=2))


def test_what_arrives_after_the_end_of_the_load_has_slices_of_its_own() -> None:
    recorder = Recorder(warm_up=0, sample=1, keep_failed=1)
    recorder.begin()
    try:
        recorder.chunks += 3
        recorder.end()
        slices = recorder.tally.slices
        with gevent.Timeout(20):
            while max(slices) == 0:
                gevent.sleep(0.05)
                recorder.happened("looked")
        recorder.chunks += 2
        recorder.fold()
        assert slices[0].counts["chunks"] == 3
        assert sum(item.counts["chunks"] for number, item in slices.items() if number) == 2
    finally:
        recorder.end()
        recorder.close()
