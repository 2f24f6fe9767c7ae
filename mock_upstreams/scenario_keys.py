"""The keys of a scenario, as one table: what each sets, how it is read, and where it makes sense.

A scenario is stated in a call as text (`key=value`) and in a file or the control API as JSON values; both are read
by the same row, so that a value means the same everywhere. The published JSON Schema is made from the table too.
"""

import difflib
import email.utils
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from mock_upstreams.faults import ALL, IN_CALL, JOBS, LLM, SURFACE_NAMES
from mock_upstreams.timings import (
    SPEED_SCHEMA,
    delay_from_json,
    delay_from_text,
    number_from_json,
    number_from_text,
    read_speed,
)

FINISHES: Final = ("stop", "length", "tool_calls", "content_filter")
OUTCOMES: Final = ("completed", "failed", "moderated", "stuck")
EXCERPT: Final = 80
MAX_STEPS: Final = 100
_MAX_CALLS: Final = 32
_LATER_DATE: Final = re.compile(r"date\+[0-9]{1,6}")
NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LONGEST_MS: Final = 3_600_000


class ScenarioError(Exception):
    """A scenario states something unknown or impossible; `path` leads to it, as in `sequence[1].status`."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path
        self.problem = problem


@dataclass(frozen=True, slots=True)
class ScriptedCall:
    """One tool call of a scripted reply; `arguments` is JSON text."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Key:
    """`from_text` and `from_json` raise ValueError with what to give instead."""

    field: str
    from_text: Callable[[str], Any]
    from_json: Callable[[Any], Any]
    schema: Mapping[str, Any]
    surfaces: tuple[str, ...]
    says: str


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a text")  # noqa: TRY004 - readers of a key speak of values, whatever their type
    return value


def _integer(low: int, high: int) -> tuple[Callable[[str], int], Callable[[Any], int], Mapping[str, Any]]:
    expected = f"an integer from {low} to {high}"

    def from_text(value: str) -> int:
        if not value.isascii() or not value.isdigit() or len(value) > 12:
            raise ValueError(expected)
        return from_json(int(value))

    def from_json(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(expected)
        return value

    return from_text, from_json, {"type": "integer", "minimum": low, "maximum": high}


def _number_ms(high: float) -> tuple[Callable[[str], float], Callable[[Any], float], Mapping[str, Any]]:
    return (
        lambda value: number_from_text(value, high),
        lambda value: number_from_json(value, high),
        {"type": "number", "minimum": 0, "maximum": high},
    )


def _delay(high: float) -> tuple[Callable[[str], Any], Callable[[Any], Any], Mapping[str, Any]]:
    number = {"type": "number", "minimum": 0, "maximum": high}
    forms = [
        number,
        {"type": "string", "pattern": r"^([0-9.]+|(uniform|lognormal):[0-9.]+:[0-9.]+|trace:[0-9.,]+)$"},
        {"type": "array", "items": number, "minItems": 1},
    ]
    return (
        lambda value: delay_from_text(value, high),
        lambda value: delay_from_json(value, high),
        {"anyOf": forms},
    )


def _one_of(words: tuple[str, ...]) -> tuple[Callable[[str], str], Callable[[Any], str], Mapping[str, Any]]:
    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in words:
            raise ValueError(f"one of {', '.join(words)}{nearest(str(value), words)}")
        return value

    return read, read, {"enum": list(words)}


def _flag_from_text(value: str) -> bool:
    if value not in {"0", "1", "false", "true"}:
        raise ValueError("0 or 1")
    return value in {"1", "true"}


def _flag_from_json(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")  # noqa: TRY004 - see _text
    return value


def _loaded(value: str) -> Any:
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return None


def _arguments_text(value: str) -> str:
    if not isinstance(_loaded(value), dict):
        raise ValueError("a JSON object")  # noqa: TRY004 - see _text
    return value


def _arguments_json(value: Any) -> str:
    if isinstance(value, str):
        return _arguments_text(value)
    if not isinstance(value, dict):
        raise ValueError("a JSON object")  # noqa: TRY004 - see _text
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        raise ValueError("a JSON object whose numbers fit in 64 bits") from None


def _calls_json(value: Any) -> tuple[ScriptedCall, ...]:
    expected = f'1 to {_MAX_CALLS} objects {{"name": ..., "arguments": {{...}}}}'
    if not isinstance(value, list) or not 1 <= len(value) <= _MAX_CALLS:
        raise ValueError(expected)
    found: list[ScriptedCall] = []
    for item in value:
        if not isinstance(item, dict) or not {"name"} <= set(item) <= {"name", "arguments"}:
            raise ValueError(expected)
        if not isinstance(item["name"], str) or not item["name"]:
            raise ValueError(expected)
        found.append(ScriptedCall(item["name"], _arguments_json(item.get("arguments", {}))))
    return tuple(found)


def _retry_after(value: Any) -> str:
    value = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    expected = "whole seconds, an HTTP date, or date+SECONDS"
    if not isinstance(value, str):
        raise ValueError(expected)  # noqa: TRY004 - see _text
    if (value.isascii() and value.isdigit() and len(value) <= 9) or _LATER_DATE.fullmatch(value):
        return value
    try:
        email.utils.parsedate_to_datetime(value)
    except (ValueError, IndexError, OverflowError) as exc:
        raise ValueError(expected) from exc
    if not value.isascii() or not value.isprintable():
        raise ValueError(expected)
    return value


def _named(what: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not isinstance(value, str) or not value:
            raise ValueError(what)
        return value

    return read


def _scenario_name(value: Any) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise ValueError("a name of 1 to 64 letters, digits, . _ or -")
    return value


def _window_text(value: str) -> tuple[float, float]:
    return _window_json([_float(part) for part in value.split(":")])


def _float(value: str) -> float | None:
    try:
        return number_from_text(value, _LONGEST_MS)
    except ValueError:
        return None


def _window_json(value: Any) -> tuple[float, float]:
    if isinstance(value, str):
        return _window_text(value)
    expected = "START:END in milliseconds since the first call, END above START"
    if not isinstance(value, list) or len(value) != 2 or value == [None, None]:
        raise ValueError(expected)
    try:
        start, end = (number_from_json(item, _LONGEST_MS) for item in value)
    except ValueError:
        raise ValueError(expected) from None
    if start >= end:
        raise ValueError(expected)
    return start, end


def _sequence_text(value: str) -> tuple[dict[str, Any], ...]:
    return _sequence_json(_loaded(value))


def _sequence_json(value: Any) -> tuple[dict[str, Any], ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_STEPS:
        raise ValueError(f"a list of 1 to {MAX_STEPS} scenarios")
    return tuple(
        read_mapping(step, f"sequence[{i}]", without=("sequence", "times", "scenario"))
        for i, step in enumerate(value)
    )


_COUNT: Final = _integer(0, 1_000_000_000)
_TEXT: Final = (_text, _text, {"type": "string"})
_FLAG: Final = (_flag_from_text, _flag_from_json, {"type": "boolean"})
_OBJECT: Final = (_arguments_text, _arguments_json, {"type": ["object", "string"]})
_CALL_SCHEMA: Final = {
    "type": "object",
    "properties": {"name": {"type": "string", "minLength": 1}, "arguments": {"type": ["object", "string"]}},
    "required": ["name"],
    "additionalProperties": False,
}
_CALLS: Final = (
    lambda value: _calls_json(_loaded(value)),
    _calls_json,
    {"type": "array", "items": _CALL_SCHEMA, "minItems": 1, "maxItems": _MAX_CALLS},
)
_AFTER: Final = (_retry_after, _retry_after, {"type": ["integer", "string"]})
_TOOL: Final = (_named("a tool name"), _named("a tool name"), {"type": "string", "minLength": 1})
_NAMED: Final = (_scenario_name, _scenario_name, {"type": "string", "pattern": f"^{NAME.pattern}$"})
_WINDOW: Final = (
    _window_text,
    _window_json,
    {
        "anyOf": [
            {"type": "string"},
            {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
        ]
    },
)
_STEPS: Final = (
    _sequence_text,
    _sequence_json,
    {"type": "array", "items": {"$ref": "#/$defs/step"}, "minItems": 1, "maxItems": MAX_STEPS},
)

KEYS: Final[Mapping[str, Key]] = {
    "scenario": Key(
        "scenario", *_NAMED, ALL, "a named scenario to start from; the other keys override its own"
    ),
    "text": Key("text", *_TEXT, ALL, "the reply's text"),
    "chunks": Key("chunks", *_integer(1, 100_000), LLM, "content events of a streamed reply"),
    "chunk_tokens": Key("chunk_tokens", *_integer(1, 10_000), LLM, "tokens of text in one content event"),
    "in": Key("input_tokens", *_COUNT, LLM, "input tokens to report, cached and written ones included"),
    "out": Key("output_tokens", *_COUNT, LLM, "output tokens to report, reasoning included"),
    "cached": Key("cached", *_COUNT, LLM, "input tokens to report as read from a cache"),
    "written": Key("written", *_COUNT, LLM, "input tokens to report as written to a cache"),
    "searches": Key("searches", *_COUNT, LLM, "web searches to report"),
    "reasoning": Key("reasoning", *_COUNT, LLM, "reasoning tokens to report"),
    "thinking": Key("thinking", *_TEXT, LLM, "text of a thinking block or reasoning summary"),
    "redacted": Key("redacted", *_FLAG, LLM, "thinking arrives encrypted (Anthropic redacted_thinking)"),
    "finish": Key("finish", *_one_of(FINISHES), LLM, "how the reply ends, in OpenAI's words"),
    "tool": Key("tool", *_TOOL, LLM, "name of a tool to call"),
    "args": Key("args", *_OBJECT, LLM, "arguments of `tool`: a JSON object"),
    "tool_calls": Key("tool_calls", *_CALLS, LLM, "several tool calls: a list of {name, arguments}"),
    "ttft_ms": Key("ttft_ms", *_delay(600_000), ALL, "delay before the first content event"),
    "gap_ms": Key("gap_ms", *_delay(60_000), LLM, "delay between content events"),
    "speed": Key(
        "speed",
        read_speed,
        read_speed,
        SPEED_SCHEMA,
        ALL,
        "how fast to play ttft_ms and gap_ms: 2x, 0.5x, or 0 for without any wait",
    ),
    "tokens_per_second": Key(
        "tokens_per_second", *_integer(1, 1_000_000), LLM, "the fastest at which text may flow"
    ),
    "requests_per_minute": Key(
        "requests_per_minute", *_integer(0, 1_000_000), LLM, "more requests of one credential get 429"
    ),
    "tokens_per_minute": Key(
        "tokens_per_minute", *_integer(0, 1_000_000_000), LLM, "more tokens of one credential get 429"
    ),
    "fault": Key("fault", *_one_of(IN_CALL), ALL, "a fault by name"),
    "after": Key("after", *_integer(0, 100_000), ALL, "content events that precede the fault"),
    "status": Key("status", *_integer(200, 599), ALL, "the HTTP status of a fault"),
    "retry_after": Key("retry_after", *_AFTER, ALL, "Retry-After: seconds, an HTTP date, or date+SECONDS"),
    "message": Key("message", *_TEXT, ALL, "the error text of a fault"),
    "size": Key("size", *_integer(1, 268_435_456), ALL, "bytes of an oversize answer"),
    "byte_ms": Key("byte_ms", *_number_ms(10_000), ALL, "delay between the bytes of a slow answer"),
    "spike_ms": Key("spike_ms", *_number_ms(600_000), ALL, "length of a latency spike"),
    "times": Key(
        "times", *_integer(1, 1000), ALL, "the fault strikes the first calls of this id only, so many"
    ),
    "window_ms": Key(
        "window_ms", *_WINDOW, ALL, "the fault strikes between these times after the first call"
    ),
    "sequence": Key("sequence", *_STEPS, ALL, "a scenario for each call of this id; the last one stays"),
    "outcome": Key("outcome", *_one_of(OUTCOMES), (JOBS,), "how a media task ends"),
    "duration_ms": Key("duration_ms", *_number_ms(_LONGEST_MS), (JOBS,), "how long a media task takes"),
    "n": Key("n", *_integer(1, 10), (JOBS,), "number of outputs of a media task"),
    "expires_ms": Key("expires_ms", *_number_ms(_LONGEST_MS), (JOBS,), "life of the links to the outputs"),
    "expired_status": Key("expired_status", *_integer(400, 499), (JOBS,), "what an expired link answers"),
}


def read_mapping(value: Any, path: str, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields that a scenario of a file or the control API states. Raises ScenarioError."""
    if not isinstance(value, dict):
        raise ScenarioError(path, "expected an object of scenario keys")
    stated: dict[str, Any] = {}
    for name, given in value.items():
        key = KEYS.get(name) if name not in without else None
        place = f"{path}.{name}" if path else str(name)
        if key is None:
            known = tuple(known for known in KEYS if known not in without)
            raise ScenarioError(place, f"unknown key {str(name)[:EXCERPT]!r}{nearest(str(name), known)}")
        try:
            stated[key.field] = key.from_json(given)
        except ScenarioError as exc:
            raise ScenarioError(f"{path}.{exc.path}" if path else exc.path, exc.problem) from None
        except ValueError as exc:
            raise ScenarioError(place, f"{_shown(given)} is impossible; give {exc}") from None
    return stated


def _shown(value: Any) -> str:
    return repr(value)[:EXCERPT]


def surface_list(surfaces: tuple[str, ...]) -> str:
    """The surfaces for people: "chat completions and messages"."""
    *names, last = [SURFACE_NAMES[surface] for surface in surfaces]
    return f"{', '.join(names)} and {last}" if names else last


def nearest(word: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word[:64], known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


def scenario_schema() -> dict[str, Any]:
    """The JSON Schema of one scenario; its `sequence` needs the definition `step`."""
    properties = {name: {"description": key.says, **key.schema} for name, key in KEYS.items()}
    return {"type": "object", "properties": properties, "additionalProperties": False}
