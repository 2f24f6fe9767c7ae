"""Validation of POST /v1/chat/completions: what all models share, the gpt family, the Claude family.

Sources: public docs, Request body and Errors of claude-opus-4-8, claude-sonnet-4-6 and gpt-5.5; the public OpenAI
Chat Completions format for the fields that the gpt family passes through.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from reference_gateway.config import ChatModel, FieldRule
from reference_gateway.failures import Kind, refuse
from reference_gateway.jsonwire import JsonObject, kind_of
from reference_gateway.validation.fields import (
    check,
    check_known,
    check_role,
    check_rules,
    check_texts,
    conversation,
    invalid,
    require,
    whole,
)
from reference_gateway.validation.images import read_image_url

_STRING = FieldRule(type="string")
_BOOLEAN = FieldRule(type="boolean")
_OBJECT = FieldRule(type="object")
_ARRAY = FieldRule(type="array")
_INTEGER = FieldRule(type="integer")
_PENALTY = FieldRule(type="number", low=-2, high=2)
_COUNT = FieldRule(type="integer", low=1)

GROUP_FIELD = "group"

SHARED_RULES: Mapping[str, FieldRule] = {
    "model": _STRING,
    "messages": _ARRAY,
    "stream": _BOOLEAN,
    "stream_options": _OBJECT,
    "top_p": FieldRule(type="number", low=0, high=1),
    "n": FieldRule(type="integer", low=1, high=128),
    "tools": _ARRAY,
    "tool_choice": FieldRule(type="string or object"),
    "parallel_tool_calls": _BOOLEAN,
    "stop": FieldRule(type="string or array"),
    "user": _STRING,
    "seed": _INTEGER,
    "frequency_penalty": _PENALTY,
    "presence_penalty": _PENALTY,
    "logit_bias": _OBJECT,
    "logprobs": _BOOLEAN,
    "top_logprobs": FieldRule(type="integer", low=0, high=20),
    "response_format": _OBJECT,
    "reasoning_effort": FieldRule(type="string", enum=("none", "low", "medium", "high", "xhigh")),
    "max_completion_tokens": _COUNT,
    "metadata": _OBJECT,
    "modalities": _ARRAY,
    "audio": _OBJECT,
    "prediction": _OBJECT,
    "service_tier": _STRING,
    "store": _BOOLEAN,
    "functions": _ARRAY,
    "function_call": FieldRule(type="string or object"),
    "web_search_options": _OBJECT,
    "verbosity": _STRING,
    "safety_identifier": _STRING,
    "prompt_cache_key": _STRING,
    "prompt_cache_retention": _STRING,
    "prompt_cache_options": _OBJECT,
    "moderation": _OBJECT,
    GROUP_FIELD: _STRING,
}

_TOOL_CHOICES = ("auto", "none", "required")


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A checked request. `body` is as sent, without the gateway's own fields."""

    model: ChatModel
    group: str | None
    stream: bool
    include_usage: bool
    max_output: int | None
    choices: int
    body: JsonObject


class ChatValidator:
    """What every model of the chat surface demands. Families override rules and checks."""

    rules: ClassVar[Mapping[str, FieldRule]] = SHARED_RULES
    roles: ClassVar[frozenset[str]] = frozenset(
        {"system", "developer", "user", "assistant", "tool", "function"}
    )

    def validate(self, body: JsonObject, model: ChatModel) -> ChatRequest:
        """Check a decoded body; raises `GatewayError` (400) naming the field at fault."""
        self.check_unknown(body)
        self.check_fields(body, model)
        self.check_max_output(body, model)
        self.check_messages(require(body, "messages"))
        self.check_tools(body)
        check_texts(body, "stop")
        options = body.get("stream_options") or {}
        if options and not body.get("stream"):
            raise invalid("stream_options", "`stream_options` is only allowed when `stream` is true.")
        return ChatRequest(
            model=model,
            group=body.get(GROUP_FIELD),
            stream=bool(body.get("stream")),
            include_usage=options.get("include_usage") is True,
            max_output=whole(body.get("max_completion_tokens") or body.get("max_tokens")),
            choices=whole(body.get("n")) or 1,
            body=self.forwarded(body),
        )

    def forwarded(self, body: JsonObject) -> JsonObject:
        """What may go upstream: everything but the gateway's own field."""
        return {name: value for name, value in body.items() if name != GROUP_FIELD}

    def check_unknown(self, body: JsonObject) -> None:
        """Unknown means: not in the public OpenAI format and not `group`."""
        check_known(body, self.rules)

    def check_fields(self, body: JsonObject, model: ChatModel) -> None:  # noqa: ARG002 - families use the model
        """Types, ranges and enumerations."""
        check_rules(body, self.rules)

    def check_max_output(self, body: JsonObject, model: ChatModel) -> None:
        """The cap on output tokens."""
        rule = FieldRule(type="integer", low=1, high=model.max_output)
        for name in ("max_tokens", "max_completion_tokens"):
            if body.get(name) is not None:
                check(name, body[name], rule)

    def check_messages(self, messages: list[Any]) -> None:
        """The conversation: at least one message, each with a role and content that fit together."""
        for place, message in conversation(messages):
            self.check_message(message, place)

    def check_message(self, message: JsonObject, place: str) -> None:
        """One message."""
        role, content = check_role(message, place, self.roles), message.get("content")
        if content is None:
            if role != "assistant" or not any(
                message.get(name) for name in ("tool_calls", "function_call", "refusal", "audio")
            ):
                raise refuse(Kind.MISSING_FIELD, f"`{place}.content` is required.", f"{place}.content")
        elif isinstance(content, list):
            if not content:
                raise invalid(f"{place}.content", f"`{place}.content` must hold at least one part.")
            for index, part in enumerate(content):
                self.check_part(part, f"{place}.content[{index}]")
        elif not isinstance(content, str):
            raise invalid(
                f"{place}.content",
                f"`{place}.content` must be a string or an array, found {kind_of(content)}.",
            )
        if role == "tool" and not isinstance(message.get("tool_call_id"), str):
            raise invalid(
                f"{place}.tool_call_id", f"`{place}.tool_call_id` must name the tool call it answers."
            )
        if message.get("tool_calls") is not None:
            if role != "assistant":
                raise invalid(
                    f"{place}.tool_calls", f"`{place}.tool_calls` belongs to messages of the assistant."
                )
            self.check_tool_calls(message["tool_calls"], f"{place}.tool_calls")

    def check_part(self, part: Any, place: str) -> None:
        """One content part."""
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise invalid(place, f"`{place}` must be an object with a type.")
        if part["type"] == "text" and not isinstance(part.get("text"), str):
            raise invalid(f"{place}.text", f"`{place}.text` must be a string.")
        if part["type"] == "image_url":
            image = part.get("image_url")
            if not isinstance(image, dict) or not isinstance(image.get("url"), str):
                raise invalid(f"{place}.image_url", f"`{place}.image_url` must be an object with a url.")

    def check_tool_calls(self, calls: Any, place: str) -> None:
        """Tool calls of an earlier assistant turn."""
        if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
            raise invalid(place, f"`{place}` must be an array of objects.")

    def check_tools(self, body: JsonObject) -> None:
        """Tool definitions and the choice among them."""
        tools = body.get("tools") or []
        for index, tool in enumerate(tools):
            place = f"tools[{index}]"
            if not isinstance(tool, dict) or not isinstance(tool.get("type"), str):
                raise invalid(place, f"`{place}` must be an object with a type.")
            if tool["type"] == "function":
                function = tool.get("function")
                if (
                    not isinstance(function, dict)
                    or not isinstance(function.get("name"), str)
                    or not function["name"]
                ):
                    raise invalid(f"{place}.function", f"`{place}.function` must be an object with a name.")
                if not isinstance(function.get("parameters") or {}, dict):
                    raise invalid(
                        f"{place}.function.parameters",
                        f"`{place}.function.parameters` must be a JSON Schema object.",
                    )
        choice = body.get("tool_choice")
        if isinstance(choice, str) and choice not in _TOOL_CHOICES:
            raise invalid(
                "tool_choice", f"`tool_choice` must be one of {', '.join(_TOOL_CHOICES)} or an object."
            )


class OpenAIChatValidator(ChatValidator):
    """gpt models: every field of the OpenAI format passes, anything else is refused (public docs: gpt-5.5, Errors)."""

    rules: ClassVar[Mapping[str, FieldRule]] = {
        **SHARED_RULES,
        "max_tokens": _COUNT,
        "temperature": FieldRule(type="number", low=0, high=2),
    }


class ClaudeChatValidator(ChatValidator):
    """Claude models: `max_tokens` is required, temperature ends at 1, images are checked, one choice only.

    OpenAI fields that only tune or label (seed, penalties, store, ...) are taken and have no effect; those that would
    change what comes back and have no counterpart are refused instead of being ignored.
    """

    rules: ClassVar[Mapping[str, FieldRule]] = {
        **SHARED_RULES,
        "max_tokens": _COUNT,
        "temperature": FieldRule(type="number", low=0, high=1),
        "n": FieldRule(type="integer", enum=(1,)),
        "logprobs": FieldRule(type="boolean", enum=(False,)),
    }
    roles: ClassVar[frozenset[str]] = frozenset({"system", "developer", "user", "assistant", "tool"})
    parts: ClassVar[frozenset[str]] = frozenset({"text", "image_url", "refusal"})
    # What has a place in the Messages format, by the role of the message.
    parts_of_role: ClassVar[Mapping[str, frozenset[str]]] = {
        "system": frozenset({"text"}),
        "developer": frozenset({"text"}),
        "user": frozenset({"text", "image_url"}),
        "assistant": frozenset({"text", "refusal"}),
        "tool": frozenset({"text", "image_url"}),
    }
    unsupported: ClassVar[frozenset[str]] = frozenset(
        {
            "audio",
            "functions",
            "function_call",
            "modalities",
            "moderation",
            "prediction",
            "web_search_options",
        }
    )

    def check_fields(self, body: JsonObject, model: ChatModel) -> None:
        super().check_fields(body, model)
        for name in self.unsupported:
            if body.get(name) is not None:
                raise invalid(name, f"`{name}` is not supported by {model.id}; leave it out.")
        response_format = body.get("response_format")
        if response_format is not None and response_format.get("type") != "text":
            raise invalid(
                "response_format",
                f"`response_format` of {model.id} can only be text; ask for JSON by a tool.",
            )

    def check_max_output(self, body: JsonObject, model: ChatModel) -> None:
        require(body, "max_tokens")
        super().check_max_output(body, model)

    def check_message(self, message: JsonObject, place: str) -> None:
        super().check_message(message, place)
        role, content = message["role"], message.get("content")
        allowed = self.parts_of_role[role]
        for index, part in enumerate(content if isinstance(content, list) else []):
            if part["type"] not in allowed:
                where = f"{place}.content[{index}].type"
                raise invalid(
                    where,
                    f"`{where}` must be {' or '.join(sorted(allowed))} in a message of role {role}, "
                    f"found {part['type'][:40]!r}.",
                )
        if not isinstance(message.get("refusal") or "", str):
            raise invalid(f"{place}.refusal", f"`{place}.refusal` must be a string.")
        for name in ("function_call", "audio"):
            if message.get(name) is not None:
                raise invalid(f"{place}.{name}", f"`{place}.{name}` is not supported by this model.")

    def check_part(self, part: Any, place: str) -> None:
        super().check_part(part, place)
        if part["type"] not in self.parts:
            raise invalid(
                f"{place}.type", f"`{place}.type` must be text or image_url, found {part['type'][:40]!r}."
            )
        if part["type"] == "refusal" and not isinstance(part.get("refusal"), str):
            raise invalid(f"{place}.refusal", f"`{place}.refusal` must be a string.")
        if part["type"] == "image_url":
            read_image_url(part["image_url"]["url"], f"{place}.image_url.url")

    def check_tools(self, body: JsonObject) -> None:
        super().check_tools(body)
        choice = body.get("tool_choice")
        if isinstance(choice, dict) or choice == "required":
            self._check_forced(body)

    def _check_forced(self, body: JsonObject) -> None:
        names = {tool["function"]["name"] for tool in body.get("tools") or [] if tool["type"] == "function"}
        if not names:
            raise invalid("tool_choice", "`tool_choice` needs `tools` to choose from.")
        choice = body["tool_choice"]
        if isinstance(choice, dict):
            function = choice.get("function")
            name = function.get("name") if isinstance(function, dict) else None
            if choice.get("type") != "function" or not isinstance(name, str) or name not in names:
                raise invalid("tool_choice", "`tool_choice` must name one of the functions in `tools`.")
