"""The chat workspace's two surfaces and its model list: who may call which model, in which words, by which channel.

Sources: public docs of claude-opus-4-8, claude-sonnet-4-6 and gpt-5.5.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, Generic, TypeVar

from aiohttp import web

from reference_gateway.authentication import Authenticator
from reference_gateway.calls import CallPlan, CallService
from reference_gateway.config import Channel, ChatModel, Dialect, Surface
from reference_gateway.errors import ErrorRenderer
from reference_gateway.failures import Kind, refuse
from reference_gateway.identifiers import random_hex
from reference_gateway.jsonwire import JsonObject, encode
from reference_gateway.routing import Router
from reference_gateway.surface import Handler, SurfaceRoutes, read_body
from reference_gateway.translation.replies import Identity, ReplyTranslator
from reference_gateway.translation.streams import StreamTranslator
from reference_gateway.translation.to_anthropic import RequestToAnthropic
from reference_gateway.translation.to_openai import RequestToOpenAI
from reference_gateway.validation.chat import ChatRequest, ChatValidator
from reference_gateway.validation.fields import invalid, read_object, require
from reference_gateway.validation.messages import MessagesRequest, MessagesValidator


@dataclass(frozen=True, slots=True)
class Translators:
    """The translators of one surface for one channel dialect."""

    reply: type[ReplyTranslator]
    stream: type[StreamTranslator]


class ModelShelf:
    """The models of the chat workspace, by surface."""

    def __init__(self, models: Mapping[str, ChatModel]) -> None:
        self._models = models

    def find(self, body: JsonObject, surface: Surface) -> ChatModel:
        """The model a body names; raises `GatewayError` when it is missing or not served on the surface."""
        name = require(body, "model")
        if not isinstance(name, str):
            raise invalid("model", "`model` must be a string.")
        model = self._models.get(name)
        if model is None or surface not in model.surfaces:
            offered = ", ".join(model.id for model in self._models.values() if surface in model.surfaces)
            raise refuse(
                Kind.UNKNOWN_MODEL, f"There is no model {name[:80]!r} here; choose one of {offered}.", "model"
            )
        return model

    def listing(self) -> JsonObject:
        """The list that both vendors' SDKs can read."""
        entries = [
            {
                "id": model.id,
                "object": "model",
                "type": "model",
                "created": model.created,
                "created_at": datetime.fromtimestamp(model.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "display_name": model.id,
                "owned_by": model.family.value,
            }
            for model in self._models.values()
        ]
        return {
            "object": "list",
            "data": entries,
            "has_more": False,
            "first_id": entries[0]["id"] if entries else None,
            "last_id": entries[-1]["id"] if entries else None,
        }


RequestT = TypeVar("RequestT", ChatRequest, MessagesRequest)


@dataclass(frozen=True, slots=True)
class SurfaceParts:
    """What a surface of the chat workspace works with; `translators` by the dialect of a channel."""

    authenticator: Authenticator
    shelf: ModelShelf
    router: Router
    calls: CallService
    translators: Mapping[Dialect, Translators]
    errors: ErrorRenderer


class CallSurface(ABC, Generic[RequestT]):
    """What both surfaces do with a call: key, body, model, channel, and then the plan that is carried out."""

    surface: ClassVar[Surface]

    def __init__(self, parts: SurfaceParts) -> None:
        self._authenticator = parts.authenticator
        self._shelf = parts.shelf
        self._router = parts.router
        self._calls = parts.calls
        self._translators = parts.translators
        self._errors = parts.errors

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve one call."""
        account = self._authenticator.authenticate(request.headers)
        body = read_object(await read_body(request))
        model = self._shelf.find(body, self.surface)
        checked = self.checked(body, model)
        group = self._router.group(checked.group)
        channel = self._router.channel(group, model).for_account(account.id)
        identity = self.identity(model)
        translators = self._translators[channel.dialect]
        plan = CallPlan(
            call=identity.id,
            account=account,
            group=group,
            channel=channel,
            model=model,
            upstream_body=encode(self.upstream_body(checked, channel)),
            max_output=checked.max_output,
            stream=checked.stream,
            reply_translator=lambda: translators.reply(identity),
            stream_translator=lambda: self.stream_translator(translators.stream, identity, checked),
            errors=self._errors,
            surface=self.surface.value,
            extra_headers=self.relayed_headers(request, channel),
        )
        return await self._calls.serve(request, plan)

    @abstractmethod
    def checked(self, body: JsonObject, model: ChatModel) -> RequestT:
        """The request, if its shape is right; raises `GatewayError` otherwise."""

    @abstractmethod
    def identity(self, model: ChatModel) -> Identity:
        """A fresh id per call; it is the call's id in the ledger as well."""

    @abstractmethod
    def upstream_body(self, request: RequestT, channel: Channel) -> JsonObject:
        """The body in the channel's dialect."""

    def stream_translator(
        self,
        kind: type[StreamTranslator],
        identity: Identity,
        request: RequestT,  # noqa: ARG002 - chat streams look at it
    ) -> StreamTranslator:
        """What writes the stream of this call."""
        return kind(identity)

    def relayed_headers(self, request: web.Request, channel: Channel) -> dict[str, str]:  # noqa: ARG002 - as above
        """Headers of the caller that go to the upstream."""
        return {}


class ChatSurface(CallSurface[ChatRequest]):
    """POST /v1/chat/completions."""

    surface = Surface.CHAT

    def __init__(
        self,
        parts: SurfaceParts,
        validators: Mapping[Dialect, ChatValidator],
        request_translator: RequestToAnthropic,
    ) -> None:
        super().__init__(parts)
        self._validators = validators
        self._request_translator = request_translator

    def checked(self, body: JsonObject, model: ChatModel) -> ChatRequest:
        """By the rules of the model's family."""
        return self._validators[model.family].validate(body, model)

    def identity(self, model: ChatModel) -> Identity:
        return Identity(
            id=f"chatcmpl-{random_hex()}",
            model=model.id,
            created=int(time.time()),
            cache_details=model.family is Dialect.ANTHROPIC,
        )

    def upstream_body(self, request: ChatRequest, channel: Channel) -> JsonObject:
        """The body in the channel's dialect; streams always ask the upstream for usage, because it is the bill."""
        if channel.dialect is Dialect.ANTHROPIC:
            return self._request_translator.translate(request)
        if not request.stream:
            return request.body
        options = {**(request.body.get("stream_options") or {}), "include_usage": True}
        return {**request.body, "stream_options": options}

    def stream_translator(
        self, kind: type[StreamTranslator], identity: Identity, request: ChatRequest
    ) -> StreamTranslator:
        return kind(identity, choices=request.choices, include_usage=request.include_usage)


class MessagesSurface(CallSurface[MessagesRequest]):
    """POST /v1/messages."""

    surface = Surface.MESSAGES

    def __init__(
        self, parts: SurfaceParts, validator: MessagesValidator, request_translator: RequestToOpenAI
    ) -> None:
        super().__init__(parts)
        self._validator = validator
        self._request_translator = request_translator

    def checked(self, body: JsonObject, model: ChatModel) -> MessagesRequest:
        return self._validator.validate(body, model)

    def identity(self, model: ChatModel) -> Identity:
        return Identity(id=f"msg_{random_hex()}", model=model.id, created=int(time.time()))

    def upstream_body(self, request: MessagesRequest, channel: Channel) -> JsonObject:
        """The body in the channel's dialect; native bodies pass unchanged, cache marks included."""
        if channel.dialect is Dialect.OPENAI:
            return self._request_translator.translate(request)
        return request.body

    def relayed_headers(self, request: web.Request, channel: Channel) -> dict[str, str]:
        """Beta features are part of a native request."""
        beta = request.headers.get("anthropic-beta")
        if beta is None or not beta.isascii() or channel.dialect is not Dialect.ANTHROPIC:
            return {}
        return {"anthropic-beta": beta}


def chat_routes(
    chat: ChatSurface,
    messages: MessagesSurface,
    shelf: ModelShelf,
    authenticator: Authenticator,
    chat_errors: ErrorRenderer,
    messages_errors: ErrorRenderer,
) -> SurfaceRoutes:
    """The chat workspace: both surfaces and the model list."""

    async def models(request: web.Request) -> web.StreamResponse:
        authenticator.authenticate(request.headers)
        return web.Response(body=encode(shelf.listing()), content_type="application/json")

    routes: dict[tuple[str, str], Handler] = {
        ("POST", "/v1/chat/completions"): chat.serve,
        ("POST", "/v1/messages"): messages.serve,
        ("GET", "/v1/models"): models,
    }

    def errors_of(path: str) -> ErrorRenderer:
        return messages_errors if path.startswith("/v1/messages") else chat_errors

    return SurfaceRoutes("chat", routes, errors_of)
