"""Members of chat replies and streams that are there, but not as documented."""

from aiohttp import web

from defects.definition import Defect, chat_with
from reference_gateway import Components
from reference_gateway.errors import ErrorRenderer
from reference_gateway.failures import Failure
from reference_gateway.jsonwire import JsonObject
from reference_gateway.payment import Payment
from reference_gateway.pricing import Usage
from reference_gateway.relay import EventSink, StreamRelay
from reference_gateway.translation.anthropic_streams import ChatStreamFromAnthropic
from reference_gateway.translation.replies import ChatReplyFromAnthropic, Reply
from reference_gateway.translation.streams import ChatStream, ChatStreamFromOpenAI, StreamTranslator

_SONNET = "claude-sonnet-4-6"


class OutputWithPrompt(ChatReplyFromAnthropic):
    """completion_tokens are all tokens of the call, the total of another vendor."""

    def chat_usage(self, usage: Usage) -> JsonObject:
        return {**super().chat_usage(usage), "completion_tokens": usage.input + usage.output}


class CachedOnlyWhenUsed(ChatReplyFromAnthropic):
    """Shows cached_tokens when there are some."""

    def chat_usage(self, usage: Usage) -> JsonObject:
        shown = super().chat_usage(usage)
        if not usage.cached:
            del shown["prompt_tokens_details"]
        return shown


class SonnetInParts(ChatReplyFromAnthropic):
    """Relays the provider's blocks as `content` for one of the models."""

    def translate(self, body: JsonObject) -> Reply:
        reply = super().translate(body)
        if self.identity.model == _SONNET:
            reply.body["choices"][0]["message"]["content"] = body["content"]
        return reply


class NoObject(ChatStreamFromAnthropic):
    """Chunks do not say what they are."""

    def chunk(self, choices: list[JsonObject]) -> JsonObject:
        return {name: value for name, value in super().chunk(choices).items() if name != "object"}


class NoIndex(ChatStreamFromOpenAI):
    """Choices have no index, as there is mostly one."""

    def chunk(self, choices: list[JsonObject]) -> JsonObject:
        bare = [{name: value for name, value in choice.items() if name != "index"} for choice in choices]
        return super().chunk(bare)


class UsageAllAlong(ChatStreamFromOpenAI):
    """Each chunk tells how many came before it, as some servers do on request."""

    _chunks = 0

    def chunk(self, choices: list[JsonObject]) -> JsonObject:
        self._chunks += 1
        usage = {"prompt_tokens": 0, "completion_tokens": self._chunks, "total_tokens": self._chunks}
        return {**super().chunk(choices), "usage": usage}


class ApologisesInContent(StreamRelay):
    """Tells of a break in the words of the answer, and ends normally."""

    async def on_upstream_broken(
        self,
        translator: StreamTranslator,
        payment: Payment,
        sink: EventSink,
        errors: ErrorRenderer,
        failure: Failure,
    ) -> web.StreamResponse:
        if not sink.started or not isinstance(translator, ChatStream):
            return await super().on_upstream_broken(translator, payment, sink, errors, failure)
        await payment.release()
        apology = translator.delta({"content": " [Sorry, the answer was interrupted.]"})
        await self.emit(sink, apology + translator.delta({}, "stop") + translator.terminator())
        return await sink.finish()


DEFECTS = (
    Defect(
        "completion-tokens-with-prompt",
        "completion_tokens of Claude replies hold the prompt as well",
        ("CLA-06", "CRES-11"),
        lambda: chat_with(anthropic_reply=OutputWithPrompt),
    ),
    Defect(
        "cached-tokens-only-when-used",
        "Opus replies have cached_tokens only where some were cached",
        ("CRES-12",),
        lambda: chat_with(anthropic_reply=CachedOnlyWhenUsed),
    ),
    Defect(
        "sonnet-content-as-blocks",
        "`content` of claude-sonnet-4-6 replies is an array on chat completions",
        ("SURF-10", "SURF-06"),
        lambda: chat_with(anthropic_reply=SonnetInParts),
    ),
    Defect(
        "chunk-object-missing",
        "Chunks of Claude streams have no `object`",
        ("CSTR-05",),
        lambda: chat_with(anthropic_stream=NoObject),
    ),
    Defect(
        "chunk-index-missing",
        "Choices of gpt-5.5 chunks have no index",
        ("CSTR-07",),
        lambda: chat_with(openai_stream=NoIndex),
    ),
    Defect(
        "usage-on-every-chunk",
        "Every chunk of a gpt-5.5 stream has usage unasked",
        ("CSTR-13",),
        lambda: chat_with(openai_stream=UsageAllAlong),
    ),
    Defect(
        "break-told-in-content",
        "A stream that the provider broke ends with an apology, finish_reason stop and [DONE]",
        ("CSTR-21",),
        lambda: Components(relay=ApologisesInContent),
    ),
)
