"""What the simulator is to do for one call, and the token that carries it inside the call.

The token travels in the text of the last user message (or the prompt of a task), a place that every
gateway relays: `[[wb:ID;key=value;...]]`. The simulator has a parser of its own; the two share only
this documented form.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Scenario:
    """One call's script. A field left at None is left to the simulator's sane default.

    Attributes:
        text: the reply's text.
        chunks: content events of a streamed reply.
        prompt_tokens: input tokens to report, cached and written ones included.
        completion_tokens: output tokens to report.
        cached: input tokens to report as read from a cache.
        written: input tokens to report as written to a cache.
        searches: web searches to report.
        finish: OpenAI's word for how the reply ends (`stop`, `length`, ...).
        tool: name of a tool to call; `args` its arguments as JSON text.
        ttft_ms: delay before the first content event.
        gap_ms: delay between content events.
        fault: a fault by name; `after` content events precede it.
        status: the HTTP status of the fault `status`; `retry_after` its header, in seconds.
        message: the error text of a fault.
        outcome: how a media task ends: `completed`, `failed`, `moderated`, `stuck`.
        duration_ms: how long a media task takes.
        n: number of outputs of a media task.
    """

    text: str | None = None
    chunks: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached: int | None = None
    written: int | None = None
    searches: int | None = None
    finish: str | None = None
    tool: str | None = None
    args: str | None = None
    ttft_ms: int | None = None
    gap_ms: int | None = None
    fault: str | None = None
    after: int | None = None
    status: int | None = None
    retry_after: int | None = None
    message: str | None = None
    outcome: str | None = None
    duration_ms: int | None = None
    n: int | None = None


#: The two counters have short names on the wire, since they appear in nearly every token.
_WIRE_NAMES = {"prompt_tokens": "in", "completion_tokens": "out"}


def token(correlation_id: str, scenario: Scenario | None = None) -> str:
    """The text to embed in a call: correlation id and, where given, the scenario.

    Values are percent-encoded, so the token survives JSON escaping byte for byte.
    """
    parts = [correlation_id]
    if scenario is not None:
        for field in fields(scenario):
            value = getattr(scenario, field.name)
            if value is not None:
                parts.append(f"{_WIRE_NAMES.get(field.name, field.name)}={quote(str(value), safe='')}")
    return f"[[wb:{';'.join(parts)}]]"
