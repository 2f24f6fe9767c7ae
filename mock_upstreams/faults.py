"""The faults a scenario may ask for, as one table.

A fault is a name, what the caller of the provider sees, and where it makes sense. `scripts.py` turns each name
into bytes and an ending; a test holds the two together, so a fault cannot be documented here and missing there.
"""

from dataclasses import dataclass
from typing import Final

CHAT: Final = "chat"
MESSAGES: Final = "messages"
OTHER: Final = "other"
"""Every other JSON answer: media jobs, model list, token count."""

_ALL: Final = (CHAT, MESSAGES, OTHER)
_LLM: Final = (CHAT, MESSAGES)


@dataclass(frozen=True, slots=True)
class Fault:
    """One way for a provider to misbehave.

    `streamed` and `unstreamed` say for which kind of answer it may be asked; elsewhere it is refused with 400,
    because a fault that silently does nothing would make a check pass for no reason.
    """

    name: str
    caller_sees: str
    surfaces: tuple[str, ...]
    streamed: bool
    unstreamed: bool


def _table(*rows: Fault) -> dict[str, Fault]:
    return {row.name: row for row in rows}


FAULTS: Final[dict[str, Fault]] = _table(
    Fault(
        "status",
        "the error status of status=, an error body of the provider's own dialect, Retry-After if retry_after=",
        _ALL,
        streamed=True,
        unstreamed=True,
    ),
    Fault("html", "an HTML error page (502 unless status=)", _ALL, streamed=True, unstreamed=True),
    Fault("empty", "a success status (or status=) and no body at all", _ALL, streamed=True, unstreamed=True),
    Fault(
        "bad_json",
        "200 with JSON that stops in the middle; in a stream one truncated data line, then a clean end",
        _ALL,
        streamed=True,
        unstreamed=True,
    ),
    Fault(
        "close_before_headers",
        "the connection closed (FIN) before a status line",
        _ALL,
        streamed=True,
        unstreamed=True,
    ),
    Fault(
        "reset_before_headers",
        "the connection reset (RST) before a status line",
        _ALL,
        streamed=True,
        unstreamed=True,
    ),
    Fault(
        "reset",
        "the connection reset (RST) after `after` content events, or in the middle of the body",
        _ALL,
        streamed=True,
        unstreamed=True,
    ),
    Fault(
        "close",
        "the connection closed (FIN) after `after` content events or in the middle of the body, without the end "
        "that the framing promised",
        _ALL,
        streamed=True,
        unstreamed=True,
    ),
    Fault(
        "end_early",
        "a clean end of the body after `after` content events: no finish, no terminator",
        _LLM,
        streamed=True,
        unstreamed=False,
    ),
    Fault("no_done", "a finish, but no [DONE] / message_stop", _LLM, streamed=True, unstreamed=False),
    Fault("double_done", "[DONE] / message_stop twice", _LLM, streamed=True, unstreamed=False),
    Fault("double_finish", "the finish chunk / message_delta twice", _LLM, streamed=True, unstreamed=False),
    Fault(
        "after_done",
        "one more content event after [DONE] / message_stop",
        _LLM,
        streamed=True,
        unstreamed=False,
    ),
    Fault(
        "error_event",
        "an error object after `after` content events, then a clean end",
        _LLM,
        streamed=True,
        unstreamed=False,
    ),
    Fault(
        "stall",
        "silence after `after` content events (unstreamed: from the start) until the caller leaves; the simulator "
        "closes after its stall limit",
        _ALL,
        streamed=True,
        unstreamed=True,
    ),
    Fault("no_usage", "no usage anywhere", _LLM, streamed=True, unstreamed=True),
    Fault("wrong_usage", "total_tokens is not the sum of its parts", (CHAT,), streamed=True, unstreamed=True),
    Fault("crlf", "CRLF line ends in the event stream", _LLM, streamed=True, unstreamed=False),
    Fault("comments", "comment lines between the events", _LLM, streamed=True, unstreamed=False),
    Fault("bytewise", "the body in writes of one byte", _ALL, streamed=True, unstreamed=True),
    Fault(
        "split_utf8",
        "writes that end inside a multi-byte UTF-8 character",
        _LLM,
        streamed=True,
        unstreamed=True,
    ),
)
