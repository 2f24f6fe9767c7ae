"""AI/ML API requests that are accepted and mean something else by the time they arrive at the provider."""

# ruff: noqa: ARG002 - a defect ignores what it ought to look at

from abc import ABC, abstractmethod
from typing import Any

from defects.definition import Defect
from reference_gateway import Components
from reference_gateway.aimlapi.requests import AimlapiRequestToAnthropic
from reference_gateway.jsonwire import JsonObject
from reference_gateway.translation.to_anthropic import Blocks
from reference_gateway.validation.chat import ChatRequest


class DropsDeveloper(AimlapiRequestToAnthropic):
    """Messages of a role that the provider does not know are left out."""

    def conversation(self, messages: list[JsonObject]) -> tuple[Blocks, list[JsonObject]]:
        return super().conversation([message for message in messages if message["role"] != "developer"])


class LastTurnOnly(AimlapiRequestToAnthropic):
    """Sends the last turn and forgets what was said before."""

    def conversation(self, messages: list[JsonObject]) -> tuple[Blocks, list[JsonObject]]:
        system, turns = super().conversation(messages)
        return system, turns[-1:]


class LastBlockOnly(AimlapiRequestToAnthropic):
    """Takes the last block of a text for all of it."""

    def blocks(self, parts: list[Any], place: str) -> Blocks:
        if all(part["type"] == "text" for part in parts):
            return super().blocks(parts[-1:], place)
        return super().blocks(parts, place)


class EmptyResults(AimlapiRequestToAnthropic):
    """Tool results lose their content when it is a list."""

    def block(self, part: JsonObject, place: str) -> JsonObject:
        if part["type"] == "tool_result" and isinstance(part.get("content"), list):
            return {**part, "content": ""}
        return super().block(part, place)


class _Changed(AimlapiRequestToAnthropic, ABC):
    """A translation that is right but for one thing."""

    @abstractmethod
    def changed(self, result: JsonObject, body: JsonObject) -> JsonObject:
        """The translated body with the mistake in it."""

    def translate(self, request: ChatRequest) -> JsonObject:
        return self.changed(super().translate(request), request.body)


class NoSystem(_Changed):
    """`system` is a member of the other family and left out."""

    def changed(self, result: JsonObject, body: JsonObject) -> JsonObject:
        return {name: value for name, value in result.items() if name != "system" or not body.get("system")}


class Unbounded(_Changed):
    """Asks the provider for as much as it gives, whatever the caller said."""

    def changed(self, result: JsonObject, body: JsonObject) -> JsonObject:
        return {**result, "max_tokens": 128_000}


class BudgetOnTop(_Changed):
    """Adds the thinking budget to max_tokens, so that the answer has all of it."""

    def changed(self, result: JsonObject, body: JsonObject) -> JsonObject:
        budget = (body.get("thinking") or {}).get("budget_tokens", 0)
        return {**result, "max_tokens": result["max_tokens"] + budget}


class NoStops(_Changed):
    """stop_sequences are not handed on."""

    def changed(self, result: JsonObject, body: JsonObject) -> JsonObject:
        return {name: value for name, value in result.items() if name != "stop_sequences"}


class OneStop(_Changed):
    """Of several stop_sequences the first is handed on."""

    def changed(self, result: JsonObject, body: JsonObject) -> JsonObject:
        stops = result.get("stop_sequences")
        return {**result, "stop_sequences": stops[:1]} if stops else result


class NoThinking(_Changed):
    """`thinking` is not handed on."""

    def changed(self, result: JsonObject, body: JsonObject) -> JsonObject:
        return {name: value for name, value in result.items() if name != "thinking"}


class NoneIsAuto(AimlapiRequestToAnthropic):
    """Leaves a choice of none out, as if it were the same as no choice."""

    def tool_choice(self, choice: Any, *, parallel: bool | None) -> JsonObject | None:
        return None if choice == "none" else super().tool_choice(choice, parallel=parallel)


class AutoIsAny(AimlapiRequestToAnthropic):
    """Has auto and any mixed up."""

    def tool_choice(self, choice: Any, *, parallel: bool | None) -> JsonObject | None:
        translated = super().tool_choice(choice, parallel=parallel)
        return {"type": "any"} if translated == {"type": "auto"} else translated


class RequiredIsAuto(AimlapiRequestToAnthropic):
    """Has no word for required."""

    def tool_choice(self, choice: Any, *, parallel: bool | None) -> JsonObject | None:
        return {"type": "auto"} if choice == "required" else super().tool_choice(choice, parallel=parallel)


class AnyIsAuto(AimlapiRequestToAnthropic):
    """Knows OpenAI's words only, and leaves the provider's own to chance."""

    def tool_choice(self, choice: Any, *, parallel: bool | None) -> JsonObject | None:
        return (
            {"type": "auto"} if choice == {"type": "any"} else super().tool_choice(choice, parallel=parallel)
        )


class NamedIsAny(AimlapiRequestToAnthropic):
    """Forces a call where one function was named, and leaves which one open."""

    def tool_choice(self, choice: Any, *, parallel: bool | None) -> JsonObject | None:
        translated = super().tool_choice(choice, parallel=parallel)
        return {"type": "any"} if translated and translated["type"] == "tool" else translated


class DefaultIsNone(AimlapiRequestToAnthropic):
    """No choice means none, tools or not."""

    def tool_choice(self, choice: Any, *, parallel: bool | None) -> JsonObject | None:
        return super().tool_choice("none" if choice is None else choice, parallel=parallel)


class DefaultIsRequired(AimlapiRequestToAnthropic):
    """Who sends tools wants them called."""

    def tool_choice(self, choice: Any, *, parallel: bool | None) -> JsonObject | None:
        return super().tool_choice("required" if choice is None else choice, parallel=parallel)


class EmptySchemas(AimlapiRequestToAnthropic):
    """Looks for the schema of Anthropic's tools where OpenAI's have it."""

    def tool(self, tool: JsonObject, place: str) -> JsonObject:
        translated = super().tool(tool, place)
        if tool.get("type") == "function":
            return translated
        return {**translated, "input_schema": tool.get("parameters") or {"type": "object"}}


class NoDescriptions(AimlapiRequestToAnthropic):
    """OpenAI's functions lose their description."""

    def tool(self, tool: JsonObject, place: str) -> JsonObject:
        translated = super().tool(tool, place)
        if tool.get("type") != "function":
            return translated
        return {name: value for name, value in translated.items() if name != "description"}


def _defect(
    id_: str, title: str, requirements: tuple[str, ...], translation: type[AimlapiRequestToAnthropic]
) -> Defect:
    return Defect(id_, title, requirements, lambda: Components(aimlapi_requests=translation))


DEFECTS = (
    _defect("aimlapi-developer-dropped", "Developer messages are dropped", ("AIML-REQ-04",), DropsDeveloper),
    _defect(
        "aimlapi-last-turn-only",
        "Only the last turn of a conversation reaches the provider",
        ("AIML-REQ-04", "AIML-REQ-05"),
        LastTurnOnly,
    ),
    _defect(
        "aimlapi-last-block-only",
        "Only the last of several text blocks reaches the provider",
        ("AIML-REQ-05",),
        LastBlockOnly,
    ),
    _defect("aimlapi-results-emptied", "Tool results lose their blocks", ("AIML-REQ-18",), EmptyResults),
    _defect("aimlapi-system-dropped", "`system` does not reach the provider", ("AIML-REQ-10",), NoSystem),
    _defect(
        "aimlapi-cap-ignored",
        "max_tokens does not reach the provider",
        ("AIML-REQ-07", "AIML-REQ-20"),
        Unbounded,
    ),
    _defect(
        "aimlapi-budget-on-top", "The thinking budget is added to max_tokens", ("AIML-REQ-20",), BudgetOnTop
    ),
    _defect("aimlapi-stops-dropped", "stop_sequences do not reach the provider", ("AIML-REQ-08",), NoStops),
    _defect(
        "aimlapi-one-stop", "Only the first of the stop_sequences ends an answer", ("AIML-REQ-08",), OneStop
    ),
    _defect(
        "aimlapi-thinking-dropped", "`thinking` does not reach the provider", ("AIML-REQ-21",), NoThinking
    ),
    _defect(
        "aimlapi-choice-none-dropped", "tool_choice none is taken for auto", ("AIML-REQ-11",), NoneIsAuto
    ),
    _defect("aimlapi-choice-auto-forces", "tool_choice auto forces a call", ("AIML-REQ-12",), AutoIsAny),
    _defect(
        "aimlapi-choice-required-auto",
        "tool_choice required is taken for auto",
        ("AIML-REQ-13",),
        RequiredIsAuto,
    ),
    _defect(
        "aimlapi-choice-any-auto", "tool_choice of type any is taken for auto", ("AIML-REQ-13",), AnyIsAuto
    ),
    _defect(
        "aimlapi-choice-named-any",
        "A named function is not the one that is called",
        ("AIML-REQ-14",),
        NamedIsAny,
    ),
    _defect(
        "aimlapi-choice-default-none",
        "tool_choice is none by default with tools",
        ("AIML-REQ-15",),
        DefaultIsNone,
    ),
    _defect(
        "aimlapi-choice-default-required",
        "tool_choice is required by default with tools",
        ("AIML-REQ-15",),
        DefaultIsRequired,
    ),
    _defect(
        "aimlapi-schema-lost", "Tools in Anthropic's form lose their schema", ("AIML-REQ-16",), EmptySchemas
    ),
    _defect(
        "aimlapi-description-lost",
        "Tools in OpenAI's form lose their description",
        ("AIML-REQ-17",),
        NoDescriptions,
    ),
)
