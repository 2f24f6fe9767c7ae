"""The vocabularies of the two formats side by side: why a reply ended.

Source: public docs, Streaming (finish_reason has four values); the Anthropic Messages format (stop_reason).
"""

from collections.abc import Mapping
from typing import Any

FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter"})

_FINISH_OF_STOP: Mapping[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_STOP_OF_FINISH: Mapping[str, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}


def finish_reason(stop_reason: Any) -> str:
    """The OpenAI word for an Anthropic stop reason; unknown ones count as a natural end."""
    return _FINISH_OF_STOP.get(stop_reason, "stop") if isinstance(stop_reason, str) else "stop"


def stop_reason(finish: Any, *, called: bool = False, refused: bool = False) -> str:
    """The Anthropic word for an OpenAI finish reason; unknown ones count as a natural end.

    OpenAI's format says `stop` also after a call of the one tool that was asked for, and after a refusal in words.
    """
    if finish == "stop" and (called or refused):
        return "tool_use" if called else "refusal"
    return _STOP_OF_FINISH.get(finish, "end_turn") if isinstance(finish, str) else "end_turn"
