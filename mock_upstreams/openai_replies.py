"""Rendering a reply as OpenAI does: one completion object, or a stream of chunks that ends with [DONE].

Order of a stream: a chunk with the role, chunks with content, a chunk with an empty delta and the finish reason,
a chunk with usage and no choices if asked for, [DONE].
"""

import itertools
from collections.abc import Collection, Sequence
from typing import Any, Final

import orjson

from mock_upstreams.calls import Call, Identity
from mock_upstreams.errors import OPENAI, error_object, request_id_header
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
from mock_upstreams.scenario import NO_SCENARIO, Scenario
from mock_upstreams.stencils import GAP

_FINGERPRINT: Final = "fp_5ca1ab1e00"
_DONE: Final = b"data: [DONE]\n\n"
_ROLE: Final = b'{"role":"assistant","content":"","refusal":null}'
_ROLE_OF_TOOLS: Final = b'{"role":"assistant","content":null,"refusal":null}'
_PIECE: Final = b"\1"
"""Where a piece of the text goes: a byte that JSON cannot hold."""
_WRONG_BY: Final = 7
"""How far fault=wrong_usage moves the total from its parts."""


def _usage(usage: Usage, scenario: Scenario) -> dict[str, Any]:
    prompt_details: dict[str, Any] = {"cached_tokens": usage.cached, "audio_tokens": 0}
    if usage.written:
        prompt_details["cache_write_tokens"] = usage.written
    total = usage.input + usage.output
    found: dict[str, Any] = {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": total + _WRONG_BY if scenario.fault == "wrong_usage" else total,
        "prompt_tokens_details": prompt_details,
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    if usage.searches:
        found["server_tool_use"] = {"web_search_requests": usage.searches}
    return found


def _message(reply: Reply, identity: Identity, index: int) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text, "refusal": None, "annotations": []}
    if reply.tools:
        message["content"] = reply.text or None
        message["tool_calls"] = [
            {
                "id": _tool_id(identity, index, at),
                "type": "function",
                "function": {"name": tool.name, "arguments": tool.arguments},
            }
            for at, tool in enumerate(reply.tools)
        ]
    return message


def _tool_id(identity: Identity, index: int, at: int) -> str:
    """The id of one tool call: the `at`-th of the choice `index`."""
    return f"call_{identity.digits[:20]}{at:02x}{index:02x}"


def _logprobs(call: Call, reply: Reply) -> dict[str, Any] | None:
    if call.logprobs is None:
        return None
    pieces = encoded_pieces(reply.text, reply.pieces)
    return {"content": text_logprobs(pieces, call.logprobs), "refusal": None}


def completion(call: Call, reply: Reply, identity: Identity, scenario: Scenario) -> Document:
    """The whole answer as one object."""
    logprobs = _logprobs(call, reply)
    body: dict[str, Any] = {
        "id": f"chatcmpl-{identity.digits}",
        "object": "chat.completion",
        "created": identity.created,
        "model": call.model,
        "choices": [
            {
                "index": index,
                "message": _message(reply, identity, index),
                "logprobs": logprobs,
                "finish_reason": reply.finish,
            }
            for index in range(call.n)
        ],
        "usage": _usage(reply.usage, scenario),
        "service_tier": "default",
        "system_fingerprint": _FINGERPRINT,
    }
    if scenario.fault == "no_usage":
        del body["usage"]
    return json_document(200, body, request_id_header(OPENAI, identity.request_id))


def _piece_logprobs(pieces: Sequence[bytes], top: int) -> list[dict[str, Any]]:
    return [{"content": [found], "refusal": None} for found in text_logprobs(pieces, top)]


def stream_name(identity: Identity) -> bytes:
    """The members of a chunk in which two streams with the same content differ."""
    return b'"id":"chatcmpl-%b","object":"chat.completion.chunk","created":%d' % (
        identity.digits.encode(),
        identity.created,
    )


class _Chunks:
    """Chunks of one stream: everything that does not change is encoded once."""

    def __init__(self, model: str, name: bytes, *, null_usage: bool) -> None:
        shell = {"model": model, "service_tier": "default", "system_fingerprint": _FINGERPRINT}
        self._open = b"data: {" + name + b"," + orjson.dumps(shell)[1:-1] + b',"choices":['
        self._tail = b'],"usage":null}\n\n' if null_usage else b"]}\n\n"

    def choice(self, index: int, delta: bytes, finish: bytes = b"null") -> bytes:
        return b'%b{"index":%d,"delta":%b,"logprobs":null,"finish_reason":%b}%b' % (
            self._open,
            index,
            delta,
            finish,
            self._tail,
        )

    def content(self, index: int, pieces: Sequence[bytes], top: int | None) -> Run:
        if top is not None:
            before, between, after = (
                self.choice(index, b'{"content":%b}' % _PIECE)
                .replace(b'"logprobs":null', b'"logprobs":' + _PIECE)
                .split(_PIECE)
            )
            found = _piece_logprobs(pieces, top)
            grown = [piece + between + orjson.dumps(one) for piece, one in zip(pieces, found, strict=True)]
            return Run(Kind.CONTENT, before, grown, after)
        before, after = self.choice(index, b'{"content":%b}' % _PIECE).split(_PIECE)
        return Run(Kind.CONTENT, before, pieces, after)

    def tool(self, index: int, at: int, tool: ToolCall, call_id: str) -> list[Event | Run]:
        first = {
            "index": at,
            "id": call_id,
            "type": "function",
            "function": {"name": tool.name, "arguments": ""},
        }
        fragment = b'{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}' % (at, _PIECE)
        before, after = self.choice(index, fragment).split(_PIECE)
        opening = self.choice(index, orjson.dumps({"tool_calls": [first]}))
        pieces = encoded_pieces(tool.arguments, tool.fragments)
        return [(Kind.LEAD, opening), Run(Kind.CONTENT, before, pieces, after)]

    def usage(self, usage: dict[str, Any]) -> bytes:
        return self._open + b'],"usage":' + orjson.dumps(usage) + b"}\n\n"


def _reports_usage(call: Call, scenario: Scenario) -> bool:
    return call.include_usage and scenario.fault != "no_usage"


def chunk_stream(call: Call, reply: Reply, identity: Identity, scenario: Scenario) -> StreamParts:
    """The whole answer as chunks; choices take turns."""
    reports_usage = _reports_usage(call, scenario)
    chunks = _Chunks(call.model, stream_name(identity), null_usage=reports_usage)
    choices = range(call.n)
    role = _ROLE_OF_TOOLS if reply.tools and not reply.text else _ROLE
    events: list[Event | Run] = [(Kind.LEAD, chunks.choice(index, role)) for index in choices]
    pieces = encoded_pieces(reply.text, reply.pieces)
    texts = [chunks.content(index, pieces, call.logprobs) for index in choices]
    events += texts if call.n == 1 else itertools.chain.from_iterable(zip(*map(Script, texts), strict=True))
    for index in choices if reply.tools else ():
        for at, tool in enumerate(reply.tools):
            events += chunks.tool(index, at, tool, _tool_id(identity, index, at))
    finish = orjson.dumps(reply.finish)
    events += [(Kind.FINISH, chunks.choice(index, b"{}", finish)) for index in choices]
    if reports_usage:
        events.append((Kind.USAGE, chunks.usage(_usage(reply.usage, scenario))))
    events.append((Kind.END, _DONE))
    return stream_parts(Script(*events), call, identity, scenario)


def plain_chunks(model: str, text: str, pieces: int, finish: str, usage: Usage | None) -> Script:
    """The events of a plain answer, one choice and nothing but text, with a gap for the name in each.

    `usage` is reported if there is one.
    """
    chunks = _Chunks(model, GAP, null_usage=usage is not None)
    events: list[Event | Run] = [
        (Kind.LEAD, chunks.choice(0, _ROLE)),
        chunks.content(0, encoded_pieces(text, pieces), None),
        (Kind.FINISH, chunks.choice(0, b"{}", orjson.dumps(finish))),
    ]
    if usage is not None:
        events.append((Kind.USAGE, chunks.usage(_usage(usage, NO_SCENARIO))))
    events.append((Kind.END, _DONE))
    return Script(*events)


def stream_parts(
    events: Collection[Event], call: Call, identity: Identity, scenario: Scenario
) -> StreamParts:
    """A stream with its headers, and with what its faults need."""

    def spoilers() -> Spoilers:
        chunks = _Chunks(call.model, stream_name(identity), null_usage=_reports_usage(call, scenario))
        late = chunks.choice(0, b'{"content":" (late)"}')
        message = scenario.message or "The server had an error while processing your request."
        error = error_object(OPENAI, 500, message, identity.request_id)
        return Spoilers(
            error=b"data: " + orjson.dumps(error) + b"\n\n",
            unknown=b'event: simulator.unknown\ndata: {"object":"simulator.unknown","choices":[]}\n\n',
            truncated=late[: len(late) * 2 // 3] + b"\n\n",
            late=late,
        )

    headers = (*EVENT_STREAM_HEADERS, request_id_header(OPENAI, identity.request_id))
    return StreamParts(headers, events, spoilers)
