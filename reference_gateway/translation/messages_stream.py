"""OpenAI streams to the Messages surface: deltas become blocks, opened and closed one after the other."""

from typing import Any

from reference_gateway import usage as wire_usage
from reference_gateway.jsonwire import JsonObject, encode
from reference_gateway.pricing import Usage
from reference_gateway.sse import SseEvent, named_frame
from reference_gateway.translation.replies import Identity
from reference_gateway.translation.streams import (
    BrokenStreamError,
    Progress,
    StreamTranslator,
    read_event,
    text_of,
)
from reference_gateway.translation.words import stop_reason


class MessagesStreamFromOpenAI(StreamTranslator):
    """One choice only. Input counts come last in OpenAI's format, so they ride on message_delta.

    Tool calls may arrive in turns, blocks may not: a call that has begun stays open to the finish, and what comes
    beside it waits until then.
    """

    def __init__(self, identity: Identity, *, choices: int = 1, include_usage: bool = False) -> None:
        super().__init__(identity, choices=choices, include_usage=include_usage)
        self._begun = False
        self._block = -1
        self._open: str | int | None = None
        # Blocks that wait, each with its start and the deltas so far, in the order in which they appeared.
        self._waiting: dict[str | int, tuple[JsonObject, list[JsonObject]]] = {}
        self._called = False
        self._refused = False
        self._finish: str | None = None

    def feed(self, event: SseEvent) -> bytes:
        if self.progress is Progress.TERMINATED:
            return b""
        if event.data == b"[DONE]":
            if self.progress is Progress.OPEN:
                raise BrokenStreamError("the upstream ended before the reply was finished")
            self.progress = Progress.TERMINATED
            return b""
        chunk = read_event(event)
        if chunk.get("usage") is not None:
            self.usage = wire_usage.from_openai(chunk["usage"]) or self.usage
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            raise BrokenStreamError("the upstream sent a chunk without choices")
        return b"".join(self._choice(choice) for choice in choices)

    def _choice(self, choice: Any) -> bytes:
        delta = choice.get("delta") if isinstance(choice, dict) else None
        if not isinstance(delta, dict):
            raise BrokenStreamError("the upstream sent a choice without a delta")
        if choice.get("index") != 0 or self.progress is not Progress.OPEN:
            return b""
        out = b"" if self._begun else self._message_start()
        for name in ("content", "refusal"):
            if delta.get(name):
                self._refused |= name == "refusal"
                text = {"type": "text_delta", "text": text_of(delta, name)}
                out += self._piece("text", {"type": "text", "text": ""}, text)
        fragments = delta.get("tool_calls") or []
        if not isinstance(fragments, list):
            raise BrokenStreamError("the upstream sent tool calls that are no array")
        for fragment in fragments:
            out += self._tool(fragment)
        if choice.get("finish_reason"):
            self._finish = choice["finish_reason"]
            self.progress = Progress.FINISHED
            out += self._finished()
        return out

    def _message_start(self) -> bytes:
        self._begun = True
        message: JsonObject = {
            "id": self.identity.id,
            "type": "message",
            "role": "assistant",
            "model": self.identity.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": wire_usage.to_anthropic(Usage(0, 0)),
        }
        return _event({"type": "message_start", "message": message})

    def _tool(self, fragment: Any) -> bytes:
        if not isinstance(fragment, dict) or type(fragment.get("index")) is not int:
            raise BrokenStreamError("the upstream sent a tool call without an index")
        function = fragment.get("function") or {}
        if not isinstance(function, dict):
            raise BrokenStreamError("the upstream sent a tool call without a function")
        index: int = fragment["index"]
        start: JsonObject = {}
        if index != self._open and index not in self._waiting:
            self._called = True
            start = {"type": "tool_use", "id": fragment.get("id"), "name": function.get("name"), "input": {}}
            if not isinstance(start["id"], str) or not isinstance(start["name"], str):
                raise BrokenStreamError("the upstream sent a tool call without an id or a name")
        delta: JsonObject | None = None
        if function.get("arguments"):
            delta = {"type": "input_json_delta", "partial_json": text_of(function, "arguments")}
        return self._piece(index, start, delta)

    def _piece(self, of: str | int, start: JsonObject, delta: JsonObject | None) -> bytes:
        """A piece of a block, which `start` begins if it is not there yet; sent, or kept while a tool is open."""
        pieces = [] if delta is None else [delta]
        if of != self._open and isinstance(self._open, int):
            self._waiting.setdefault(of, (start, []))[1].extend(pieces)
            return b""
        out = b"" if of == self._open else self._open_block(of, start)
        return out + b"".join(map(self._delta, pieces))

    def _finished(self) -> bytes:
        out = self._close_block()
        for of, (start, deltas) in self._waiting.items():
            out += self._open_block(of, start) + b"".join(map(self._delta, deltas)) + self._close_block()
        return out

    def _open_block(self, what: str | int, block: JsonObject) -> bytes:
        out = self._close_block()
        self._block += 1
        self._open = what
        return out + _event({"type": "content_block_start", "index": self._block, "content_block": block})

    def _close_block(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        return _event({"type": "content_block_stop", "index": self._block})

    def _delta(self, delta: JsonObject) -> bytes:
        return _event({"type": "content_block_delta", "index": self._block, "delta": delta})

    def closing(self) -> bytes:
        delta = {
            "stop_reason": stop_reason(self._finish, called=self._called, refused=self._refused),
            "stop_sequence": None,
        }
        usage = wire_usage.to_anthropic(self.usage or Usage(0, 0))
        return _event({"type": "message_delta", "delta": delta, "usage": usage}) + _event(
            {"type": "message_stop"}
        )


def _event(value: JsonObject) -> bytes:
    return named_frame(value["type"], encode(value))
