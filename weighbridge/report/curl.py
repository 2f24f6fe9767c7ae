"""A command line that repeats an exchange when pasted; secrets become environment variables.

A body that fits into no argument is read from a file beside the report, named by its content; the line is then
pasted in the report's folder.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable

from weighbridge.bait import UNKNOWN_KEY
from weighbridge.evidence import Call
from weighbridge.redaction import MARK

_LEFT_OUT = {"user-agent", "accept"}
#: A word longer than this fits into no argument (Linux: 128 KiB, with what else stands in the line).
_MAX_WORD = 100_000
#: Where such bodies stand, below the report's folder.
BODIES = "bodies"


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


def body_file(body: bytes) -> str | None:
    """The file that holds a body which fits into no argument, below the report's folder; None for the others."""
    # An argument ends at a zero byte, `$(...)` loses line breaks at its end, and curl reads what @ names.
    if b"\0" in body or body.startswith(b"@") or body.endswith(b"\n") or len(_word(body)) > _MAX_WORD:
        return f"{BODIES}/{hashlib.sha256(body).hexdigest()[:16]}.json"
    return None


def body_files(calls: Iterable[Call]) -> dict[str, bytes]:
    """The files that the lines of these calls read, with their content."""
    bodies = (call.exchange.request.body for call in calls)
    return {name: body for body in bodies if (name := body_file(body)) is not None}


def _body(body: bytes) -> str:
    """The body as one word of a shell."""
    file = body_file(body)
    return _word(body) if file is None else f"@{file}"


def _word(body: bytes) -> str:
    """The bytes themselves; what is no text is spelt out in octal for `printf`."""
    try:
        return shlex.quote(body.decode("utf-8"))
    except UnicodeDecodeError:
        octal = "".join(f"\\{byte:03o}" for byte in body)
        return f"\"$(printf '{octal}')\""
