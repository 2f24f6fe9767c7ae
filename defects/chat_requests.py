"""Chat requests on their way: what is changed or lost between the caller and the provider."""

from typing import ClassVar

from defects.definition import Defect
from reference_gateway import Components
from reference_gateway.chat_surface import ModelShelf
from reference_gateway.config import ChatModel, Dialect, Surface
from reference_gateway.failures import GatewayError, Kind
from reference_gateway.jsonwire import JsonObject
from reference_gateway.validation.chat import ClaudeChatValidator, OpenAIChatValidator


def without(*names: str) -> Components:
    """A request model that lacks fields, which are then lost on the way; seen wherever bodies are rebuilt."""

    class Drops(OpenAIChatValidator):
        def forwarded(self, body: JsonObject) -> JsonObject:
            return {name: value for name, value in super().forwarded(body).items() if name not in names}

    return Components(openai_validator=Drops)


class RenamesMaxTokens(OpenAIChatValidator):
    """Sends max_completion_tokens instead, which the page does not say."""

    def forwarded(self, body: JsonObject) -> JsonObject:
        return {
            "max_completion_tokens" if name == "max_tokens" else name: value
            for name, value in super().forwarded(body).items()
        }


class LowersEffort(OpenAIChatValidator):
    """Asks the provider for less effort than the caller did, which saves the operator money."""

    def forwarded(self, body: JsonObject) -> JsonObject:
        forwarded = super().forwarded(body)
        return {**forwarded, "reasoning_effort": "none"} if "reasoning_effort" in forwarded else forwarded


class StrictSchemas(OpenAIChatValidator):
    """Rewrites tool schemas to the strict form."""

    def forwarded(self, body: JsonObject) -> JsonObject:
        forwarded = super().forwarded(body)
        tools = [
            {**tool, "function": {**tool["function"], "strict": True}} if tool["type"] == "function" else tool
            for tool in forwarded.get("tools") or []
        ]
        return {**forwarded, "tools": tools} if tools else forwarded


class ForwardsGroup(OpenAIChatValidator):
    """Sends the gateway's own routing field upstream."""

    def forwarded(self, body: JsonObject) -> JsonObject:
        return dict(body)


class PrefersItsOwn(OpenAIChatValidator):
    """Overwrites what a caller chose with the defaults of the deployment."""

    own: ClassVar[JsonObject] = {
        "stop": ["<|end|>"],
        "n": 1,
        "seed": 0,
        "tool_choice": "none",
        "response_format": {"type": "text"},
        "top_logprobs": 0,
        "user": "gateway",
        "parallel_tool_calls": True,
        "temperature": 1,
        "top_p": 1,
    }

    def forwarded(self, body: JsonObject) -> JsonObject:
        forwarded = super().forwarded(body)
        return forwarded | {name: value for name, value in self.own.items() if name in forwarded}


class WarmerThanAsked(OpenAIChatValidator):
    """Sets sampling for callers who set none."""

    def forwarded(self, body: JsonObject) -> JsonObject:
        own = {"temperature": 0.3, "top_p": 0.8, "frequency_penalty": 0.5, "presence_penalty": 0.5}
        return {**own, **super().forwarded(body)}


class ClaudeWarmerThanAsked(ClaudeChatValidator):
    """Sets the temperature for callers who set none."""

    def forwarded(self, body: JsonObject) -> JsonObject:
        return {"temperature": 0.3, **super().forwarded(body)}


class NamesToolsAnew(OpenAIChatValidator):
    """Puts a prefix before the names of tools, which the caller then does not know."""

    def forwarded(self, body: JsonObject) -> JsonObject:
        forwarded = super().forwarded(body)
        tools = [
            {**tool, "function": {**tool["function"], "name": f"gw_{tool['function']['name']}"}}
            if tool["type"] == "function"
            else tool
            for tool in forwarded.get("tools") or []
        ]
        return {**forwarded, "tools": tools} if tools else forwarded


class TurnsReversed(OpenAIChatValidator):
    """Sends the newest turn first."""

    def forwarded(self, body: JsonObject) -> JsonObject:
        forwarded = super().forwarded(body)
        return {**forwarded, "messages": forwarded["messages"][::-1]}


class AddsSystemPrompt(OpenAIChatValidator):
    """Puts a system message of its own before the caller's."""

    def forwarded(self, body: JsonObject) -> JsonObject:
        forwarded = super().forwarded(body)
        own = {"role": "system", "content": "You are a helpful assistant."}
        return {**forwarded, "messages": [own, *forwarded["messages"]]}


class TrimsHistory(OpenAIChatValidator):
    """Keeps the last four messages, to save tokens."""

    def forwarded(self, body: JsonObject) -> JsonObject:
        forwarded = super().forwarded(body)
        return {**forwarded, "messages": forwarded["messages"][-4:]}


class SubstitutesModel(ModelShelf):
    """Serves an unknown model by the first one on the list."""

    def find(self, body: JsonObject, surface: Surface) -> ChatModel:
        try:
            return super().find(body, surface)
        except GatewayError as refusal:
            if refusal.failure.kind is not Kind.UNKNOWN_MODEL:
                raise
            return next(model for model in self._models.values() if surface in model.surfaces)


class DefaultModel(ModelShelf):
    """Has a model for those who name none."""

    def find(self, body: JsonObject, surface: Surface) -> ChatModel:
        if body.get("model") is None:
            body["model"] = next(m.id for m in self._models.values() if m.family is Dialect.OPENAI)
        return super().find(body, surface)


DEFECTS = (
    Defect(
        "gpt-defaults-of-its-own",
        "Sampling that the caller left out reaches gpt-5.5 with values of the gateway",
        ("GPT-03", "GPT-05", "GPT-06", "CREQ-11"),
        lambda: Components(openai_validator=WarmerThanAsked),
    ),
    Defect(
        "claude-default-of-its-own",
        "A temperature that the caller left out reaches Claude with a value of the gateway",
        ("CLA-10",),
        lambda: Components(claude_validator=ClaudeWarmerThanAsked),
    ),
    Defect(
        "options-overwritten",
        "Options of the caller are overwritten with those of the deployment",
        ("GPT-10", "GPT-12", "GPT-14", "GPT-15", "GPT-16", "GPT-17", "GPT-18", "CREQ-24"),
        lambda: Components(openai_validator=PrefersItsOwn),
    ),
    Defect(
        "tools-renamed",
        "Tools reach the provider under other names",
        ("GPT-13",),
        lambda: Components(openai_validator=NamesToolsAnew),
    ),
    Defect(
        "turns-reversed",
        "A conversation reaches the provider backwards",
        ("CREQ-07",),
        lambda: Components(openai_validator=TurnsReversed),
    ),
    Defect(
        "max-tokens-dropped",
        "`max_tokens` does not reach the provider",
        ("GPT-09",),
        lambda: without("max_tokens"),
    ),
    Defect(
        "max-tokens-renamed",
        "`max_tokens` reaches the provider under another name",
        ("GPT-09",),
        lambda: Components(openai_validator=RenamesMaxTokens),
    ),
    Defect(
        "seed-dropped",
        "`seed` does not reach the provider",
        ("GPT-12",),
        lambda: without("seed"),
    ),
    Defect(
        "stop-dropped",
        "`stop` does not reach the provider",
        ("GPT-10",),
        lambda: without("stop"),
    ),
    Defect(
        "n-dropped",
        "`n` does not reach the provider",
        ("GPT-11",),
        lambda: without("n"),
    ),
    Defect(
        "response-format-dropped",
        "`response_format` does not reach the provider",
        ("GPT-15",),
        lambda: without("response_format"),
    ),
    Defect(
        "top-logprobs-dropped",
        "`top_logprobs` does not reach the provider",
        ("GPT-16",),
        lambda: without("top_logprobs"),
    ),
    Defect(
        "user-dropped",
        "`user` does not reach the provider",
        ("GPT-17",),
        lambda: without("user"),
    ),
    Defect(
        "tool-choice-dropped",
        "`tool_choice` does not reach the provider",
        ("GPT-14",),
        lambda: without("tool_choice"),
    ),
    Defect(
        "parallel-tool-calls-dropped",
        "`parallel_tool_calls` does not reach the provider",
        ("GPT-18",),
        lambda: without("parallel_tool_calls"),
    ),
    Defect(
        "tool-schemas-rewritten",
        "Tool schemas reach the provider changed",
        ("GPT-13",),
        lambda: Components(openai_validator=StrictSchemas),
    ),
    Defect(
        "effort-lowered",
        "The provider is asked for less effort than the caller asked for",
        ("GPT-20",),
        lambda: Components(openai_validator=LowersEffort),
    ),
    Defect(
        "group-forwarded",
        "`group` is sent to the provider",
        ("CREQ-17",),
        lambda: Components(openai_validator=ForwardsGroup),
    ),
    Defect(
        "system-prompt-added",
        "A system message of the gateway's own is put before the conversation",
        ("CREQ-07",),
        lambda: Components(openai_validator=AddsSystemPrompt),
    ),
    Defect(
        "history-trimmed",
        "Only the last four messages reach the provider",
        ("CREQ-07",),
        lambda: Components(openai_validator=TrimsHistory),
    ),
    Defect(
        "unknown-model-substituted",
        "An unknown model is served by another one",
        ("CREQ-02",),
        lambda: Components(models=SubstitutesModel),
    ),
    Defect(
        "missing-model-defaulted",
        "A request without a model is served by a default one",
        (
            "CREQ-01",
            "CERR-400-1",
        ),
        lambda: Components(models=DefaultModel),
    ),
)
