"""Reading a Messages request as Anthropic would: what it checks, and what matters for the reply."""

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
from mock_upstreams.pictures import PICTURE_TYPES, picture_tokens
from mock_upstreams.refusals import bad_request

_BLOCKS_WITH_TEXT: Final = {"text": "text", "thinking": "thinking"}
_MIN_THINKING_BUDGET: Final = 1024
_MAX_TOKENS: Final = 100_000_000
_ROLES: Final = ("user", "assistant")
_SOURCES: Final = {"base64": "data", "url": "url", "file": "file_id"}


#: Members of a request that the provider knows; it refuses any other.
_KNOWN: Final = frozenset(
    [
        "cache_control",
        "container",
        "context_management",
        "inference_geo",
        "max_tokens",
        "mcp_servers",
        "messages",
        "metadata",
        "model",
        "output_config",
        "output_format",
        "service_tier",
        "speed",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    ]
)


def read_messages(body: Json, *, counting: bool = False) -> Call:
    """The call that a request body asks for; `counting` is for count_tokens, which needs no max_tokens.

    Raises Refusal.
    """
    fields.no_others(body, _KNOWN)
    model = _required_text(body, "model")
    limit = fields.integer(body, "max_tokens", 1, _MAX_TOKENS)
    if limit is None and not counting:
        raise bad_request("max_tokens: Field required")
    messages = fields.messages(body)
    stream = fields.flag(body, "stream")
    fields.number(body, "temperature", 0, 1)
    fields.number(body, "top_p", 0, 1)
    fields.integer(body, "top_k", 0, 1_000_000)
    if body.get("metadata") is not None:
        fields.json_object(body["metadata"], "metadata")
    system = _system(body.get("system"))
    prompt = ""
    pictures: list[Json] = []
    for i, message in enumerate(messages):
        text, seen = _message(message, f"messages.{i}")
        pictures += seen
        if message["role"] == "user":
            prompt = text or prompt
    tools = _tools(body)
    contents = [message["content"] for message in messages]
    characters = text_length(contents) + text_length(system) + text_length(body.get("tools"))
    characters -= text_length(pictures)
    return Call(
        model=model,
        stream=stream,
        prompt=prompt,
        input_tokens=tokens_of(characters) + sum(map(picture_tokens, pictures)),
        max_tokens=limit,
        stops=fields.strings(body, "stop_sequences", 64),
        tools=tools,
        forced_tool=_forced_tool(body.get("tool_choice"), tools),
        thinking=_thinking(body.get("thinking"), limit),
        marks=_marks(model, body, system, messages),
        searching=_searching(body),
    )


def _required_text(body: Json, name: str) -> str:
    if body.get(name) is None:
        raise bad_request(f"{name}: Field required")
    return fields.text(body, name)


def _system(value: Any) -> list[Json]:
    if value is None:
        return []
    if isinstance(value, str):
        return [{"type": "text", "text": value}]
    if not isinstance(value, list):
        raise bad_request("system: expected a string or an array of text blocks")
    for i, item in enumerate(value):
        block = fields.json_object(item, f"system.{i}")
        if block.get("type") != "text" or not isinstance(block.get("text"), str):
            raise bad_request(f"system.{i}: expected a text block")
    return value


def _message(message: Json, where: str) -> tuple[str, list[Json]]:
    """Text and pictures of one message."""
    if message.get("role") not in _ROLES:
        raise bad_request(f"{where}.role: expected user or assistant")
    content = message.get("content")
    if isinstance(content, str):
        if not content:
            raise bad_request(f"{where}.content: text content must be non-empty")
        return content, []
    if not isinstance(content, list) or not content:
        raise bad_request(f"{where}.content: expected a string or a non-empty array of blocks")
    texts: list[str] = []
    pictures: list[Json] = []
    for i, item in enumerate(content):
        block = fields.json_object(item, f"{where}.content.{i}")
        _block(block, f"{where}.content.{i}")
        if block["type"] == "text":
            texts.append(block["text"])
        elif block["type"] == "image":
            pictures.append(block["source"])
        elif block["type"] == "tool_result" and isinstance(block.get("content"), list):
            pictures += [
                part["source"]
                for part in block["content"]
                if isinstance(part, dict)
                and part.get("type") == "image"
                and isinstance(part.get("source"), dict)
            ]
    return "\n".join(texts), pictures


def _block(block: Json, where: str) -> None:
    kind = block.get("type")
    if not isinstance(kind, str) or not kind:
        raise bad_request(f"{where}.type: Field required")
    name = _BLOCKS_WITH_TEXT.get(kind)
    if name is not None and not isinstance(block.get(name), str):
        raise bad_request(f"{where}.{name}: expected a string")
    if kind == "image":
        source = fields.json_object(block.get("source"), f"{where}.source")
        wanted = _SOURCES.get(str(source.get("type")))
        if wanted is None or not isinstance(source.get(wanted), str):
            raise bad_request(f"{where}.source: expected a base64, url or file source")
        if source["type"] == "base64" and source.get("media_type") not in PICTURE_TYPES:
            raise bad_request(f"{where}.source.media_type: expected one of {', '.join(PICTURE_TYPES)}")
    if kind == "tool_use" and not (isinstance(block.get("id"), str) and isinstance(block.get("name"), str)):
        raise bad_request(f"{where}: a tool_use block needs id and name")
    if kind == "tool_result" and not isinstance(block.get("tool_use_id"), str):
        raise bad_request(f"{where}.tool_use_id: Field required")


def _tools(body: Json) -> tuple[Tool, ...]:
    found: list[Tool] = []
    for i, item in enumerate(fields.array(body, "tools")):
        tool = fields.json_object(item, f"tools.{i}")
        name = tool.get("name")
        if not isinstance(name, str) or not name:
            raise bad_request(f"tools.{i}.name: expected a non-empty string")
        if tool.get("type", "custom") not in ("custom", None):
            continue
        found.append(Tool(name, fields.json_object(tool.get("input_schema"), f"tools.{i}.input_schema")))
    return tuple(found)


def _searching(body: Json) -> bool:
    """Whether the provider's own web search is among the tools."""
    return any(
        isinstance(tool, dict) and str(tool.get("type", "")).startswith("web_search_")
        for tool in fields.array(body, "tools")
    )


def _forced_tool(choice: Any, tools: tuple[Tool, ...]) -> str | None:
    if choice is None:
        return None
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind in ("auto", "none"):
        return None
    if kind == "any" and tools:
        return tools[0].name
    if kind == "tool" and any(tool.name == choice.get("name") for tool in tools):
        return str(choice["name"])
    raise bad_request("tool_choice: expected auto, any, none or a tool among tools")


def _thinking(value: Any, limit: int | None) -> bool:
    if value is None:
        return False
    thinking = fields.json_object(value, "thinking")
    kind = thinking.get("type")
    if kind == "disabled":
        return False
    if kind == "adaptive":
        return True
    if kind != "enabled":
        raise bad_request("thinking.type: expected enabled, disabled or adaptive")
    budget = fields.integer(thinking, "budget_tokens", _MIN_THINKING_BUDGET, _MAX_TOKENS, "thinking.")
    if budget is None or (limit is not None and budget >= limit):
        raise bad_request(
            f"thinking.budget_tokens: expected an integer of at least {_MIN_THINKING_BUDGET} and below max_tokens"
        )
    return True


def _marks(model: str, body: Json, system: list[Json], messages: list[Json]) -> tuple[CacheMark, ...]:
    """Cacheable regions, in the order tools, system, messages."""
    blocks: list[tuple[str, Json]] = [("tools", tool) for tool in fields.array(body, "tools")]
    blocks += [("system", block) for block in system]
    for message in messages:
        content = message["content"]
        parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
        blocks += [(message["role"], part) for part in parts]
    if not marks_present(block for _, block in blocks):
        return ()
    reader = PrefixReader(model)
    for role, block in blocks:
        reader.add(role, block, picture=block["source"] if block.get("type") == "image" else None)
    return tuple(reader.marks)
