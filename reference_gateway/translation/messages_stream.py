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
    """One choice only. Input counts come last in OpenAI's format, so they ride on message_delta."""

    def __init__(self, identity: Identity, *, choices: int = 1, include_usage: bool = False) -> None:
        super().__init__(identity, choices=choices, include_usage=include_usage)
        self._begun = False
        self._block = -1
        self._open: str | int | None = None
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
        if delta.get("content"):
            out += self._text(text_of(delta, "content"))
        fragments = delta.get("tool_calls") or []
        if not isinstance(fragments, list):
            raise BrokenStreamError("the upstream sent tool calls that are no array")
        for fragment in fragments:
            out += self._tool(fragment)
        if choice.get("finish_reason") is not None:
            self._finish = choice["finish_reason"]
            self.progress = Progress.FINISHED
            out += self._close_block()
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

    def _text(self, text: str) -> bytes:
        out = b""
        if self._open != "text":
            out = self._open_block("text", {"type": "text", "text": ""})
        return out + self._delta({"type": "text_delta", "text": text})

    def _tool(self, fragment: Any) -> bytes:
        if not isinstance(fragment, dict) or type(fragment.get("index")) is not int:
            raise BrokenStreamError("the upstream sent a tool call without an index")
        function = fragment.get("function") or {}
        if not isinstance(function, dict):
            raise BrokenStreamError("the upstream sent a tool call without a function")
        out = b""
        if self._open != fragment["index"]:
            block: JsonObject = {
                "type": "tool_use",
                "id": fragment.get("id"),
                "name": function.get("name"),
                "input": {},
            }
            out = self._open_block(fragment["index"], block)
        if function.get("arguments"):
            out += self._delta({"type": "input_json_delta", "partial_json": text_of(function, "arguments")})
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
        delta = {"stop_reason": stop_reason(self._finish), "stop_sequence": None}
        usage = wire_usage.to_anthropic(self.usage or Usage(0, 0))
        return _event({"type": "message_delta", "delta": delta, "usage": usage}) + _event(
            {"type": "message_stop"}
        )


def _event(value: JsonObject) -> bytes:
    return named_frame(value["type"], encode(value))
