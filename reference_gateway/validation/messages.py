"""Validation of POST /v1/messages: the native Messages format. Fields unknown here are the provider's business.

Sources: public docs of the Claude pages (Endpoints, max_tokens) and the public Anthropic Messages format.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from reference_gateway.config import ChatModel, FieldRule
from reference_gateway.jsonwire import JsonObject, kind_of
from reference_gateway.validation.chat import GROUP_FIELD
from reference_gateway.validation.fields import (
    check,
    check_role,
    check_rules,
    check_texts,
    conversation,
    invalid,
    is_web_url,
    require,
    whole,
)
from reference_gateway.validation.images import check_inline

_CHOICES = ("auto", "any", "tool", "none")


@dataclass(frozen=True, slots=True)
class MessagesRequest:
    """A checked request. `body` is as sent, without the gateway's own fields."""

    model: ChatModel
    group: str | None
    stream: bool
    max_output: int | None
    body: JsonObject


class MessagesValidator:
    """Checks the parts of the format that decide about routing, money and errors; the rest goes through untouched."""

    rules: ClassVar[Mapping[str, FieldRule]] = {
        "model": FieldRule(type="string"),
        "messages": FieldRule(type="array"),
        "stream": FieldRule(type="boolean"),
        "temperature": FieldRule(type="number", low=0, high=1),
        "top_p": FieldRule(type="number", low=0, high=1),
        "top_k": FieldRule(type="integer", low=0),
        "stop_sequences": FieldRule(type="array"),
        "tools": FieldRule(type="array"),
        "tool_choice": FieldRule(type="object"),
        "metadata": FieldRule(type="object"),
        "thinking": FieldRule(type="object"),
        "system": FieldRule(type="string or array"),
        GROUP_FIELD: FieldRule(type="string"),
    }
    roles: ClassVar[frozenset[str]] = frozenset({"user", "assistant"})

    def validate(self, body: JsonObject, model: ChatModel) -> MessagesRequest:
        """Check a decoded body; raises `GatewayError` (400) naming the field at fault."""
        self.check_max_tokens(body, model)
        check_rules(body, self.rules)
        self.check_system(body.get("system"))
        self.check_messages(require(body, "messages"))
        self.check_tools(body)
        check_texts(body, "stop_sequences")
        return MessagesRequest(
            model=model,
            group=body.get(GROUP_FIELD),
            stream=bool(body.get("stream")),
            max_output=whole(body["max_tokens"]),
            body=self.forwarded(body),
        )

    def forwarded(self, body: JsonObject) -> JsonObject:
        """What may go upstream: everything but the gateway's own field."""
        return {name: value for name, value in body.items() if name != GROUP_FIELD}

    def check_max_tokens(self, body: JsonObject, model: ChatModel) -> None:
        """Required on every call, and never above the model's cap."""
        check(
            "max_tokens", require(body, "max_tokens"), FieldRule(type="integer", low=1, high=model.max_output)
        )

    def check_system(self, system: Any) -> None:
        """A string or an array of text blocks."""
        for index, block in enumerate(system if isinstance(system, list) else []):
            place = f"system[{index}]"
            if (
                not isinstance(block, dict)
                or block.get("type") != "text"
                or not isinstance(block.get("text"), str)
            ):
                raise invalid(place, f"`{place}` must be a text block with a text.")

    def check_messages(self, messages: list[Any]) -> None:
        """At least one turn, each with a role and content."""
        for place, message in conversation(messages):
            check_role(message, place, self.roles)
            self.check_content(require_content(message, place), f"{place}.content")

    def check_content(self, content: Any, place: str) -> None:
        """A string or an array of typed blocks."""
        if isinstance(content, str):
            return
        if not isinstance(content, list):
            raise invalid(place, f"`{place}` must be a string or an array, found {kind_of(content)}.")
        for index, block in enumerate(content):
            self.check_block(block, f"{place}[{index}]")

    def check_block(self, block: Any, place: str) -> None:
        """One block; images must be of a supported type."""
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            raise invalid(place, f"`{place}` must be an object with a type.")
        if block["type"] == "text" and not isinstance(block.get("text"), str):
            raise invalid(f"{place}.text", f"`{place}.text` must be a string.")
        if block["type"] == "tool_result" and not isinstance(block.get("tool_use_id"), str):
            raise invalid(
                f"{place}.tool_use_id", f"`{place}.tool_use_id` must name the tool call it answers."
            )
        if block["type"] == "tool_result" and block.get("content") is not None:
            self.check_content(block["content"], f"{place}.content")
        if block["type"] == "image":
            self._check_image(block.get("source"), f"{place}.source")

    def _check_image(self, source: Any, place: str) -> None:
        if not isinstance(source, dict):
            raise invalid(place, f"`{place}` must be an object.")
        if source.get("type") == "base64":
            check_inline(str(source.get("media_type")), str(source.get("data") or ""), place)
        elif source.get("type") == "url" and not is_web_url(str(source.get("url"))):
            raise invalid(place, f"`{place}.url` must be an http or https URL.")

    def check_tools(self, body: JsonObject) -> None:
        """Tool definitions and the choice among them."""
        for index, tool in enumerate(body.get("tools") or []):
            place = f"tools[{index}]"
            # The provider's own tools are its business; some of them have no name.
            own = not isinstance(tool, dict) or tool.get("type", "custom") == "custom"
            if not isinstance(tool, dict) or (own and not isinstance(tool.get("name"), str)):
                raise invalid(place, f"`{place}` must be an object with a name.")
            if own and not isinstance(tool.get("input_schema"), dict):
                raise invalid(
                    f"{place}.input_schema", f"`{place}.input_schema` must be a JSON Schema object."
                )
        choice = body.get("tool_choice")
        if choice is None:
            return
        if choice.get("type") not in _CHOICES:
            raise invalid("tool_choice", f"`tool_choice.type` must be one of {', '.join(_CHOICES)}.")
        if choice["type"] == "tool" and not isinstance(choice.get("name"), str):
            raise invalid("tool_choice", "`tool_choice.name` must name the tool to call.")


def require_content(message: JsonObject, place: str) -> Any:
    """The content of a message; raises `GatewayError` when there is none."""
    if message.get("content") is None:
        raise invalid(f"{place}.content", f"`{place}.content` is required.")
    return message["content"]
