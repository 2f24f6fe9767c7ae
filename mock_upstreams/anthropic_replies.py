"""Rendering a reply as Anthropic does: one message object, or a stream of named events.

Order of a stream: message_start, ping, for each block content_block_start, its deltas and content_block_stop,
then message_delta with the stop reason and cumulative usage, message_stop. Every event has its `event:` line.
"""

import base64
import hashlib
from collections.abc import Sequence
from typing import Any, Final

import orjson

from mock_upstreams.calls import Call, Identity
from mock_upstreams.errors import ANTHROPIC, error_object, request_id_header
from mock_upstreams.plans import (
    EVENT_STREAM_HEADERS,
    Document,
    Event,
    Kind,
    Run,
    Script,
    Spoilers,
    StreamParts,
    json_document,
)
from mock_upstreams.replies import Reply, Usage, encoded_pieces
from mock_upstreams.scenario import Scenario

_STOP_REASONS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
SEARCH_BLOCKS: Final = 16
"""Searches that are shown as blocks; the count in usage may be any."""


def signature(thinking: str) -> str:
    """Seals a thinking block, so that one that comes back changed can be told."""
    digest = hashlib.sha256(b"simulated thinking\0" + thinking.encode("utf-8", "surrogatepass")).digest()
    return base64.b64encode(digest).decode()


def _sealed(thinking: str) -> str:
    """Thinking that the caller cannot read: neither its text nor its length is in it."""
    return signature("redacted\0" + thinking)


def _stop_reason(reply: Reply) -> str:
    return "stop_sequence" if reply.stop_sequence is not None else _STOP_REASONS[reply.finish]


def _input_usage(usage: Usage) -> dict[str, Any]:
    """Anthropic's input_tokens leaves out what the cache counters count."""
    return {
        "input_tokens": usage.input - usage.cached - usage.written,
        "cache_creation_input_tokens": usage.written,
        "cache_read_input_tokens": usage.cached,
    }


def _usage(usage: Usage) -> dict[str, Any]:
    found = {**_input_usage(usage), "output_tokens": usage.output}
    if usage.searches:
        found["server_tool_use"] = {"web_search_requests": usage.searches, "web_fetch_requests": 0}
    return found


def _whole_usage(usage: Usage, output: int) -> dict[str, Any]:
    return {
        **_usage(usage),
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.written - usage.written_long,
            "ephemeral_1h_input_tokens": usage.written_long,
        },
        "output_tokens": output,
        "service_tier": "standard",
    }


def _tool_id(identity: Identity, at: int) -> str:
    return f"toolu_{identity.digits[:22]}{at:02x}"


def _search_blocks(call: Call, reply: Reply, identity: Identity) -> list[dict[str, Any]]:
    """The searches of a call that offers the provider's web search: what was asked, and what was found."""
    if not call.searching:
        return []
    blocks: list[dict[str, Any]] = []
    for i in range(min(reply.usage.searches, SEARCH_BLOCKS)):
        search_id = f"srvtoolu_{identity.digits[:22]}{i:02x}"
        query = f"simulated query {i + 1}"
        results = [
            {
                "type": "web_search_result",
                "title": f"Simulated result {i + 1}.{rank}",
                "url": f"https://example.com/{i + 1}/{rank}",
                "encrypted_content": signature(f"{query} {rank}"),
                "page_age": "1 day ago",
            }
            for rank in (1, 2)
        ]
        blocks += [
            {"type": "server_tool_use", "id": search_id, "name": "web_search", "input": {"query": query}},
            {"type": "web_search_tool_result", "tool_use_id": search_id, "content": results},
        ]
    return blocks


def _content(call: Call, reply: Reply, identity: Identity) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if reply.thinking is not None and reply.redacted:
        blocks.append({"type": "redacted_thinking", "data": _sealed(reply.thinking)})
    elif reply.thinking is not None:
        blocks.append(
            {"type": "thinking", "thinking": reply.thinking, "signature": signature(reply.thinking)}
        )
    blocks += _search_blocks(call, reply, identity)
    if reply.text:
        blocks.append({"type": "text", "text": reply.text})
    for at, tool in enumerate(reply.tools):
        arguments = orjson.loads(tool.arguments)
        blocks.append(
            {"type": "tool_use", "id": _tool_id(identity, at), "name": tool.name, "input": arguments}
        )
    return blocks


def message(call: Call, reply: Reply, identity: Identity, scenario: Scenario) -> Document:
    """The whole answer as one object."""
    body: dict[str, Any] = {
        "id": f"msg_{identity.digits[:24]}",
        "type": "message",
        "role": "assistant",
        "model": call.model,
        "content": _content(call, reply, identity),
        "stop_reason": _stop_reason(reply),
        "stop_sequence": reply.stop_sequence,
        "usage": _whole_usage(reply.usage, reply.usage.output),
    }
    if scenario.fault == "no_usage":
        del body["usage"]
    return json_document(200, body, request_id_header(ANTHROPIC, identity.request_id))


def _event(kind: Kind, data: dict[str, Any]) -> Event:
    return kind, b"event: %b\ndata: %b\n\n" % (data["type"].encode(), orjson.dumps(data))


def _delta(index: int, kind: str, field: str, value: str) -> Event:
    delta = {"type": kind, field: value}
    return _event(Kind.LEAD, {"type": "content_block_delta", "index": index, "delta": delta})


def _deltas(index: int, kind: str, field: str, pieces: Sequence[bytes]) -> Run:
    """Content events; what does not change from one to the next is encoded once."""
    _, model = _delta(index, kind, field, "\0")
    before, after = model.split(b'"\\u0000"')
    return Run(Kind.CONTENT, before, pieces, after)


def _start(index: int, block: dict[str, Any]) -> Event:
    return _event(Kind.LEAD, {"type": "content_block_start", "index": index, "content_block": block})


def _stop(index: int) -> Event:
    return _event(Kind.NOW, {"type": "content_block_stop", "index": index})


def _blocks(call: Call, reply: Reply, identity: Identity) -> list[Event | Run]:
    events: list[Event | Run] = []
    index = 0
    if reply.thinking is not None and reply.redacted:
        events += [_start(0, {"type": "redacted_thinking", "data": _sealed(reply.thinking)}), _stop(0)]
        index += 1
    elif reply.thinking is not None:
        events += [
            _start(index, {"type": "thinking", "thinking": "", "signature": ""}),
            _delta(index, "thinking_delta", "thinking", reply.thinking),
            _delta(index, "signature_delta", "signature", signature(reply.thinking)),
            _stop(index),
        ]
        index += 1
    for block in _search_blocks(call, reply, identity):
        if block["type"] == "server_tool_use":
            query = orjson.dumps(block["input"]).decode()
            events += [
                _start(index, {**block, "input": {}}),
                _delta(index, "input_json_delta", "partial_json", query),
            ]
        else:
            events.append(_start(index, block))
        events.append(_stop(index))
        index += 1
    if reply.text:
        events.append(_start(index, {"type": "text", "text": ""}))
        events.append(_deltas(index, "text_delta", "text", encoded_pieces(reply.text, reply.pieces)))
        events.append(_stop(index))
        index += 1
    for at, tool in enumerate(reply.tools):
        block = {"type": "tool_use", "id": _tool_id(identity, at), "name": tool.name, "input": {}}
        events.append(_start(index, block))
        events.append(_delta(index, "input_json_delta", "partial_json", ""))
        fragments = encoded_pieces(tool.arguments, tool.fragments)
        events.append(_deltas(index, "input_json_delta", "partial_json", fragments))
        events.append(_stop(index))
        index += 1
    return events


def event_stream(call: Call, reply: Reply, identity: Identity, scenario: Scenario) -> StreamParts:
    """The whole answer as events."""
    reports_usage = scenario.fault != "no_usage"
    opening: dict[str, Any] = {
        "id": f"msg_{identity.digits[:24]}",
        "type": "message",
        "role": "assistant",
        "model": call.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }
    if reports_usage:
        opening["usage"] = _whole_usage(reply.usage, min(1, reply.usage.output))
    ending: dict[str, Any] = {
        "type": "message_delta",
        "delta": {"stop_reason": _stop_reason(reply), "stop_sequence": reply.stop_sequence},
    }
    if reports_usage:
        ending["usage"] = _usage(reply.usage)
    events = Script(
        _event(Kind.NOW, {"type": "message_start", "message": opening}),
        _event(Kind.NOW, {"type": "ping"}),
        *_blocks(call, reply, identity),
        _event(Kind.FINISH, ending),
        _event(Kind.END, {"type": "message_stop"}),
    )

    def spoilers() -> Spoilers:
        _, late = _delta(0, "text_delta", "text", " (late)")
        error = error_object(ANTHROPIC, 529, scenario.message or "Overloaded", identity.request_id)
        return Spoilers(
            error=b"event: error\ndata: " + orjson.dumps(error) + b"\n\n",
            unknown=b'event: simulator_unknown\ndata: {"type":"simulator_unknown"}\n\n',
            truncated=late[: len(late) * 2 // 3] + b"\n\n",
            late=late,
        )

    headers = (*EVENT_STREAM_HEADERS, request_id_header(ANTHROPIC, identity.request_id))
    return StreamParts(headers, events, spoilers)
