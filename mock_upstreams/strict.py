"""Strict mode: what the real upstreams refuse beyond the shape of a request.

By default the simulator refuses what is malformed: unknown members of a request, wrong types, values out of range.
Strict mode adds what only a provider with real models can know: which models there are, how much they read and
write, whether a picture is one, and whether a conversation holds together. It is off by default, because a harness
uses models that no provider has.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mock_upstreams.anthropic_replies import signature
from mock_upstreams.calls import Call, Json
from mock_upstreams.library import MODEL_PREFIX
from mock_upstreams.refusals import Refusal, bad_request


@dataclass(frozen=True, slots=True)
class Limits:
    """Tokens that a model reads and writes."""

    context: int
    output: int


#: By the beginning of a model's name; the public figures of November 2026, the last row for all others.
LIMITS: Final[tuple[tuple[str, Limits], ...]] = (
    ("gpt-5", Limits(1_050_000, 128_000)),
    ("claude-", Limits(1_000_000, 128_000)),
    ("", Limits(200_000, 64_000)),
)
_ANTHROPIC_PICTURE: Final = 5 * 1024 * 1024
_OPENAI_PICTURE: Final = 50 * 1024 * 1024
_ANTHROPIC_BODY: Final = 32 * 1024 * 1024
_MAGIC: Final = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/gif": (b"GIF87a", b"GIF89a"),
    "image/webp": (b"RIFF",),
}
_TOOL_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ANTHROPIC_TOOL_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_MESSAGE_FIELDS: Final = frozenset(
    (
        "role",
        "content",
        "name",
        "tool_calls",
        "tool_call_id",
        "refusal",
        "audio",
        "function_call",
        "annotations",
    )
)
_MAX_METADATA: Final = 16


def limits_of(model: str) -> Limits:
    return next(limits for prefix, limits in LIMITS if model.startswith(prefix))


def check(operation: str, body: Json, call: Call, headers: Mapping[str, str], models: Sequence[str]) -> None:
    """Refuse what the real upstream of this operation would. Raises Refusal."""
    if call.model not in models and not call.model.startswith(MODEL_PREFIX):
        raise Refusal(404, *_unknown_model(operation, call.model))
    _CHECKS[operation](body, call, headers)


def _unknown_model(operation: str, model: str) -> tuple[str, str | None, str | None]:
    if operation == "messages":
        return f"model: {model[:64]}", None, None
    return (
        f"The model {model[:64]!r} does not exist or you do not have access to it.",
        "model",
        "model_not_found",
    )


# OpenAI


def _openai_limits(call: Call, name: str) -> None:
    limits = limits_of(call.model)
    if call.max_tokens is not None and call.max_tokens > limits.output:
        raise bad_request(
            f"{name} is too large: {call.max_tokens}. This model supports at most {limits.output} completion "
            f"tokens, whereas you provided {call.max_tokens}.",
            name,
        )
    if call.input_tokens > limits.context:
        raise Refusal(
            400,
            f"This model's maximum context length is {limits.context} tokens. However, your messages resulted in "
            f"{call.input_tokens} tokens. Please reduce the length of the messages.",
            "messages",
            "context_length_exceeded",
        )


def _tool_names(call: Call, pattern: re.Pattern[str], place: str) -> None:
    for i, tool in enumerate(call.tools):
        if not pattern.fullmatch(tool.name):
            where = place.format(i)
            raise bad_request(
                f"Invalid '{where}': string does not match pattern '^{pattern.pattern}$'.", where
            )


def _chat(body: Json, call: Call, headers: Mapping[str, str]) -> None:
    del headers
    _openai_limits(call, "max_tokens" if body.get("max_tokens") is not None else "max_completion_tokens")
    _tool_names(call, _TOOL_NAME, "tools[{}].function.name")
    _metadata(body)
    if body.get("n", 1) not in (None, 1) and body["n"] > 8:
        raise bad_request(
            f"Invalid 'n': integer above maximum value. Expected a value <= 8, but got {body['n']}."
        )
    asked: list[str] = []
    for i, message in enumerate(body["messages"]):
        for name in message:
            if name not in _MESSAGE_FIELDS:
                raise bad_request(f"Unknown parameter: 'messages[{i}].{name}'.", f"messages[{i}].{name}")
        asked = _paired(message, i, asked)
        for part in message["content"] if isinstance(message.get("content"), list) else ():
            if part["type"] == "image_url":
                _data_url(part["image_url"]["url"], _OPENAI_PICTURE)
    if asked:
        raise bad_request(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            "'tool_call_id'.",
            "messages",
        )
    kind = body.get("response_format")
    if (
        isinstance(kind, dict)
        and kind.get("type") == "json_object"
        and b"json" not in _lower(body["messages"])
    ):
        raise bad_request(
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
            "messages",
        )
    wrapper = kind.get("json_schema") if isinstance(kind, dict) else None
    if isinstance(wrapper, dict):
        _strict_schema(wrapper.get("schema"), wrapper.get("strict"), "response_format")


def _lower(value: Any) -> bytes:
    return str(value).lower().encode("utf-8", "replace")


def _paired(message: Json, i: int, asked: list[str]) -> list[str]:
    """Which tool calls still wait for their answer after this message."""
    if message["role"] == "tool":
        if message["tool_call_id"] not in asked:
            raise bad_request(
                "Invalid parameter: messages with role 'tool' must be a response to a preceding message with "
                "'tool_calls'.",
                f"messages[{i}].role",
            )
        return [name for name in asked if name != message["tool_call_id"]]
    if asked:
        raise bad_request(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            "'tool_call_id'.",
            f"messages[{i}].role",
        )
    calls = message.get("tool_calls")
    return [
        item["id"]
        for item in (calls if isinstance(calls, list) else ())
        if isinstance(item, dict) and isinstance(item.get("id"), str)
    ]


def _responses(body: Json, call: Call, headers: Mapping[str, str]) -> None:
    del headers
    _openai_limits(call, "max_output_tokens")
    _tool_names(call, _TOOL_NAME, "tools[{}].name")
    _metadata(body)
    for item in body["input"] if isinstance(body["input"], list) else ():
        content = item.get("content")
        for part in content if isinstance(content, list) else ():
            if part.get("type") == "input_image" and isinstance(part.get("image_url"), str):
                _data_url(part["image_url"], _OPENAI_PICTURE)
    settings = body.get("text")
    given = settings.get("format") if isinstance(settings, dict) else None
    if isinstance(given, dict) and given.get("type") == "json_schema":
        _strict_schema(given.get("schema"), given.get("strict"), "text.format")


def _metadata(body: Json) -> None:
    metadata = body.get("metadata")
    if isinstance(metadata, dict) and len(metadata) > _MAX_METADATA:
        raise bad_request(f"Invalid 'metadata': too many properties; at most {_MAX_METADATA}.", "metadata")


def _strict_schema(schema: Any, strict: Any, place: str) -> None:
    """Structured outputs need closed objects."""
    if strict is not True:
        return
    waiting = [schema]
    while waiting:
        found = waiting.pop()
        if isinstance(found, list):
            waiting.extend(found)
        elif isinstance(found, dict):
            if found.get("type") == "object" and found.get("additionalProperties") is not False:
                raise bad_request(
                    "Invalid schema for response_format: 'additionalProperties' is required to be supplied and to "
                    "be false.",
                    place,
                )
            waiting.extend(found.values())


def _data_url(url: str, most: int) -> None:
    if url.startswith("data:"):
        head, _, data = url.partition(",")
        _picture(data, head[len("data:") :].partition(";")[0], most)


def _picture(data: str, media_type: str, most: int) -> None:
    """Refuse bytes that are no picture of the type that they are declared to be."""
    if len(data) * 3 // 4 > most:
        raise bad_request(
            f"image exceeds {most // 1024 // 1024} MB maximum: {len(data) * 3 // 4} bytes > {most} bytes"
        )
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise bad_request("You uploaded an unsupported image: its data is not valid base64") from None
    if not content.startswith(_MAGIC.get(media_type, ())) or (
        media_type == "image/webp" and content[8:12] != b"WEBP"
    ):
        raise bad_request(
            f"You uploaded an unsupported image: its data is not {media_type}. Please make sure your image has of "
            "one the following formats: png, jpeg, gif, webp."
        )


# Anthropic


def _messages(body: Json, call: Call, headers: Mapping[str, str]) -> None:
    if "anthropic-version" not in headers:
        raise bad_request("anthropic-version: header is required")
    limits = limits_of(call.model)
    limit = call.max_tokens or 0
    if limit > limits.output:
        raise bad_request(
            f"max_tokens: {limit} > {limits.output}, which is the maximum allowed number of output tokens for "
            f"{call.model}"
        )
    if call.input_tokens > limits.context:
        raise bad_request(f"prompt is too long: {call.input_tokens} tokens > {limits.context} maximum")
    _tool_names(call, _ANTHROPIC_TOOL_NAME, "tools.{}.custom.name")
    if body["messages"][0]["role"] != "user":
        raise bad_request('messages: first message must use the "user" role')
    if call.thinking and body.get("temperature") not in (None, 1):
        raise bad_request("`temperature` may only be set to 1 when thinking is enabled.")
    if call.thinking and call.forced_tool is not None:
        raise bad_request("Thinking may not be enabled when tool_choice forces tool use.")
    asked: list[str] = []
    for i, message in enumerate(body["messages"]):
        for name in message:
            if name not in {"role", "content"}:
                raise bad_request(f"messages.{i}.{name}: Extra inputs are not permitted")
        blocks = message["content"] if isinstance(message["content"], list) else []
        asked = _answered(blocks, i, asked)
        for at, block in enumerate(blocks):
            _block(block, f"messages.{i}.content.{at}")


def _answered(blocks: Sequence[Json], i: int, asked: list[str]) -> list[str]:
    results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
    for name in results:
        if name not in asked:
            raise bad_request(
                f"messages.{i}.content: unexpected `tool_use_id` found in `tool_result` blocks: {name[:64]}. Each "
                "`tool_result` block must have a corresponding `tool_use` block in the previous message."
            )
    missing = [name for name in asked if name not in results]
    if missing:
        raise bad_request(
            f"messages.{i - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(missing)[:200]}."
        )
    return [block["id"] for block in blocks if block["type"] == "tool_use"]


def _block(block: Json, where: str) -> None:
    if block["type"] == "image" and block["source"]["type"] == "base64":
        _picture(block["source"]["data"], block["source"]["media_type"], _ANTHROPIC_PICTURE)
    if block["type"] == "thinking" and block.get("signature") != signature(block["thinking"]):
        raise bad_request(f"{where}: Invalid `signature` in `thinking` block")


def _count_tokens(body: Json, call: Call, headers: Mapping[str, str]) -> None:
    del body, call
    if "anthropic-version" not in headers:
        raise bad_request("anthropic-version: header is required")


_CHECKS: Final = {
    "chat": _chat,
    "responses": _responses,
    "messages": _messages,
    "count_tokens": _count_tokens,
}


def check_size(operation: str, size: int) -> None:
    """Refuse a body that is larger than this operation takes. Raises Refusal (413)."""
    if operation in {"messages", "count_tokens"} and size > _ANTHROPIC_BODY:
        raise Refusal(413, "Request exceeds the maximum size")
