"""Validation of the AI/ML API's chat completions: OpenAI's and Anthropic's forms side by side.

Fields outside the published schema (temperature, n, user, ...) are neither refused nor passed on.
Sources: S4, API Schema; public docs, OpenAPI of the model page.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from reference_gateway.config import ChatModel, FieldRule
from reference_gateway.failures import Kind, refuse
from reference_gateway.jsonwire import JsonObject, kind_of
from reference_gateway.validation.chat import ChatRequest, ChatValidator
from reference_gateway.validation.fields import check, check_rules, check_texts, invalid, require
from reference_gateway.validation.images import read_image_url
from reference_gateway.validation.messages import MessagesValidator

DEFAULT_MAX_TOKENS: Final = 128_000
LEAST_THINKING_BUDGET: Final = 1_024
PDF_DATA_URL: Final = "data:application/pdf;base64,"

# Blocks of the Messages format that pass as they are; the checks below look at the commonest of them.
_NATIVE_BLOCKS: Final = frozenset(
    {
        "image",
        "document",
        "search_result",
        "thinking",
        "redacted_thinking",
        "tool_use",
        "tool_result",
        "server_tool_use",
        "web_search_tool_result",
        "web_fetch_tool_result",
        "code_execution_tool_result",
        "bash_code_execution_tool_result",
        "text_editor_code_execution_tool_result",
        "container_upload",
    }
)
_OPENAI_PARTS: Final = frozenset({"text", "image_url", "file", "refusal"})
_WORDS: Final = ("auto", "none", "required")


class AimlapiValidator(ChatValidator):
    """Checks a body; the checked one holds documented fields only, `max_tokens` included."""

    rules: ClassVar[Mapping[str, FieldRule]] = {
        "model": FieldRule(type="string"),
        "messages": FieldRule(type="array"),
        "system": FieldRule(type="string or array"),
        "stop_sequences": FieldRule(type="array"),
        "stream": FieldRule(type="boolean"),
        "metadata": FieldRule(type="object"),
        "tools": FieldRule(type="array"),
        "tool_choice": FieldRule(type="string or object"),
        "thinking": FieldRule(type="object"),
        "max_tokens": FieldRule(type="number", low=1),
    }
    thinking_rules: ClassVar[Mapping[str, FieldRule]] = {
        "type": FieldRule(type="string", enum=("enabled", "disabled", "adaptive")),
        "display": FieldRule(type="string", enum=("summarized", "omitted")),
    }
    parts: ClassVar[frozenset[str]] = _OPENAI_PARTS | _NATIVE_BLOCKS

    def __init__(self) -> None:
        self._native = MessagesValidator()

    def validate(self, body: JsonObject, model: ChatModel) -> ChatRequest:
        """Check a decoded body; raises `GatewayError` (400) naming the field at fault."""
        self.check_fields(body, model)
        self.check_max_output(body, model)
        self.check_messages(require(body, "messages"))
        self._native.check_system(body.get("system"))
        self.check_tools(body)
        check_texts(body, "stop_sequences")
        self.check_metadata(body.get("metadata") or {})
        limit = self.max_tokens(body, model)
        self.check_thinking(body.get("thinking"), limit)
        return ChatRequest(
            model=model,
            group=None,
            stream=bool(body.get("stream")),
            include_usage=True,
            max_output=limit,
            choices=1,
            body={**self.forwarded(body), "max_tokens": limit},
        )

    def forwarded(self, body: JsonObject) -> JsonObject:
        return {name: value for name, value in body.items() if name in self.rules and value is not None}

    def max_tokens(self, body: JsonObject, model: ChatModel) -> int:
        """The limit that holds for a call; the schema says number, so a fraction is cut off."""
        sent = body.get("max_tokens")
        return min(DEFAULT_MAX_TOKENS, model.max_output) if sent is None else int(sent)

    def check_max_output(self, body: JsonObject, model: ChatModel) -> None:
        if body.get("max_tokens") is not None:
            check("max_tokens", body["max_tokens"], FieldRule(type="number", low=1, high=model.max_output))

    def check_metadata(self, metadata: JsonObject) -> None:
        """Texts by name."""
        for name, value in metadata.items():
            if not isinstance(value, str):
                raise invalid("metadata", f"`metadata.{name[:80]}` must be a string, found {kind_of(value)}.")

    def check_thinking(self, thinking: JsonObject | None, max_tokens: int) -> None:
        """Enabled thinking needs a budget, which counts toward `max_tokens` and so must be less."""
        if thinking is None:
            return
        require({"thinking.type": thinking.get("type")}, "thinking.type")
        check_rules(
            {f"thinking.{name}": value for name, value in thinking.items()},
            {f"thinking.{name}": rule for name, rule in self.thinking_rules.items()},
        )
        if thinking["type"] != "enabled":
            return
        name = "thinking.budget_tokens"
        budget = require({name: thinking.get("budget_tokens")}, name)
        check(name, budget, FieldRule(type="integer", low=LEAST_THINKING_BUDGET))
        if budget >= max_tokens:
            raise invalid(name, f"`{name}` ({budget}) must be less than `max_tokens` ({max_tokens}).")

    def check_message(self, message: JsonObject, place: str) -> None:
        super().check_message(message, place)
        role, content = message["role"], message.get("content")
        if role == "function" and not isinstance(message.get("name"), str):
            raise invalid(f"{place}.name", f"`{place}.name` must name the function.")
        if role in {"system", "developer"} and isinstance(content, list):
            for index, part in enumerate(content):
                if part["type"] != "text":
                    where = f"{place}.content[{index}].type"
                    raise invalid(where, f"`{where}` must be text in a message of role {role}.")
        call = message.get("function_call")
        if call is not None and not (isinstance(call, dict) and isinstance(call.get("name"), str)):
            raise invalid(f"{place}.function_call", f"`{place}.function_call` must be an object with a name.")
        if content is None and not (message.get("tool_calls") or call):
            refusal = message.get("refusal")
            if not isinstance(refusal, str):
                raise refuse(Kind.MISSING_FIELD, f"`{place}.content` is required.", f"{place}.content")

    def check_part(self, part: Any, place: str) -> None:
        super().check_part(part, place)
        kind = part["type"]
        if kind not in self.parts:
            raise invalid(f"{place}.type", f"`{place}.type` {kind[:40]!r} is not taken by this model.")
        if kind == "image_url":
            read_image_url(part["image_url"]["url"], f"{place}.image_url.url")
        elif kind == "file":
            self.check_file(part.get("file"), f"{place}.file")
        elif kind == "refusal":
            self.check_member(part, "refusal", str, place)
        elif kind in _NATIVE_BLOCKS:
            self.check_native(part, place)

    def check_native(self, block: JsonObject, place: str) -> None:
        """A block of the Messages format."""
        self._native.check_block(block, place)
        kind = block["type"]
        if kind == "document":
            self.check_member(block, "source", dict, place)
        elif kind == "tool_use":
            self.check_member(block, "id", str, place)
            self.check_member(block, "name", str, place)
            self.check_member(block, "input", dict, place)
        elif kind == "thinking":
            self.check_member(block, "thinking", str, place)

    def check_member(self, block: JsonObject, name: str, kind: type, place: str) -> None:
        """A member that a block must have."""
        if not isinstance(block.get(name), kind):
            expected = "an object" if kind is dict else "a string"
            raise invalid(f"{place}.{name}", f"`{place}.{name}` must be {expected}.")

    def check_file(self, file: Any, place: str) -> None:
        """A document in OpenAI's form; only what is sent along can be handed on."""
        data = file.get("file_data") if isinstance(file, dict) else None
        if not isinstance(data, str) or not data.startswith(PDF_DATA_URL):
            raise invalid(place, f"`{place}.file_data` must be a PDF, written as {PDF_DATA_URL}... .")

    def check_tools(self, body: JsonObject) -> None:
        names = {
            self.tool_name(tool, f"tools[{index}]") for index, tool in enumerate(body.get("tools") or [])
        }
        choice = body.get("tool_choice")
        forced = False
        if isinstance(choice, str):
            if choice not in _WORDS:
                raise invalid(
                    "tool_choice", f"`tool_choice` must be one of {', '.join(_WORDS)} or an object."
                )
            forced = choice == "required"
        elif choice is not None and choice.get("type") not in ("auto", "none"):
            forced = True
            self.check_named(choice, names)
        if forced and not names:
            raise invalid("tool_choice", "`tool_choice` needs `tools` to choose from.")

    def check_named(self, choice: JsonObject, names: set[str]) -> None:
        """A choice in object form; tools that it names must be there."""
        chosen = chosen_names(choice)
        if chosen is None and choice.get("type") != "any":
            raise invalid(
                "tool_choice",
                "`tool_choice.type` must be one of auto, any, none, tool, function and allowed_tools,"
                " and name its tools.",
            )
        for name in chosen or ():
            if name not in names:
                raise invalid("tool_choice", f"`tool_choice` names {name[:80]!r}, which is not in `tools`.")

    def tool_name(self, tool: Any, place: str) -> str:
        """The name of a tool: OpenAI's functions, Anthropic's own and Anthropic's server tools."""
        if not isinstance(tool, dict):
            raise invalid(place, f"`{place}` must be an object, found {kind_of(tool)}.")
        if tool.get("type") == "function":
            function = tool.get("function")
            return self.defined_name(function, f"{place}.function", "parameters", required=False)
        if tool.get("type") == "custom" and "custom" in tool:
            raise invalid(
                f"{place}.type", f"`{place}`: custom tools in OpenAI's form are not taken by this model."
            )
        own = tool.get("type") in (None, "custom")
        return self.defined_name(tool, place, "input_schema", required=own)

    def defined_name(self, definition: Any, place: str, schema: str, *, required: bool) -> str:
        """The name inside a definition whose schema, if there is one, is an object."""
        name = definition.get("name") if isinstance(definition, dict) else None
        if not isinstance(definition, dict) or not isinstance(name, str) or not name:
            raise invalid(place, f"`{place}` must be an object with a name.")
        sent = definition.get(schema)
        if not isinstance(sent, dict) and (required or sent is not None):
            raise invalid(f"{place}.{schema}", f"`{place}.{schema}` must be a JSON Schema object.")
        return name


def chosen_names(choice: JsonObject) -> list[str] | None:
    """The tools that a choice in object form names; None when it has not that form."""
    kind = choice.get("type")
    if kind == "tool":
        found = [choice.get("name")]
    elif kind == "function":
        found = [_name_in(choice)]
    elif kind == "allowed_tools" and isinstance(allowed := choice.get("allowed_tools"), dict):
        tools = allowed.get("tools")
        if allowed.get("mode") not in ("auto", "required") or not isinstance(tools, list) or not tools:
            return None
        found = [_name_in(tool) or tool.get("name") if isinstance(tool, dict) else None for tool in tools]
    else:
        return None
    names = [name for name in found if isinstance(name, str)]
    return names if len(names) == len(found) else None


def _name_in(value: JsonObject) -> Any:
    function = value.get("function")
    return function.get("name") if isinstance(function, dict) else None
