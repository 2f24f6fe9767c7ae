"""POST /v1/chat/completions of the AI/ML API, on a listener of its own.

Sources: S4; public docs, Errors, and Request tracing and cost.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from reference_gateway.aimlapi.costs import CostReport
from reference_gateway.aimlapi.errors import AimlapiErrorRenderer
from reference_gateway.aimlapi.replies import AimlapiReply, AimlapiStream
from reference_gateway.aimlapi.requests import AimlapiRequestToAnthropic
from reference_gateway.aimlapi.tracing import INFERENCE_ID, RequestTracing
from reference_gateway.aimlapi.validation import AimlapiValidator
from reference_gateway.authentication import Authenticator
from reference_gateway.calls import CallPlan, CallService
from reference_gateway.chat_surface import ModelShelf
from reference_gateway.config import ChatModel, Surface
from reference_gateway.jsonwire import encode
from reference_gateway.limits import AccountLimiter
from reference_gateway.pricing import Charge
from reference_gateway.routing import Router
from reference_gateway.surface import SurfaceRoutes, read_body
from reference_gateway.translation.replies import Identity, Reply
from reference_gateway.validation.fields import read_object

PATH = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class AimlapiParts:
    """What the surface works with; `errors` makes a renderer for a path."""

    authenticator: Authenticator
    shelf: ModelShelf
    validator: AimlapiValidator
    router: Router
    limiter: AccountLimiter
    calls: CallService
    request_translator: AimlapiRequestToAnthropic
    reply: type[AimlapiReply]
    stream: type[AimlapiStream]
    costs: CostReport
    tracing: RequestTracing
    errors: type[AimlapiErrorRenderer]


class AimlapiSurface:
    """The whole surface: one route."""

    def __init__(self, parts: AimlapiParts) -> None:
        self._parts = parts

    async def completions(self, request: web.Request) -> web.StreamResponse:
        """Serve one call: key, body, limits, money, the one upstream POST."""
        parts = self._parts
        account = parts.authenticator.authenticate(request.headers)
        body = read_object(await read_body(request))
        model = parts.shelf.find(body, Surface.AIMLAPI)
        checked = parts.validator.validate(body, model)
        group = parts.router.group(checked.group)
        inference = parts.tracing.inference_id()
        identity = self.identity(model, inference)
        plan = CallPlan(
            call=identity.id,
            account=account,
            group=group,
            channel=parts.router.channel(group, model).for_account(account.id),
            model=model,
            upstream_body=encode(parts.request_translator.translate(checked)),
            max_output=checked.max_output,
            stream=checked.stream,
            reply_translator=lambda: parts.reply(identity),
            stream_translator=lambda: parts.stream(identity, costs=parts.costs),
            errors=parts.errors(PATH, inference),
            surface=Surface.AIMLAPI.value,
            respond=self.responder(inference),
            stream_headers={INFERENCE_ID: inference},
        )
        async with parts.limiter.running(account):
            return await parts.calls.serve(request, plan)

    def identity(self, model: ChatModel, inference: str) -> Identity:
        """The reply names the model as the caller did."""
        return Identity(id=f"chatcmpl-{inference}", model=model.id, created=int(time.time()))

    def responder(self, inference: str) -> Callable[[Reply, Charge | None], web.Response]:
        """How a whole reply of one call goes out: with its cost, in the body and in headers."""
        costs = self._parts.costs

        def respond(reply: Reply, charge: Charge | None) -> web.Response:
            return web.Response(
                body=encode({**reply.body, "meta": costs.meta(charge)}),
                content_type="application/json",
                headers={INFERENCE_ID: inference, **costs.headers(charge)},
            )

        return respond

    def routes(self) -> SurfaceRoutes:
        """What this surface serves."""
        return SurfaceRoutes(
            "aimlapi", {("POST", PATH): self.completions}, self._parts.errors, self._parts.tracing.mark
        )
