"""Chunks of a chat stream: the members of each, and the text and tool calls that they join to."""

from typing import Any

from defects.definition import Defect, chat_with
from reference_gateway.identifiers import random_hex
from reference_gateway.jsonwire import JsonObject
from reference_gateway.sse import SseEvent
from reference_gateway.translation.anthropic_streams import ChatStreamFromAnthropic
from reference_gateway.translation.replies import Identity
from reference_gateway.translation.streams import ChatStreamFromOpenAI


class NewIdPerChunk(ChatStreamFromOpenAI):
    """Makes an id for each chunk; clients that join by id show many answers of one piece."""

    def chunk(self, choices: list[JsonObject]) -> JsonObject:
        return {**super().chunk(choices), "id": f"chatcmpl-{random_hex()}"}


class ClockPerChunk(ChatStreamFromAnthropic):
    """`created` is the time of the chunk."""

    _chunks = 0

    def chunk(self, choices: list[JsonObject]) -> JsonObject:
        chunk = super().chunk(choices)
        self._chunks += 1
        return {**chunk, "created": chunk["created"] + self._chunks}


class NativeModelName(ChatStreamFromAnthropic):
    """`model` is the provider's dated name."""

    def chunk(self, choices: list[JsonObject]) -> JsonObject:
        chunk = super().chunk(choices)
        return {**chunk, "model": f"{chunk['model']}-20260415"}


class WholeObjectName(ChatStreamFromOpenAI):
    """`object` is that of an unstreamed reply."""

    def chunk(self, choices: list[JsonObject]) -> JsonObject:
        return {**super().chunk(choices), "object": "chat.completion"}


class MessageForDelta(ChatStreamFromAnthropic):
    """Pieces stand under `message`, as in an unstreamed reply."""

    def chunk(self, choices: list[JsonObject]) -> JsonObject:
        renamed = [
            {"message" if name == "delta" else name: value for name, value in choice.items()}
            for choice in choices
        ]
        return super().chunk(renamed)


class NoRole(ChatStreamFromAnthropic):
    """The first chunk carries no role."""

    def delta(self, delta: JsonObject, finish: str | None = None) -> bytes:
        return super().delta({name: value for name, value in delta.items() if name != "role"}, finish)


class FinishOnEveryChunk(ChatStreamFromAnthropic):
    """finish_reason is stop from the first chunk on."""

    def delta(self, delta: JsonObject, finish: str | None = None) -> bytes:
        return super().delta(delta, finish or "stop")


class FinishAsEmptyText(ChatStreamFromAnthropic):
    """finish_reason is an empty text until the end; strict clients stop at anything but null."""

    def delta(self, delta: JsonObject, finish: str | None = None) -> bytes:
        return super().delta(delta, finish or "")


class StopForLength(ChatStreamFromAnthropic):
    """A stream cut at max_tokens ends with stop."""

    def delta(self, delta: JsonObject, finish: str | None = None) -> bytes:
        return super().delta(delta, "stop" if finish == "length" else finish)


class OneLineBreak(ChatStreamFromAnthropic):
    """One line break ends an event, where the format wants a blank line."""

    def delta(self, delta: JsonObject, finish: str | None = None) -> bytes:
        return super().delta(delta, finish).removesuffix(b"\n")


class LosesLastPiece(ChatStreamFromAnthropic):
    """Holds each piece until the next one comes, and forgets the last."""

    def __init__(self, identity: Identity, *, choices: int = 1, include_usage: bool = False) -> None:
        super().__init__(identity, choices=choices, include_usage=include_usage)
        self._kept = b""

    def delta(self, delta: JsonObject, finish: str | None = None) -> bytes:
        if not delta.get("content"):
            return super().delta(delta, finish)
        out, self._kept = self._kept, super().delta(delta, finish)
        return out


class AsciiOnly(ChatStreamFromAnthropic):
    """Decodes pieces as if one byte were one character, so what is beyond ASCII comes out garbled."""

    def delta(self, delta: JsonObject, finish: str | None = None) -> bytes:
        if delta.get("content"):
            delta = {**delta, "content": delta["content"].encode().decode("latin-1")}
        return super().delta(delta, finish)


class TrimsPieces(ChatStreamFromOpenAI):
    """Trims the space at both ends of each piece, and so glues words together."""

    def chunk(self, choices: list[JsonObject]) -> JsonObject:
        for choice in choices:
            if choice["delta"].get("content"):
                choice["delta"]["content"] = choice["delta"]["content"].strip()
        return super().chunk(choices)


class RepeatsSoFar(ChatStreamFromAnthropic):
    """Each piece repeats all text so far, as some providers' own streams do."""

    def __init__(self, identity: Identity, *, choices: int = 1, include_usage: bool = False) -> None:
        super().__init__(identity, choices=choices, include_usage=include_usage)
        self._text = ""

    def delta(self, delta: JsonObject, finish: str | None = None) -> bytes:
        if delta.get("content"):
            self._text += delta["content"]
            delta = {**delta, "content": self._text}
        return super().delta(delta, finish)


def _fragments(delta: JsonObject) -> list[Any]:
    return delta.get("tool_calls") or []


class LosesToolFragment(ChatStreamFromAnthropic):
    """The first fragment of the arguments is lost behind the one that names the tool."""

    _seen = False

    def delta(self, delta: JsonObject, finish: str | None = None) -> bytes:
        if any(fragment["function"].get("arguments") for fragment in _fragments(delta)) and not self._seen:
            self._seen = True
            return b""
        return super().delta(delta, finish)


class ToolIndexCountsUp(ChatStreamFromAnthropic):
    """Each fragment has an index of its own, so nothing can be joined."""

    _next = 0

    def delta(self, delta: JsonObject, finish: str | None = None) -> bytes:
        for fragment in _fragments(delta):
            fragment["index"] = self._next
            self._next += 1
        return super().delta(delta, finish)


class StopForToolCalls(ChatStreamFromAnthropic):
    """A stream of a tool call ends with stop, so agents take it for an answer."""

    def delta(self, delta: JsonObject, finish: str | None = None) -> bytes:
        return super().delta(delta, "stop" if finish == "tool_calls" else finish)


class RelaysNativeEvents(ChatStreamFromAnthropic):
    """Hands the provider's ping on, which is no chunk of this format."""

    def feed(self, event: SseEvent) -> bytes:
        ping = b"data: ping\n\n" if event.name == "ping" else b""
        return super().feed(event) + ping


DEFECTS = (
    Defect(
        "chunk-id-changes",
        "Each chunk has an id of its own",
        ("CSTR-06",),
        lambda: chat_with(openai_stream=NewIdPerChunk),
    ),
    Defect(
        "chunk-created-changes",
        "`created` rises from chunk to chunk",
        ("CSTR-06",),
        lambda: chat_with(anthropic_stream=ClockPerChunk),
    ),
    Defect(
        "chunk-model-not-echoed",
        "`model` of chunks is the provider's dated name",
        ("CSTR-06",),
        lambda: chat_with(anthropic_stream=NativeModelName),
    ),
    Defect(
        "chunk-object-wrong",
        "`object` of chunks is chat.completion",
        ("CSTR-05",),
        lambda: chat_with(openai_stream=WholeObjectName),
    ),
    Defect(
        "delta-missing",
        "Chunks have `message` instead of `delta`",
        ("CSTR-07",),
        lambda: chat_with(anthropic_stream=MessageForDelta),
    ),
    Defect(
        "role-missing", "No chunk carries the role", ("CSTR-08",), lambda: chat_with(anthropic_stream=NoRole)
    ),
    Defect(
        "finish-on-every-chunk",
        "Every chunk has finish_reason stop",
        ("CSTR-09", "CSTR-11"),
        lambda: chat_with(anthropic_stream=FinishOnEveryChunk),
    ),
    Defect(
        "finish-is-empty-text",
        "finish_reason is an empty text until the end",
        ("CSTR-09",),
        lambda: chat_with(anthropic_stream=FinishAsEmptyText),
    ),
    Defect(
        "stop-for-length",
        "A stream cut at max_tokens ends with stop",
        ("CSTR-17",),
        lambda: chat_with(anthropic_stream=StopForLength),
    ),
    Defect(
        "one-line-break",
        "Events are not ended by a blank line",
        ("CSTR-02",),
        lambda: chat_with(anthropic_stream=OneLineBreak),
    ),
    Defect(
        "last-piece-lost",
        "The last piece of text is lost",
        ("CSTR-12", "CSTR-22"),
        lambda: chat_with(anthropic_stream=LosesLastPiece),
    ),
    Defect(
        "text-garbled",
        "Characters beyond ASCII are garbled in streams",
        ("CSTR-12", "CSTR-22"),
        lambda: chat_with(anthropic_stream=AsciiOnly),
    ),
    Defect(
        "pieces-trimmed",
        "Space between pieces is lost",
        ("CSTR-12", "CSTR-22"),
        lambda: chat_with(openai_stream=TrimsPieces),
    ),
    Defect(
        "pieces-accumulate",
        "Each piece repeats the text so far",
        ("CSTR-12", "CSTR-22"),
        lambda: chat_with(anthropic_stream=RepeatsSoFar),
    ),
    Defect(
        "tool-fragment-lost",
        "A fragment of tool arguments is lost",
        ("CSTR-19", "PRAC-13"),
        lambda: chat_with(anthropic_stream=LosesToolFragment),
    ),
    Defect(
        "tool-index-counts-up",
        "Fragments of one tool call have different indexes",
        ("CSTR-19", "PRAC-13"),
        lambda: chat_with(anthropic_stream=ToolIndexCountsUp),
    ),
    Defect(
        "stop-for-tool-calls",
        "A streamed tool call ends with stop",
        ("CSTR-19", "PRAC-13"),
        lambda: chat_with(anthropic_stream=StopForToolCalls),
    ),
    Defect(
        "native-event-relayed",
        "A ping of the provider's format is relayed as data",
        ("CSTR-02",),
        lambda: chat_with(anthropic_stream=RelaysNativeEvents),
    ),
)
