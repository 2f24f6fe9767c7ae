"""Reading a request to the Responses API as OpenAI would: what it checks, and what matters for the reply."""

from collections.abc import Sequence
from typing import Any, Final

import orjson

from mock_upstreams import fields
from mock_upstreams.calls import Call, Json, Tool, text_length, tokens_of
from mock_upstreams.logprobs import MOST_ALTERNATIVES
from mock_upstreams.openai_requests import EFFORTS, MAX_TOKENS, check_picture
from mock_upstreams.pictures import picture_tokens
from mock_upstreams.refusals import bad_request

#: Members of a request that the provider knows; it refuses any other.
_KNOWN: Final = frozenset(
    [
        "access_programs",
        "background",
        "background_options",
        "context_management",
        "conversation",
        "image",
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "model",
        "moderation",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    ]
)
#: What a response repeats of its request when it was given, and the value it shows when it was not.
_ECHOED: Final[Json] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
_ROLES: Final = ("user", "assistant", "system", "developer")
_TEXT_PARTS: Final = ("input_text", "output_text", "refusal")
_OTHER_PARTS: Final = ("input_file", "input_audio")
_LOGPROBS: Final = "message.output_text.logprobs"


def read_response(body: Json, earlier_tokens: int = 0) -> Call:
    """The call that a request body asks for; `earlier_tokens` is the length of the conversation before it.

    Raises Refusal.
    """
    fields.no_others(body, _KNOWN)
    model = fields.text(body, "model")
    items = _items(body.get("input"))
    fields.number(body, "temperature", 0, 2)
    fields.number(body, "top_p", 0, 1)
    limit = fields.integer(body, "max_output_tokens", 16, MAX_TOKENS)
    instructions = body.get("instructions")
    if instructions is not None and not isinstance(instructions, str):
        raise bad_request("instructions: expected a string", "instructions")
    for name in ("store", "background", "parallel_tool_calls"):
        fields.flag(body, name)
    if body.get("metadata") is not None:
        fields.json_object(body["metadata"], "metadata")
    reasoning = (
        fields.json_object(body["reasoning"], "reasoning") if body.get("reasoning") is not None else {}
    )
    effort = reasoning.get("effort")
    if effort is not None and effort not in EFFORTS:
        raise bad_request(f"reasoning.effort: expected one of {', '.join(EFFORTS)}", "reasoning.effort")
    tools, searching = _tools(body)
    top = fields.integer(body, "top_logprobs", 0, MOST_ALTERNATIVES)
    wants_logprobs = _LOGPROBS in fields.strings(body, "include", 16)
    prompt, pictures, picture_count = _texts(items)
    schema, text_format = _format(body.get("text"))
    characters = text_length([item.get("content") for item in items]) - text_length(pictures)
    characters += text_length([[item.get("output"), item.get("arguments")] for item in items])
    characters += text_length([instructions, body.get("tools")])
    return Call(
        model=model,
        stream=fields.flag(body, "stream"),
        prompt=prompt,
        input_tokens=tokens_of(characters) + picture_count + earlier_tokens,
        max_tokens=limit,
        tools=tools,
        forced_tool=_forced_tool(body.get("tool_choice"), tools),
        schema=schema,
        thinking=bool(reasoning.get("summary")),
        logprobs=(top or 0) if wants_logprobs or top else None,
        effort=effort,
        searching=searching,
        echo=_echo(body, reasoning, text_format),
    )


def _echo(body: Json, reasoning: Json, text_format: Json) -> Json:
    found = {name: default if body.get(name) is None else body[name] for name, default in _ECHOED.items()}
    found["reasoning"] = {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")}
    found["text"] = {"format": text_format, "verbosity": "medium"}
    if found["service_tier"] == "auto":
        found["service_tier"] = "default"
    try:
        orjson.dumps([[[[found]]]])  # as deep inside as the last event of a stream has it
    except orjson.JSONEncodeError:
        raise bad_request(
            "tools, text or metadata: nested too deeply, or a number out of range", "tools"
        ) from None
    return found


def _items(value: Any) -> list[Json]:
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": value}]
    if not isinstance(value, list) or not value:
        raise bad_request("input: expected a string or a non-empty array of items", "input")
    for i, item in enumerate(value):
        place = f"input[{i}]"
        kind = fields.json_object(item, place).get("type", "message")
        if kind == "message":
            _message(item, place)
        elif kind == "function_call":
            for name in ("call_id", "name", "arguments"):
                _text(item, name, place)
        elif kind == "function_call_output":
            fields.text(item, "call_id", f"{place}.")
            if not isinstance(item.get("output"), str | list):
                raise bad_request(f"{place}.output: expected a string or an array", f"{place}.output")
        elif not isinstance(kind, str):
            raise bad_request(f"{place}.type: expected a string", f"{place}.type")
    return value


def _text(item: Json, name: str, place: str) -> None:
    if not isinstance(item.get(name), str):
        raise bad_request(f"{place}.{name}: expected a string", f"{place}.{name}")


def _message(item: Json, place: str) -> None:
    if item.get("role") not in _ROLES:
        raise bad_request(f"{place}.role: expected one of {', '.join(_ROLES)}", f"{place}.role")
    content = item.get("content")
    if isinstance(content, str):
        return
    if not isinstance(content, list) or not content:
        raise bad_request(f"{place}.content: expected a string or an array of parts", f"{place}.content")
    for i, given in enumerate(content):
        where = f"{place}.content[{i}]"
        part = fields.json_object(given, where)
        kind = part.get("type")
        if kind in _TEXT_PARTS:
            _text(part, "refusal" if kind == "refusal" else "text", where)
        elif kind == "input_image":
            if part.get("file_id") is None:
                check_picture(part.get("image_url"), f"{where}.image_url")
        elif kind not in _OTHER_PARTS:
            known = (*_TEXT_PARTS, "input_image", *_OTHER_PARTS)
            raise bad_request(f"{where}.type: expected one of {', '.join(known)}", f"{where}.type")


def _texts(items: Sequence[Json]) -> tuple[str, list[Any], int]:
    """The last text of the user, all pictures, and what these count."""
    prompt = ""
    pictures: list[Any] = []
    tokens = 0
    for item in items:
        content = item.get("content")
        parts = content if isinstance(content, list) else [{"type": "input_text", "text": content}]
        if item.get("type", "message") != "message":
            continue
        texts = [str(part["text"]) for part in parts if part.get("type") in {"input_text", "output_text"}]
        for part in parts:
            if part.get("type") == "input_image":
                pictures.append(part.get("image_url"))
                tokens += picture_tokens({"url": part.get("image_url")})
        if item.get("role") == "user":
            prompt = "\n".join(texts) or prompt
    return prompt, pictures, tokens


def _tools(body: Json) -> tuple[tuple[Tool, ...], bool]:
    """The functions among the tools, and whether the provider's web search is one of them."""
    found: list[Tool] = []
    searching = False
    for i, item in enumerate(fields.array(body, "tools")):
        place = f"tools[{i}]"
        tool = fields.json_object(item, place)
        kind = fields.text(tool, "type", f"{place}.")
        searching = searching or kind.startswith("web_search")
        if kind == "function":
            name = fields.text(tool, "name", f"{place}.")
            schema = tool.get("parameters")
            found.append(
                Tool(name, {} if schema is None else fields.json_object(schema, f"{place}.parameters"))
            )
    return tuple(found), searching


def _forced_tool(choice: Any, tools: tuple[Tool, ...]) -> str | None:
    if choice in (None, "auto", "none"):
        return None
    if choice == "required":
        return tools[0].name if tools else None
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind != "function" and isinstance(kind, str):
        return None
    name = choice.get("name") if isinstance(choice, dict) else None
    if not any(tool.name == name for tool in tools):
        raise bad_request(
            "tool_choice: expected auto, none, required or a function among tools", "tool_choice"
        )
    return str(name)


def _format(text: Any) -> tuple[Json | None, Json]:
    """The schema that the text must fit, and the format as the response repeats it."""
    settings = {} if text is None else fields.json_object(text, "text")
    given = settings.get("format")
    if given is None:
        return None, {"type": "text"}
    kind = fields.json_object(given, "text.format").get("type")
    if kind == "text":
        return None, {"type": "text"}
    if kind == "json_object":
        return {"type": "object", "properties": {"answer": {"type": "string"}}}, {"type": "json_object"}
    if kind == "json_schema":
        fields.text(given, "name", "text.format.")
        return fields.json_object(given.get("schema"), "text.format.schema"), given
    raise bad_request("text.format.type: expected text, json_object or json_schema", "text.format")
