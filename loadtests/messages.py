"""The events of a streamed message: message_start, content blocks, message_delta, message_stop."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from loadtests.dialect import EventStream, excerpt

#: What this dialect calls its token counts; input counts neither what a cache gave nor what it took.
USAGE = {
    "input_tokens": "input",
    "cache_read_input_tokens": "cached",
    "cache_creation_input_tokens": "written",
    "output_tokens": "completion",
}
_DELTAS = ("text", "partial_json", "thinking", "signature")


class MessageStream(EventStream):
    """A stream of POST /v1/messages.

    Attributes:
        starts, stop_reasons, stops: message_start, stop_reason and message_stop events.
        late: content after a stop_reason, or anything but pings after message_stop.
    """

    __slots__ = ("late", "starts", "stop_reasons", "stops")
    text_key: ClassVar[re.Pattern[bytes]] = re.compile(rb'"text"\s*:\s*\Z')

    def __init__(self, expected: str | None = None) -> None:
        super().__init__(expected)
        self.starts = 0
        self.stop_reasons = 0
        self.stops = 0
        self.late = 0

    def parsed(self, data: bytes) -> None:
        """Take an event that is not of the learned shape."""
        event = self.json_object(data)
        if event is None:
            return
        kind = event.get("type")
        if kind == "error" or (kind is None and isinstance(event.get("error"), dict)):
            self.error = self.error or excerpt(data)
        elif kind != "ping":
            self._event(kind, event, data)

    def _event(self, kind: Any, event: dict[str, Any], data: bytes) -> None:
        if self.stops:
            self.late += 1
        delta = event.get("delta")
        if kind == "message_start":
            self.starts += 1
            message = event.get("message")
            self.note_usage(message.get("usage") if isinstance(message, dict) else None, USAGE)
        elif kind == "content_block_delta" and isinstance(delta, dict):
            self._delta(delta, data)
        elif kind == "message_delta" and isinstance(delta, dict):
            self.note_usage(event.get("usage"), USAGE)
            if delta.get("stop_reason") is not None:
                self.stop_reasons += 1
                self.ended = True
        elif kind == "message_stop":
            self.stops += 1
            self.ended = True

    def _delta(self, delta: dict[str, Any], data: bytes) -> None:
        if not any(delta.get(name) for name in _DELTAS):
            return
        self.chunks += 1
        if self.ended:
            self.late += 1
        text = delta.get("text")
        if isinstance(text, str) and text:
            self.text(text.encode("utf-8", "surrogatepass"))
            if not self.ended:
                self.learn(data, text)

    @property
    def begun_ending(self) -> bool:
        """A stop_reason or message_stop was seen."""
        return bool(self.stop_reasons or self.stops)

    @property
    def broken_ending(self) -> str | None:
        """What is wrong with the beginning and the ending, or None."""
        problems = (
            (self.starts != 1, f"message_start {self.starts} times"),
            (self.stop_reasons == 0, "message_stop without any stop_reason"),
            (self.stop_reasons > 1, f"stop_reason {self.stop_reasons} times"),
            (self.stops == 0, "stop_reason without message_stop"),
            (self.stops > 1, f"message_stop {self.stops} times"),
            (self.late > 0, f"{self.late} events after the answer was over"),
            (self.unterminated, "no blank line ends the last event"),
        )
        return next((text for wrong, text in problems if wrong), None)
