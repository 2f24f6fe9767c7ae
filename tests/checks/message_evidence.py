"""Hand-made evidence of messages: short ways to write a call, its reply and its provider's side down."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from weighbridge.evidence import Call, Chunk, Ending, Exchange, Request, Response, UpstreamCall
from weighbridge.scenario import Scenario

JSON = (("Content-Type", "application/json"),)
#: What the operator of the judged gateway pays its provider with.
KEY = "sk-operator-key-1234"


def post(
    *,
    body: Any = None,
    provider: str = "anthropic",
    status: int | None = 200,
    ending: str = "complete",
    at: int = 1,
) -> UpstreamCall:
    """One POST as the simulator saw it."""
    return UpstreamCall(
        seq=at,
        id="w-1",
        upstream="default",
        provider=provider,
        operation="messages",
        method="POST",
        path="/v1/messages",
        headers=(),
        credential=hashlib.sha256(KEY.encode()).hexdigest()[:16],
        body=json.dumps(body or {}),
        model="m",
        stream=False,
        arrived_ns=at,
        status=status,
        events_sent=0,
        ending=ending,
    )


def call(
    body: Any,
    *,
    status: int = 200,
    sent: Any = None,
    scenario: Scenario | None = None,
    situation: str = "plain",
    upstream: tuple[UpstreamCall, ...] | None = (post(),),
    headers: tuple[tuple[str, str], ...] = JSON,
    ending: Ending = Ending.COMPLETE,
    streamed: bool = False,
) -> Call:
    """One exchange; bytes go as they are, everything else as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request(
        "POST", "http://target/v1/messages", (), json.dumps(sent or {"max_tokens": 16}).encode()
    )
    seen = Exchange("w-1", request, Response(status, headers, (Chunk(0.0, raw),)), ending, 0.0, 1.0)
    return Call(
        seen, situation, "messages", "anthropic", "m", scenario=scenario, upstream=upstream, streamed=streamed
    )


def message(**changes: Any) -> dict[str, Any]:
    """A whole reply, with changes."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "Hello."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 9, "output_tokens": 3},
    } | changes
