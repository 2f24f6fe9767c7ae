"""A command line that repeats an exchange when pasted; secrets become environment variables."""

from __future__ import annotations

import shlex

from weighbridge.bait import UNKNOWN_KEY
from weighbridge.evidence import Call
from weighbridge.redaction import MARK

_LEFT_OUT = {"user-agent", "accept"}
#: A body longer than this fits into no argument; the evidence file holds it.
_MAX_BODY = 100_000


def curl(call: Call) -> str:
    """The curl line for a call. The redacted key is read from `$KEY`; one that we made up stands there itself."""
    request = call.exchange.request
    key = UNKNOWN_KEY if call.principal.endswith(".unknown") else None
    words = ["curl", "-sS", "-i"]
    if call.streamed:
        words.append("-N")
    if request.method != "POST" or not request.body:
        words += ["-X", request.method]
    words.append(shlex.quote(request.url))
    for name, value in request.headers:
        if name.lower() not in _LEFT_OUT:
            words += ["-H", _quoted(f"{name}: {value}", key)]
    if request.body:
        words += ["--data-binary", _body(request.body)]
    return " ".join(words)


def _quoted(text: str, key: str | None) -> str:
    """The text as one word of a shell, with the key in the place of the redaction mark."""
    if key is not None:
        return shlex.quote(text.replace(MARK, key))
    parts = [shlex.quote(part) if part else "" for part in text.split(MARK)]
    return '"$KEY"'.join(parts)


def _body(body: bytes) -> str:
    """The body as one word of a shell; what is no text is spelt out in octal for `printf`."""
    if len(body) > _MAX_BODY:
        return "@body.json"
    try:
        return shlex.quote(body.decode("utf-8"))
    except UnicodeDecodeError:
        octal = "".join(f"\\{byte:03o}" for byte in body)
        return f"\"$(printf '{octal}')\""
