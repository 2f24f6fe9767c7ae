"""The faults a scenario may ask for, as one table.

A fault is a name, what the caller of the provider sees, and where it makes sense. `fault_plans.py` turns each name
into bytes and an ending; a test holds the two together, so a fault cannot be documented here and missing there.
"""

from dataclasses import dataclass
from typing import Final, Literal

CHAT: Final = "chat"
MESSAGES: Final = "messages"
RESPONSES: Final = "responses"
JOBS: Final = "jobs"
"""Submissions of media jobs; what they state holds for the whole life of the job."""
OTHER: Final = "other"
"""Every other JSON answer: polls and files of media jobs, model list, token count."""

ALL: Final = (CHAT, MESSAGES, RESPONSES, JOBS, OTHER)
LLM: Final = (CHAT, MESSAGES, RESPONSES)
_TOTALS: Final = (CHAT, RESPONSES)

SURFACE_NAMES: Final = {
    CHAT: "chat completions",
    MESSAGES: "messages",
    RESPONSES: "responses",
    JOBS: "media jobs",
    OTHER: "other answers",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One way for a provider to misbehave.

    `streamed` and `unstreamed` say for which kind of answer it may be asked; elsewhere it is refused with 400,
    because a fault that silently does nothing would make a check pass for no reason. A fault `by` "control" is not
    of one call: it is made through the control API.
    """

    name: str
    caller_sees: str
    surfaces: tuple[str, ...]
    streamed: bool
    unstreamed: bool
    by: Literal["call", "control"] = "call"


def _table(*rows: Fault) -> dict[str, Fault]:
    return {row.name: row for row in rows}


FAULTS: Final[dict[str, Fault]] = _table(
    Fault(
        "status",
        "the error status of status=, an error body of the provider's own dialect, Retry-After if retry_after=",
        ALL,
        streamed=True,
        unstreamed=True,
    ),
    Fault("html", "an HTML error page (502 unless status=)", ALL, streamed=True, unstreamed=True),
    Fault("empty", "a success status (or status=) and no body at all", ALL, streamed=True, unstreamed=True),
    Fault(
        "bad_json",
        "200 with JSON that stops in the middle; in a stream one truncated data line, then a clean end",
        ALL,
        streamed=True,
        unstreamed=True,
    ),
    Fault(
        "close_before_headers",
        "the connection closed (FIN) before a status line",
        ALL,
        streamed=True,
        unstreamed=True,
    ),
    Fault(
        "reset_before_headers",
        "the connection reset (RST) before a status line",
        ALL,
        streamed=True,
        unstreamed=True,
    ),
    Fault(
        "reset",
        "the connection reset (RST) after `after` content events, or in the middle of the body",
        ALL,
        streamed=True,
        unstreamed=True,
    ),
    Fault(
        "close",
        "the connection closed (FIN) after `after` content events or in the middle of the body, without the end "
        "that the framing promised",
        ALL,
        streamed=True,
        unstreamed=True,
    ),
    Fault(
        "end_early",
        "a clean end of the body after `after` content events: no finish, no terminator",
        LLM,
        streamed=True,
        unstreamed=False,
    ),
    Fault("no_done", "a finish, but no [DONE] / message_stop", LLM, streamed=True, unstreamed=False),
    Fault("double_done", "[DONE] / message_stop twice", LLM, streamed=True, unstreamed=False),
    Fault("double_finish", "the finish chunk / message_delta twice", LLM, streamed=True, unstreamed=False),
    Fault(
        "after_done",
        "one more content event after [DONE] / message_stop",
        LLM,
        streamed=True,
        unstreamed=False,
    ),
    Fault(
        "error_event",
        "an error object after `after` content events, then a clean end",
        LLM,
        streamed=True,
        unstreamed=False,
    ),
    Fault(
        "stall",
        "silence after `after` content events (unstreamed: from the start) until the caller leaves; the simulator "
        "closes after its stall limit",
        ALL,
        streamed=True,
        unstreamed=True,
    ),
    Fault("no_usage", "no usage anywhere", LLM, streamed=True, unstreamed=True),
    Fault("wrong_usage", "total_tokens is not the sum of its parts", _TOTALS, streamed=True, unstreamed=True),
    Fault("crlf", "CRLF line ends in the event stream", LLM, streamed=True, unstreamed=False),
    Fault("comments", "comment lines between the events", LLM, streamed=True, unstreamed=False),
    Fault("bytewise", "the body in writes of one byte", ALL, streamed=True, unstreamed=True),
    Fault(
        "split_utf8",
        "writes that end inside a multi-byte UTF-8 character",
        LLM,
        streamed=True,
        unstreamed=True,
    ),
    Fault(
        "wrong_type",
        "the right answer under the content type text/plain",
        ALL,
        streamed=True,
        unstreamed=True,
    ),
    Fault(
        "invalid_utf8",
        "a text that holds bytes which are no UTF-8 (C3 28 and FF)",
        ALL,
        streamed=True,
        unstreamed=True,
    ),
    Fault(
        "oversize",
        "an answer of at least `size` bytes (default 8 MiB): one huge event after `after` content events, or a "
        "document padded with blanks",
        ALL,
        streamed=True,
        unstreamed=True,
    ),
    Fault(
        "early_done",
        "[DONE] / message_stop / response.completed after `after` content events, then the rest of the stream "
        "without it",
        LLM,
        streamed=True,
        unstreamed=False,
    ),
    Fault(
        "no_finish",
        "the terminator without a finish chunk / message_delta / output_item.done before it",
        LLM,
        streamed=True,
        unstreamed=False,
    ),
    Fault(
        "unknown_event",
        "an event of a type that no client knows, after `after` content events; the rest is whole",
        LLM,
        streamed=True,
        unstreamed=False,
    ),
    Fault(
        "one_write",
        "head and body in one single write",
        ALL,
        streamed=True,
        unstreamed=True,
    ),
    Fault(
        "slow_loris",
        "everything, head included, one byte at a time with `byte_ms` (default 20) between two bytes",
        ALL,
        streamed=True,
        unstreamed=True,
    ),
    Fault(
        "close_in_headers",
        "the connection closed (FIN) in the middle of the headers",
        ALL,
        streamed=True,
        unstreamed=True,
    ),
    Fault(
        "reset_in_headers",
        "the connection reset (RST) in the middle of the headers",
        ALL,
        streamed=True,
        unstreamed=True,
    ),
    Fault(
        "bad_chunking",
        "a chunked body whose framing breaks after `after` content events: a chunk size that is no number",
        ALL,
        streamed=True,
        unstreamed=True,
    ),
    Fault(
        "latency_spike",
        "a pause of `spike_ms` (default 2000) before the content event after the `after`-th, or before the answer",
        ALL,
        streamed=True,
        unstreamed=True,
    ),
    Fault(
        "callback_twice",
        "the callback of a media job delivered two times, with the same id",
        (JOBS,),
        streamed=False,
        unstreamed=True,
    ),
    Fault(
        "callback_never",
        "no callback at all; polling works",
        (JOBS,),
        streamed=False,
        unstreamed=True,
    ),
    Fault(
        "result_changes",
        "a finished job that names other outputs from the second poll on",
        (JOBS,),
        streamed=False,
        unstreamed=True,
    ),
    Fault(
        "refused",
        "connection refused: a listener of its own stops listening for a while (POST /_wb/listeners)",
        ALL,
        streamed=True,
        unstreamed=True,
        by="control",
    ),
    Fault(
        "outage",
        "for a while every call to an upstream, provider or model fails in the same way (POST /_wb/outages); for "
        "one scenario: window_ms=",
        ALL,
        streamed=True,
        unstreamed=True,
        by="control",
    ),
)

IN_CALL: Final = tuple(name for name, fault in FAULTS.items() if fault.by == "call")
"""The faults that a scenario may name."""
