"""From a recording to a scenario file: each recorded answer becomes a scenario that any call can name.

A replay gives the recorded bytes to the recorded call. A scenario gives what they said to whoever asks for it: the same
text in as many pieces at the same times, the same usage and the same failure, in the dialect of the call, and `speed`
plays it as fast as wanted. Answers to the same request become the steps of one sequence.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import orjson
import yaml

from mock_upstreams.calls import Json
from mock_upstreams.faults import CHAT, MESSAGES, RESPONSES
from mock_upstreams.library import MAX_NAMED
from mock_upstreams.recorded_replies import Heard, error_message, heard_stream, heard_whole
from mock_upstreams.recordings import Recorded, RecordingError, load
from mock_upstreams.scenario_files import MAX_FILE_BYTES, read_library, read_scenario_value
from mock_upstreams.scenario_keys import FINISHES, KEYS, MAX_STEPS, ScenarioError

_SURFACES: Final = {"/chat/completions": CHAT, "/messages": MESSAGES, "/responses": RESPONSES}
_BREAKS: Final = {"fin": "close", "rst": "reset"}
_NOT_IN_A_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_PREFIX: Final = 50


class _NoScenarioError(Exception):
    """An exchange that no scenario can stand for; the message says why."""


@dataclass(frozen=True, slots=True)
class Scripted:
    """What was made of a recording: the text of a scenario file, and one line for each scenario and each omission."""

    text: str
    made: tuple[str, ...]
    left_out: tuple[str, ...]


def write_scenarios(recording: str, out: str, prefix: str | None = None) -> Scripted:
    """Turn a recording into a scenario file; names are PREFIX-1, PREFIX-2, ... (default: the recording's own name).

    Raises RecordingError for a recording that cannot be used or holds no reply, and for a file that cannot be written.
    """
    found = scripted(load(recording), Path(recording).stem if prefix is None else prefix)
    if not found.made:
        why = f": {found.left_out[0]}" if found.left_out else ""
        raise RecordingError(f"{recording}: nothing in it makes a scenario{why}")
    try:
        Path(out).touch(mode=0o600)
        Path(out).write_text(found.text, encoding="utf-8")
    except OSError as exc:
        raise RecordingError(f"{out}: {exc.strerror}; give a file that can be written") from None
    return found


def scripted(exchanges: Iterable[Recorded], prefix: str) -> Scripted:
    """The scenario file of these exchanges. Raises RecordingError if it would be larger than one may be."""
    prefix = _NOT_IN_A_NAME.sub("-", prefix)[:_LONGEST_PREFIX].strip("-") or "recorded"
    requests: dict[tuple[str, str, str], list[Json]] = {}
    left_out: list[str] = []
    for number, exchange in enumerate(exchanges, 1):
        where = f"exchange {number}, {exchange.method} {exchange.target[:80]}"
        try:
            step = scenario_of(exchange)
            read_scenario_value(step, "")
        except _NoScenarioError as exc:
            left_out.append(f"{where}: {exc}")
        except ScenarioError as exc:
            left_out.append(f"{where}: beyond what a scenario can hold: {exc}")
        else:
            requests.setdefault(exchange.key, []).append(step)
    scenarios: dict[str, Json] = {}
    made: list[str] = []
    for number, (key, steps) in enumerate(requests.items(), 1):
        name = f"{prefix}-{number}"
        if number > MAX_NAMED:
            left_out.append(f"{name}: a file holds at most {MAX_NAMED} scenarios")
            continue
        if len(steps) > MAX_STEPS:
            left_out.append(f"{name}: answers after the first {MAX_STEPS} to the same request")
        scenarios[name] = steps[0] if len(steps) == 1 else {"sequence": steps[:MAX_STEPS]}
        made.append(f"{name}: {key[0]} {key[1][:80]}, {_told(steps)}")
    text = _HEAD + yaml.safe_dump(
        {"scenarios": scenarios}, allow_unicode=True, sort_keys=False, default_flow_style=None, width=110
    )
    if len(text.encode()) > MAX_FILE_BYTES:
        raise RecordingError(
            f"the scenarios would take more than {MAX_FILE_BYTES} bytes; record less at a time, or use --replay"
        )
    read_library(yaml.safe_load(text))
    return Scripted(text, tuple(made), tuple(left_out))


_HEAD: Final = """\
# Made from a recording by `weighbridge mock scenarios`. A call gets one of them by the model name wb-NAME, by the header
# x-wb-scenario: NAME, or by [[wb:ID;scenario=NAME]]; with speed=2 in it twice as fast, with speed=0 without any wait.
"""


def _told(steps: list[Json]) -> str:
    if len(steps) > 1:
        return f"{len(steps)} answers in turn"
    (step,) = steps
    if "status" in step:
        return f"status {step['status']}"
    return f"fault {step['fault']}" if "fault" in step else "a whole answer"


def scenario_of(exchange: Recorded) -> Json:
    """The scenario of one exchange, as a file states it; raises an exception that says why there is none."""
    path = exchange.target.partition("?")[0]
    surface = next((found for end, found in _SURFACES.items() if path.endswith(end)), None)
    if surface is None or exchange.method != "POST":
        raise _NoScenarioError("neither chat completions, nor messages, nor responses")
    if exchange.status >= HTTPStatus.BAD_REQUEST:
        return _refusal(exchange)
    if exchange.status != HTTPStatus.OK:
        raise _NoScenarioError(f"status {exchange.status} is no reply")
    kind = dict(exchange.headers).get("content-type", "").partition(";")[0].strip()
    if kind == "text/event-stream":
        return _stream(exchange, heard_stream(surface, exchange.parts))
    if kind == "application/json":
        return _whole(exchange, surface)
    raise _NoScenarioError(f"content type {kind or 'unknown'!r}: neither JSON nor an event stream")


def _refusal(exchange: Recorded) -> Json:
    headers, body = dict(exchange.headers), _body(exchange)
    found: Json = {"status": exchange.status}
    if headers.get("content-type", "").startswith("text/html"):
        found["fault"] = "html"
    retry_after = headers.get("retry-after")
    if retry_after is not None and _is_possible(KEYS["retry_after"].from_json, retry_after):
        found["retry_after"] = retry_after
    try:
        message = error_message(orjson.loads(body))
    except orjson.JSONDecodeError:
        message = None
    if message is not None:
        found["message"] = message
    return {**found, **_first(exchange.head_s)}


def _is_possible(read: Callable[[Any], Any], value: str) -> bool:
    try:
        read(value)
    except ValueError:
        return False
    return True


def _whole(exchange: Recorded, surface: str) -> Json:
    at_s = exchange.parts[-1].at_s if exchange.parts else exchange.head_s
    if exchange.ending != "complete":
        return {"fault": _BREAKS[exchange.ending], **_first(at_s)}
    if not exchange.parts:
        return {"fault": "empty", **_first(at_s)}
    heard = heard_whole(surface, _body(exchange), at_s)
    if heard is None:
        return {"fault": "bad_json", **_first(at_s)}
    return {**_reply(heard), **_first(at_s)}


def _stream(exchange: Recorded, heard: Heard) -> Json:
    found = _reply(heard)
    if heard.texts:
        found["chunks"] = heard.texts
    times = heard.times_s
    found |= _first(times[0] if times else exchange.head_s)
    gaps = [_ms(later - earlier) for earlier, later in pairwise(times)]
    if any(gaps):
        found["gap_ms"] = gaps
    fault = _fault(exchange, heard)
    if fault is None:
        return found
    found["fault"] = fault
    if fault == "error_event":
        found["message"] = heard.error
    if fault != "no_done":
        found["after"] = len(times)
    return found


def _fault(exchange: Recorded, heard: Heard) -> str | None:
    """What was wrong with a stream, by the name of the fault that does the same."""
    if exchange.ending != "complete":
        return _BREAKS[exchange.ending]
    if heard.error is not None:
        return "error_event"
    if heard.done:
        return None
    return "no_done" if heard.finish is not None else "end_early"


def _reply(heard: Heard) -> Json:
    """What was said, without when."""
    found: Json = {}
    tools = [
        {"name": name, "arguments": arguments or "{}"} for _, (name, arguments) in sorted(heard.tools.items())
    ]
    if heard.text or not tools:
        found["text"] = heard.text
    if tools:
        found["tool_calls"] = tools
    if heard.thinking:
        found["thinking"] = heard.thinking
    if heard.redacted:
        found["redacted"] = True
    if heard.finish in FINISHES:
        found["finish"] = heard.finish
    return found | {
        name: heard.counts[name]
        for name in ("in", "out", "cached", "written", "reasoning", "searches")
        if heard.counts.get(name) or (name in ("in", "out") and name in heard.counts)
    }


def _body(exchange: Recorded) -> bytes:
    return b"".join(part.data for part in exchange.parts)


def _first(at_s: float) -> Json:
    milliseconds = _ms(at_s)
    return {"ttft_ms": milliseconds} if milliseconds else {}


def _ms(seconds: float) -> float:
    return round(max(0.0, seconds) * 1000, 1)
