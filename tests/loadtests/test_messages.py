"""What a message stream says, and the class of each way to fail."""

import json
from typing import Any

import pytest

from loadtests.dialect import failure_of
from loadtests.messages import MessageStream
from weighbridge.evidence import Ending
from weighbridge.load.figures import Failure

TEXT = 'Hello "naïve" 東京 🚚 world'


def event(kind: str, **members: Any) -> bytes:
    body = json.dumps({"type": kind, **members}, ensure_ascii=False).encode()
    return b"event: " + kind.encode() + b"\ndata: " + body + b"\n\n"


def delta(text: str) -> bytes:
    return event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})


START = event("message_start", message={"content": [], "usage": {"input_tokens": 3}})
OPEN = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
PING = event("ping")
TEXTS = [delta(piece) for piece in ("Hello", ' "naïve"', " 東京 🚚", " world")]
CLOSE = event("content_block_stop", index=0)
REASON = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 9})
STOP = event("message_stop")
BODY = START + OPEN + PING + b"".join(TEXTS) + CLOSE
WHOLE = BODY + REASON + STOP

CASES: dict[str, tuple[bytes, Failure | None]] = {
    "whole": (WHOLE, None),
    "crlf": (WHOLE.replace(b"\n", b"\r\n"), None),
    "ping at the end": (WHOLE + PING, None),
    "nothing": (b"", Failure.EMPTY),
    "no ending": (BODY, Failure.TRUNCATED),
    "no message_stop": (BODY + REASON, Failure.BROKEN_ENDING),
    "no stop_reason": (BODY + STOP, Failure.BROKEN_ENDING),
    "two stops": (WHOLE + STOP, Failure.BROKEN_ENDING),
    "two reasons": (BODY + REASON + REASON + STOP, Failure.BROKEN_ENDING),
    "no start": (WHOLE.removeprefix(START), Failure.BROKEN_ENDING),
    "text after the reason": (BODY + REASON + delta("x") + STOP, Failure.BROKEN_ENDING),
    "the other format's terminator": (WHOLE + b"data: [DONE]\n\n", Failure.MALFORMED),
    "error event": (START + event("error", error={"type": "overloaded_error"}), Failure.ERROR_EVENT),
    "piece lost": (WHOLE.replace(TEXTS[2], b""), Failure.WRONG_TEXT),
}


@pytest.mark.parametrize(("data", "failure"), CASES.values(), ids=CASES)
def test_each_ending_has_its_class(data: bytes, failure: Failure | None) -> None:
    stream = MessageStream(TEXT)
    stream.feed(data)
    stream.close()
    assert failure_of(stream, Ending.COMPLETE, 200, "text/event-stream", None)[0] is failure


def test_every_cut_gives_the_same_result() -> None:
    for cut in range(1, len(WHOLE)):
        stream = MessageStream(TEXT)
        assert stream.feed(WHOLE[:cut]) + stream.feed(WHOLE[cut:]) == len(TEXTS), cut
        stream.close()
        assert failure_of(stream, Ending.COMPLETE, 200, "text/event-stream", None)[0] is None, cut


def test_tool_input_and_thinking_are_content() -> None:
    stream = MessageStream()
    kinds = ({"type": "input_json_delta", "partial_json": "{"}, {"type": "thinking_delta", "thinking": "hm"})
    stream.feed(b"".join(event("content_block_delta", index=0, delta=item) for item in kinds))
    assert stream.chunks == 2
