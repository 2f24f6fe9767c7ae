"""AI/ML API requests: documented forms that are refused, and wrong ones that are served."""

# ruff: noqa: ARG002 - a defect ignores what it ought to look at

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from defects.definition import Defect
from reference_gateway import Components
from reference_gateway.aimlapi.validation import AimlapiValidator
from reference_gateway.chat_surface import ModelShelf
from reference_gateway.config import ChatModel, FieldRule, Surface
from reference_gateway.failures import Kind, refuse
from reference_gateway.jsonwire import JsonObject
from reference_gateway.validation.chat import ChatRequest
from reference_gateway.validation.fields import check, invalid, require

_LONG_NAME = "anthropic/claude-opus-4-8"


class StreamsNeedLongName(ModelShelf):
    """Streams are routed by a table of their own, which has the long names only."""

    def find(self, body: JsonObject, surface: Surface) -> ChatModel:
        if body.get("stream") and "/" not in str(body.get("model")):
            raise refuse(Kind.UNKNOWN_MODEL, "There is no such model.", "model")
        return super().find(body, surface)


class DefaultModel(ModelShelf):
    """A request that names no model gets the one that sells best."""

    def find(self, body: JsonObject, surface: Surface) -> ChatModel:
        body.setdefault("model", _LONG_NAME)
        return super().find(body, surface)


class FallbackModel(ModelShelf):
    """An unknown name is served by the nearest thing in stock."""

    def find(self, body: JsonObject, surface: Surface) -> ChatModel:
        if isinstance(body.get("model"), str) and body["model"] not in self._models:
            body["model"] = _LONG_NAME
        return super().find(body, surface)


class EmptyConversation(AimlapiValidator):
    """Without messages the model is asked to begin."""

    def validate(self, body: JsonObject, model: ChatModel) -> ChatRequest:
        body.setdefault("messages", [{"role": "user", "content": "Hello"}])
        return super().validate(body, model)


class NoDeveloper(AimlapiValidator):
    """The list of roles is as old as the first version of the format."""

    roles: ClassVar[frozenset[str]] = AimlapiValidator.roles - {"developer"}


class NoFunctionRole(AimlapiValidator):
    """Function messages are deprecated at OpenAI, and so refused."""

    roles: ClassVar[frozenset[str]] = AimlapiValidator.roles - {"function"}


class AnyRole(AimlapiValidator):
    """A role that nobody knows is taken for a user's."""

    def check_message(self, message: JsonObject, place: str) -> None:
        if message.get("role") not in self.roles:
            message["role"] = "user"
        super().check_message(message, place)


class OpenAIPartsOnly(AimlapiValidator):
    """Blocks of the Messages format are not among the known parts."""

    parts: ClassVar[frozenset[str]] = frozenset({"text", "image_url", "file", "refusal"})


class NoDocuments(AimlapiValidator):
    """Documents are not among the known parts."""

    parts: ClassVar[frozenset[str]] = AimlapiValidator.parts - {"document"}


class NoToolResults(AimlapiValidator):
    """Tool results are known in OpenAI's form only."""

    parts: ClassVar[frozenset[str]] = AimlapiValidator.parts - {"tool_result"}


class StreamsNeedMaxTokens(AimlapiValidator):
    """Demands max_tokens of streams, as the provider behind them does."""

    def check_max_output(self, body: JsonObject, model: ChatModel) -> None:
        if body.get("stream"):
            require(body, "max_tokens")
        super().check_max_output(body, model)


class SmallDefault(AimlapiValidator):
    """Fills in 4096 where max_tokens is left out."""

    def max_tokens(self, body: JsonObject, model: ChatModel) -> int:
        return 4096 if body.get("max_tokens") is None else super().max_tokens(body, model)


class HalfOutput(AimlapiValidator):
    """Knows the cap of the model before this one."""

    def check_max_output(self, body: JsonObject, model: ChatModel) -> None:
        if body.get("max_tokens") is not None:
            check("max_tokens", body["max_tokens"], FieldRule(type="number", low=1, high=64_000))


class StreamsByDefault(AimlapiValidator):
    """A call that does not say streams."""

    def validate(self, body: JsonObject, model: ChatModel) -> ChatRequest:
        return replace(super().validate(body, model), stream=body.get("stream") is not False)


class StreamsWhenNamed(AimlapiValidator):
    """Looks whether `stream` is there and not at what it says."""

    def validate(self, body: JsonObject, model: ChatModel) -> ChatRequest:
        return replace(super().validate(body, model), stream="stream" in body)


class SystemIsText(AimlapiValidator):
    """`system` must be a string."""

    rules: ClassVar[Mapping[str, FieldRule]] = {
        **AimlapiValidator.rules,
        "system": FieldRule(type="string"),
    }


class LenientStream(AimlapiValidator):
    """Takes any value of `stream` for what it is worth in the host language."""

    rules: ClassVar[Mapping[str, FieldRule]] = {**AimlapiValidator.rules, "stream": FieldRule()}


class OpenAIToolsOnly(AimlapiValidator):
    """Tools must be functions."""

    def tool_name(self, tool: Any, place: str) -> str:
        if isinstance(tool, dict) and tool.get("type") != "function":
            raise invalid(f"{place}.type", f"`{place}.type` must be function.")
        return super().tool_name(tool, place)


class AnthropicToolsOnly(AimlapiValidator):
    """Tools must have a name and an input_schema of their own."""

    def tool_name(self, tool: Any, place: str) -> str:
        return self.defined_name(tool, place, "input_schema", required=True)


class RaisesBudget(AimlapiValidator):
    """Raises a small thinking budget to the least one in silence."""

    def check_thinking(self, thinking: JsonObject | None, max_tokens: int) -> None:
        if thinking is not None and thinking.get("type") == "enabled":
            thinking["budget_tokens"] = max(1024, thinking.get("budget_tokens") or 0)
        super().check_thinking(thinking, max_tokens)


class BudgetAbove(AimlapiValidator):
    """Refuses a budget of exactly the least one."""

    def check_thinking(self, thinking: JsonObject | None, max_tokens: int) -> None:
        super().check_thinking(thinking, max_tokens)
        if thinking is not None and thinking.get("budget_tokens") == 1024:
            raise invalid("thinking.budget_tokens", "`thinking.budget_tokens` must be above 1024.")


class NotAdaptive(AimlapiValidator):
    """Thinking is on or off."""

    thinking_rules: ClassVar[Mapping[str, FieldRule]] = {
        **AimlapiValidator.thinking_rules,
        "type": FieldRule(type="string", enum=("enabled", "disabled")),
    }


def _shelf(id_: str, title: str, requirements: tuple[str, ...], models: type[ModelShelf]) -> Defect:
    return Defect(id_, title, requirements, lambda: Components(aimlapi_models=models))


def _check(id_: str, title: str, requirements: tuple[str, ...], validator: type[AimlapiValidator]) -> Defect:
    return Defect(id_, title, requirements, lambda: Components(aimlapi_validator=validator))


DEFECTS = (
    _shelf(
        "aimlapi-short-name-unstreamed",
        "The model name without its vendor is refused for streams",
        ("AIML-REQ-01",),
        StreamsNeedLongName,
    ),
    _shelf("aimlapi-model-by-default", "A call without model is served", ("AIML-REQ-02",), DefaultModel),
    _shelf(
        "aimlapi-unknown-model-served",
        "A call of an unknown model is served by another one",
        ("AIML-REQ-02",),
        FallbackModel,
    ),
    _check(
        "aimlapi-messages-by-default",
        "A call without messages is served",
        ("AIML-REQ-03",),
        EmptyConversation,
    ),
    _check("aimlapi-developer-refused", "Developer messages are refused", ("AIML-REQ-04",), NoDeveloper),
    _check(
        "aimlapi-function-role-refused", "Function messages are refused", ("AIML-REQ-04",), NoFunctionRole
    ),
    _check("aimlapi-any-role", "Messages of an unknown role are served", ("AIML-ERR-06",), AnyRole),
    _check(
        "aimlapi-blocks-refused",
        "Content blocks in Anthropic's form are refused",
        ("AIML-REQ-05", "AIML-REQ-18", "AIML-REQ-24"),
        OpenAIPartsOnly,
    ),
    _check("aimlapi-documents-refused", "Documents are refused", ("AIML-REQ-24",), NoDocuments),
    _check(
        "aimlapi-tool-results-refused",
        "Tool results in Anthropic's form are refused",
        ("AIML-REQ-18", "AIML-REQ-05"),
        NoToolResults,
    ),
    _check(
        "aimlapi-streams-need-cap",
        "Streams without max_tokens are refused",
        ("AIML-REQ-06",),
        StreamsNeedMaxTokens,
    ),
    _check("aimlapi-cap-4096", "max_tokens is 4096 by default", ("AIML-REQ-06",), SmallDefault),
    _check("aimlapi-output-halved", "max_tokens above 64000 is refused", ("AIML-REQ-23",), HalfOutput),
    _check(
        "aimlapi-streams-by-default", "Calls without stream are streamed", ("AIML-REQ-09",), StreamsByDefault
    ),
    _check(
        "aimlapi-streams-when-named",
        "Calls with stream false are streamed",
        ("AIML-REQ-09",),
        StreamsWhenNamed,
    ),
    _check("aimlapi-system-text-only", "`system` as blocks is refused", ("AIML-REQ-10",), SystemIsText),
    _check("aimlapi-any-stream", "`stream` may be a text", ("AIML-ERR-06",), LenientStream),
    _check(
        "aimlapi-anthropic-tools-refused",
        "Tools in Anthropic's form are refused",
        ("AIML-REQ-16",),
        OpenAIToolsOnly,
    ),
    _check(
        "aimlapi-openai-tools-refused",
        "Tools in OpenAI's form are refused",
        ("AIML-REQ-17",),
        AnthropicToolsOnly,
    ),
    _check(
        "aimlapi-budget-raised",
        "A small thinking budget is raised in silence",
        ("AIML-REQ-19",),
        RaisesBudget,
    ),
    _check("aimlapi-budget-above", "A thinking budget of 1024 is refused", ("AIML-REQ-19",), BudgetAbove),
    _check("aimlapi-adaptive-refused", "Adaptive thinking is refused", ("AIML-REQ-22",), NotAdaptive),
)
