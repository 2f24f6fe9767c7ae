"""Hand-made evidence of chat calls: short ways to write an exchange down."""

from __future__ import annotations

import json
from typing import Any

from weighbridge.evidence import Call, Chunk, Ending, Exchange, Reading, Request, Response, UpstreamCall
from weighbridge.scenario import Scenario

MODEL = "gpt-5.5"
TEXT = "Hello, 東京"


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> str:
    """One chunk as a data line."""
    document = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1764000000,
        "model": MODEL,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **more,
    }
    return f"data: {json.dumps(document, ensure_ascii=False)}\n\n"


ROLE = chunk({"role": "assistant", "content": ""})
FIRST = chunk({"content": TEXT[:5]})
SECOND = chunk({"content": TEXT[5:]})
FINISH = chunk({}, "stop")
DONE = "data: [DONE]\n\n"
GOOD = ROLE + FIRST + SECOND + FINISH + DONE


def post(
    *, status: int | None = 200, seq: int = 1, body: Any = None, ending: str = "complete"
) -> UpstreamCall:
    """One POST as the simulator saw it."""
    return UpstreamCall(
        seq=seq,
        id="w-1",
        upstream="default",
        provider="openai",
        operation="chat",
        method="POST",
        path="/v1/chat/completions",
        headers=(),
        credential=None,
        body=json.dumps(body or {}),
        model=MODEL,
        stream=False,
        arrived_ns=seq * 10**9,
        status=status,
        events_sent=0,
        ending=ending,
    )


def call(
    body: str | bytes | dict[str, Any],
    *,
    status: int | None = 200,
    kind: str = "application/json",
    streamed: bool = False,
    ending: Ending = Ending.COMPLETE,
    scenario: Scenario | None = None,
    request: dict[str, Any] | None = None,
    upstream: tuple[UpstreamCall, ...] | None = None,
    situation: str = "plain",
    role: str = "openai",
    headers: tuple[tuple[str, str], ...] = (),
    started: float = 0.0,
    id_: str = "w-1",
) -> Call:
    """A call and its reply."""
    raw = (
        json.dumps(body).encode()
        if isinstance(body, dict)
        else body.encode()
        if isinstance(body, str)
        else body
    )
    response = (
        None if status is None else Response(status, (("Content-Type", kind), *headers), (Chunk(0.1, raw),))
    )
    sent = Request("POST", "http://gw/v1/chat/completions", (), json.dumps(request or {}).encode())
    return Call(
        exchange=Exchange(id_, sent, response, ending, started, 0.2),
        situation=situation,
        surface="chat",
        role=role,
        model=MODEL,
        scenario=scenario,
        streamed=streamed,
        upstream=upstream,
    )


def stream(text: str, **options: Any) -> Call:
    """A streamed call whose body is this."""
    return call(text, kind="text/event-stream", streamed=True, **options)


def reading(amount: int, moment: str, at: float = 0.0, label: str = "charge/openai") -> Reading:
    """One reading of a chat balance, in pico-dollars."""
    return Reading(label, moment, "chat", "chat.fresh", amount, at)
