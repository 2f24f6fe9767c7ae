"""Who is served where: models, keys and clients that are refused on one route or under one condition only."""

import json
from collections import Counter
from functools import cached_property

from aiohttp import web

from defects.definition import Defect, chat_with
from reference_gateway import Components
from reference_gateway.calls import CallPlan, CallService
from reference_gateway.chat_surface import MessagesSurface, ModelShelf
from reference_gateway.config import ChatModel, Surface
from reference_gateway.failures import Kind, refuse
from reference_gateway.jsonwire import JsonObject
from reference_gateway.surface import read_body
from reference_gateway.translation.replies import ChatReplyFromAnthropic, ChatReplyFromOpenAI, Reply
from reference_gateway.validation.fields import read_object

_SONNET = "claude-sonnet-4-6"


def _refusing_streams(where: Surface) -> type[ModelShelf]:
    """A list of models on which Sonnet cannot stream on one surface."""

    class Refuses(ModelShelf):
        def find(self, body: JsonObject, surface: Surface) -> ChatModel:
            model = super().find(body, surface)
            if surface is where and model.id == _SONNET and body.get("stream"):
                raise refuse(Kind.UNKNOWN_MODEL, f"There is no model {model.id} for streams here.", "model")
            return model

    return Refuses


class OneFamilyAtATime(CallService):
    """Binds a key to the family of the calls that it has in flight."""

    @cached_property
    def _in_flight(self) -> Counter[tuple[str, str]]:
        return Counter()

    async def serve(self, request: web.Request, plan: CallPlan) -> web.StreamResponse:
        place = (plan.account.id, plan.model.family.value)
        if any(
            account == place[0] and family != place[1] and count
            for (account, family), count in self._in_flight.items()
        ):
            raise refuse(Kind.INVALID_KEY, f"This key is not valid for {plan.model.id}.")
        self._in_flight[place] += 1
        try:
            return await super().serve(request, plan)
        finally:
            self._in_flight[place] -= 1
            if not self._in_flight[place]:
                del self._in_flight[place]


class NoBearerForSonnetStreams(MessagesSurface):
    """Takes the key for streams of one of the models from x-api-key only."""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        body = read_object(await read_body(request))
        if body.get("model") == _SONNET and body.get("stream") and "X-Api-Key" not in request.headers:
            raise refuse(Kind.MALFORMED_KEY, "The API key must be sent as x-api-key.")
        return await super().serve(request)


def as_latin(reply: Reply) -> Reply:
    """Prepares the reply for a log in the charset of the operator's language; raises `UnicodeEncodeError`."""
    json.dumps(reply.body, ensure_ascii=False).encode("latin-1")
    return reply


class LatinFromOpenAI(ChatReplyFromOpenAI):
    """Stumbles over characters beyond Latin-1 in a reply."""

    def translate(self, body: JsonObject) -> Reply:
        return as_latin(super().translate(body))


class LatinFromAnthropic(ChatReplyFromAnthropic):
    """Stumbles over characters beyond Latin-1 in a reply."""

    def translate(self, body: JsonObject) -> Reply:
        return as_latin(super().translate(body))


class SonnetInNativeForm(ChatReplyFromAnthropic):
    """Has no translation for one of the models."""

    def translate(self, body: JsonObject) -> Reply:
        reply = super().translate(body)
        return Reply(body, reply.usage) if self.identity.model == _SONNET else reply


DEFECTS = (
    Defect(
        "sonnet-stream-refused-on-chat",
        "Streamed calls of claude-sonnet-4-6 are refused on chat completions",
        ("SURF-04", "SURF-01"),
        lambda: Components(models=_refusing_streams(Surface.CHAT)),
    ),
    Defect(
        "sonnet-stream-refused-on-messages",
        "Streamed calls of claude-sonnet-4-6 are refused on /v1/messages",
        ("SURF-02",),
        lambda: Components(models=_refusing_streams(Surface.MESSAGES)),
    ),
    Defect(
        "key-for-one-family-at-a-time",
        "A key with calls of one model family in flight is refused for the other family",
        ("AUTH-10", "AUTH-01"),
        lambda: Components(calls=OneFamilyAtATime),
    ),
    Defect(
        "bearer-refused-for-sonnet-streams",
        "/v1/messages refuses Bearer keys for streams of claude-sonnet-4-6",
        ("AUTH-08",),
        lambda: Components(messages_surface=NoBearerForSonnetStreams),
    ),
    Defect(
        "reply-beyond-latin-500",
        "Unstreamed replies with characters beyond Latin-1 become a 500 on chat completions",
        ("SURF-03", "SURF-01", "GPT-01"),
        lambda: chat_with(openai_reply=LatinFromOpenAI, anthropic_reply=LatinFromAnthropic),
    ),
    Defect(
        "sonnet-reply-native",
        "Replies of claude-sonnet-4-6 have the native format on chat completions",
        ("SURF-10", "SURF-06"),
        lambda: chat_with(anthropic_reply=SonnetInNativeForm),
    ),
)
