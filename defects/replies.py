"""Unstreamed chat replies: wrong members, wrong counters, wrong words."""

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

from aiohttp import web

from defects.definition import Defect, chat_with
from reference_gateway import Components
from reference_gateway.calls import CallPlan, CallService
from reference_gateway.jsonwire import JsonObject, decode_object
from reference_gateway.pricing import Usage
from reference_gateway.translation.replies import ChatReplyFromAnthropic, ChatReplyFromOpenAI, Reply


class _Changed(ChatReplyFromOpenAI, ABC):
    """A reply in which some members say something else."""

    @abstractmethod
    def changed(self, body: JsonObject) -> JsonObject:
        """The body with the mistake in it."""

    def translate(self, body: JsonObject) -> Reply:
        reply = super().translate(body)
        return Reply(self.changed(reply.body), reply.usage)


class MillisecondClock(_Changed):
    """`created` in milliseconds, as the host language's clock gives it."""

    def changed(self, body: JsonObject) -> JsonObject:
        return {**body, "created": body["created"] * 1000}


class SnapshotName(_Changed):
    """`model` is the provider's dated name and not the one that was asked for."""

    def changed(self, body: JsonObject) -> JsonObject:
        return {**body, "model": f"{body['model']}-2026-04-23"}


class OneIdForAll(_Changed):
    """`id` is made once per process."""

    def changed(self, body: JsonObject) -> JsonObject:
        return {**body, "id": "chatcmpl-0"}


class EmptyId(_Changed):
    """`id` is left empty by the adapter of one provider."""

    def changed(self, body: JsonObject) -> JsonObject:
        return {**body, "id": ""}


class OldObjectName(_Changed):
    """`object` is that of the older completions route."""

    def changed(self, body: JsonObject) -> JsonObject:
        return {**body, "object": "text_completion"}


class CountsChoicesFromOne(_Changed):
    """The first choice has index 1."""

    def changed(self, body: JsonObject) -> JsonObject:
        return {**body, "choices": [{**choice, "index": choice["index"] + 1} for choice in body["choices"]]}


class NoUsage(_Changed):
    """`usage` is used for the bill and not shown."""

    def changed(self, body: JsonObject) -> JsonObject:
        return {name: value for name, value in body.items() if name != "usage"}


class ContentAsParts(_Changed):
    """`content` is an array of parts, the form of another route of the same vendor."""

    def changed(self, body: JsonObject) -> JsonObject:
        choice = body["choices"][0]
        message = {**choice["message"], "content": [{"type": "text", "text": choice["message"]["content"]}]}
        return {**body, "choices": [{**choice, "message": message}, *body["choices"][1:]]}


class AddsNotice(_Changed):
    """Adds a line of its own to the answer; seen at resellers."""

    def changed(self, body: JsonObject) -> JsonObject:
        choice = body["choices"][0]
        message = {**choice["message"], "content": f"{choice['message']['content']}\n\n(via example gateway)"}
        return {**body, "choices": [{**choice, "message": message}, *body["choices"][1:]]}


class Recounts(ChatReplyFromOpenAI):
    """Counts tokens with a tokenizer of its own and shows that."""

    def merged_usage(self, reported: JsonObject, usage: Usage) -> JsonObject:
        recounted = replace(usage, input=usage.input + usage.input // 50 + 1)
        return super().merged_usage(reported, recounted) | {"prompt_tokens": recounted.input}


class TotalOfOutput(ChatReplyFromOpenAI):
    """`total_tokens` repeats the output."""

    def merged_usage(self, reported: JsonObject, usage: Usage) -> JsonObject:
        return super().merged_usage(reported, usage) | {"total_tokens": usage.output}


class CountersAsText(ChatReplyFromOpenAI):
    """Counters are texts, as a database of decimals returns them."""

    def merged_usage(self, reported: JsonObject, usage: Usage) -> JsonObject:
        merged = super().merged_usage(reported, usage)
        return {name: str(value) if isinstance(value, int) else value for name, value in merged.items()}


class NoCacheDetails(ChatReplyFromAnthropic):
    """Shows the three plain counters only."""

    def chat_usage(self, usage: Usage) -> JsonObject:
        shown = super().chat_usage(usage)
        return {name: value for name, value in shown.items() if name != "prompt_tokens_details"}


class FreshInputOnly(ChatReplyFromAnthropic):
    """Shows the provider's input_tokens as prompt_tokens, though they leave the cached ones out."""

    def chat_usage(self, usage: Usage) -> JsonObject:
        shown = super().chat_usage(usage)
        fresh = usage.input - usage.cached - usage.written
        return {**shown, "prompt_tokens": fresh, "total_tokens": fresh + usage.output}


class NativeStopWords(ChatReplyFromAnthropic):
    """Hands the provider's own word on: end_turn, max_tokens."""

    def translate(self, body: JsonObject) -> Reply:
        reply = super().translate(body)
        reply.body["choices"][0]["finish_reason"] = body.get("stop_reason")
        return reply


class AlwaysStop(ChatReplyFromAnthropic):
    """finish_reason is stop, whatever the provider said."""

    def translate(self, body: JsonObject) -> Reply:
        reply = super().translate(body)
        reply.body["choices"][0]["finish_reason"] = "stop"
        return reply


class ArgumentsAsObject(ChatReplyFromAnthropic):
    """Tool arguments as an object, where the format wants JSON text."""

    def tool_call(self, block: JsonObject) -> JsonObject:
        call = super().tool_call(block)
        arguments: Any = decode_object(call["function"]["arguments"])
        return {**call, "function": {**call["function"], "arguments": arguments}}


class ToolWithoutType(ChatReplyFromAnthropic):
    """Tool calls lack `type`."""

    def tool_call(self, block: JsonObject) -> JsonObject:
        return {name: value for name, value in super().tool_call(block).items() if name != "type"}


class PlainText(CallService):
    """JSON under the Content-Type of plain text."""

    async def serve(self, request: web.Request, plan: CallPlan) -> web.StreamResponse:
        response = await super().serve(request, plan)
        if not plan.stream:
            response.content_type = "text/plain"
        return response


DEFECTS = (
    Defect(
        "reply-as-plain-text",
        "A reply has the Content-Type text/plain",
        ("CRES-01",),
        lambda: Components(calls=PlainText),
    ),
    Defect(
        "reply-id-empty",
        "`id` of a reply is empty",
        ("CRES-02",),
        lambda: chat_with(openai_reply=EmptyId),
    ),
    Defect(
        "reply-id-repeats",
        "All replies share one `id`",
        ("CRES-03",),
        lambda: chat_with(openai_reply=OneIdForAll),
    ),
    Defect(
        "reply-object-wrong",
        '`object` of a reply is not "chat.completion"',
        ("CRES-04",),
        lambda: chat_with(openai_reply=OldObjectName),
    ),
    Defect(
        "created-in-milliseconds",
        "`created` is in milliseconds",
        ("CRES-05",),
        lambda: chat_with(openai_reply=MillisecondClock),
    ),
    Defect(
        "model-not-echoed",
        "`model` of a reply is the provider's dated name",
        ("CRES-06",),
        lambda: chat_with(openai_reply=SnapshotName),
    ),
    Defect(
        "choices-from-one",
        "The first choice has index 1",
        ("CRES-07",),
        lambda: chat_with(openai_reply=CountsChoicesFromOne),
    ),
    Defect(
        "content-as-parts",
        "`content` of a reply is an array",
        ("CRES-08",),
        lambda: chat_with(openai_reply=ContentAsParts),
    ),
    Defect(
        "finish-in-native-words",
        "finish_reason of Claude replies is end_turn",
        ("CRES-09", "CLA-07"),
        lambda: chat_with(anthropic_reply=NativeStopWords),
    ),
    Defect(
        "usage-missing",
        "A reply has no usage",
        ("CRES-10",),
        lambda: chat_with(openai_reply=NoUsage),
    ),
    Defect(
        "usage-as-text",
        "Usage counters are texts",
        ("CRES-10", "FUZZ-CHAT-02"),
        lambda: chat_with(openai_reply=CountersAsText),
    ),
    Defect(
        "total-is-no-sum",
        "total_tokens is not the sum of its parts",
        ("CRES-11",),
        lambda: chat_with(openai_reply=TotalOfOutput),
    ),
    Defect(
        "cached-tokens-missing",
        "Opus replies have no cached_tokens",
        ("CRES-12",),
        lambda: chat_with(anthropic_reply=NoCacheDetails),
    ),
    Defect(
        "prompt-without-cached",
        "prompt_tokens leave the cached tokens out",
        ("CRES-13",),
        lambda: chat_with(anthropic_reply=FreshInputOnly),
    ),
    Defect(
        "usage-recounted",
        "Shown usage is counted anew by the gateway",
        ("CRES-15",),
        lambda: chat_with(openai_reply=Recounts),
    ),
    Defect(
        "tool-arguments-as-object",
        "Arguments of a tool call are an object",
        ("CRES-16",),
        lambda: chat_with(anthropic_reply=ArgumentsAsObject),
    ),
    Defect(
        "tool-type-missing",
        "Tool calls have no `type`",
        ("CRES-16",),
        lambda: chat_with(anthropic_reply=ToolWithoutType),
    ),
    Defect(
        "finish-always-stop",
        "finish_reason is stop also for tool calls and cut answers",
        ("CRES-16", "CLA-08"),
        lambda: chat_with(anthropic_reply=AlwaysStop),
    ),
    Defect(
        "notice-added",
        "A line of the gateway's own is added to unstreamed answers",
        ("CSTR-22",),
        lambda: chat_with(openai_reply=AddsNotice),
    ),
)
