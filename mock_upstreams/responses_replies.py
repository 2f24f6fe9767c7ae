"""Rendering a reply as OpenAI's Responses API does: one response object, or a stream of named, numbered events.

Order of a stream: response.created, response.in_progress; for each output item output_item.added, its parts and
deltas, output_item.done; then response.completed (or response.incomplete). There is no [DONE].
"""

from collections.abc import Sequence
from typing import Any, Final

import orjson

from mock_upstreams.anthropic_replies import SEARCH_BLOCKS, signature
from mock_upstreams.calls import Call, Identity
from mock_upstreams.errors import OPENAI, request_id_header
from mock_upstreams.logprobs import text_logprobs
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
from mock_upstreams.replies import Reply, ToolCall, Usage, encoded_pieces
from mock_upstreams.scenario import Scenario

_WRONG_BY: Final = 7
_INCOMPLETE: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}


def _usage(usage: Usage, scenario: Scenario) -> dict[str, Any]:
    total = usage.input + usage.output
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.written},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": total + _WRONG_BY if scenario.fault == "wrong_usage" else total,
    }


def _reasoning_item(reply: Reply, identity: Identity) -> dict[str, Any] | None:
    if reply.thinking is None and not reply.usage.reasoning:
        return None
    item: dict[str, Any] = {"id": f"rs_{identity.digits}", "type": "reasoning", "summary": []}
    if reply.redacted:
        item["encrypted_content"] = signature(reply.thinking or "")
    elif reply.thinking is not None:
        item["summary"] = [{"type": "summary_text", "text": reply.thinking}]
    return item


def _search_items(call: Call, reply: Reply, identity: Identity) -> list[dict[str, Any]]:
    count = min(reply.usage.searches, SEARCH_BLOCKS) if call.searching else 0
    return [
        {
            "id": f"ws_{identity.digits[:30]}{i:02x}",
            "type": "web_search_call",
            "status": "completed",
            "action": {"type": "search", "query": f"simulated query {i + 1}"},
        }
        for i in range(count)
    ]


def _message_item(call: Call, reply: Reply, identity: Identity) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "output_text", "text": reply.text, "annotations": [], "logprobs": []}
    if call.logprobs is not None:
        part["logprobs"] = text_logprobs(encoded_pieces(reply.text, reply.pieces), call.logprobs)
    return {
        "id": f"msg_{identity.digits}",
        "type": "message",
        "role": "assistant",
        "status": "incomplete" if reply.finish in _INCOMPLETE else "completed",
        "content": [part],
    }


def _call_item(tool: ToolCall, identity: Identity, at: int) -> dict[str, Any]:
    return {
        "id": f"fc_{identity.digits[:30]}{at:02x}",
        "type": "function_call",
        "call_id": f"call_{identity.digits[:22]}{at:02x}",
        "name": tool.name,
        "arguments": tool.arguments,
        "status": "completed",
    }


def _output(call: Call, reply: Reply, identity: Identity) -> list[dict[str, Any]]:
    reasoning = _reasoning_item(reply, identity)
    items = [] if reasoning is None else [reasoning]
    items += _search_items(call, reply, identity)
    if reply.text or not reply.tools:
        items.append(_message_item(call, reply, identity))
    return items + [_call_item(tool, identity, at) for at, tool in enumerate(reply.tools)]


def response_object(
    call: Call, reply: Reply, identity: Identity, scenario: Scenario, *, status: str
) -> dict[str, Any]:
    """The response; one that is `in_progress` has neither output nor usage yet."""
    over = status != "in_progress"
    incomplete = _INCOMPLETE.get(reply.finish) if over else None
    found: dict[str, Any] = {
        "id": f"resp_{identity.digits}",
        "object": "response",
        "created_at": identity.created,
        "status": status,
        "completed_at": identity.created if status == "completed" else None,
        "error": None,
        "incomplete_details": {"reason": incomplete} if incomplete else None,
        "model": call.model,
        "output": _output(call, reply, identity) if over else [],
        **call.echo,
        "usage": _usage(reply.usage, scenario) if over else None,
    }
    if scenario.fault == "no_usage":
        del found["usage"]
    return found


def _status(reply: Reply) -> str:
    return "incomplete" if reply.finish in _INCOMPLETE else "completed"


def whole_response(call: Call, reply: Reply, identity: Identity, scenario: Scenario) -> Document:
    """The whole answer as one object."""
    found = response_object(call, reply, identity, scenario, status=_status(reply))
    return json_document(200, found, request_id_header(OPENAI, identity.request_id))


class _Events:
    """The numbered events of one stream; what does not change from one delta to the next is encoded once."""

    def __init__(self) -> None:
        self.found: list[Event | Run] = []
        self._next = 0

    def add(self, kind: Kind, event: str, **fields: Any) -> None:
        data = {"type": f"response.{event}", "sequence_number": self._next, **fields}
        self._next += 1
        self.found.append((kind, b"event: response.%b\ndata: %b\n\n" % (event.encode(), orjson.dumps(data))))

    def deltas(
        self, name: str, pieces: Sequence[bytes], logprobs: Sequence[Any] | None = None, **fields: Any
    ) -> None:
        shell = orjson.dumps({"type": f"response.{name}", **fields})[:-1]
        before = b'event: response.%b\ndata: %b,"sequence_number":' % (name.encode(), shell)
        numbered: list[bytes] = []
        for i, piece in enumerate(pieces):
            extra = b"" if logprobs is None else b'"logprobs":%b,' % orjson.dumps(logprobs[i : i + 1])
            numbered.append(b'%d,%b"delta":%b' % (self._next, extra, piece))
            self._next += 1
        self.found.append(Run(Kind.CONTENT, before, numbered, b"}\n\n"))

    @property
    def count(self) -> int:
        return self._next


def _add_reasoning(events: _Events, at: int, item: dict[str, Any]) -> None:
    place = {"item_id": item["id"], "output_index": at, "summary_index": 0}
    events.add(Kind.LEAD, "output_item.added", output_index=at, item={**item, "summary": []})
    for part in item["summary"]:
        events.add(Kind.LEAD, "reasoning_summary_part.added", **place, part={**part, "text": ""})
        events.add(Kind.LEAD, "reasoning_summary_text.delta", **place, delta=part["text"])
        events.add(Kind.LEAD, "reasoning_summary_text.done", **place, text=part["text"])
        events.add(Kind.LEAD, "reasoning_summary_part.done", **place, part=part)


def _add_search(events: _Events, at: int, item: dict[str, Any]) -> None:
    events.add(Kind.LEAD, "output_item.added", output_index=at, item={**item, "status": "in_progress"})
    for step in ("in_progress", "searching", "completed"):
        events.add(Kind.LEAD, f"web_search_call.{step}", output_index=at, item_id=item["id"])


def _add_message(events: _Events, at: int, item: dict[str, Any], reply: Reply) -> None:
    (part,) = item["content"]
    place = {"item_id": item["id"], "output_index": at, "content_index": 0}
    opening = {**item, "status": "in_progress", "content": []}
    events.add(Kind.LEAD, "output_item.added", output_index=at, item=opening)
    events.add(Kind.LEAD, "content_part.added", **place, part={**part, "text": "", "logprobs": []})
    pieces = encoded_pieces(reply.text, reply.pieces)
    events.deltas("output_text.delta", pieces, part["logprobs"], **place)
    events.add(Kind.NOW, "output_text.done", **place, text=part["text"], logprobs=part["logprobs"])
    events.add(Kind.NOW, "content_part.done", **place, part=part)


def _add_call(events: _Events, at: int, item: dict[str, Any], tool: ToolCall) -> None:
    place = {"item_id": item["id"], "output_index": at}
    opening = {**item, "status": "in_progress", "arguments": ""}
    events.add(Kind.LEAD, "output_item.added", output_index=at, item=opening)
    events.deltas("function_call_arguments.delta", encoded_pieces(tool.arguments, tool.fragments), **place)
    events.add(Kind.NOW, "function_call_arguments.done", **place, arguments=tool.arguments)


def response_stream(call: Call, reply: Reply, identity: Identity, scenario: Scenario) -> StreamParts:
    """The whole answer as events."""
    final = response_object(call, reply, identity, scenario, status=_status(reply))
    events = _Events()
    opening = response_object(call, reply, identity, scenario, status="in_progress")
    events.add(Kind.NOW, "created", response=opening)
    events.add(Kind.NOW, "in_progress", response=opening)
    last = len(final["output"]) - 1
    tools = iter(reply.tools)
    for at, item in enumerate(final["output"]):
        kind = item["type"]
        if kind == "reasoning":
            _add_reasoning(events, at, item)
        elif kind == "web_search_call":
            _add_search(events, at, item)
        elif kind == "message":
            _add_message(events, at, item, reply)
        else:
            _add_call(events, at, item, next(tools))
        done = Kind.FINISH if at == last else Kind.NOW
        events.add(done, "output_item.done", output_index=at, item=item)
    events.add(Kind.END, "completed" if _status(reply) == "completed" else "incomplete", response=final)
    place = {"item_id": f"msg_{identity.digits}", "output_index": max(last, 0), "content_index": 0}

    def spoilers() -> Spoilers:
        late = _late(events.count, place)
        error = {
            "type": "error",
            "code": "server_error",
            "message": scenario.message or "The server had an error while processing your request.",
            "param": None,
            "sequence_number": events.count,
        }
        return Spoilers(
            error=b"event: error\ndata: " + orjson.dumps(error) + b"\n\n",
            unknown=b"event: response.simulator_unknown\n"
            b'data: {"type":"response.simulator_unknown","sequence_number":%d}\n\n' % events.count,
            truncated=late[: len(late) * 2 // 3] + b"\n\n",
            late=late,
        )

    headers = (*EVENT_STREAM_HEADERS, request_id_header(OPENAI, identity.request_id))
    return StreamParts(headers, Script(*events.found), spoilers)


def _late(number: int, place: dict[str, Any]) -> bytes:
    data = {
        "type": "response.output_text.delta",
        **place,
        "logprobs": [],
        "sequence_number": number,
        "delta": " (late)",
    }
    return b"event: response.output_text.delta\ndata: " + orjson.dumps(data) + b"\n\n"
