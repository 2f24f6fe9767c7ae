"""The scenario token: what one call asks the simulator to do, read from the call itself.

    [[wb:ID]]   or   [[wb:ID;key=value;key=value]]

The token is looked for in the raw bytes of the body, so that any string field of any dialect can carry it; the
last one wins, because a conversation may carry those of earlier turns. What a token states is done exactly; what
it leaves open is done as a sane provider would.
"""

import difflib
import email.utils
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import orjson

from mock_upstreams.faults import CHAT, FAULTS, MESSAGES, OTHER
from mock_upstreams.refusals import bad_request

_OPEN: Final = b"[[wb:"
_CLOSE: Final = b"]]"
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_BAD_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_FORBIDDEN: Final = re.compile(r'["\\\x00-\x1f\x7f]')
_EXCERPT: Final = 80

_LLM: Final = (CHAT, MESSAGES)
_ALL: Final = (CHAT, MESSAGES, OTHER)

FINISHES: Final = ("stop", "length", "tool_calls", "content_filter")
OUTCOMES: Final = ("completed", "failed", "moderated", "stuck")


@dataclass(frozen=True, slots=True)
class Scenario:
    """What one call asks for. `None` means: not stated, be a sane provider.

    Token counts are totals as billed: `input_tokens` includes `cached` and `written`, `output_tokens` includes
    `reasoning`. Times are milliseconds.
    """

    id: str | None = None
    raw: str | None = None
    text: str | None = None
    chunks: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached: int | None = None
    written: int | None = None
    searches: int = 0
    reasoning: int = 0
    finish: str | None = None
    tool: str | None = None
    args: str | None = None
    ttft_ms: float = 0.0
    gap_ms: float = 0.0
    fault: str | None = None
    after: int = 2
    status: int | None = None
    retry_after: str | None = None
    message: str | None = None
    outcome: str = "completed"
    duration_ms: float | None = None
    n: int | None = None

    @property
    def counts_scripted(self) -> bool:
        """Whether the token states any part of the input count, so that the prompt cache stays out of it."""
        return self.input_tokens is not None or self.cached is not None or self.written is not None


NO_SCENARIO: Final = Scenario()


@dataclass(frozen=True, slots=True)
class _Key:
    field: str
    parse: Callable[[str], Any]
    surfaces: tuple[str, ...]


def _text(value: str) -> str:
    return value


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not value.isascii() or not value.isdigit() or len(value) > 12 or not low <= int(value) <= high:
            raise ValueError(f"an integer from {low} to {high}")
        return int(value)

    return parse


def _milliseconds(high: int) -> Callable[[str], float]:
    shape = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")

    def parse(value: str) -> float:
        if not shape.fullmatch(value) or float(value) > high:
            raise ValueError(f"milliseconds from 0 to {high}")
        return float(value)

    return parse


def _one_of(words: tuple[str, ...]) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in words:
            raise ValueError(f"one of {', '.join(words)}{_nearest(value, words)}")
        return value

    return parse


def _arguments(value: str) -> str:
    try:
        parsed = orjson.loads(value)
    except orjson.JSONDecodeError:
        parsed = None
    if not isinstance(parsed, dict):
        raise ValueError("a JSON object")  # noqa: TRY004 - the text is a wrong value, not a wrong type
    return value


def _retry_after(value: str) -> str:
    if value.isascii() and value.isdigit() and len(value) <= 9:
        return value
    try:
        email.utils.parsedate_to_datetime(value)
    except (ValueError, IndexError, OverflowError) as exc:
        raise ValueError("whole seconds or an HTTP date") from exc
    if not value.isascii() or not value.isprintable():
        raise ValueError("whole seconds or an HTTP date")
    return value


def _tool_name(value: str) -> str:
    if not value:
        raise ValueError("a tool name")
    return value


_COUNT: Final = _integer(0, 1_000_000_000)
_KEYS: Final[Mapping[str, _Key]] = {
    "text": _Key("text", _text, _ALL),
    "chunks": _Key("chunks", _integer(1, 100_000), _LLM),
    "in": _Key("input_tokens", _COUNT, _LLM),
    "out": _Key("output_tokens", _COUNT, _LLM),
    "cached": _Key("cached", _COUNT, _LLM),
    "written": _Key("written", _COUNT, _LLM),
    "searches": _Key("searches", _COUNT, _LLM),
    "reasoning": _Key("reasoning", _COUNT, _LLM),
    "finish": _Key("finish", _one_of(FINISHES), _LLM),
    "tool": _Key("tool", _tool_name, _LLM),
    "args": _Key("args", _arguments, _LLM),
    "ttft_ms": _Key("ttft_ms", _milliseconds(600_000), _ALL),
    "gap_ms": _Key("gap_ms", _milliseconds(60_000), _LLM),
    "fault": _Key("fault", _one_of(tuple(FAULTS)), _ALL),
    "after": _Key("after", _integer(0, 100_000), _ALL),
    "status": _Key("status", _integer(200, 599), _ALL),
    "retry_after": _Key("retry_after", _retry_after, _ALL),
    "message": _Key("message", _text, _ALL),
    "outcome": _Key("outcome", _one_of(OUTCOMES), (OTHER,)),
    "duration_ms": _Key("duration_ms", _milliseconds(3_600_000), (OTHER,)),
    "n": _Key("n", _integer(1, 10), (OTHER,)),
}
_SURFACE_NAMES: Final = {CHAT: "chat completions", MESSAGES: "messages", OTHER: "media jobs"}


@dataclass(frozen=True, slots=True)
class Token:
    """A token as found: its text, and its id if that much of it can be read."""

    raw: str
    id: str | None


def find_token(*places: bytes | None) -> Token | None:
    """The last token of the first place that holds one; places in order of precedence (body, query, header)."""
    for place in places:
        if place is None:
            continue
        start = place.rfind(_OPEN)
        if start < 0:
            continue
        end = place.find(_CLOSE, start)
        if end < 0:
            return Token(place[start : start + _EXCERPT].decode("utf-8", "replace"), None)
        raw = _unescaped(place[start : end + len(_CLOSE)])
        name = raw[len(_OPEN) : -len(_CLOSE)].partition(";")[0]
        return Token(raw, name if _ID.fullmatch(name) else None)
    return None


def _unescaped(segment: bytes) -> str:
    """Undo JSON string escapes: some encoders write = and / as escapes, or all but ASCII."""
    if b"\\" in segment and b'"' not in segment:
        try:
            return str(orjson.loads(b'"' + segment + b'"'))
        except orjson.JSONDecodeError:
            return segment.decode("utf-8", "replace")
    return segment.decode("utf-8", "replace")


def read_scenario(token: Token, surface: str, *, streamed: bool) -> Scenario:
    """The scenario that a token asks for on this surface.

    Raises Refusal (400, "simulator: ...") naming the key at fault and the nearest one known.
    """
    if token.id is None or not token.raw.endswith("]]"):
        raise bad_request(
            f"simulator: the token {token.raw[:_EXCERPT]!r} is malformed; write [[wb:ID;key=value]] with an ID of "
            "1 to 64 letters, digits, _ or -, and values percent-encoded"
        )
    stated: dict[str, Any] = {}
    for part in token.raw[len(_OPEN) : -len(_CLOSE)].split(";")[1:]:
        name, equals, value = part.partition("=")
        key = _KEYS.get(name)
        if key is None:
            raise bad_request(f"simulator: unknown key {name[:_EXCERPT]!r}{_nearest(name, tuple(_KEYS))}")
        if not equals:
            raise bad_request(f"simulator: key {name!r} has no value; write {name}=...")
        if key.field in stated:
            raise bad_request(f"simulator: key {name!r} is given twice; keep one")
        if surface not in key.surfaces:
            where = " and ".join(_SURFACE_NAMES[s] for s in key.surfaces)
            raise bad_request(f"simulator: key {name!r} is for {where} only; leave it out here")
        stated[key.field] = _value(name, value, key)
    scenario = Scenario(id=token.id, raw=token.raw, **stated)
    return _checked(scenario, stated, surface, streamed=streamed)


def _value(name: str, encoded: str, key: _Key) -> Any:
    if _BAD_PERCENT.search(encoded) or _FORBIDDEN.search(encoded):
        raise bad_request(
            f'simulator: the value of {name!r} is not percent-encoded; encode % ; ] " \\ and controls'
        )
    try:
        return key.parse(unquote_to_bytes(encoded).decode("utf-8"))
    except UnicodeDecodeError:
        raise bad_request(
            f"simulator: the value of {name!r} is not UTF-8; percent-encode its UTF-8 bytes"
        ) from None
    except ValueError as exc:
        raise bad_request(f"simulator: {name}={encoded[:_EXCERPT]} is impossible; give {exc}") from None


def _checked(scenario: Scenario, stated: Mapping[str, Any], surface: str, *, streamed: bool) -> Scenario:
    """Refuse combinations that contradict themselves; a lone status= means fault=status."""
    if scenario.fault is None and scenario.status is not None:
        return _checked(
            _with_fault(scenario, "status"), {**stated, "fault": "status"}, surface, streamed=streamed
        )
    for problem in _contradictions(scenario, stated):
        raise bad_request(f"simulator: {problem}")
    if scenario.fault is not None:
        fault = FAULTS[scenario.fault]
        if surface not in fault.surfaces:
            where = " and ".join(_SURFACE_NAMES[s] for s in fault.surfaces)
            raise bad_request(f"simulator: fault={fault.name} is for {where} only; choose another fault")
        if not (fault.streamed if streamed else fault.unstreamed):
            kind = "streamed" if fault.streamed else "unstreamed"
            raise bad_request(
                f"simulator: fault={fault.name} is for {kind} answers only; choose another fault"
            )
    return scenario


def _with_fault(scenario: Scenario, fault: str) -> Scenario:
    return replace(scenario, fault=fault)


_ENDS_AFTER: Final = ("reset", "close", "end_early", "bad_json", "error_event", "stall")
_BODILESS: Final = (204, 304)
_STATUS_FAULTS: Final = ("status", "html", "empty")


def _contradictions(s: Scenario, stated: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    if s.fault == "status" and (s.status is None or s.status < 400):
        found.append("fault=status needs status= from 400 to 599")
    if s.status is not None and s.fault not in _STATUS_FAULTS:
        found.append(f"status= does not go with fault={s.fault}; use one of {', '.join(_STATUS_FAULTS)}")
    if s.fault == "html" and s.status in _BODILESS:
        found.append(f"status={s.status} has no body, so fault=html cannot be; choose another status")
    if s.retry_after is not None and s.status is None:
        found.append("retry_after= needs status=")
    if "after" in stated and s.fault not in _ENDS_AFTER:
        found.append(f"after= needs fault= one of {', '.join(_ENDS_AFTER)}")
    if s.args is not None and s.tool is None:
        found.append("args= needs tool=")
    if s.text is not None and s.chunks is not None and s.tool is None and s.chunks > len(s.text):
        found.append(f"chunks={s.chunks} is more than the {len(s.text)} characters of text=; lower it")
    if s.input_tokens is not None and (s.cached or 0) + (s.written or 0) > s.input_tokens:
        found.append("cached= plus written= is more than in=, which includes both; raise in=")
    if s.output_tokens is not None and s.reasoning > s.output_tokens:
        found.append("reasoning= is more than out=, which includes it; raise out=")
    if s.fault == "split_utf8" and s.text is not None and s.text.isascii():
        found.append("fault=split_utf8 needs a character beyond ASCII in text=")
    return found


def _nearest(word: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word[:64], known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"
