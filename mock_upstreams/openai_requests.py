"""Reading a chat completion request as OpenAI would: what it checks, and what matters for the reply."""

from typing import Any, Final

from mock_upstreams import fields
from mock_upstreams.calls import (
    CacheMark,
    Call,
    Json,
    PrefixReader,
    Tool,
    marks_present,
    text_length,
    tokens_of,
)
from mock_upstreams.logprobs import MOST_ALTERNATIVES
from mock_upstreams.pictures import PICTURE_TYPES, picture_tokens
from mock_upstreams.refusals import bad_request

_ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")
_OTHER_CHOICES: Final = ("allowed_tools", "custom")
_PART_FIELDS: Final = {
    "text": "text",
    "image_url": "image_url",
    "input_audio": "input_audio",
    "file": "file",
    "refusal": "refusal",
}
MAX_TOKENS: Final = 100_000_000
#: Members of a request that the provider knows; it refuses any other.
_KNOWN: Final = frozenset(
    [
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "modalities",
        "model",
        "moderation",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    ]
)
EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh")


_PLAIN: Final = frozenset(["model", "messages", "stream"])
_PLAIN_ROLES: Final = frozenset(["system", "developer", "user", "assistant"])


def read_chat(body: Json) -> Call:
    """The call that a request body asks for. Raises Refusal."""
    return _plain_call(body) or _any_call(body)


def _plain_call(body: Json) -> Call | None:
    """The call, if it is nothing but text for a model, as most are; the same as `_any_call`, with less to look at.

    None for any other call, and for a wrong one: `_any_call` says what is wrong.
    """
    if not body.keys() <= _PLAIN:
        return None
    model, messages, stream = body.get("model"), body.get("messages"), body.get("stream", False)
    if not isinstance(model, str) or not model or not isinstance(stream, bool):
        return None
    if not isinstance(messages, list) or not messages:
        return None
    prompt = ""
    characters = 0
    for message in messages:
        if not isinstance(message, dict) or len(message) != 2:
            return None
        role, content = message.get("role"), message.get("content")
        if not isinstance(content, str) or not isinstance(role, str) or role not in _PLAIN_ROLES:
            return None
        characters += len(content)
        if role == "user":
            prompt = content or prompt
    return Call(model, stream, prompt, tokens_of(characters))


def _any_call(body: Json) -> Call:
    fields.no_others(body, _KNOWN)
    model = fields.text(body, "model")
    messages = fields.messages(body)
    effort = body.get("reasoning_effort")
    if effort is not None and effort not in EFFORTS:
        raise bad_request(f"reasoning_effort: expected one of {', '.join(EFFORTS)}", "reasoning_effort")
    stream = fields.flag(body, "stream")
    n = fields.integer(body, "n", 1, 128) or 1
    limit = fields.integer(body, "max_completion_tokens", 1, MAX_TOKENS)
    if limit is None:
        limit = fields.integer(body, "max_tokens", 1, MAX_TOKENS)
    fields.number(body, "temperature", 0, 2)
    fields.number(body, "top_p", 0, 1)
    fields.number(body, "presence_penalty", -2, 2)
    fields.number(body, "frequency_penalty", -2, 2)
    tools = _tools(body)
    prompt = ""
    pictures = 0
    for i, message in enumerate(messages):
        text, tokens = _message(message, f"messages[{i}]")
        pictures += tokens
        if message["role"] == "user":
            prompt = text or prompt
    characters = text_length([message.get("content") for message in messages])
    characters += text_length([message.get("tool_calls") for message in messages])
    characters += text_length(body.get("tools"))
    return Call(
        model=model,
        stream=stream,
        prompt=prompt,
        input_tokens=tokens_of(_without_pictures(messages, characters)) + pictures,
        max_tokens=limit,
        stops=fields.strings(body, "stop", 4),
        n=n,
        tools=tools,
        forced_tool=_forced_tool(body.get("tool_choice"), tools),
        schema=_schema(body.get("response_format")),
        include_usage=_include_usage(body, stream=stream),
        marks=_marks(model, messages),
        logprobs=_logprobs(body),
        effort=effort,
    )


def _logprobs(body: Json) -> int | None:
    top = fields.integer(body, "top_logprobs", 0, MOST_ALTERNATIVES)
    if fields.flag(body, "logprobs"):
        return top or 0
    if top is not None:
        raise bad_request("top_logprobs: only allowed when logprobs is true", "top_logprobs")
    return None


def _parts(message: Json) -> list[Json]:
    content = message.get("content")
    return content if isinstance(content, list) else []


def _without_pictures(messages: list[Json], characters: int) -> int:
    """Characters of text alone: a picture is counted by the piece, not by the length of its encoding."""
    pictures = [
        part["image_url"] for message in messages for part in _parts(message) if part["type"] == "image_url"
    ]
    return characters - text_length(pictures)


def _message(message: Json, where: str) -> tuple[str, int]:
    """Text of one message, and the tokens of its pictures."""
    role = message.get("role")
    if role not in _ROLES:
        raise bad_request(f"{where}.role: expected one of {', '.join(_ROLES)}", f"{where}.role")
    if role == "tool":
        fields.text(message, "tool_call_id", f"{where}.")
    content = message.get("content")
    if isinstance(content, str):
        return content, 0
    if content is None:
        if role != "assistant":
            raise bad_request(f"{where}.content: expected a string or an array of parts", f"{where}.content")
        return "", 0
    if not isinstance(content, list) or not content:
        raise bad_request(f"{where}.content: expected a string or an array of parts", f"{where}.content")
    texts: list[str] = []
    pictures = 0
    for i, item in enumerate(content):
        place = f"{where}.content[{i}]"
        part = fields.json_object(item, place)
        kind = part.get("type")
        if not isinstance(kind, str) or kind not in _PART_FIELDS:
            raise bad_request(f"{place}.type: expected one of {', '.join(_PART_FIELDS)}", f"{place}.type")
        value = part.get(_PART_FIELDS[kind])
        if kind == "text":
            if not isinstance(value, str):
                raise bad_request(f"{place}.text: expected a string", f"{place}.text")
            texts.append(value)
        elif kind == "image_url":
            check_picture(value.get("url") if isinstance(value, dict) else None, f"{place}.image_url.url")
            pictures += picture_tokens(value)
    return "\n".join(texts), pictures


def check_picture(url: Any, place: str) -> None:
    """Refuse what is no URL of a picture that the provider reads."""
    if not isinstance(url, str) or not url.startswith(("http://", "https://", "data:")):
        raise bad_request(f"{place}: expected an http(s) URL or a data: URL", place)
    if url.startswith("data:") and not url.startswith(tuple(f"data:{kind};" for kind in PICTURE_TYPES)):
        raise bad_request(f"{place}: expected one of {', '.join(PICTURE_TYPES)}", place)


def _tools(body: Json) -> tuple[Tool, ...]:
    found: list[Tool] = []
    for i, item in enumerate(fields.array(body, "tools")):
        place = f"tools[{i}]"
        tool = fields.json_object(item, place)
        kind = tool.get("type")
        if not isinstance(kind, str):
            raise bad_request(f"{place}.type: expected a string", f"{place}.type")
        if kind != "function":
            continue
        function = fields.json_object(tool.get("function"), f"{place}.function")
        name = function.get("name")
        if not isinstance(name, str) or not name:
            raise bad_request(f"{place}.function.name: expected a non-empty string", f"{place}.function.name")
        parameters = function.get("parameters")
        schema = {} if parameters is None else fields.json_object(parameters, f"{place}.function.parameters")
        found.append(Tool(name, schema))
    return tuple(found)


def _forced_tool(choice: Any, tools: tuple[Tool, ...]) -> str | None:
    if choice in (None, "auto", "none"):
        return None
    if choice == "required":
        if not tools:
            raise bad_request("tool_choice: 'required' needs tools", "tool_choice")
        return tools[0].name
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if isinstance(choice, dict) and name is None and choice.get("type") in _OTHER_CHOICES:
        return None
    if not any(tool.name == name for tool in tools):
        raise bad_request(
            "tool_choice: expected auto, none, required or a function among tools", "tool_choice"
        )
    return str(name)


def _schema(response_format: Any) -> Json | None:
    if response_format is None:
        return None
    kind = response_format.get("type") if isinstance(response_format, dict) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": "object", "properties": {"answer": {"type": "string"}}}
    if kind == "json_schema":
        wrapper = fields.json_object(response_format.get("json_schema"), "response_format.json_schema")
        return fields.json_object(wrapper.get("schema", {}), "response_format.json_schema.schema")
    raise bad_request("response_format.type: expected text, json_object or json_schema", "response_format")


def _include_usage(body: Json, *, stream: bool) -> bool:
    options = body.get("stream_options")
    if options is None:
        return False
    if not stream:
        raise bad_request("stream_options: only allowed when stream is true", "stream_options")
    return fields.flag(fields.json_object(options, "stream_options"), "include_usage", "stream_options.")


def _marks(model: str, messages: list[Json]) -> tuple[CacheMark, ...]:
    if not any(marks_present(_parts(message)) for message in messages):
        return ()
    reader = PrefixReader(model)
    for message in messages:
        parts = _parts(message) or [{"type": "text", "text": message.get("content")}]
        for part in parts:
            reader.add(message["role"], part, picture=part.get("image_url"))
    return tuple(reader.marks)
