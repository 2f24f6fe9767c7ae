"""What a stock Anthropic client does with a reply, as a pure function: would it have raised?

The steps are those of the Python SDK (0.97.0 and 2.12.0): an unstreamed body is read as JSON only under a
JSON Content-Type; a stream is read event by event, events without a known name are skipped, the message is
created by message_start, and every delta must find its block.
"""

from __future__ import annotations

from typing import Any

from weighbridge.checks.findings import holds, member, on_success
from weighbridge.checks.message_events import MessageEvent, read
from weighbridge.evidence import Call
from weighbridge.verdict import Finding

#: Names of events that the SDK decodes; ping is skipped, error raises.
_DECODED = frozenset(
    {
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    }
)


@on_success
def client_works(call: Call) -> Finding:
    """The call as the stock client makes it, and its reply, need no adapter."""
    problem = _stream_problem(call) if call.streamed else _body_problem(call)
    return holds(call, problem is None, "a stock Anthropic client reads the reply", problem or "it does")


def _body_problem(call: Call) -> str | None:
    assert call.exchange.response is not None  # noqa: S101 - on_success saw a reply
    kind = call.exchange.response.content_type
    if not kind.endswith("json"):
        return f"Content-Type {kind or 'absent'}: the client returns text where a message is expected"
    content = member(call.exchange.json, "content")
    if not isinstance(content, list):
        return "no content array: `message.content[0].text` fails"
    if not isinstance(member(call.exchange.json, "usage"), dict):
        return "no usage: `message.usage.output_tokens` fails"
    return None


def _stream_problem(call: Call) -> str | None:
    """The first thing at which the client's accumulation of a stream would raise or lose text."""
    kinds: list[Any] | None = None
    closed = False
    for event in read(call).events:
        if event.name == "error":
            return f"event {event.index}: the client raises {event.data[:80]}"
        if event.name not in _DECODED:
            continue
        if event.json is None:
            return f"event {event.index}: its data is no JSON object"
        if kinds is None:
            if event.json.get("type") != "message_start":
                return f"event {event.index}: {event.json.get('type')!r} before message_start"
            kinds = []
            continue
        problem = _accumulate(event, kinds)
        if problem is not None:
            return f"event {event.index}: {problem}"
        closed = closed or event.json.get("type") == "message_stop"
    if kinds is None:
        return "no named event of a message: the client has no message at the end"
    return None if closed else "no message_stop: the client never emits its final message"


def _accumulate(event: MessageEvent, kinds: list[Any]) -> str | None:
    """One step of the client; `kinds` are the types of the blocks so far."""
    body = event.json
    step = member(body, "type")
    if step == "content_block_start":
        kinds.append(member(body, "content_block", "type"))
    if step == "content_block_delta":
        index = member(body, "index")
        if not isinstance(index, int) or not 0 <= index < len(kinds):
            return f"a delta for block {index!r} of {len(kinds)}"
        delta = member(body, "delta", "type")
        if delta == "text_delta" and kinds[index] != "text":
            return f"a text_delta is lost in a block of type {kinds[index]!r}"
    if step == "message_delta" and not isinstance(member(body, "usage"), dict):
        return "message_delta without usage: `event.usage.output_tokens` fails"
    return None
