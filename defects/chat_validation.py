"""Chat requests at the door: served where they must be refused, and refused where they must be served."""

# ruff: noqa: ARG002 - a defect ignores what it ought to look at

from collections.abc import Mapping
from typing import Any, ClassVar

from defects.definition import Defect
from reference_gateway import Components
from reference_gateway.config import ChatModel, FieldRule
from reference_gateway.jsonwire import JsonObject
from reference_gateway.validation.chat import ClaudeChatValidator, OpenAIChatValidator
from reference_gateway.validation.fields import invalid


class IgnoresUnknownFields(OpenAIChatValidator):
    """Drops what it does not know, so a misspelt parameter has no effect and nobody says so."""

    def check_unknown(self, body: JsonObject) -> None:
        for name in [name for name in body if name not in self.rules]:
            del body[name]


def _clamp(body: JsonObject, name: str, low: float, high: float) -> None:
    if isinstance(body.get(name), int | float):
        body[name] = min(max(body[name], low), high)


class ClampsTemperature(OpenAIChatValidator):
    """Moves a temperature out of range to the nearest one in it."""

    def check_fields(self, body: JsonObject, model: ChatModel) -> None:
        _clamp(body, "temperature", 0, 2)
        super().check_fields(body, model)


class ClampsClaudeTemperature(ClaudeChatValidator):
    """Serves 1.1 as 1, since callers come from models that go to 2."""

    def check_fields(self, body: JsonObject, model: ChatModel) -> None:
        _clamp(body, "temperature", 0, 1)
        super().check_fields(body, model)


class ClampsTopP(OpenAIChatValidator):
    """Moves a top_p out of range to the nearest one in it."""

    def check_fields(self, body: JsonObject, model: ChatModel) -> None:
        _clamp(body, "top_p", 0, 1)
        super().check_fields(body, model)


class ClampsPenalties(OpenAIChatValidator):
    """Moves a penalty out of range to the nearest one in it."""

    def check_fields(self, body: JsonObject, model: ChatModel) -> None:
        _clamp(body, "frequency_penalty", -2, 2)
        _clamp(body, "presence_penalty", -2, 2)
        super().check_fields(body, model)


class GuessesEffort(OpenAIChatValidator):
    """Takes an unknown effort for medium."""

    def check_fields(self, body: JsonObject, model: ChatModel) -> None:
        if body.get("reasoning_effort") not in (None, *self.rules["reasoning_effort"].enum):
            body["reasoning_effort"] = "medium"
        super().check_fields(body, model)


class OneRangeForAllModels(OpenAIChatValidator):
    """Holds gpt models to the temperature range of the Claude models."""

    rules: ClassVar[Mapping[str, FieldRule]] = {
        **OpenAIChatValidator.rules,
        "temperature": FieldRule(type="number", low=0, high=1),
    }


class ThreeEfforts(OpenAIChatValidator):
    """Knows the efforts of an older model only."""

    rules: ClassVar[Mapping[str, FieldRule]] = {
        **OpenAIChatValidator.rules,
        "reasoning_effort": FieldRule(type="string", enum=("low", "medium", "high")),
    }


class ListedFieldsOnly(OpenAIChatValidator):
    """Takes the fields that the page lists by name for all there are."""

    rules: ClassVar[Mapping[str, FieldRule]] = {
        name: rule for name, rule in OpenAIChatValidator.rules.items() if name not in {"metadata", "store"}
    }


class OldOutputCap(ClaudeChatValidator):
    """Caps the output at what older Claude models could do."""

    def check_max_output(self, body: JsonObject, model: ChatModel) -> None:
        super().check_max_output(body, model)
        if body["max_tokens"] > 64_000:
            raise invalid("max_tokens", "`max_tokens` must be at most 64000.")


class MendsMaxTokens(ClaudeChatValidator):
    """Mends a senseless max_tokens instead of refusing it."""

    def check_max_output(self, body: JsonObject, model: ChatModel) -> None:
        if isinstance(body.get("max_tokens"), int | float):
            body["max_tokens"] = max(1, int(body["max_tokens"]))
        super().check_max_output(body, model)

    def check_fields(self, body: JsonObject, model: ChatModel) -> None:
        super().check_fields({name: value for name, value in body.items() if name != "max_tokens"}, model)


class TextContentOnly(ClaudeChatValidator):
    """Knows content as a string only."""

    def check_part(self, part: Any, place: str) -> None:
        raise invalid(place, f"`{place}` must be a string.")


class NoNamedTools(ClaudeChatValidator):
    """Takes tool_choice as a word only, not as a named function."""

    def check_tools(self, body: JsonObject) -> None:
        super().check_tools(body)
        if isinstance(body.get("tool_choice"), dict):
            raise invalid("tool_choice", "`tool_choice` must be a string.")


class NoToolTurns(ClaudeChatValidator):
    """Knows three roles, so no tool loop can be closed."""

    roles: ClassVar[frozenset[str]] = frozenset({"system", "user", "assistant"})


class NoInlineImages(ClaudeChatValidator):
    """Takes images by web URL only."""

    def check_part(self, part: Any, place: str) -> None:
        super().check_part(part, place)
        if part["type"] == "image_url" and part["image_url"]["url"].startswith("data:"):
            raise invalid(place, f"`{place}` must be an http(s) URL.")


class FillsInMessages(OpenAIChatValidator):
    """Serves an empty conversation by making one up."""

    def check_messages(self, messages: list[Any]) -> None:
        messages[:] = messages or [{"role": "user", "content": "Hello"}]
        super().check_messages(messages)


DEFECTS = (
    Defect(
        "unknown-field-ignored",
        "A field that nobody knows is dropped in silence",
        ("GPT-08",),
        lambda: Components(openai_validator=IgnoresUnknownFields),
    ),
    Defect(
        "temperature-clamped",
        "A gpt temperature out of range is clamped and served",
        ("GPT-04",),
        lambda: Components(openai_validator=ClampsTemperature),
    ),
    Defect(
        "claude-temperature-clamped",
        "Temperature 1.1 is served on Claude models",
        ("CLA-11",),
        lambda: Components(claude_validator=ClampsClaudeTemperature),
    ),
    Defect(
        "top-p-clamped",
        "A top_p out of range is clamped and served",
        ("CREQ-12",),
        lambda: Components(openai_validator=ClampsTopP),
    ),
    Defect(
        "penalties-clamped",
        "A penalty out of range is clamped and served",
        ("GPT-07",),
        lambda: Components(openai_validator=ClampsPenalties),
    ),
    Defect(
        "effort-guessed",
        "An unknown reasoning_effort is served as medium",
        ("GPT-21",),
        lambda: Components(openai_validator=GuessesEffort),
    ),
    Defect(
        "gpt-temperature-ends-at-one",
        "Temperature 2 is refused on gpt models",
        ("GPT-03",),
        lambda: Components(openai_validator=OneRangeForAllModels),
    ),
    Defect(
        "efforts-missing",
        "reasoning_effort none and xhigh are refused",
        ("GPT-19",),
        lambda: Components(openai_validator=ThreeEfforts),
    ),
    Defect(
        "openai-fields-unknown",
        "Fields of the OpenAI format that the page does not list are refused",
        ("GPT-22",),
        lambda: Components(openai_validator=ListedFieldsOnly),
    ),
    Defect(
        "claude-cap-too-low",
        "max_tokens 128000 is refused on Claude models",
        ("CLA-04", "CLIM-02"),
        lambda: Components(claude_validator=OldOutputCap),
    ),
    Defect(
        "claude-max-tokens-mended",
        "max_tokens 0, -1 and 1.5 are mended and served on Claude models",
        ("CLA-09",),
        lambda: Components(claude_validator=MendsMaxTokens),
    ),
    Defect(
        "content-parts-refused",
        "Content parts are refused on Claude models",
        ("CREQ-06",),
        lambda: Components(claude_validator=TextContentOnly),
    ),
    Defect(
        "named-tool-refused",
        "tool_choice with a named function is refused on Claude models",
        ("CLA-14",),
        lambda: Components(claude_validator=NoNamedTools),
    ),
    Defect(
        "tool-result-refused",
        "Messages of role tool are refused on Claude models",
        (
            "CLA-15",
            "CREQ-04",
        ),
        lambda: Components(claude_validator=NoToolTurns),
    ),
    Defect(
        "inline-image-refused",
        "Images as data URLs are refused on Claude models",
        (
            "VIS-02",
            "VIS-03",
            "VIS-07",
        ),
        lambda: Components(claude_validator=NoInlineImages),
    ),
    Defect(
        "empty-messages-filled-in",
        "An empty conversation is filled in and served",
        ("CREQ-21",),
        lambda: Components(openai_validator=FillsInMessages),
    ),
)
