"""Stands in for a deployment while a run is rehearsed: a clock that jumps, and plain answers in every dialect."""

from __future__ import annotations

import asyncio
import json
import selectors
from typing import Any

from weighbridge.estimate import ANSWER_S
from weighbridge.evidence import Chunk, Request, Response


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        self._ahead = 0.0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        """Seconds, those that were jumped over included."""
        return super().time() + self._ahead

    def jump(self, seconds: float) -> None:
        """Pass time."""
        self._ahead += seconds


class _JumpingSelector(selectors.DefaultSelector):
    """Looks at its files without waiting; the time that it would have waited is passed at once."""

    def __init__(self, loop: JumpingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:  # only another thread can go on, so there is something to wait for
            return super().select(None)
        ready = super().select(0)
        if not ready and timeout > 0:
            self._loop.jump(timeout)
        return ready


def answer(surface: str, request: Request) -> Response:
    """A plain answer in the surface's dialect. Pure."""
    try:
        body = json.loads(request.body) if request.body else {}
    except (ValueError, RecursionError):
        body = {}
    body = body if isinstance(body, dict) else {}
    model = body.get("model") if isinstance(body.get("model"), str) else "none"
    if surface == "tasks":
        return _json(_task())
    if body.get("stream") is True:
        events = _message_events(model) if surface == "messages" else _chat_events(model)
        data = "".join(events).encode()
        return Response(200, (("Content-Type", "text/event-stream"),), (Chunk(ANSWER_S, data),))
    return _json(_message(model) if surface == "messages" else _chat(model))


def _json(document: Any) -> Response:
    data = json.dumps(document).encode()
    return Response(200, (("Content-Type", "application/json"),), (Chunk(ANSWER_S, data),))


def _chat(model: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


def _chat_events(model: Any) -> list[str]:
    head = {"id": "chatcmpl-0", "object": "chat.completion.chunk", "created": 0, "model": model}
    deltas = [({"role": "assistant", "content": "Hello."}, None), ({}, "stop")]
    chunks = [
        head | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        for delta, finish in deltas
    ]
    return [*(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks), "data: [DONE]\n\n"]


def _message(model: Any) -> dict[str, Any]:
    return {
        "id": "msg_0",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": "Hello."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }


def _message_events(model: Any) -> list[str]:
    return [
        f"event: message_start\ndata: {json.dumps({'type': 'message_start', 'message': _message(model)})}\n\n",
        'event: message_stop\ndata: {"type": "message_stop"}\n\n',
    ]


def _task() -> dict[str, Any]:
    """A task that is submitted and done at once, in the members of every documented reply."""
    task = {"id": "task_00000000000000000000000000", "task_id": "task_00000000000000000000000000"}
    done = task | {"status": "completed", "progress": 100, "output": {"urls": ["http://127.0.0.1:9/a.png"]}}
    return done | {"code": 200, "message": "ok", "data": done}
