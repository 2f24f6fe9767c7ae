"""Anthropic streams to either surface. Both follow the same grammar, written as a table of what may follow what.

message_start (content_block_start content_block_delta* content_block_stop)* message_delta message_stop, ping anywhere.
"""

from collections.abc import Mapping

from reference_gateway import usage as wire_usage
from reference_gateway.jsonwire import JsonObject, decode, encode
from reference_gateway.sse import SseEvent, named_frame
from reference_gateway.translation.replies import Identity
from reference_gateway.translation.streams import (
    BrokenStreamError,
    ChatStream,
    Progress,
    StreamTranslator,
    read_event,
    text_of,
)
from reference_gateway.translation.words import finish_reason

# What may come after each event; None is the beginning.
_FOLLOWERS: Mapping[str | None, frozenset[str]] = {
    None: frozenset({"message_start"}),
    "message_start": frozenset({"content_block_start", "message_delta"}),
    "content_block_start": frozenset({"content_block_delta", "content_block_stop"}),
    "content_block_delta": frozenset({"content_block_delta", "content_block_stop"}),
    "content_block_stop": frozenset({"content_block_start", "message_delta"}),
    "message_delta": frozenset({"message_delta", "message_stop"}),
    "message_stop": frozenset(),
}
_KNOWN = frozenset().union(*_FOLLOWERS.values())


class AnthropicReader:
    """Follows the grammar and gathers usage, which is spread over two events."""

    def __init__(self) -> None:
        self._last: str | None = None
        self._counters: JsonObject = {}
        self.progress = Progress.OPEN
        self.stop: str | None = None

    def read(self, event: SseEvent) -> JsonObject | None:
        """The event's object, or None for one to ignore; raises `BrokenStreamError` against the grammar."""
        value = read_event(event)
        kind = value.get("type")
        if not isinstance(kind, str) or kind not in _KNOWN:
            return None
        if kind not in _FOLLOWERS[self._last]:
            raise BrokenStreamError(f"the upstream sent {kind} after {self._last or 'nothing'}")
        self._last = kind
        if kind == "message_start":
            self._count(_member(value, "message").get("usage"))
        elif kind == "message_delta":
            self._count(value.get("usage"))
            self.stop = self.stop or _member(value, "delta").get("stop_reason")
            if self.stop is not None:
                self.progress = Progress.FINISHED
        elif kind == "message_stop":
            if self.stop is None:
                raise BrokenStreamError("the upstream ended without a stop reason")
            self.progress = Progress.TERMINATED
        return value

    def counters(self) -> JsonObject:
        """All counters reported so far, the latest of each."""
        return self._counters

    def _count(self, usage: object) -> None:
        if isinstance(usage, dict):
            self._counters |= {name: value for name, value in usage.items() if value is not None}


def _member(value: JsonObject, name: str) -> JsonObject:
    member = value.get(name)
    if not isinstance(member, dict):
        raise BrokenStreamError(f"the upstream sent a {value['type']} without {name}")
    return member


class MessagesStreamFromAnthropic(StreamTranslator):
    """Anthropic to Messages surface: events pass unchanged, but for the identity in the first one."""

    def __init__(self, identity: Identity, *, choices: int = 1, include_usage: bool = False) -> None:
        super().__init__(identity, choices=choices, include_usage=include_usage)
        self._reader = AnthropicReader()
        self._finish = b""
        self._held: list[bytes] = []

    def feed(self, event: SseEvent) -> bytes:
        if self.progress is Progress.TERMINATED:
            return b""
        value = self._reader.read(event)
        self.progress = self._reader.progress
        if value is None:
            return self._frame(event)
        kind = value["type"]
        if kind == "message_start":
            value = decode(event.data)
            value["message"] |= {
                "id": self.identity.id,
                "model": self.identity.model,
            }
            return named_frame(kind, encode(value))
        if kind == "message_delta":
            self.usage = wire_usage.from_anthropic(self._reader.counters())
        if self.progress is Progress.OPEN:
            return named_frame(kind, event.data)
        if kind == "message_delta":
            self._finish = _with_later_usage(self._finish, event.data) if self._finish else event.data
            self._held = [named_frame(kind, self._finish)]
        return b""

    def _frame(self, event: SseEvent) -> bytes:
        name = read_event(event).get("type") or event.name
        return named_frame(str(name), event.data) if self.progress is Progress.OPEN else b""

    def closing(self) -> bytes:
        return b"".join(self._held) + self.terminator()

    def terminator(self) -> bytes:
        """What ends every complete stream of this surface."""
        return named_frame("message_stop", encode({"type": "message_stop"}))


def _with_later_usage(finish: bytes, later: bytes) -> bytes:
    """The finish with the counters that came after it, because the call is billed by them."""
    event, counters = decode(finish), decode(later).get("usage")
    if not isinstance(counters, dict):
        return finish
    shown = event.get("usage") if isinstance(event.get("usage"), dict) else {}
    said = {name: value for name, value in counters.items() if value is not None}
    return encode({**event, "usage": {**shown, **said}})


class ChatStreamFromAnthropic(ChatStream):
    """Anthropic to chat surface: text and tool calls become deltas, thinking stays behind."""

    def __init__(self, identity: Identity, *, choices: int = 1, include_usage: bool = False) -> None:
        super().__init__(identity, choices=choices, include_usage=include_usage)
        self._reader = AnthropicReader()
        self._tools = 0
        self._in_tool = False
        self._arguments = False
        self._input: JsonObject = {}

    def feed(self, event: SseEvent) -> bytes:
        if self.progress is Progress.TERMINATED:
            return b""
        value = self._reader.read(event)
        self.progress = self._reader.progress
        if value is None:
            return b""
        if value["type"] == "message_start":
            return self.delta(self.first_delta())
        if value["type"] == "content_block_start":
            # The whole input of a tool may stand here, and its numbers go on by value.
            return self.block_start(_member(decode(event.data), "content_block"))
        if value["type"] == "content_block_delta":
            return self.block_delta(_member(value, "delta"))
        if value["type"] == "content_block_stop":
            return self._block_stop()
        if value["type"] == "message_delta":
            self.usage = wire_usage.from_anthropic(self._reader.counters())
        return b""

    def block_start(self, block: JsonObject) -> bytes:
        """What the beginning of a block becomes."""
        self._in_tool = block.get("type") == "tool_use"
        if self._in_tool:
            if not isinstance(block.get("id"), str) or not isinstance(block.get("name"), str):
                raise BrokenStreamError("the upstream sent a tool call without an id or a name")
            self._arguments = False
            self._input = block.get("input") or {}
            self._tools += 1
            function = {"name": block["name"], "arguments": ""}
            return self._tool_delta({"id": block["id"], "type": "function", "function": function})
        if block.get("type") == "text" and isinstance(block.get("text"), str) and block["text"]:
            return self.delta({"content": block["text"]})
        return b""

    def block_delta(self, delta: JsonObject) -> bytes:
        """What a fragment of a block becomes."""
        if delta.get("type") == "text_delta":
            return self.delta({"content": text_of(delta, "text")})
        if delta.get("type") == "input_json_delta" and self._in_tool and delta.get("partial_json"):
            self._arguments = True
            return self._tool_delta({"function": {"arguments": text_of(delta, "partial_json")}})
        return b""

    def first_delta(self) -> JsonObject:
        """What the first chunk says."""
        return {"role": "assistant", "content": ""}

    def _block_stop(self) -> bytes:
        untold = self._in_tool and not self._arguments
        self._in_tool = False
        return self._tool_delta({"function": {"arguments": encode(self._input).decode()}}) if untold else b""

    def _tool_delta(self, fragment: JsonObject) -> bytes:
        return self.delta({"tool_calls": [{"index": self._tools - 1, **fragment}]})

    @property
    def finish(self) -> str:
        """Why the reply ended, in the words of this surface."""
        return finish_reason(self._reader.stop)

    def closing(self) -> bytes:
        finish = self.delta({}, self.finish)
        return finish + self.usage_chunk() + self.terminator()
