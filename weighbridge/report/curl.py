"""A command line that repeats an exchange when pasted; secrets become environment variables."""

from __future__ import annotations

import shlex

from weighbridge.evidence import Call
from weighbridge.redaction import MARK

_LEFT_OUT = {"user-agent", "accept"}
#: A body longer than this is not pasted; the evidence file holds it.
_MAX_BODY = 4000


def curl(call: Call) -> str:
    """The curl line for a call. The redacted key is read from `$KEY`."""
    request = call.exchange.request
    words = ["curl", "-sS", "-i"]
    if call.streamed:
        words.append("-N")
    if request.method != "POST" or not request.body:
        words += ["-X", request.method]
    words.append(shlex.quote(request.url))
    for name, value in request.headers:
        if name.lower() not in _LEFT_OUT:
            text = f"{name}: {value}"
            quoted = shlex.quote(text)
            if MARK in text:
                quoted = '"' + text.replace(MARK, "$KEY").replace('"', '\\"') + '"'
            words += ["-H", quoted]
    if request.body:
        text = request.body.decode("utf-8", errors="replace")
        words += ["--data-binary", shlex.quote(text) if len(text) <= _MAX_BODY else "@body.json"]
    return " ".join(words)
