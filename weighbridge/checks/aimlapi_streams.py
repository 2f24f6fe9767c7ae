"""Rules about a streamed reply of AI/ML API (AIML-STR), and where its streams differ from other chat streams.

This vendor's streams may end without `[DONE]`, so a finish_reason and a clean end of the connection are a
normal ending here; and the name in `model` may be either of the two listed ones (reading C35).
"""

from __future__ import annotations

import json

from weighbridge.checks.aimlapi import is_text, is_unix_time
from weighbridge.checks.findings import broken, excerpt, met
from weighbridge.checks.transcripts import Piece, Transcript, on_stream
from weighbridge.evidence import Call
from weighbridge.verdict import Finding

_IDENTITY = ("id", "created", "model")


@on_stream
def chunks_are_complete(call: Call, stream: Transcript) -> Finding:
    """Each chunk has object, id, created, model and choices."""
    required = "object chat.completion.chunk, id, created, model and choices in each chunk"
    for piece in stream.events:
        if piece.is_done:
            continue
        chunk = piece.json or {}
        problems = [
            name
            for name, good in (
                ("object", chunk.get("object") == "chat.completion.chunk"),
                ("id", is_text(chunk.get("id"))),
                ("created", is_unix_time(chunk.get("created"))),
                ("model", is_text(chunk.get("model"))),
                ("choices", isinstance(chunk.get("choices"), list)),
            )
            if not good
        ]
        if problems:
            return broken(
                call,
                required,
                f"no proper {', '.join(problems)} in event {piece.index}: {excerpt(piece.data)}",
            )
    return met(call, required, f"{len(stream.chunks)} chunks")


@on_stream
def done_is_told(call: Call, stream: Transcript) -> Finding:
    """Whether the stream ends with [DONE]; both are right here."""
    return met(call, "[DONE] is allowed, not required", "it is there" if stream.dones else "there is none")


@on_stream
def identity_is_stable(call: Call, stream: Transcript) -> Finding:
    """id, created and model are the same in all chunks."""
    required = "id, created and model the same in all chunks"
    for name in _IDENTITY:
        seen = list(dict.fromkeys(json.dumps(piece.json.get(name)) for piece in stream.chunks if piece.json))
        if len(seen) > 1:
            return broken(call, required, f"{len(seen)} values of {name}: {', '.join(seen[:3])}")
    return met(call, required, f"{len(stream.chunks)} chunks")


# ------------------------------------------------------------------ after a broken upstream
def is_error(piece: Piece) -> bool:
    """An error in the middle of a stream: any JSON object that is no chunk, since no form is documented."""
    return piece.is_error or (piece.json is not None and not isinstance(piece.json.get("choices"), list))
