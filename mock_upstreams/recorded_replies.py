"""What a recorded answer says: text, tool calls, thinking, usage, how it ends, and when each piece of it came.

An answer is read as its dialect writes it, whole or as an event stream; of several choices the first one counts. What a
reader does not know it passes by, as clients do.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from mock_upstreams.calls import Json
from mock_upstreams.faults import CHAT, MESSAGES, RESPONSES
from mock_upstreams.recordings import Part

_DONE: Final = "[DONE]"
_FINISHES: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "completed": "stop",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""The other dialects' words for how a reply ends, in OpenAI's."""


@dataclass(slots=True)
class Heard:
    """One reply, as far as it came. `times_s` are those of its pieces of text and arguments, `texts` of them of text.

    `counts` are totals as billed, by the names of scenario keys. `done` says that the end of the stream was announced;
    `error` is the message of an error event.
    """

    text: str = ""
    texts: int = 0
    thinking: str = ""
    redacted: bool = False
    tools: dict[int, list[str]] = field(default_factory=dict)
    finish: str | None = None
    counts: dict[str, int] = field(default_factory=dict)
    times_s: list[float] = field(default_factory=list)
    done: bool = False
    error: str | None = None

    def said(self, text: Any, at_s: float) -> None:
        """A piece of the text."""
        if isinstance(text, str) and text:
            self.text += text
            self.texts += 1
            self.times_s.append(at_s)

    def argued(self, number: Any, fragment: Any, at_s: float) -> None:
        """A piece of the arguments of one tool call."""
        if isinstance(number, int) and isinstance(fragment, str) and fragment:
            self.tools.setdefault(number, ["", ""])[1] += fragment
            self.times_s.append(at_s)

    def called(self, number: Any, name: Any) -> None:
        """The name of a tool to call."""
        if isinstance(number, int) and isinstance(name, str) and name:
            self.tools.setdefault(number, ["", ""])[0] = name

    def finished(self, word: Any) -> None:
        if isinstance(word, str) and word:
            self.finish = _FINISHES.get(word, word)

    def count(self, **counts: Any) -> None:
        self.counts |= {name: value for name, value in counts.items() if isinstance(value, int)}


def heard_stream(surface: str, parts: tuple[Part, ...]) -> Heard:
    """The reply that an event stream carries; `surface` is one of those that have replies."""
    heard, read = Heard(), _STREAMED[surface]
    for data, at_s in _events(parts):
        if data == _DONE:
            heard.done = True
            continue
        value = _object(data)
        if value is None:
            continue
        if value.get("type") == "error" or (value.get("error") and "type" not in value):
            heard.error = error_message(value) or "The server had an error."
        else:
            read(heard, value, at_s)
    return heard


def heard_whole(surface: str, body: bytes, at_s: float) -> Heard | None:
    """The reply in one JSON object; None if the body is none."""
    value = _object(body)
    if value is None:
        return None
    heard = Heard(done=True)
    _WHOLE[surface](heard, value, at_s)
    return heard


def error_message(value: Any) -> str | None:
    """The sentence of an error body or an error event of any dialect."""
    found = value.get("error", value) if isinstance(value, dict) else None
    message = found.get("message") if isinstance(found, dict) else found
    return message if isinstance(message, str) and message else None


def _object(data: str | bytes) -> Json | None:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _events(parts: tuple[Part, ...]) -> Iterator[tuple[str, float]]:
    """The data of each event, and when the last byte of it came; an unfinished event is none."""
    rest = b""
    data: list[str] = []
    for part in parts:
        *lines, rest = (rest + part.data).split(b"\n")
        for raw in lines:
            line = raw.removesuffix(b"\r").decode("utf-8", "replace")
            if line.startswith("data:"):
                data.append(line[5:].removeprefix(" "))
            elif not line and data:
                yield "\n".join(data), part.at_s
                data = []


def _items(value: Any) -> list[Json]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _inner(value: Json, *names: str) -> Json:
    """The object inside, empty where there is none."""
    found: Any = value
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


# Chat completions


def _chat_event(heard: Heard, value: Json, at_s: float) -> None:
    _chat_usage(heard, value)
    for choice in _items(value.get("choices")):
        if choice.get("index", 0) == 0:
            delta = _inner(choice, "delta")
            heard.said(delta.get("content"), at_s)
            _chat_tools(heard, delta, at_s)
            heard.finished(choice.get("finish_reason"))


def _chat_whole(heard: Heard, value: Json, at_s: float) -> None:
    _chat_usage(heard, value)
    for choice in _items(value.get("choices"))[:1]:
        heard.said(_inner(choice, "message").get("content"), at_s)
        _chat_tools(heard, _inner(choice, "message"), at_s)
        heard.finished(choice.get("finish_reason"))


def _chat_tools(heard: Heard, message: Json, at_s: float) -> None:
    for place, tool in enumerate(_items(message.get("tool_calls"))):
        number, function = tool.get("index", place), _inner(tool, "function")
        heard.called(number, function.get("name"))
        heard.argued(number, function.get("arguments"), at_s)


def _chat_usage(heard: Heard, value: Json) -> None:
    usage = _inner(value, "usage")
    read = _inner(usage, "prompt_tokens_details")
    heard.count(
        **{"in": usage.get("prompt_tokens"), "out": usage.get("completion_tokens")},
        cached=read.get("cached_tokens"),
        written=read.get("cache_write_tokens"),
        reasoning=_inner(usage, "completion_tokens_details").get("reasoning_tokens"),
        searches=_inner(usage, "server_tool_use").get("web_search_requests"),
    )


# Messages


def _message_event(heard: Heard, value: Json, at_s: float) -> None:
    number, delta = value.get("index"), _inner(value, "delta")
    kind = value.get("type")
    if kind == "message_start":
        _message_usage(heard, _inner(value, "message"))
    elif kind == "content_block_start":
        _block(heard, number, _inner(value, "content_block"), at_s)
    elif kind == "content_block_delta":
        heard.said(delta.get("text"), at_s)
        heard.argued(number, delta.get("partial_json"), at_s)
        heard.thinking += delta.get("thinking") or ""
    elif kind == "message_delta":
        heard.finished(delta.get("stop_reason"))
        _message_usage(heard, value)
    elif kind == "message_stop":
        heard.done = True


def _message_whole(heard: Heard, value: Json, at_s: float) -> None:
    _message_usage(heard, value)
    heard.finished(value.get("stop_reason"))
    for number, block in enumerate(_items(value.get("content"))):
        _block(heard, number, block, at_s)


def _block(heard: Heard, number: Any, block: Json, at_s: float) -> None:
    kind = block.get("type")
    if kind == "text":
        heard.said(block.get("text"), at_s)
    elif kind == "thinking":
        heard.thinking += block.get("thinking") or ""
    elif kind == "redacted_thinking":
        heard.redacted = True
    elif kind == "tool_use":
        heard.called(number, block.get("name"))
        if block.get("input"):
            heard.argued(number, orjson.dumps(block["input"]).decode(), at_s)


def _message_usage(heard: Heard, value: Json) -> None:
    usage = _inner(value, "usage")
    cached, written = usage.get("cache_read_input_tokens"), usage.get("cache_creation_input_tokens")
    given = usage.get("input_tokens")
    total = None if not isinstance(given, int) else given + (cached or 0) + (written or 0)
    heard.count(
        **{"in": total, "out": usage.get("output_tokens")},
        cached=cached,
        written=written,
        searches=_inner(usage, "server_tool_use").get("web_search_requests"),
    )


# Responses


def _response_event(heard: Heard, value: Json, at_s: float) -> None:
    kind, number, item = value.get("type"), value.get("output_index"), _inner(value, "item")
    if kind == "response.output_text.delta":
        heard.said(value.get("delta"), at_s)
    elif kind == "response.function_call_arguments.delta":
        heard.argued(number, value.get("delta"), at_s)
    elif kind == "response.output_item.added" and item.get("type") == "function_call":
        heard.called(number, item.get("name"))
    elif kind == "response.output_item.done" and item.get("type") in {"message", "function_call"}:
        heard.finished("tool_use" if item["type"] == "function_call" else item.get("status"))
    elif kind == "response.reasoning_summary_text.delta":
        heard.thinking += value.get("delta") or ""
    elif kind in {"response.completed", "response.incomplete"}:
        heard.done = True
        _response_end(heard, _inner(value, "response"))
    elif kind == "response.failed":
        heard.error = error_message(_inner(value, "response")) or "The server had an error."


def _response_whole(heard: Heard, value: Json, at_s: float) -> None:
    _response_end(heard, value)
    for number, item in enumerate(_items(value.get("output"))):
        for part in _items(item.get("content")):
            heard.said(part.get("text"), at_s)
        for part in _items(item.get("summary")):
            heard.thinking += part.get("text") or ""
        if item.get("type") == "function_call":
            heard.called(number, item.get("name"))
            heard.argued(number, item.get("arguments"), at_s)


def _response_end(heard: Heard, value: Json) -> None:
    usage = _inner(value, "usage")
    if any(item.get("type") == "function_call" for item in _items(value.get("output"))):
        heard.finished("tool_calls")
    else:
        heard.finished(_inner(value, "incomplete_details").get("reason") or value.get("status"))
    heard.count(
        **{"in": usage.get("input_tokens"), "out": usage.get("output_tokens")},
        cached=_inner(usage, "input_tokens_details").get("cached_tokens"),
        reasoning=_inner(usage, "output_tokens_details").get("reasoning_tokens"),
    )


_Reader = Callable[[Heard, Json, float], None]
_STREAMED: Final[dict[str, _Reader]] = {
    CHAT: _chat_event,
    MESSAGES: _message_event,
    RESPONSES: _response_event,
}
_WHOLE: Final[dict[str, _Reader]] = {
    CHAT: _chat_whole,
    MESSAGES: _message_whole,
    RESPONSES: _response_whole,
}
