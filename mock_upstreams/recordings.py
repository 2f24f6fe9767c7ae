"""Recordings: exchanges with a real provider, as lines of JSON, and how a call finds the one to be replayed.

The first line says what the file is; each other line is one exchange. A body is kept as text wherever it is UTF-8, with
the byte offsets and times of its parts beside it: so a part may end in the middle of a character and nothing is lost.
Secrets are masked when a line is written, each by as many asterisks as it has bytes, so that offsets and lengths hold.

A call is matched by method, path with query, and a digest of its body: without scenario tokens `[[wb:...]]` (they
differ from run to run), and of JSON bodies without regard to white space and the order of keys.
"""

import base64
import binascii
import contextlib
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import orjson

FORMAT: Final = "weighbridge-recording"
VERSION: Final = 1
ENDINGS: Final = ("complete", "fin", "rst")
_MAX_FILE_BYTES: Final = 512 * 1024 * 1024
_TOKEN: Final = re.compile(rb"\[\[wb:[^\]]*\]\]")
_SECRETS: Final = re.compile(
    rb"(?:sk|pk|rk|key|ghp|gho|xox[abp])[-_][A-Za-z0-9_-]{16,}|AIza[A-Za-z0-9_-]{30,}|AKIA[A-Z0-9]{16}"
    rb"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+"
)
_QUERY_SECRETS: Final = re.compile(
    rb"(?i)((?:^|[?&])(?:key|api[-_]?key|access[-_]?token|token|sig|signature|x-amz-[a-z-]+)=)([^&]+)"
)
_LEAST_SECRET: Final = 6
"""Bytes of a credential below which its value is not looked for in bodies: it would match by chance."""
SECRET_HEADERS: Final = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
        "cookie",
        "set-cookie",
        "openai-organization",
        "openai-project",
        "anthropic-organization-id",
    }
)


class RecordingError(Exception):
    """A recording cannot be used; the message is one sentence with file, line and remedy."""


@dataclass(frozen=True, slots=True)
class Part:
    """So many bytes of a body, and when they came: seconds after the request had been sent."""

    at_s: float
    data: bytes


@dataclass(frozen=True, slots=True)
class Recorded:
    """One exchange. `ending` says whether the body was complete, or how the connection broke instead."""

    method: str
    target: str
    digest: str
    request_headers: tuple[tuple[str, str], ...]
    request_body: bytes
    status: int
    headers: tuple[tuple[str, str], ...]
    chunked: bool
    head_s: float
    parts: tuple[Part, ...]
    ending: str

    @property
    def key(self) -> tuple[str, str, str]:
        return self.method, self.target, self.digest


def digest(body: bytes) -> str:
    """What a body is recognised by."""
    plain = _TOKEN.sub(b"", body)
    with contextlib.suppress(orjson.JSONDecodeError, orjson.JSONEncodeError):
        plain = orjson.dumps(orjson.loads(plain), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(plain).hexdigest()


def target_of(path: str, query: str) -> str:
    """Path and query as they are compared: without scenario tokens, and with credentials masked."""
    raw = f"{path}?{query}" if query else path
    return mask_target(_TOKEN.sub(b"", raw.encode("utf-8", "surrogateescape"))).decode("utf-8", "replace")


def mask_target(raw: bytes) -> bytes:
    return _QUERY_SECRETS.sub(lambda found: found[1] + b"*" * len(found[2]), raw)


def mask(body: bytes, credentials: Iterable[str] = ()) -> bytes:
    """The body with all that looks like a secret, and all given credentials, replaced by as many asterisks."""
    for credential in credentials:
        raw = credential.encode("utf-8", "surrogateescape")
        if len(raw) >= _LEAST_SECRET:
            body = body.replace(raw, b"*" * len(raw))
    return _SECRETS.sub(lambda found: b"*" * len(found[0]), body)


def header_line(upstream: str) -> bytes:
    return orjson.dumps({"format": FORMAT, "version": VERSION, "upstream": upstream}) + b"\n"


def as_line(exchange: Recorded, credentials: Iterable[str]) -> bytes:
    """An exchange as it is kept, without its secrets."""
    credentials = tuple(credentials)
    whole = mask(b"".join(part.data for part in exchange.parts), credentials)
    ends: list[int] = []
    for part in exchange.parts:
        ends.append((ends[-1] if ends else 0) + len(part.data))
    return (
        orjson.dumps(
            {
                "method": exchange.method,
                "target": exchange.target,
                "digest": exchange.digest,
                "request": {
                    "headers": _clean(exchange.request_headers),
                    **_written(mask(exchange.request_body, credentials)),
                },
                "response": {
                    "status": exchange.status,
                    "headers": _clean(exchange.headers),
                    "chunked": exchange.chunked,
                    "head_us": round(exchange.head_s * 1e6),
                    **_written(whole),
                    "part_ends": ends,
                    "part_us": [round(part.at_s * 1e6) for part in exchange.parts],
                    "ending": exchange.ending,
                },
            }
        )
        + b"\n"
    )


def _clean(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [
        (name, "***" if name in SECRET_HEADERS else mask(value.encode()).decode()) for name, value in headers
    ]


def _written(body: bytes) -> dict[str, str]:
    try:
        return {"text": body.decode("utf-8")}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode("ascii")}


# Reading


def load(path: str) -> tuple[Recorded, ...]:
    """All exchanges of a recording, in order. Raises RecordingError."""
    file = Path(path)
    try:
        if file.stat().st_size > _MAX_FILE_BYTES:
            raise RecordingError(f"{path}: larger than {_MAX_FILE_BYTES} bytes; record less at a time")
        lines = file.read_bytes().splitlines()
    except OSError as exc:
        raise RecordingError(f"{path}: {exc.strerror}; give a file that `mock record` has written") from None
    return tuple(_read(path, lines))


def _read(path: str, lines: list[bytes]) -> Iterator[Recorded]:
    head = _object(lines[0]) if lines else None
    if head is None or head.get("format") != FORMAT:
        raise RecordingError(f"{path}:1: not a recording; give a file that `mock record` has written")
    if head.get("version") != VERSION:
        raise RecordingError(
            f"{path}:1: version {head.get('version')!r} is not known here, only {VERSION}; record again"
        )
    for number, line in enumerate(lines[1:], 2):
        value = _object(line)
        try:
            if value is None:
                raise ValueError("not a JSON object")  # noqa: TRY301 - told with its line below
            yield _exchange(value)
        except (KeyError, TypeError, ValueError, binascii.Error) as exc:
            what = f"{exc.args[0]!r} is missing" if isinstance(exc, KeyError) else str(exc)
            raise RecordingError(f"{path}:{number}: {what}; was the recorder ended by force?") from None


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _exchange(value: Mapping[str, Any]) -> Recorded:
    request, response = value["request"], value["response"]
    body, ends, times = _body(response), response["part_ends"], response["part_us"]
    starts = [0, *ends]
    if len(ends) != len(times) or starts != sorted(starts) or starts[-1] != len(body):
        raise ValueError("part_ends and part_us do not fit the body")
    status, ending = response["status"], response["ending"]
    if ending not in ENDINGS or not isinstance(status, int) or not 200 <= status <= 599:
        raise ValueError("the ending or the status is unknown")
    return Recorded(
        method=value["method"],
        target=value["target"],
        digest=value["digest"],
        request_headers=tuple((name, text) for name, text in request["headers"]),
        request_body=_body(request),
        status=status,
        headers=tuple((name, text) for name, text in response["headers"]),
        chunked=bool(response["chunked"]),
        head_s=response["head_us"] / 1e6,
        parts=tuple(
            Part(at / 1e6, body[start:end]) for at, (start, end) in zip(times, pairwise(starts), strict=True)
        ),
        ending=ending,
    )


def _body(value: Mapping[str, Any]) -> bytes:
    if "base64" in value:
        return base64.b64decode(value["base64"], validate=True)
    text: str = value["text"]
    return text.encode("utf-8")
