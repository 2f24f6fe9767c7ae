"""Unusual on the wire and right: line ends, comments, piece sizes, member order, headers.

Sources of what is allowed: the event-stream grammar of the WHATWG HTML standard, HTTP, JSON, and the "may"
rows of the documents.
"""

import re

from aiohttp import web

from defects.definition import Variant, chat_with, messages_with
from reference_gateway import Components
from reference_gateway.calls import CallPlan, CallService
from reference_gateway.errors import ChatErrorRenderer, ErrorRenderer
from reference_gateway.failures import Failure
from reference_gateway.jsonwire import JsonObject, decode_object, encode
from reference_gateway.payment import Payment
from reference_gateway.relay import EventSink, StreamRelay
from reference_gateway.sse import SseEvent, named_frame
from reference_gateway.translation.anthropic_streams import (
    ChatStreamFromAnthropic,
    MessagesStreamFromAnthropic,
)
from reference_gateway.translation.replies import ChatReplyFromAnthropic, ChatReplyFromOpenAI, Identity, Reply
from reference_gateway.translation.streams import ChatStreamFromOpenAI, Progress, StreamTranslator
from reference_gateway.upstream import UpstreamReply

_DRIBBLE_BYTES = 11


class CarriageReturns(StreamRelay):
    """CRLF at the end of every line."""

    async def emit(self, sink: EventSink, data: bytes) -> None:
        await super().emit(sink, data.replace(b"\n", b"\r\n"))


class Comments(StreamRelay):
    """A comment before every write, as gateways send to keep a connection alive."""

    async def emit(self, sink: EventSink, data: bytes) -> None:
        await super().emit(sink, b": keep-alive\n\n" + data if data else data)


class NoSpaceAfterColon(StreamRelay):
    """`data:` without the space that may follow it."""

    async def emit(self, sink: EventSink, data: bytes) -> None:
        await super().emit(sink, re.sub(rb"(?m)^(data|event): ", rb"\1:", data))


class EventIds(StreamRelay):
    """`id` and `retry` lines, which a client that does not reconnect ignores."""

    async def emit(self, sink: EventSink, data: bytes) -> None:
        await super().emit(sink, re.sub(rb"(?m)^data: ", b"id: 7\nretry: 3000\ndata: ", data))


class Dribbles(StreamRelay):
    """Sends a few bytes at a time, so events and characters are cut anywhere."""

    async def emit(self, sink: EventSink, data: bytes) -> None:
        for start in range(0, len(data), _DRIBBLE_BYTES):
            await super().emit(sink, data[start : start + _DRIBBLE_BYTES])


class OtherHeaderWords(StreamRelay):
    """Content-Type in other letters and without a charset."""

    async def relay(
        self,
        upstream: UpstreamReply,
        translator: StreamTranslator,
        payment: Payment,
        sink: EventSink,
        errors: ErrorRenderer,
    ) -> web.StreamResponse:
        del sink.response.headers["Content-Type"]
        sink.response.headers["CONTENT-TYPE"] = "Text/Event-Stream"
        return await super().relay(upstream, translator, payment, sink, errors)


class ClosesConnections(CallService):
    """Connection: close after every unstreamed call."""

    async def serve(self, request: web.Request, plan: CallPlan) -> web.StreamResponse:
        response = await super().serve(request, plan)
        response.force_close()
        return response


class ClosesStreams(StreamRelay):
    """The other half: Connection: close on streams."""

    async def relay(
        self,
        upstream: UpstreamReply,
        translator: StreamTranslator,
        payment: Payment,
        sink: EventSink,
        errors: ErrorRenderer,
    ) -> web.StreamResponse:
        sink.response.force_close()
        return await super().relay(upstream, translator, payment, sink, errors)


class JsonWithCharset(CallService):
    """application/json with a charset parameter, and spaces in the JSON."""

    async def serve(self, request: web.Request, plan: CallPlan) -> web.StreamResponse:
        response = await super().serve(request, plan)
        if not isinstance(response, web.Response) or not isinstance(response.body, bytes):
            return response
        spaced = response.body.replace(b'","', b'" ,\n "')
        headers = response.headers.copy()
        headers["Content-Type"] = "application/json; charset=UTF-8"
        headers.popall("Content-Length", None)
        return web.Response(status=response.status, body=spaced, headers=headers)


def _turned(body: JsonObject) -> JsonObject:
    return dict(reversed(body.items()))


class OtherOrder(ChatReplyFromOpenAI):
    """Members in another order, a few more of them."""

    def translate(self, body: JsonObject) -> Reply:
        reply = super().translate(body)
        more = {"provider": "example", "timings": {"total_ms": 12.5}, "warnings": []}
        return Reply(_turned({**reply.body, **more}), reply.usage)


class OtherOrderTranslated(ChatReplyFromAnthropic):
    """The same for translated replies."""

    def translate(self, body: JsonObject) -> Reply:
        reply = super().translate(body)
        choices = [{**choice, "native_finish_reason": "x"} for choice in reply.body["choices"]]
        return Reply(_turned({**reply.body, "choices": choices, "provider": "example"}), reply.usage)


class MoreInErrors(ChatErrorRenderer):
    """Errors with more members, also beside `error`."""

    def envelope(self, failure: Failure, request: str) -> JsonObject:
        error = super().envelope(failure, request)["error"]
        return {
            "request_id": request,
            "error": _turned({**error, "docs": "https://example.com"}),
            "success": False,
        }


class LeanErrors(ChatErrorRenderer):
    """Errors with the three documented members alone, and a null code."""

    def envelope(self, failure: Failure, request: str) -> JsonObject:
        error = super().envelope(failure, request)["error"]
        return {"error": {"message": error["message"], "type": error["type"], "code": None}}


class NullUsage(ChatStreamFromOpenAI):
    """`usage: null` in every chunk."""

    def chunk(self, choices: list[JsonObject]) -> JsonObject:
        return {**super().chunk(choices), "usage": None, "system_fingerprint": None}


class SplitPieces(ChatStreamFromAnthropic):
    """One chunk for each character."""

    def delta(self, delta: JsonObject, finish: str | None = None) -> bytes:
        text = delta.get("content") or ""
        if len(text) < 2:
            return super().delta(delta, finish)
        return b"".join(super(SplitPieces, self).delta({**delta, "content": letter}) for letter in text)


class HeldPiece(ChatStreamFromAnthropic):
    """No chunk for the role alone: it comes with the first text, and the finish with the last."""

    def __init__(self, identity: Identity, *, choices: int = 1, include_usage: bool = False) -> None:
        super().__init__(identity, choices=choices, include_usage=include_usage)
        self._kept: JsonObject = {}

    def delta(self, delta: JsonObject, finish: str | None = None) -> bytes:
        if "tool_calls" not in delta and finish is None and not self._kept.get("content"):
            self._kept |= delta
            return b""
        kept, self._kept = self._kept, delta
        if finish is not None:
            return super().delta({**kept, **delta}, finish)
        if "tool_calls" in delta:
            self._kept = {}
            return super().delta({**kept, **delta})
        return super().delta(kept)


class RoleEverywhere(ChatStreamFromAnthropic):
    """The role in every delta, and a null content in the last."""

    def delta(self, delta: JsonObject, finish: str | None = None) -> bytes:
        return super().delta({"role": "assistant", "content": None, **delta}, finish)


class MorePings(MessagesStreamFromAnthropic):
    """A ping after every event, and an event of a kind that nobody knows."""

    def feed(self, event: SseEvent) -> bytes:
        out = super().feed(event)
        if self.progress is not Progress.OPEN or not out:
            return out
        note = named_frame("gateway_note", encode({"type": "gateway_note", "hint": 1}))
        return out + named_frame("ping", encode({"type": "ping"})) + note


class OtherEventOrder(MessagesStreamFromAnthropic):
    """Members of events in another order."""

    def feed(self, event: SseEvent) -> bytes:
        value = decode_object(event.data)
        return super().feed(SseEvent(event.name, encode(_turned(value))))


VARIANTS = (
    Variant("crlf-line-ends", "Streams have CRLF line ends", lambda: Components(relay=CarriageReturns)),
    Variant("keep-alive-comments", "Streams hold comments", lambda: Components(relay=Comments)),
    Variant(
        "no-space-after-colon",
        "Stream fields have no space after the colon",
        lambda: Components(relay=NoSpaceAfterColon),
    ),
    Variant("event-ids", "Events have id and retry lines", lambda: Components(relay=EventIds)),
    Variant("dribbled-bytes", "Streams are cut between any two bytes", lambda: Components(relay=Dribbles)),
    Variant(
        "content-type-in-other-letters",
        "Content-Type of streams is Text/Event-Stream",
        lambda: Components(relay=OtherHeaderWords),
    ),
    Variant(
        "connection-close",
        "Every chat answer closes the connection",
        lambda: Components(calls=ClosesConnections, relay=ClosesStreams),
    ),
    Variant(
        "json-with-charset",
        "JSON answers name a charset and hold spaces",
        lambda: Components(calls=JsonWithCharset),
    ),
    Variant(
        "other-members-and-order",
        "Replies have more members, in another order",
        lambda: chat_with(openai_reply=OtherOrder, anthropic_reply=OtherOrderTranslated),
    ),
    Variant("more-in-errors", "Errors have more members", lambda: Components(chat_errors=MoreInErrors)),
    Variant(
        "lean-errors", "Errors have no param, and a null code", lambda: Components(chat_errors=LeanErrors)
    ),
    Variant("usage-null-in-chunks", "Chunks hold usage: null", lambda: chat_with(openai_stream=NullUsage)),
    Variant(
        "one-chunk-per-character",
        "Pieces of text are split into characters",
        lambda: chat_with(anthropic_stream=SplitPieces),
    ),
    Variant(
        "role-with-text-finish-with-text",
        "Role and finish come with text, not in chunks of their own",
        lambda: chat_with(anthropic_stream=HeldPiece),
    ),
    Variant(
        "role-in-every-chunk",
        "Every delta repeats the role",
        lambda: chat_with(anthropic_stream=RoleEverywhere),
    ),
    Variant(
        "many-pings", "Pings and unknown events between all others", lambda: messages_with(stream=MorePings)
    ),
    Variant(
        "other-order-in-events",
        "Members of message events come in another order",
        lambda: messages_with(stream=OtherEventOrder),
    ),
)
