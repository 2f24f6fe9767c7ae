"""AI/ML API replies, whole and streamed: wrong members, hidden thinking, wrong cost."""

# ruff: noqa: ARG002 - a defect ignores what it ought to look at

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aiohttp import web
from orjson import Fragment

from defects.definition import Defect
from reference_gateway import Components
from reference_gateway.aimlapi.costs import CostReport
from reference_gateway.aimlapi.replies import AimlapiReply, AimlapiStream
from reference_gateway.aimlapi.surface import AimlapiSurface
from reference_gateway.aimlapi.tracing import RequestTracing
from reference_gateway.config import ChatModel
from reference_gateway.jsonwire import JsonObject
from reference_gateway.pricing import Charge, Usage
from reference_gateway.sse import SseEvent
from reference_gateway.translation.replies import Identity, Reply

_BUFFER_BYTES = 8192


class OldObjectName(AimlapiReply):
    """`object` is that of the older completions route."""

    def translate(self, body: JsonObject) -> Reply:
        reply = super().translate(body)
        return replace(reply, body={**reply.body, "object": "text_completion"})


class NoCreated(AimlapiReply):
    """A reply of Anthropic's has no time, and so this one has none."""

    def translate(self, body: JsonObject) -> Reply:
        reply = super().translate(body)
        return replace(reply, body={name: value for name, value in reply.body.items() if name != "created"})


class NoFinish(AimlapiReply):
    """stop_reason stays what the provider called it, and where it had it."""

    def translate(self, body: JsonObject) -> Reply:
        reply = super().translate(body)
        reply.body["stop_reason"] = body.get("stop_reason")
        del reply.body["choices"][0]["finish_reason"]
        return reply


class NativeFinish(AimlapiReply):
    """finish_reason in the provider's words: max_tokens, tool_use."""

    def translate(self, body: JsonObject) -> Reply:
        reply = super().translate(body)
        reply.body["choices"][0]["finish_reason"] = body.get("stop_reason")
        return reply


class NoRole(AimlapiReply):
    """The role goes without saying."""

    def message(self, content: list[JsonObject]) -> JsonObject:
        return {name: value for name, value in super().message(content).items() if name != "role"}


class ContentAsBlocks(AimlapiReply):
    """`content` is the provider's list of blocks."""

    def message(self, content: list[JsonObject]) -> JsonObject:
        return {**super().message(content), "content": content}


class NoContentWithCalls(AimlapiReply):
    """A message that calls tools has no member `content`."""

    def message(self, content: list[JsonObject]) -> JsonObject:
        message = super().message(content)
        return {name: value for name, value in message.items() if name != "content" or value is not None}


class NoToolCalls(AimlapiReply):
    """Tool calls do not come through; the text does."""

    def message(self, content: list[JsonObject]) -> JsonObject:
        message = super().message(content)
        return {name: value for name, value in message.items() if name != "tool_calls"}


class KeepsThinking(AimlapiReply):
    """Thinking stays behind in whole replies."""

    def reasoning(self, content: list[JsonObject]) -> str:
        return ""


class NoTotal(AimlapiReply):
    """Shows the two counters that the provider has."""

    def chat_usage(self, usage: Usage) -> JsonObject:
        return {name: value for name, value in super().chat_usage(usage).items() if name != "total_tokens"}


class TotalWithoutInput(AimlapiReply):
    """total_tokens counts what was written."""

    def chat_usage(self, usage: Usage) -> JsonObject:
        return {**super().chat_usage(usage), "total_tokens": usage.output}


class OneId(AimlapiReply):
    """Replies are told apart by their time alone."""

    def translate(self, body: JsonObject) -> Reply:
        reply = super().translate(body)
        return replace(reply, body={**reply.body, "id": "chatcmpl-0"})


class NoId(AimlapiReply):
    """The provider's id is dropped, and none is put in its place."""

    def translate(self, body: JsonObject) -> Reply:
        reply = super().translate(body)
        return replace(reply, body={**reply.body, "id": ""})


class SnapshotName(AimlapiSurface):
    """`model` is the provider's dated name."""

    def identity(self, model: ChatModel, inference: str) -> Identity:
        return replace(super().identity(model, inference), model="claude-opus-4-8-20260512")


class StreamKeepsThinking(AimlapiStream):
    """Thinking stays behind in streams."""

    def reasoning(self, text: str) -> bytes:
        return b""


class ThinksAfterwards(AimlapiStream):
    """Gathers the thinking and shows it at the end, in one piece."""

    _thought = ""

    def reasoning(self, text: str) -> bytes:
        self._thought += text
        return b""

    def closing(self) -> bytes:
        return super().reasoning(self._thought) + super().closing()


class BufferedStream(AimlapiStream):
    """Sends what a buffer of 8 KiB holds once it is full, a proxy's default."""

    _buffer = b""

    def feed(self, event: SseEvent) -> bytes:
        self._buffer += super().feed(event)
        if len(self._buffer) < _BUFFER_BYTES:
            return b""
        full, self._buffer = self._buffer, b""
        return full

    def closing(self) -> bytes:
        return self._buffer + super().closing()


class ChunksAsReplies(AimlapiStream):
    """Chunks say that they are whole replies."""

    def chunk(self, choices: list[JsonObject]) -> JsonObject:
        return {**super().chunk(choices), "object": "chat.completion"}


class ChunksWithoutTime(AimlapiStream):
    """Chunks have no `created`."""

    def chunk(self, choices: list[JsonObject]) -> JsonObject:
        return {name: value for name, value in super().chunk(choices).items() if name != "created"}


class NoStreamCost(AimlapiStream):
    """The cost of a stream stays untold."""

    def last_chunk(self) -> JsonObject:
        return {name: value for name, value in super().last_chunk().items() if name != "meta"}


class OneContentType(RequestTracing):
    """Every answer is said to be JSON, streams included."""

    async def mark(self, request: web.Request, response: web.StreamResponse) -> None:
        await super().mark(request, response)
        response.headers["Content-Type"] = "application/json"


class CreditsOnly(CostReport):
    """The report has credits and no dollars."""

    def meta(self, charge: Charge | None) -> JsonObject:
        usage = super().meta(charge)["usage"]
        return {"usage": {"credits_used": usage["credits_used"]}}


class CostAsText(CostReport):
    """The figures of the report are texts."""

    def meta(self, charge: Charge | None) -> JsonObject:
        figures: Mapping[str, Any] = super().meta(charge)["usage"]
        names = {"credits_used": "x-aimlapi-credits-used", "usd_spent": "x-aimlapi-usd-spent"}
        return {"usage": {name: self.headers(charge)[names[name]] for name in figures}}


class OldRate(CostReport):
    """Half as many credits to the dollar."""

    def meta(self, charge: Charge | None) -> JsonObject:
        figures = super().meta(charge)["usage"]
        halved = 0 if charge is None else charge.total / 1_000_000
        return {"usage": {**figures, "credits_used": Fragment(str(halved))}}


class NoCostHeaders(CostReport):
    """The cost stands in the body, and that must do."""

    def headers(self, charge: Charge | None) -> Mapping[str, str]:
        return {}


class AmountsWithUnits(CostReport):
    """The headers are written for people."""

    def headers(self, charge: Charge | None) -> Mapping[str, str]:
        return {
            name: f"${value}" if name.endswith("spent") else f"{value} credits"
            for name, value in super().headers(charge).items()
        }


class CostHeadersOnStreams(RequestTracing):
    """Streams have the cost headers too, with the nothing that is known at the beginning."""

    async def mark(self, request: web.Request, response: web.StreamResponse) -> None:
        await super().mark(request, response)
        if response.content_type == "text/event-stream":
            response.headers.update(CostReport().headers(None))


def _reply(id_: str, title: str, requirements: tuple[str, ...], reply: type[AimlapiReply]) -> Defect:
    return Defect(id_, title, requirements, lambda: Components(aimlapi_reply=reply))


def _stream(id_: str, title: str, requirements: tuple[str, ...], stream: type[AimlapiStream]) -> Defect:
    return Defect(id_, title, requirements, lambda: Components(aimlapi_stream=stream))


def _cost(id_: str, title: str, requirements: tuple[str, ...], costs: type[CostReport]) -> Defect:
    return Defect(id_, title, requirements, lambda: Components(aimlapi_costs=costs))


def _trace(id_: str, title: str, requirements: tuple[str, ...], tracing: type[RequestTracing]) -> Defect:
    return Defect(id_, title, requirements, lambda: Components(aimlapi_tracing=tracing))


def _surface(id_: str, title: str, requirements: tuple[str, ...], surface: type[AimlapiSurface]) -> Defect:
    return Defect(id_, title, requirements, lambda: Components(aimlapi_surface=surface))


DEFECTS = (
    _reply(
        "aimlapi-object-wrong",
        '`object` is not "chat.completion" at AI/ML API',
        ("AIML-RES-01", "FUZZ-AIML-02"),
        OldObjectName,
    ),
    _reply("aimlapi-created-missing", "Replies have no created", ("AIML-RES-01",), NoCreated),
    _reply(
        "aimlapi-finish-missing", "Choices have no finish_reason", ("AIML-RES-02", "AIML-RES-03"), NoFinish
    ),
    _reply(
        "aimlapi-finish-native", "finish_reason is max_tokens or tool_use", ("AIML-RES-03",), NativeFinish
    ),
    _reply("aimlapi-role-missing", "Messages have no role", ("AIML-RES-02",), NoRole),
    _reply("aimlapi-content-as-blocks", "`content` is a list of blocks", ("AIML-RES-02",), ContentAsBlocks),
    _reply(
        "aimlapi-content-missing",
        "Messages that call tools have no content",
        ("AIML-RES-02",),
        NoContentWithCalls,
    ),
    _reply(
        "aimlapi-tool-calls-lost",
        "Tool calls are missing from whole replies",
        ("AIML-REQ-12", "AIML-REQ-13", "AIML-REQ-14"),
        NoToolCalls,
    ),
    _reply("aimlapi-thinking-hidden", "Whole replies show no thinking", ("AIML-REQ-21",), KeepsThinking),
    _reply("aimlapi-total-missing", "Usage has no total_tokens", ("AIML-RES-04",), NoTotal),
    _reply("aimlapi-total-wrong", "total_tokens leave the input out", ("AIML-RES-04",), TotalWithoutInput),
    _reply("aimlapi-id-repeats", "All replies of AI/ML API share one id", ("AIML-RES-08",), OneId),
    _reply("aimlapi-id-empty", "`id` of a reply of AI/ML API is empty", ("AIML-RES-08",), NoId),
    _surface(
        "aimlapi-model-dated", "`model` is a dated name that is not listed", ("AIML-RES-07",), SnapshotName
    ),
    _stream(
        "aimlapi-thinking-hidden-in-streams",
        "Streams show no thinking",
        ("AIML-REQ-21",),
        StreamKeepsThinking,
    ),
    _stream(
        "aimlapi-thinking-last",
        "Streams show the thinking after the answer",
        ("AIML-REQ-21",),
        ThinksAfterwards,
    ),
    _stream(
        "aimlapi-stream-buffered",
        "Streams are held back until a buffer is full",
        ("AIML-STR-01",),
        BufferedStream,
    ),
    _stream(
        "aimlapi-chunk-object-wrong",
        '`object` of a chunk is "chat.completion"',
        ("AIML-STR-02",),
        ChunksAsReplies,
    ),
    _stream("aimlapi-chunk-without-time", "Chunks have no created", ("AIML-STR-02",), ChunksWithoutTime),
    _stream("aimlapi-stream-cost-missing", "The last chunk tells no cost", ("AIML-STR-03",), NoStreamCost),
    _trace(
        "aimlapi-stream-as-json", "Streams of AI/ML API are said to be JSON", ("AIML-STR-01",), OneContentType
    ),
    _cost(
        "aimlapi-dollars-missing", "meta.usage has no usd_spent", ("AIML-RES-05", "AIML-STR-03"), CreditsOnly
    ),
    _cost(
        "aimlapi-cost-as-text",
        "The figures of meta.usage are texts",
        ("AIML-RES-05", "AIML-STR-03"),
        CostAsText,
    ),
    _cost("aimlapi-credits-halved", "A dollar is 1,000,000 credits", ("AIML-RES-06",), OldRate),
    _cost(
        "aimlapi-cost-headers-missing", "Plain answers have no cost headers", ("AIML-HDR-04",), NoCostHeaders
    ),
    _cost("aimlapi-cost-headers-worded", "Cost headers are no numbers", ("AIML-HDR-04",), AmountsWithUnits),
    _trace(
        "aimlapi-cost-headers-on-streams", "Streams have cost headers", ("AIML-HDR-04",), CostHeadersOnStreams
    ),
)
