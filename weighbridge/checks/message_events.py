"""The grammar of a streamed message, as a table of states over raw server-sent events.

`read` turns a reply into a `Transcript` once: its events, every breach of the grammar, and the content
blocks as a client would put them together. Rules in `message_streams` are statements about it.

Legal order (Anthropic format, streaming events): message_start, then blocks one after the other, each
content_block_start, its deltas, content_block_stop; then message_delta, at last message_stop. ping may
stand anywhere; an event of a type unknown here means nothing; error ends the stream.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any

from weighbridge.checks.findings import is_int, member
from weighbridge.checks.transcripts import DataEvent, Reading, data_events
from weighbridge.evidence import Call


class State(StrEnum):
    """Where a stream stands; the values complete the sentence "... came"."""

    BEFORE = "before message_start"
    BETWEEN = "between content blocks"
    INSIDE = "inside a content block"
    CLOSING = "after message_delta"
    STOPPED = "after message_stop"
    FAILED = "after an error event"


#: What may come in each state, and where it leads.
GRAMMAR: dict[State, dict[str, State]] = {
    State.BEFORE: {"message_start": State.BETWEEN},
    State.BETWEEN: {"content_block_start": State.INSIDE, "message_delta": State.CLOSING},
    State.INSIDE: {"content_block_delta": State.INSIDE, "content_block_stop": State.BETWEEN},
    State.CLOSING: {"message_delta": State.CLOSING, "message_stop": State.STOPPED},
    State.STOPPED: {},
    State.FAILED: {},
}
#: Where an event leads that came out of turn, so that one slip is reported once and not at every later event.
_RECOVERY: dict[str, State] = {
    "message_start": State.BETWEEN,
    "content_block_start": State.INSIDE,
    "content_block_delta": State.INSIDE,
    "content_block_stop": State.BETWEEN,
    "message_delta": State.CLOSING,
    "message_stop": State.STOPPED,
}
BLOCK_EVENTS = frozenset({"content_block_start", "content_block_delta", "content_block_stop"})


@dataclass(frozen=True, slots=True)
class MessageEvent(DataEvent):
    """One event of a streamed message."""

    @property
    def type(self) -> str:
        """`type` inside the data, else the event's name, since an error body may have none."""
        value = self.json.get("type") if self.json else None
        return value if isinstance(value, str) else self.name

    @property
    def is_error(self) -> bool:
        """An error event, also where only its body says so."""
        return self.type == "error" or (self.json is not None and isinstance(self.json.get("error"), dict))


@dataclass(frozen=True, slots=True)
class Breach:
    """An event that the grammar does not allow in the state in which it came."""

    event: MessageEvent
    state: State

    def __str__(self) -> str:
        return f"event {self.event.index} ({self.event.type}) came {self.state}"


@dataclass(slots=True)
class Block:
    """A content block being put together from its deltas."""

    kind: str
    start: dict[str, Any]
    text: str = ""
    partial_json: str = ""
    thinking: str = ""
    deltas: int = 0

    def add(self, delta: Any) -> None:
        """Take one delta; kinds unknown here add nothing."""
        self.deltas += 1
        self.text += _text(delta, "text")
        self.partial_json += _text(delta, "partial_json")
        self.thinking += _text(delta, "thinking")

    @property
    def whole_text(self) -> str:
        """The text of the block, what its start held already included."""
        return _text(self.start, "text") + self.text

    @property
    def tool_input(self) -> Any:
        """The tool's input as JSON, `{}` where none was sent, or None where the pieces are no JSON."""
        if not self.partial_json:
            return self.start.get("input") or {}
        try:
            return json.loads(self.partial_json)
        except (ValueError, RecursionError):
            return None


@dataclass(frozen=True, slots=True)
class Transcript(Reading[MessageEvent]):
    """A streamed message as a client would read it.

    Attributes:
        ended: the state in which the stream was left.
        slips: sentences about block indexes that do not rise from 0 or do not belong to the open block.
    """

    breaches: tuple[Breach, ...]
    blocks: tuple[Block, ...]
    slips: tuple[str, ...]
    ended: State

    def of(self, *types: str) -> tuple[MessageEvent, ...]:
        """All events of these types."""
        return tuple(event for event in self.events if event.type in types)

    @property
    def stop_reasons(self) -> tuple[Any, ...]:
        """Each stop_reason that a message_delta gave."""
        given = (member(event.json, "delta", "stop_reason") for event in self.of("message_delta"))
        return tuple(reason for reason in given if reason is not None)

    @property
    def text(self) -> str:
        """The text of all text blocks."""
        return "".join(block.whole_text for block in self.blocks if block.kind == "text")


def _text(value: Any, name: str) -> str:
    found = member(value, name)
    return found if isinstance(found, str) else ""


@dataclass(slots=True)
class _Reader:
    """Follows the grammar event by event."""

    state: State = State.BEFORE
    breaches: list[Breach] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    slips: list[str] = field(default_factory=list)

    def take(self, event: MessageEvent) -> None:
        if event.is_error:
            self.state = State.FAILED
            return
        if event.type not in _RECOVERY:
            return
        following = GRAMMAR[self.state].get(event.type)
        if following is None:
            self.breaches.append(Breach(event, self.state))
        self.state = following or _RECOVERY[event.type]
        if event.type in BLOCK_EVENTS:
            self._block(event)

    def _block(self, event: MessageEvent) -> None:
        index = member(event.json, "index")
        if event.type == "content_block_start":
            start = member(event.json, "content_block")
            start = start if isinstance(start, dict) else {}
            self.blocks.append(Block(str(start.get("type")), start))
        expected = len(self.blocks) - 1
        if index != expected or not is_int(index):
            self.slips.append(
                f"event {event.index} ({event.type}) has index {index!r}, the block is number {expected}"
            )
        if event.type == "content_block_delta" and self.blocks:
            self.blocks[-1].add(member(event.json, "delta"))


@lru_cache(maxsize=512)
def read(call: Call) -> Transcript:
    """The transcript of a call's body."""
    events = data_events(call, MessageEvent)
    reader = _Reader()
    for event in events:
        reader.take(event)
    return Transcript(events, tuple(reader.breaches), tuple(reader.blocks), tuple(reader.slips), reader.state)
