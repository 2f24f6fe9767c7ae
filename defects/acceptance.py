"""Valid chat requests that are refused, and the two sides of `stream` and `max_tokens` that are easily mixed up."""

from collections.abc import Mapping
from typing import Any, ClassVar

from aiohttp import web

from defects.chat_requests import without
from defects.definition import Defect
from reference_gateway import Components
from reference_gateway.chat_surface import ChatSurface
from reference_gateway.config import ChatModel, FieldRule
from reference_gateway.failures import GatewayError, Kind
from reference_gateway.jsonwire import JsonObject
from reference_gateway.surface import read_body
from reference_gateway.translation.to_anthropic import RequestToAnthropic
from reference_gateway.validation.chat import ChatRequest, ClaudeChatValidator, OpenAIChatValidator
from reference_gateway.validation.fields import invalid, read_object

_OLD_WINDOW_CHARACTERS = 800_000
_OLD_OUTPUT_CAP = 4096
_SHORTEST_ANSWER = 256


def refused(*names: str) -> type[OpenAIChatValidator]:
    """A request model of gpt calls in which some fields may not be sent."""

    class Refuses(OpenAIChatValidator):
        def check_fields(self, body: JsonObject, model: ChatModel) -> None:
            super().check_fields(body, model)
            for name in names:
                if name in body:
                    raise invalid(name, f"`{name}` is not supported by {model.id}.")

    return Refuses


class PenaltiesFromZero(OpenAIChatValidator):
    """Takes penalties for something that can only be positive."""

    rules: ClassVar[Mapping[str, FieldRule]] = {
        **OpenAIChatValidator.rules,
        "frequency_penalty": FieldRule(type="number", low=0, high=2),
    }


class PenaltiesToOne(OpenAIChatValidator):
    """Lets a penalty end at 1."""

    rules: ClassVar[Mapping[str, FieldRule]] = {
        **OpenAIChatValidator.rules,
        "presence_penalty": FieldRule(type="number", low=-2, high=1),
    }


class NoToolTurnsOnGpt(OpenAIChatValidator):
    """Knows four roles, so no tool loop can be closed."""

    roles: ClassVar[frozenset[str]] = frozenset({"system", "developer", "user", "assistant"})


class StreamsByDefault(OpenAIChatValidator):
    """Streams unless told not to."""

    def validate(self, body: JsonObject, model: ChatModel) -> ChatRequest:
        body.setdefault("stream", True)
        return super().validate(body, model)


class StreamsIfNamed(OpenAIChatValidator):
    """Looks at whether `stream` is there, and not at what it says."""

    def validate(self, body: JsonObject, model: ChatModel) -> ChatRequest:
        if "stream" in body:
            body["stream"] = True
        return super().validate(body, model)


class NeverStreams(OpenAIChatValidator):
    """Takes `stream` and sends the answer in one piece."""

    def validate(self, body: JsonObject, model: ChatModel) -> ChatRequest:
        plain = {name: value for name, value in body.items() if name not in {"stream", "stream_options"}}
        return super().validate(plain, model)


class PartsInSystemMessages(ClaudeChatValidator):
    """Wants system messages as parts."""

    def check_message(self, message: JsonObject, place: str) -> None:
        super().check_message(message, place)
        if message["role"] == "system" and isinstance(message["content"], str):
            raise invalid(f"{place}.content", f"`{place}.content` must be an array.")


class OneTurnInStreams(OpenAIChatValidator):
    """Streams answers to single questions only."""

    def validate(self, body: JsonObject, model: ChatModel) -> ChatRequest:
        checked = super().validate(body, model)
        if checked.stream and len(body["messages"]) > 1:
            raise invalid("messages", "`messages` of a streamed call must hold one message.")
        return checked


class OldWindow(ClaudeChatValidator):
    """Has the context window of older models, counted in characters."""

    def check_messages(self, messages: list[Any]) -> None:
        super().check_messages(messages)
        if sum(len(str(message.get("content"))) for message in messages) > _OLD_WINDOW_CHARACTERS:
            raise invalid("messages", "`messages` is too long for this model.")


class BelowOldCap(ClaudeChatValidator):
    """Takes max_tokens below 4096 only, the cap of much older models."""

    def check_max_output(self, body: JsonObject, model: ChatModel) -> None:
        super().check_max_output(body, model)
        if body["max_tokens"] >= _OLD_OUTPUT_CAP:
            raise invalid("max_tokens", f"`max_tokens` must be below {_OLD_OUTPUT_CAP}.")


class FillsInOneThousand(ClaudeChatValidator):
    """Serves without max_tokens, with a default that no page names."""

    def check_max_output(self, body: JsonObject, model: ChatModel) -> None:
        body.setdefault("max_tokens", 1000)
        super().check_max_output(body, model)


class RaisesLowCaps(RequestToAnthropic):
    """Gives every answer room for a paragraph."""

    def translate(self, request: ChatRequest) -> JsonObject:
        body = super().translate(request)
        return {**body, "max_tokens": max(_SHORTEST_ANSWER, body["max_tokens"])}


class LeavesDefaultsOut(RequestToAnthropic):
    """Sends a provider no member that has its default, and takes the 4096 of the page's sample for one."""

    def translate(self, request: ChatRequest) -> JsonObject:
        body = super().translate(request)
        return {
            name: value for name, value in body.items() if (name, value) != ("max_tokens", _OLD_OUTPUT_CAP)
        }


class OneTemperature(ClaudeChatValidator):
    """Takes the default temperature only, as some models with thinking do."""

    rules: ClassVar[Mapping[str, FieldRule]] = {
        **ClaudeChatValidator.rules,
        "temperature": FieldRule(type="number", enum=(1,)),
    }


class NoTools(ClaudeChatValidator):
    """Has no tools on Claude models."""

    unsupported: ClassVar[frozenset[str]] = ClaudeChatValidator.unsupported | {"tools"}


class NoAutomaticChoice(ClaudeChatValidator):
    """Knows the tool choices none and required, and named functions."""

    def check_tools(self, body: JsonObject) -> None:
        super().check_tools(body)
        if body.get("tool_choice") == "auto":
            raise invalid("tool_choice", "`tool_choice` must be none, required or a function.")


class RefusesInsideStreams(ChatSurface):
    """Answers a streamed call with 200 before it looks at the body."""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        try:
            return await super().serve(request)
        except GatewayError as refusal:
            if refusal.failure.kind is not Kind.MISSING_FIELD:
                raise
            if not read_object(await read_body(request)).get("stream"):
                raise
            event = self._errors.stream_frame(refusal.failure)
            return web.Response(body=event, content_type="text/event-stream")


DEFECTS = (
    Defect(
        "top-p-refused",
        "`top_p` is refused on gpt models",
        ("CREQ-11", "GPT-02"),
        lambda: Components(openai_validator=refused("top_p")),
    ),
    Defect(
        "negative-penalty-refused",
        "A negative frequency_penalty is refused",
        ("GPT-05",),
        lambda: Components(openai_validator=PenaltiesFromZero),
    ),
    Defect(
        "presence-penalty-ends-at-one",
        "A presence_penalty of 2 is refused",
        ("GPT-06",),
        lambda: Components(openai_validator=PenaltiesToOne),
    ),
    Defect(
        "gpt-tool-result-refused",
        "Messages of role tool are refused on gpt models",
        ("GPT-23", "CREQ-04"),
        lambda: Components(openai_validator=NoToolTurnsOnGpt),
    ),
    Defect(
        "streamed-by-default",
        "A call without `stream` is answered with a stream",
        ("CREQ-08",),
        lambda: Components(openai_validator=StreamsByDefault),
    ),
    Defect(
        "stream-false-streams",
        "A call with `stream: false` is answered with a stream",
        ("CREQ-09",),
        lambda: Components(openai_validator=StreamsIfNamed),
    ),
    Defect(
        "stream-ignored",
        "A call with `stream: true` is answered in one piece",
        ("CREQ-10", "CSTR-01"),
        lambda: Components(openai_validator=NeverStreams),
    ),
    Defect(
        "system-text-refused",
        "System messages with plain text are refused on Claude models",
        ("CREQ-05", "CREQ-04"),
        lambda: Components(claude_validator=PartsInSystemMessages),
    ),
    Defect(
        "streamed-conversation-refused",
        "A streamed call with several turns is refused",
        ("CSTR-18",),
        lambda: Components(openai_validator=OneTurnInStreams),
    ),
    Defect(
        "long-prompt-refused",
        "A prompt of some 300,000 tokens is refused on Claude models",
        ("CLIM-01",),
        lambda: Components(claude_validator=OldWindow),
    ),
    Defect(
        "claude-4096-refused",
        "max_tokens 4096 is refused on Claude models",
        ("CLA-03", "CLA-04"),
        lambda: Components(claude_validator=BelowOldCap),
    ),
    Defect(
        "claude-4096-not-sent-on",
        "max_tokens 4096 does not reach the provider of Claude models, which refuses a call without",
        ("CLA-03",),
        lambda: Components(request_to_anthropic=LeavesDefaultsOut),
    ),
    Defect(
        "claude-max-tokens-defaulted",
        "Claude without max_tokens is served with a default of 1000",
        ("CLA-01",),
        lambda: Components(claude_validator=FillsInOneThousand),
    ),
    Defect(
        "claude-low-cap-raised",
        "A low max_tokens is raised on Claude models",
        ("CLA-06", "CLA-08"),
        lambda: Components(request_to_anthropic=RaisesLowCaps),
    ),
    Defect(
        "claude-temperature-fixed",
        "Every temperature but 1 is refused on Claude models",
        ("CLA-10",),
        lambda: Components(claude_validator=OneTemperature),
    ),
    Defect(
        "claude-tools-refused",
        "`tools` are refused on Claude models",
        ("CLA-12", "CLA-13"),
        lambda: Components(claude_validator=NoTools),
    ),
    Defect(
        "tool-choice-auto-refused",
        'tool_choice "auto" is refused on Claude models',
        ("CLA-13",),
        lambda: Components(claude_validator=NoAutomaticChoice),
    ),
    Defect(
        "refused-inside-stream",
        "A streamed call without max_tokens is refused by an event of a 200 stream",
        ("CLA-02",),
        lambda: Components(chat_surface=RefusesInsideStreams),
    ),
    Defect(
        "sampling-dropped",
        "`temperature` and `top_p` do not reach the provider",
        ("CREQ-24",),
        lambda: without("temperature", "top_p"),
    ),
)
