"""Evidence made by hand, for views and files to be tested on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from weighbridge.clock import Clock
from weighbridge.engine import Evidence
from weighbridge.evidence import (
    Call,
    Chunk,
    Ending,
    Exchange,
    Headers,
    Observation,
    Request,
    Response,
    RunFacts,
)

JSON: Headers = (("Content-Type", "application/json"),)
SSE: Headers = (("Content-Type", "text/event-stream"),)


def call(
    id_: str,
    *,
    situation: str = "plain",
    request: bytes = b'{"model": "gpt-5.5"}',
    status: int = 200,
    headers: Headers = JSON,
    body: bytes = b'{"object": "chat.completion"}',
    chunks: tuple[Chunk, ...] | None = None,
    **change: Any,
) -> Call:
    """An answered call."""
    return Call(
        exchange=Exchange(
            id=id_,
            request=Request(
                "POST",
                "http://127.0.0.1:9/v1/chat/completions",
                (("Authorization", "Bearer <redacted>"), *JSON),
                request,
            ),
            response=Response(status, headers, (Chunk(0.02, body),) if chunks is None else chunks),
            ending=change.pop("ending", Ending.COMPLETE),
            started=change.pop("started", 1.0),
            ended_at=change.pop("ended_at", 0.5),
            head_at=0.01,
        ),
        situation=situation,
        surface=change.pop("surface", "chat"),
        role=change.pop("role", "openai"),
        model=change.pop("model", "gpt-5.5"),
        principal="chat.funded",
        **change,
    )


def stream(id_: str, pieces: Sequence[tuple[float, bytes]], **change: Any) -> Call:
    """A streamed call."""
    chunks = tuple(Chunk(at, data) for at, data in pieces)
    return call(id_, headers=SSE, chunks=chunks, streamed=True, **change)


def evidence(
    *observations: Observation, preflight: tuple[Call, ...] = (), clock: Clock | None = None
) -> Evidence:
    """What a run saw."""
    return Evidence(
        facts=RunFacts(),
        observations={item.probe: item for item in observations},
        preflight=preflight,
        unwired=(),
        duration=1.0,
        clock=clock,
    )
