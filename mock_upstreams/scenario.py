"""A scenario: what one call asks the simulator to do, and the token that carries it inside the call.

    [[wb:ID]]   or   [[wb:ID;key=value;key=value]]

The token is looked for in the raw bytes of the body, so that any string field of any dialect can carry it; the
last one wins, because a conversation may carry those of earlier turns. What a scenario states is done exactly; what
it leaves open is done as a sane provider would. `scenario_keys.py` has the keys, `library.py` the other places
that a scenario may come from.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_to_bytes

import orjson

from mock_upstreams.faults import FAULTS
from mock_upstreams.refusals import bad_request
from mock_upstreams.scenario_keys import (
    EXCERPT,
    KEYS,
    Key,
    ScenarioError,
    ScriptedCall,
    nearest,
    surface_list,
)
from mock_upstreams.timings import Delay, at_speed

_OPEN: Final = b"[[wb:"
_CLOSE: Final = b"]]"
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_BAD_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_FORBIDDEN: Final = re.compile(r'["\\\x00-\x1f\x7f]')


@dataclass(frozen=True, slots=True)
class Scenario:
    """What one call asks for. `None` means: not stated, be a sane provider.

    Token counts are totals as billed: `input_tokens` includes `cached` and `written`, `output_tokens` includes
    `reasoning`. Times are milliseconds. `name` is the named scenario that it started from. Nothing in it is one call's
    own, so calls that ask for the same share it.
    """

    name: str | None = None
    text: str | None = None
    chunks: int | None = None
    chunk_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached: int | None = None
    written: int | None = None
    searches: int = 0
    reasoning: int | None = None
    thinking: str | None = None
    redacted: bool = False
    finish: str | None = None
    tool: str | None = None
    args: str | None = None
    tool_calls: tuple[ScriptedCall, ...] = ()
    ttft_ms: Delay = 0.0
    gap_ms: Delay = 0.0
    tokens_per_second: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    fault: str | None = None
    after: int = 2
    status: int | None = None
    retry_after: str | None = None
    message: str | None = None
    size: int = 8 * 1024 * 1024
    byte_ms: float = 20.0
    spike_ms: float = 2000.0
    outcome: str = "completed"
    duration_ms: float | None = None
    n: int | None = None
    expires_ms: float | None = None
    expired_status: int = 410

    @property
    def is_paced(self) -> bool:
        """Whether anything of it is ever waited for."""
        return bool(self.ttft_ms or self.gap_ms or self.tokens_per_second or self.fault == "latency_spike")

    @property
    def counts_scripted(self) -> bool:
        """Whether any part of the input count is stated, so that the prompt cache stays out of it."""
        return self.input_tokens is not None or self.cached is not None or self.written is not None


NO_SCENARIO: Final = Scenario()
Stated = Mapping[str, Any]
"""Fields of a scenario by name, `sequence`, `times`, `window_ms` and `scenario` among them."""

OVER_TIME: Final = ("sequence", "times", "window_ms")
"""What makes a scenario differ from one call to the next."""
_FAULT_FIELDS: Final = frozenset(
    ("fault", "after", "status", "retry_after", "message", "size", "byte_ms", "spike_ms")
)


class Token(NamedTuple):
    """A token as found: its text, and its id if that much of it can be read."""

    raw: str
    id: str | None

    @property
    def keys(self) -> str:
        """What follows the id of a sound token."""
        return self.raw[len(_OPEN) + len(self.id or "") : -len(_CLOSE)]


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
            return Token(place[start : start + EXCERPT].decode("utf-8", "replace"), None)
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


def read_token(token: Token) -> dict[str, Any]:
    """The fields that a token states. Raises Refusal (400, "simulator: ...")."""
    if token.id is None or not token.raw.endswith("]]"):
        raise bad_request(
            f"simulator: the token {token.raw[:EXCERPT]!r} is malformed; write [[wb:ID;key=value]] with an ID of "
            "1 to 64 letters, digits, _ or -, and values percent-encoded"
        )
    return read_keys(token.keys)


def read_keys(keys: str) -> dict[str, Any]:
    """The fields that the keys of a token state. Raises Refusal (400, "simulator: ...")."""
    stated: dict[str, Any] = {}
    for part in keys.split(";")[1:]:
        name, equals, value = part.partition("=")
        key = KEYS.get(name)
        if key is None:
            raise bad_request(f"simulator: unknown key {name[:EXCERPT]!r}{nearest(name, tuple(KEYS))}")
        if not equals:
            raise bad_request(f"simulator: key {name!r} has no value; write {name}=...")
        if key.field in stated:
            raise bad_request(f"simulator: key {name!r} is given twice; keep one")
        stated[key.field] = _value(name, value, key)
    return stated


def _value(name: str, encoded: str, key: Key) -> Any:
    if _BAD_PERCENT.search(encoded) or _FORBIDDEN.search(encoded):
        raise bad_request(
            f'simulator: the value of {name!r} is not percent-encoded; encode % ; ] " \\ and controls'
        )
    try:
        return key.from_text(unquote_to_bytes(encoded).decode("utf-8"))
    except UnicodeDecodeError:
        raise bad_request(
            f"simulator: the value of {name!r} is not UTF-8; percent-encode its UTF-8 bytes"
        ) from None
    except ScenarioError as exc:
        raise bad_request(f"simulator: {exc}") from None
    except ValueError as exc:
        raise bad_request(f"simulator: {name}={encoded[:EXCERPT]} is impossible; give {exc}") from None


_SURFACES: Final = {key.field: key.surfaces for key in KEYS.values()}


def read_scenario(token: Token, surface: str, *, streamed: bool) -> Scenario:
    """The scenario that a token asks for on this surface, taken alone.

    Raises Refusal (400, "simulator: ...") naming the key at fault and the nearest one known.
    """
    stated = read_token(token)
    check_fit(stated, surface, streamed=streamed)
    try:
        return build(stated)
    except ScenarioError as exc:
        raise bad_request(f"simulator: {exc}") from None


def build(stated: Stated, name: str | None = None) -> Scenario:
    """One scenario of these fields. Raises ScenarioError if they contradict each other.

    A lone `status` means the fault `status`. What holds over several calls has to be settled before.
    """
    fields = {field: value for field, value in stated.items() if field not in {*OVER_TIME, "scenario"}}
    if "status" in fields and "fault" not in fields:
        fields["fault"] = "status"
    speed = fields.pop("speed", 1.0)
    if speed != 1:
        fields |= {name: at_speed(fields[name], speed) for name in ("ttft_ms", "gap_ms") if name in fields}
    scenario = Scenario(name=name, **fields)
    if fields:
        for problem in _contradictions(scenario, stated):
            raise ScenarioError("", problem)
    return scenario


def check_fit(stated: Stated, surface: str, *, streamed: bool) -> None:
    """Refuse (400) what makes no sense on this surface, or for this kind of answer."""
    for field in stated:
        surfaces = _SURFACES[field]
        if surface not in surfaces:
            name = next(name for name, key in KEYS.items() if key.field == field)
            raise bad_request(
                f"simulator: key {name!r} is for {surface_list(surfaces)} only; leave it out here"
            )
    named = stated.get("fault")
    if named is None:
        return
    fault = FAULTS[named]
    if surface not in fault.surfaces:
        raise bad_request(
            f"simulator: fault={fault.name} is for {surface_list(fault.surfaces)} only; choose another fault"
        )
    if not (fault.streamed if streamed else fault.unstreamed):
        kind = "streamed" if fault.streamed else "unstreamed"
        raise bad_request(f"simulator: fault={fault.name} is for {kind} answers only; choose another fault")


def without_fault(stated: Stated) -> dict[str, Any]:
    return {field: value for field, value in stated.items() if field not in _FAULT_FIELDS}


def check_stated(stated: Stated, path: str = "") -> None:
    """Refuse contradictions in a scenario that is stated ahead of its calls. Raises ScenarioError."""
    steps = stated.get("sequence", ())
    base = {field: value for field, value in stated.items() if field != "sequence"}
    places = [(f"sequence[{i}]", {**base, **step}) for i, step in enumerate(steps)] or [("", base)]
    for place, fields in places:
        try:
            build(fields)
        except ScenarioError as exc:
            raise ScenarioError(".".join(part for part in (path, place) if part), exc.problem) from None


_AFTER_FAULTS: Final = (
    "reset",
    "close",
    "end_early",
    "bad_json",
    "error_event",
    "stall",
    "oversize",
    "early_done",
    "unknown_event",
    "bad_chunking",
    "latency_spike",
)
_BODILESS: Final = (204, 304)
_STATUS_FAULTS: Final = ("status", "html", "empty")
_OWN_KEYS: Final = {"size": "oversize", "byte_ms": "slow_loris", "spike_ms": "latency_spike"}


def _contradictions(s: Scenario, stated: Stated) -> list[str]:
    found: list[str] = []
    if s.fault == "status" and (s.status is None or s.status < 400):
        found.append("fault=status needs status= from 400 to 599")
    if s.status is not None and s.fault not in _STATUS_FAULTS:
        found.append(f"status= does not go with fault={s.fault}; use one of {', '.join(_STATUS_FAULTS)}")
    if s.fault == "html" and s.status in _BODILESS:
        found.append(f"status={s.status} has no body, so fault=html cannot be; choose another status")
    if s.retry_after is not None and s.status is None:
        found.append("retry_after= needs status=")
    if "after" in stated and s.fault not in _AFTER_FAULTS:
        found.append(f"after= needs fault= one of {', '.join(_AFTER_FAULTS)}")
    found += [
        f"{key}= needs fault={fault}"
        for key, fault in _OWN_KEYS.items()
        if key in stated and s.fault != fault
    ]
    if s.fault is None:
        found += [f"{key}= needs fault= or status=" for key in ("times", "window_ms") if key in stated]
    if s.args is not None and s.tool is None:
        found.append("args= needs tool=")
    if s.tool_calls and s.tool is not None:
        found.append("tool_calls= and tool= exclude each other; name all calls in tool_calls=")
    if s.chunks is not None and s.chunk_tokens is not None:
        found.append("chunks= and chunk_tokens= exclude each other; keep one")
    if s.text is not None and s.chunks is not None and s.tool is None and s.chunks > len(s.text):
        found.append(f"chunks={s.chunks} is more than the {len(s.text)} characters of text=; lower it")
    if s.input_tokens is not None and (s.cached or 0) + (s.written or 0) > s.input_tokens:
        found.append("cached= plus written= is more than in=, which includes both; raise in=")
    if s.output_tokens is not None and (s.reasoning or 0) > s.output_tokens:
        found.append("reasoning= is more than out=, which includes it; raise out=")
    if s.fault == "split_utf8" and s.text is not None and s.text.isascii():
        found.append("fault=split_utf8 needs a character beyond ASCII in text=")
    if "expired_status" in stated and s.expires_ms is None:
        found.append("expired_status= needs expires_ms=")
    return found
