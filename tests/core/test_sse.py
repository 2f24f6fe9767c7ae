"""The SSE parser gives the same events however the bytes are cut, and follows the WHATWG grammar."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.sse import MAX_LINE, Event, Parser, parse


def _events(data: bytes) -> list[tuple[str, str | None, bool]]:
    return [(event.name, event.data, event.complete) for event in parse([(0.0, data)])]


CASES: dict[str, tuple[bytes, list[tuple[str, str | None, bool]]]] = {
    "line feeds": (b"data: a\n\ndata: b\n\n", [("", "a", True), ("", "b", True)]),
    "carriage returns": (b"data: a\r\rdata: b\r\r", [("", "a", True), ("", "b", True)]),
    "both": (b"data: a\r\n\r\ndata: b\r\n\r\n", [("", "a", True), ("", "b", True)]),
    "byte order mark": (b"\xef\xbb\xbfdata: a\n\n", [("", "a", True)]),
    "several data lines": (b"data: a\ndata: b\n\n", [("", "a\nb", True)]),
    "no space after the colon": (b"data:a\n\n", [("", "a", True)]),
    "one space only is removed": (b"data:  a\n\n", [("", " a", True)]),
    "named event": (b"event: ping\ndata: {}\n\n", [("ping", "{}", True)]),
    "comment": (b": keep-alive\n\n", [("", None, True)]),
    "empty data": (b"data\n\n", [("", "", True)]),
    "unknown field": (b"nonsense: x\ndata: a\n\n", [("", "a", True)]),
    "end without blank line": (b"data: a\n\ndata: b", [("", "a", True), ("", "b", False)]),
    "multi-byte text": ("data: 東京🚚\n\n".encode(), [("", "東京🚚", True)]),
}


@pytest.mark.parametrize("name", CASES)
def test_events_follow_the_grammar(name: str) -> None:
    data, expected = CASES[name]
    assert _events(data) == expected


@pytest.mark.parametrize("name", CASES)
def test_events_do_not_depend_on_where_the_bytes_are_cut(name: str) -> None:
    data, expected = CASES[name]
    for cut in range(len(data) + 1):
        events = parse([(0.0, data[:cut]), (1.0, data[cut:])])
        assert [(e.name, e.data, e.complete) for e in events] == expected, f"cut at {cut}"
    single = parse((float(i), data[i : i + 1]) for i in range(len(data)))
    assert [(e.name, e.data, e.complete) for e in single] == expected


def test_an_event_arrives_when_its_blank_line_arrives() -> None:
    events = parse([(1.0, b"data: a\n"), (2.5, b"\n")])
    assert [event.at for event in events] == [2.5]


def test_invalid_utf8_is_kept_and_marked() -> None:
    (event,) = parse([(0.0, b"data: \xff\xfe\n\n")])
    assert not event.valid_utf8


def test_id_and_retry_are_taken_as_the_standard_says() -> None:
    (event,) = parse([(0.0, b"id: 7\nretry: 1000\ndata: a\n\n")])
    assert (event.id, event.retry) == ("7", 1000)
    (other,) = parse([(0.0, b"id: a\0b\nretry: soon\ndata: a\n\n")])
    assert (other.id, other.retry) == (None, None)


def test_a_line_without_end_is_bounded() -> None:
    parser = Parser()
    with pytest.raises(ValueError, match="a line of more than"):
        parser.feed(0.0, b"x" * (MAX_LINE + 1))


def test_nothing_comes_from_nothing() -> None:
    assert parse([]) == ()
    assert Event(0.0) == Event(0.0)


LINES = st.sampled_from(
    [
        b"data: a", b"data:", b"data", b"data:  two", "data: 東🚚".encode(), b"event: ping", b"event", b"id: 7",
        b"id: a\0b", b"retry: 10", b"retry: 1x", b": comment", b":", b"", b"nonsense: x", b"data: \xff\xfe",
        b"data: x:y", b"\xef\xbb\xbfdata: b",
    ]
)  # fmt: skip
STREAMS = st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r", b"\r\n"])), max_size=14)


@given(parts=STREAMS, mark=st.booleans(), tail=st.sampled_from([b"", b"data: rest", b"\r"]), data=st.data())
@settings(max_examples=300, deadline=None)
def test_any_way_to_cut_any_stream_gives_the_same_events(
    parts: list[tuple[bytes, bytes]], mark: bool, tail: bytes, data: st.DataObject
) -> None:
    whole = (b"\xef\xbb\xbf" if mark else b"") + b"".join(line + end for line, end in parts) + tail
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=6)))
    pieces = [whole[start:end] for start, end in pairwise([0, *cuts, len(whole)])]
    expected = [replace(event, at=0.0) for event in parse([(0.0, whole)])]
    assert [
        replace(event, at=0.0) for event in parse((float(n), part) for n, part in enumerate(pieces))
    ] == expected


@given(parts=STREAMS)
@settings(max_examples=200, deadline=None)
def test_a_stream_means_the_same_under_every_line_end(parts: list[tuple[bytes, bytes]]) -> None:
    """By an oracle that shares nothing with the parser: whole lines, split before any byte is fed."""
    lines = [line for line, _ in parts]
    if lines and lines[0].startswith(b"\xef\xbb\xbf"):
        lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
    said: list[tuple[str, str]] = []
    name = ""
    held: list[str] = []
    for line in lines:
        text = line.decode("utf-8", errors="replace")
        field, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if not text:
            said += [(name, "\n".join(held))] if held else []
            name, held = "", []
        elif field == "data":
            held.append(value)
        elif field == "event":
            name = value
    for end in (b"\n", b"\r", b"\r\n"):
        stream = b"".join(line + end for line, _ in parts)
        events = [event for event in parse([(0.0, stream)]) if event.complete and event.data is not None]
        assert [(event.name, event.data) for event in events] == said
