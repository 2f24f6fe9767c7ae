"""Keys and money of /v1/messages: strangers who are served or cost their neighbours, and failures that are paid for."""

from collections.abc import Mapping
from functools import cached_property
from types import TracebackType
from typing import ClassVar

from aiohttp import web

from defects.auth import PassesStrangersOn, RefusesStrangersAfterwards
from defects.charged_refusals import FeeForShape, TakesFees
from defects.definition import Defect, messages_with
from defects.message_requests import DefaultMaxTokens
from defects.settlement import ChargesFailures
from defects.surfaces import as_latin
from reference_gateway import Components
from reference_gateway.accounts import Account, AccountDirectory, IssuedKey, Key, Workspace
from reference_gateway.chat_surface import MessagesSurface
from reference_gateway.errors import ErrorRenderer, MessagesErrorRenderer
from reference_gateway.failures import Failure, GatewayError, Kind
from reference_gateway.identifiers import random_hex
from reference_gateway.jsonwire import JsonObject, encode
from reference_gateway.payment import Payment
from reference_gateway.relay import EventSink, StreamRelay
from reference_gateway.sse import named_frame
from reference_gateway.surface import read_body
from reference_gateway.translation.anthropic_streams import MessagesStreamFromAnthropic
from reference_gateway.translation.replies import MessagesReplyFromAnthropic, Reply
from reference_gateway.translation.streams import StreamTranslator
from reference_gateway.validation.fields import read_object, require

_CENT = 10**10
_SHOWN_CHARACTERS = 12


class ForbidsMissingKey(MessagesErrorRenderer):
    """403 where the key is missing."""

    statuses: ClassVar[Mapping[Kind, int]] = {**MessagesErrorRenderer.statuses, Kind.MISSING_KEY: 403}
    types: ClassVar[Mapping[int, str]] = {**MessagesErrorRenderer.types, 403: "permission_error"}


class ChargesByShownCharacters(AccountDirectory):
    """Takes a cent for a wrong key from the account whose key begins alike, as shown in its list of keys."""

    @cached_property
    def _owners(self) -> dict[str, str]:
        return {}

    async def create(
        self,
        workspace: Workspace,
        balance: int,
        requests_per_second: int | None,
        group_limits: Mapping[str, int],
    ) -> tuple[Account, IssuedKey]:
        account, issued = await super().create(workspace, balance, requests_per_second, group_limits)
        if workspace is Workspace.CHAT:
            self._owners[issued.secret[:_SHOWN_CHARACTERS]] = account.id
        return account, issued

    def key_for(self, secret: str) -> Key | None:
        key = super().key_for(secret)
        owner = self._owners.get(secret[:_SHOWN_CHARACTERS])
        if key is None and owner is not None:
            self._ledger.top_up(f"refused_{random_hex()}", owner, -_CENT)
        return key


class ChargesFailedMessages(ChargesFailures):
    """Charges a call of this surface that failed; the other surface's are free."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.call.startswith("msg_"):
            await super().__aexit__(kind, error, trace)
        else:
            await Payment.__aexit__(self, kind, error, trace)


class ChargesRefusedMessages(FeeForShape, MessagesSurface):
    """A call that is refused for its shape costs a cent."""


def _streams(body: bytes) -> bool:
    try:
        return bool(read_object(body).get("stream"))
    except GatewayError:
        return False


class MissesMaxTokensAfterwards(MessagesSurface):
    """Finds out that max_tokens of an unstreamed call is missing when the reply is there."""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        if _streams(await read_body(request)):
            self._authenticator.authenticate(request.headers)
            require(read_object(await read_body(request)), "max_tokens")
        response = await super().serve(request)
        require(read_object(await read_body(request)), "max_tokens")
        return response


class Latin(MessagesReplyFromAnthropic):
    """Stumbles over characters beyond Latin-1 in a reply."""

    def translate(self, body: JsonObject) -> Reply:
        return as_latin(super().translate(body))


class StopsBeforeError(StreamRelay):
    """Closes a broken message properly, with a stop_reason, and tells of the break then."""

    async def on_upstream_broken(
        self,
        translator: StreamTranslator,
        payment: Payment,
        sink: EventSink,
        errors: ErrorRenderer,
        failure: Failure,
    ) -> web.StreamResponse:
        if sink.started and isinstance(translator, MessagesStreamFromAnthropic):
            stop = {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn"},
                "usage": {"output_tokens": 0},
            }
            await self.emit(sink, named_frame("message_delta", encode(stop)))
        return await super().on_upstream_broken(translator, payment, sink, errors, failure)


DEFECTS = (
    Defect(
        "messages-missing-key-403",
        "A missing key is answered with 403 on /v1/messages",
        ("AUTH-02", "MERR-01"),
        lambda: Components(messages_errors=ForbidsMissingKey),
    ),
    Defect(
        "messages-called-before-key-check",
        "/v1/messages calls the provider before it looks at the key",
        ("AUTH-11",),
        lambda: Components(messages_authenticator=PassesStrangersOn, calls=RefusesStrangersAfterwards),
    ),
    Defect(
        "near-key-charged",
        "A wrong key costs the account whose key begins alike a cent",
        ("AUTH-12",),
        lambda: Components(directory=ChargesByShownCharacters),
    ),
    Defect(
        "failed-message-charged",
        "A call of /v1/messages that fails at the provider is charged",
        ("MERR-05",),
        lambda: Components(payment=ChargesFailedMessages),
    ),
    Defect(
        "bad-message-charged",
        "A call of /v1/messages that is answered with 400 costs a cent",
        ("MERR-05",),
        lambda: Components(calls=TakesFees, messages_surface=ChargesRefusedMessages),
    ),
    Defect(
        "message-refused-after-reply",
        "A missing max_tokens is refused on /v1/messages when the reply is there and paid",
        ("PRAC-15", "MERR-05"),
        lambda: Components(messages_validator=DefaultMaxTokens, messages_surface=MissesMaxTokensAfterwards),
    ),
    Defect(
        "message-beyond-latin-500",
        "Unstreamed replies with characters beyond Latin-1 become a 500 on /v1/messages",
        ("SURF-03", "SURF-02"),
        lambda: messages_with(reply=Latin),
    ),
    Defect(
        "message-stopped-before-error",
        "A broken stream of /v1/messages gets a stop_reason ahead of its error",
        ("MSTR-10",),
        lambda: Components(relay=StopsBeforeError),
    ),
)
