"""What a stock OpenAI client needs of an answer in order to hand it to its caller without an adapter.

Not the whole schema: a missing member that no client reads breaks nobody. What is here raises an exception
or loses the answer in the Python and Node SDKs.
"""

from __future__ import annotations

from typing import Any

from weighbridge.checks.findings import broken, excerpt, holds, is_int, member, met, on_success
from weighbridge.checks.transcripts import Transcript, on_stream
from weighbridge.evidence import Call
from weighbridge.verdict import Finding

_REQUIRED = "a stock OpenAI client can read the answer"


def _message_trouble(message: Any) -> str | None:
    """Why a client cannot use a message, or None if it can."""
    if not isinstance(message, dict):
        return f"message is {excerpt(str(message))}"
    content, tools = message.get("content"), message.get("tool_calls")
    if content is not None and not isinstance(content, str):
        return f"message.content is a {type(content).__name__}"
    if content is None and not isinstance(tools, list):
        return "the message has neither content nor tool_calls"
    return None


@on_success
def reads_completion(call: Call) -> Finding:
    """One JSON object, served as JSON, whose first choice holds a usable message."""
    response = call.exchange.response
    if response is None or not isinstance(response.json, dict):
        return broken(call, _REQUIRED, "the body is no JSON object")
    if response.content_type != "application/json":
        return broken(call, _REQUIRED, f"Content-Type {response.content_type or 'absent'}")
    choice = member(response.json, "choices", 0)
    if not isinstance(choice, dict):
        return broken(call, _REQUIRED, "choices[0] is missing")
    trouble = _message_trouble(choice.get("message"))
    return (
        broken(call, _REQUIRED, trouble) if trouble else met(call, _REQUIRED, "choices[0].message is usable")
    )


@on_stream
def reads_stream(call: Call, stream: Transcript) -> Finding:
    """An event stream of JSON chunks with text or tool calls, which the client's loop leaves at `[DONE]`."""
    response = call.exchange.response
    if response is None or response.content_type != "text/event-stream":
        return broken(call, _REQUIRED, f"Content-Type {response.content_type if response else 'absent'}")
    for piece in stream.events:
        if piece.json is None and not piece.is_done:
            return broken(call, _REQUIRED, f"event {piece.index} is no JSON: {excerpt(piece.data)}")
    deltas = [choice.get("delta") for piece in stream.chunks for choice in piece.choices]
    usable = [delta for delta in deltas if isinstance(delta, dict)]
    indexed = all(is_int(choice.get("index")) for piece in stream.chunks for choice in piece.choices)
    told = any(delta.get("content") or delta.get("tool_calls") for delta in usable)
    return holds(
        call,
        len(usable) == len(deltas) and indexed and told,
        _REQUIRED,
        f"{len(usable)} of {len(deltas)} deltas are objects, {'some' if told else 'none'} with content",
    )
