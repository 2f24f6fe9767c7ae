"""A streamed chat completion as a client would read it, and what every reading of a stream shares.

A dialect reads the events of a reply once into a transcript (`read` here for chat, `message_events.read` for
messages); rules are statements about it, bound with `rules_over` so that a call without a stream is not judged.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

from weighbridge.checks.findings import is_int, member, outcome_of, unjudged
from weighbridge.evidence import Call, Ending
from weighbridge.suite import Rule
from weighbridge.verdict import Finding

DONE = "[DONE]"


# ------------------------------------------------------------------ what the dialects share
@dataclass(frozen=True, slots=True)
class DataEvent:
    """One event with data.

    Attributes:
        index: its place among the events of the stream.
        at: its arrival, in seconds of the call's clock.
        name: the `event:` line; empty where there was none.
        json: the data where it is a JSON object.
        complete: the blank line that dispatches it was seen.
    """

    index: int
    at: float
    name: str
    data: str
    json: dict[str, Any] | None
    complete: bool

    @property
    def is_done(self) -> bool:
        """The end mark of chat streams."""
        return self.data.strip() == DONE

    @property
    def is_error(self) -> bool:
        """An error object in the middle of a stream; some gateways put it into a chunk that has choices as well."""
        return self.json is not None and bool(self.json.get("error"))


EventT = TypeVar("EventT", bound=DataEvent)


@dataclass(frozen=True, slots=True)
class Reading(Generic[EventT]):
    """A stream as a client would read it; `events` is empty where the reply was none."""

    events: tuple[EventT, ...]

    @property
    def dones(self) -> tuple[EventT, ...]:
        """All end marks of chat streams."""
        return tuple(event for event in self.events if event.is_done)

    @property
    def errors(self) -> tuple[EventT, ...]:
        """All errors."""
        return tuple(event for event in self.events if event.is_error)


ReadT = TypeVar("ReadT", bound=Reading[Any])


def data_events(call: Call, kind: type[EventT]) -> tuple[EventT, ...]:
    """The events of a reply; comments and blocks without data mean nothing and are left out."""
    response = call.exchange.response
    return tuple(
        kind(index, event.at, event.name, event.data, _object(event.data), event.complete)
        for index, event in enumerate(response.events if response else ())
        if event.data is not None
    )


def _object(data: str) -> dict[str, Any] | None:
    try:
        parsed = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def rules_over(read: Callable[[Call], ReadT]) -> Callable[[Callable[[Call, ReadT], Finding]], Rule]:
    """Decorator of rules over what `read` makes of a call; a call that brought no event is not judged by them.

    A stream that we left on purpose is judged by what came.
    """

    def bind(rule: Callable[[Call, ReadT], Finding]) -> Rule:
        def guarded(call: Call) -> Finding:
            response = call.exchange.response
            left = call.exchange.status == 200 and call.exchange.ending is Ending.LEFT
            if response is None or not (call.exchange.ok or left):
                return unjudged(call, f"no stream to judge: {outcome_of(call)}")
            transcript = read(call)
            if not transcript.events:
                return unjudged(call, f"no event in the reply ({response.content_type or 'no Content-Type'})")
            return rule(call, transcript)

        return guarded

    return bind


# ------------------------------------------------------------------ a chat stream
@dataclass(frozen=True, slots=True)
class Piece(DataEvent):
    """One event of a chat stream."""

    @property
    def choices(self) -> list[dict[str, Any]]:
        """The chunk's choices; empty for a usage chunk or an error."""
        value = self.json.get("choices") if self.json else None
        return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


@dataclass(frozen=True, slots=True)
class Transcript(Reading[Piece]):
    """A chat stream, with what its chunks join to."""

    @property
    def chunks(self) -> tuple[Piece, ...]:
        """JSON pieces that are no errors."""
        return tuple(piece for piece in self.events if piece.json is not None and not piece.is_error)

    @property
    def finishes(self) -> tuple[tuple[Piece, Any, Any], ...]:
        """(piece, choice index, finish_reason) wherever a finish_reason stands."""
        return tuple(
            (piece, index_of(choice), choice["finish_reason"])
            for piece in self.chunks
            for choice in piece.choices
            if choice.get("finish_reason") is not None
        )

    def text(self, index: int = 0) -> str:
        """The concatenated content of one choice."""
        parts = []
        for piece in self.chunks:
            for choice in piece.choices:
                content = member(choice, "delta", "content")
                if choice.get("index", 0) == index and isinstance(content, str):
                    parts.append(content)
        return "".join(parts)

    def tool_calls(self) -> dict[int, dict[str, str]]:
        """Streamed tool calls by index: id, name and concatenated arguments."""
        calls: dict[int, dict[str, str]] = {}
        for piece in self.chunks:
            for choice in piece.choices:
                fragments = member(choice, "delta", "tool_calls")
                for fragment in fragments if isinstance(fragments, list) else []:
                    index = member(fragment, "index")
                    call = calls.setdefault(
                        index if is_int(index) else -1, {"id": "", "name": "", "arguments": ""}
                    )
                    call["id"] = call["id"] or str(member(fragment, "id") or "")
                    call["name"] = call["name"] or str(member(fragment, "function", "name") or "")
                    call["arguments"] += str(member(fragment, "function", "arguments") or "")
        return calls


def index_of(choice: dict[str, Any]) -> int | str:
    """A choice's index; what is no integer by its text, since a list or object cannot be a key."""
    value = choice.get("index")
    return value if isinstance(value, int) and is_int(value) else repr(value)


@lru_cache(maxsize=512)
def read(call: Call) -> Transcript:
    """The transcript of a call's body."""
    return Transcript(data_events(call, Piece))


on_stream = rules_over(read)
