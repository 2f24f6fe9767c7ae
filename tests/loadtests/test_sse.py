"""The splitter against the judge's own parser: same payloads however the bytes are cut."""

import pytest

from loadtests.sse import MAX_EVENT, Splitter
from weighbridge.sse import parse

STREAMS = {
    "plain": b'data: {"a":1}\n\ndata: {"b":"\xc3\xa9"}\n\ndata: [DONE]\n\n',
    "crlf": b'data: {"a":1}\r\n\r\ndata: two\r\n\r\ndata: [DONE]\r\n\r\n',
    "cr": b"data: one\r\rdata: two\r\r",
    "mixed ends": b"data: one\r\n\ndata: two\n\r\ndata: three\r\r\n",
    "comments": b": hello\n\ndata: one\n: between\n\n:\n\ndata: two\n\n",
    "several lines": b"data: one\ndata: two\ndata:\ndata\n\ndata: x\n\n",
    "fields": b"event: ping\nid: 7\nretry: 10\ndata: one\n\nevent: only\n\ndata:no space\n\n",
    "byte order mark": b"\xef\xbb\xbfdata: one\n\ndata: \xef\xbb\xbftwo\n\n",
    "blank lines": b"\n\n\ndata: one\n\n\n\n\ndata: two\n\n",
    "unended": b"data: one\n\ndata: rest",
    "unended line": b"data: one\n\ndata: rest\n",
    "two spaces": b"data:  x\n\ndatabase: y\n\n",
}


def expected(data: bytes) -> tuple[list[bytes], bytes | None]:
    events = [event for event in parse([(0.0, data)]) if event.data is not None]
    whole = [event.data.encode() for event in events if event.complete and event.data is not None]
    rest = [event.data.encode() for event in events if not event.complete and event.data is not None]
    return whole, rest[0] if rest else None


def split(*reads: bytes) -> tuple[list[bytes], bytes | None]:
    splitter = Splitter()
    found = [payload for data in reads for payload in splitter.feed(data)]
    return found, splitter.close()


@pytest.mark.parametrize("data", STREAMS.values(), ids=STREAMS)
def test_every_cut_gives_the_payloads_that_the_judge_sees(data: bytes) -> None:
    wanted = expected(data)
    assert wanted[0]
    assert split(data) == wanted
    for cut in range(1, len(data)):
        assert split(data[:cut], data[cut:]) == wanted, f"cut at {cut}"
    assert split(*(data[at : at + 1] for at in range(len(data)))) == wanted
    assert split(*(data[at : at + 3] for at in range(0, len(data), 3))) == wanted


def test_an_event_without_end_is_refused_and_not_collected() -> None:
    splitter = Splitter()
    piece = b"x" * (1 << 20)
    for _ in range(MAX_EVENT // len(piece)):
        assert splitter.feed(piece) == []
    with pytest.raises(ValueError, match=f"more than {MAX_EVENT} bytes"):
        splitter.feed(piece)
