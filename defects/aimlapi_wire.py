"""AI/ML API on the wire: streams whose chunks do not belong together, and refused calls that reach a provider."""

from collections.abc import Mapping
from typing import Any, ClassVar

from aiohttp import web

from defects.auth import PassesStrangersOn, RefusesStrangersAfterwards
from defects.definition import Defect
from defects.hasty import SHAPE, screen
from reference_gateway import Components
from reference_gateway.aimlapi.errors import AimlapiErrorRenderer
from reference_gateway.aimlapi.replies import AimlapiStream
from reference_gateway.aimlapi.requests import AimlapiRequestToAnthropic
from reference_gateway.aimlapi.surface import AimlapiSurface
from reference_gateway.config import Surface
from reference_gateway.failures import GatewayError, Kind
from reference_gateway.identifiers import random_hex
from reference_gateway.jsonwire import JsonObject
from reference_gateway.surface import read_body
from reference_gateway.validation.chat import ChatRequest
from reference_gateway.validation.fields import read_object

_SHORTEST_ANSWER = 256


class NewIdPerChunk(AimlapiStream):
    """Makes an id for each chunk."""

    def chunk(self, choices: list[JsonObject]) -> JsonObject:
        return {**super().chunk(choices), "id": f"chatcmpl-{random_hex()}"}


class FinishTwice(AimlapiStream):
    """The finish comes in a chunk of its own and once more with the cost."""

    def closing(self) -> bytes:
        return self.delta({}, self.finish) + super().closing()


class LosesLastPiece(AimlapiStream):
    """Holds each piece of text until the next one comes, and forgets the last."""

    _kept = b""

    def delta(self, delta: JsonObject, finish: str | None = None) -> bytes:
        if not delta.get("content"):
            return super().delta(delta, finish)
        out, self._kept = self._kept, super().delta(delta, finish)
        return out


class HastyCompletions(AimlapiSurface):
    """Has a request screened that is then refused for its shape."""

    async def completions(self, request: web.Request) -> web.StreamResponse:
        parts = self._parts
        body = await read_body(request)
        try:
            return await super().completions(request)
        except GatewayError as refusal:
            if refusal.failure.kind in SHAPE:
                await screen(read_object(body), Surface.AIMLAPI, parts.shelf, parts.router, parts.calls)
            raise


class PageForUnknownRoutes(AimlapiErrorRenderer):
    """Unknown routes answer 200, the fallback of a site whose pages are made in the browser."""

    statuses: ClassVar[Mapping[Kind, int]] = {**AimlapiErrorRenderer.statuses, Kind.UNKNOWN_ROUTE: 200}


class RaisesLowCaps(AimlapiRequestToAnthropic):
    """Gives every answer room for a paragraph."""

    def translate(self, request: ChatRequest) -> JsonObject:
        body = super().translate(request)
        return {**body, "max_tokens": max(_SHORTEST_ANSWER, body["max_tokens"])}


class NoneAsObjectIsAuto(AimlapiRequestToAnthropic):
    """Knows the choices auto, any and tool as objects, and takes the rest for auto."""

    def tool_choice(self, choice: Any, *, parallel: bool | None) -> JsonObject | None:
        if isinstance(choice, dict) and choice.get("type") == "none":
            return {"type": "auto"}
        return super().tool_choice(choice, parallel=parallel)


DEFECTS = (
    Defect(
        "aimlapi-id-per-chunk",
        "Each chunk of AI/ML API has an id of its own",
        ("CSTR-06",),
        lambda: Components(aimlapi_stream=NewIdPerChunk),
    ),
    Defect(
        "aimlapi-finish-twice",
        "The finish of a stream of AI/ML API comes twice",
        ("CSTR-11",),
        lambda: Components(aimlapi_stream=FinishTwice),
    ),
    Defect(
        "aimlapi-last-piece-lost",
        "The last piece of text is lost in streams of AI/ML API",
        ("CSTR-12", "CSTR-22"),
        lambda: Components(aimlapi_stream=LosesLastPiece),
    ),
    Defect(
        "aimlapi-called-before-key-check",
        "The provider of AI/ML API is called before the key is looked at",
        ("AUTH-11",),
        lambda: Components(aimlapi_authenticator=PassesStrangersOn, calls=RefusesStrangersAfterwards),
    ),
    Defect(
        "aimlapi-validated-after-upstream",
        "A request of AI/ML API is refused for its shape when the provider has already been called",
        ("CREQ-22",),
        lambda: Components(aimlapi_surface=HastyCompletions),
    ),
    Defect(
        "aimlapi-unknown-route-200",
        "An unknown route of AI/ML API is answered with 200",
        ("AIML-ERR-07",),
        lambda: Components(aimlapi_errors=PageForUnknownRoutes),
    ),
    Defect(
        "aimlapi-low-cap-raised",
        "A low max_tokens is raised at AI/ML API",
        ("AIML-REQ-07",),
        lambda: Components(aimlapi_requests=RaisesLowCaps),
    ),
    Defect(
        "aimlapi-choice-none-object-as-auto",
        "tool_choice {type: none} reaches the provider of AI/ML API as auto",
        ("AIML-REQ-11",),
        lambda: Components(aimlapi_requests=NoneAsObjectIsAuto),
    ),
)
