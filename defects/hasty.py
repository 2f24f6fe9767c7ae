"""Gateways that let the provider screen a text first, and look at the request afterwards."""

from typing import Any

from aiohttp import web

from defects.definition import Defect
from reference_gateway import Components
from reference_gateway.calls import CallService
from reference_gateway.chat_surface import CallSurface, ChatSurface, MessagesSurface, ModelShelf
from reference_gateway.config import Surface
from reference_gateway.failures import GatewayError, Kind
from reference_gateway.jsonwire import JsonObject, encode
from reference_gateway.routing import Router
from reference_gateway.surface import read_body
from reference_gateway.validation.fields import read_object

SHAPE = frozenset({Kind.MISSING_FIELD, Kind.INVALID_FIELD})


async def screen(
    body: JsonObject, surface: Surface, shelf: ModelShelf, router: Router, calls: CallService
) -> None:
    """Have the whole request screened; what comes of it no longer matters."""
    model = shelf.find(body, surface)
    channel = router.channel(router.group(None), model)
    screened = {"role": "user", "content": f"Is this allowed? {encode(body).decode()}"}
    question = encode({"model": model.id, "max_tokens": 1, "messages": [screened]})
    try:
        async with calls._upstream.post(channel, question, {}) as reply:  # noqa: SLF001 - what a hasty gateway would own
            await reply.drain()
    except GatewayError:
        return


class _Hasty(CallSurface[Any]):
    """Has a request screened that is then refused for its shape."""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        body = await read_body(request)
        try:
            return await super().serve(request)
        except GatewayError as refusal:
            if refusal.failure.kind in SHAPE:
                found = read_object(body)
                await screen(found, self.surface, self._shelf, self._router, self._calls)
            raise


class HastyChat(_Hasty, ChatSurface):
    """On chat completions."""


class HastyMessages(_Hasty, MessagesSurface):
    """On messages."""


DEFECTS = (
    Defect(
        "chat-validated-after-upstream",
        "A chat request of a wrong shape is refused when the provider has already been called",
        ("CREQ-22",),
        lambda: Components(chat_surface=HastyChat),
    ),
    Defect(
        "message-validated-after-upstream",
        "A messages request of a wrong shape is refused when the provider has already been called",
        ("PRAC-15",),
        lambda: Components(messages_surface=HastyMessages),
    ),
)
