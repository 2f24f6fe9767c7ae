"""Content blocks of /v1/messages: refused, joined or miscounted, and a stream that does not say what it is."""

from dataclasses import replace
from typing import Any

from aiohttp import web

from defects.definition import Defect, messages_with
from reference_gateway import Components
from reference_gateway.calls import CallPlan, CallService
from reference_gateway.jsonwire import JsonObject
from reference_gateway.translation.replies import MessagesReplyFromAnthropic, Reply
from reference_gateway.validation.fields import invalid
from reference_gateway.validation.messages import MessagesValidator


class OneBlockOnly(MessagesValidator):
    """Takes one block for each message."""

    def check_content(self, content: Any, place: str) -> None:
        super().check_content(content, place)
        if isinstance(content, list) and len(content) > 1:
            raise invalid(place, f"`{place}` must hold one block.")


def _joined(content: Any) -> Any:
    """Text blocks as one text, which is what the other format has; anything else as it is."""
    plain = isinstance(content, list) and all(block.keys() == {"type", "text"} for block in content)
    return "".join(block["text"] for block in content) if plain else content


class JoinsBlocks(MessagesValidator):
    """Sends text blocks on as one text."""

    def forwarded(self, body: JsonObject) -> JsonObject:
        forwarded = super().forwarded(body)
        turns = [{**turn, "content": _joined(turn["content"])} for turn in forwarded["messages"]]
        return {**forwarded, "messages": turns}


class WrittenIsRead(MessagesReplyFromAnthropic):
    """Shows what was written to the cache as read from it, too."""

    def translate(self, body: JsonObject) -> Reply:
        reply = super().translate(body)
        usage = reply.body["usage"]
        both = usage.get("cache_creation_input_tokens", 0) + usage.get("cache_read_input_tokens", 0)
        return Reply({**reply.body, "usage": {**usage, "cache_read_input_tokens": both}}, reply.usage)


class StreamsBytes(CallService):
    """Streams messages under the type of unknown bytes."""

    async def serve(self, request: web.Request, plan: CallPlan) -> web.StreamResponse:
        if plan.call.startswith("msg_"):
            plan = replace(plan, stream_headers={"Content-Type": "application/octet-stream"})
        return await super().serve(request, plan)


DEFECTS = (
    Defect(
        "several-blocks-refused",
        "A message of several content blocks is refused",
        ("MSG-05",),
        lambda: Components(messages_validator=OneBlockOnly),
    ),
    Defect(
        "text-blocks-joined",
        "Text blocks reach the provider as one text",
        ("MSG-18",),
        lambda: Components(messages_validator=JoinsBlocks),
    ),
    Defect(
        "cache-writes-shown-as-reads",
        "Tokens written to the cache are shown as read from it, too",
        ("MCACHE-03", "MCACHE-01"),
        lambda: messages_with(reply=WrittenIsRead),
    ),
    Defect(
        "message-stream-as-bytes",
        "A stream of /v1/messages has the Content-Type application/octet-stream",
        ("MSTR-01",),
        lambda: Components(calls=StreamsBytes),
    ),
)
