"""Unusual behaviour of an AI/ML API that its documents leave open, and that must not be accused."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import ClassVar

from defects.definition import Variant
from reference_gateway import Components
from reference_gateway.aimlapi.costs import CostReport
from reference_gateway.aimlapi.errors import AimlapiErrorRenderer
from reference_gateway.aimlapi.replies import AimlapiReply, AimlapiStream
from reference_gateway.aimlapi.surface import AimlapiSurface
from reference_gateway.aimlapi.tracing import RequestTracing
from reference_gateway.config import ChatModel
from reference_gateway.failures import Failure, Kind
from reference_gateway.identifiers import random_hex
from reference_gateway.jsonwire import JsonObject, encode
from reference_gateway.money import PICO_PER_USD
from reference_gateway.sse import frame
from reference_gateway.translation.replies import Identity, Reply


class NoDone(AimlapiStream):
    """Streams end with their last chunk; no document mentions the marker."""

    def terminator(self) -> bytes:
        return b""


class EndTurn(AimlapiReply):
    """finish_reason end_turn in whole replies, as in the vendor's own sample."""

    def translate(self, body: JsonObject) -> Reply:
        reply = super().translate(body)
        if body.get("stop_reason") == "end_turn":
            reply.body["choices"][0]["finish_reason"] = "end_turn"
        return reply


class EndTurnOfStreams(AimlapiStream):
    """finish_reason end_turn in streams."""

    @property
    def finish(self) -> str:
        return "end_turn" if self._reader.stop == "end_turn" else super().finish


class StatusAsText(AimlapiErrorRenderer):
    """statusCode is a string, as it is printed in the documents, and `errors` stands beside it."""

    def envelope(self, failure: Failure, request: str) -> JsonObject:
        envelope = super().envelope(failure, request)
        return {**envelope, "statusCode": str(envelope["statusCode"]), "errors": [failure.message]}


class TimeWithOffset(AimlapiErrorRenderer):
    """`timestamp` with an offset instead of a Z."""

    def timestamp(self) -> str:
        return super().timestamp().replace("Z", "+00:00")


class ShortName(AimlapiSurface):
    """Replies name the model without its vendor, and have ids of the provider's form."""

    def identity(self, model: ChatModel, inference: str) -> Identity:
        identity = super().identity(model, inference)
        return replace(identity, id=f"msg_{inference}", model=model.id.rpartition("/")[2])


class ThinkingAsReasoning(AimlapiReply):
    """Thinking under another name, and only where there is any."""

    def message(self, content: list[JsonObject]) -> JsonObject:
        message = super().message(content)
        thought = message.pop("reasoning_content")
        return {**message, "reasoning": thought} if thought else message


class CostInChunkOfItsOwn(AimlapiStream):
    """The last chunk has no choices, only usage and cost, as OpenAI's include_usage has it."""

    def closing(self) -> bytes:
        last = {**self.last_chunk(), "choices": []}
        return self.delta({}, self.finish) + frame(encode(last)) + self.terminator()


class MillionthsOfDollars(CostReport):
    """Dollars to six places, as in the documented samples, and credits of the same amount."""

    def usd(self, pico: int) -> str:
        return f"{Decimal(pico) / PICO_PER_USD:.6f}"


class Unavailable(AimlapiErrorRenderer):
    """503 where the provider fails."""

    statuses: ClassVar[Mapping[Kind, int]] = {**AimlapiErrorRenderer.statuses, Kind.UPSTREAM_FAILED: 503}


class MakesClientIds(RequestTracing):
    """Makes up a request id where the caller sent none of the documented form."""

    def client_id(self, headers: Mapping[str, str]) -> str | None:
        return super().client_id(headers) or random_hex()


VARIANTS = (
    Variant(
        "aimlapi-no-done",
        "Streams of AI/ML API end without [DONE]",
        lambda: Components(aimlapi_stream=NoDone),
    ),
    Variant(
        "aimlapi-end-turn",
        "finish_reason is end_turn",
        lambda: Components(aimlapi_reply=EndTurn, aimlapi_stream=EndTurnOfStreams),
    ),
    Variant(
        "aimlapi-status-as-text",
        "statusCode is a text, and further members follow",
        lambda: Components(aimlapi_errors=StatusAsText),
    ),
    Variant(
        "aimlapi-time-with-offset",
        "`timestamp` has an offset",
        lambda: Components(aimlapi_errors=TimeWithOffset),
    ),
    Variant(
        "aimlapi-short-name-in-replies",
        "Replies name the model without its vendor, under ids of the provider's form",
        lambda: Components(aimlapi_surface=ShortName),
    ),
    Variant(
        "aimlapi-thinking-as-reasoning",
        "Thinking is shown as reasoning, and only where there is any",
        lambda: Components(aimlapi_reply=ThinkingAsReasoning),
    ),
    Variant(
        "aimlapi-cost-chunk",
        "Usage and cost of a stream have a chunk of their own without choices",
        lambda: Components(aimlapi_stream=CostInChunkOfItsOwn),
    ),
    Variant(
        "aimlapi-rounded-dollars",
        "Dollars are rounded to millionths",
        lambda: Components(aimlapi_costs=MillionthsOfDollars),
    ),
    Variant(
        "aimlapi-upstream-503",
        "A failure of the provider is answered with 503",
        lambda: Components(aimlapi_errors=Unavailable),
    ),
    Variant(
        "aimlapi-client-id-made",
        "A request id is made up for callers who send none",
        lambda: Components(aimlapi_tracing=MakesClientIds),
    ),
)
