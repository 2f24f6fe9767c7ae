"""Requests of /v1/messages: refused, mended or emptied on their way."""

import re
from typing import Any

from aiohttp import web

from defects.definition import Defect
from reference_gateway import Components
from reference_gateway.chat_surface import MessagesSurface
from reference_gateway.config import ChatModel
from reference_gateway.errors import MessagesErrorRenderer
from reference_gateway.failures import Kind
from reference_gateway.jsonwire import JsonObject, decode_object, encode
from reference_gateway.validation.fields import invalid
from reference_gateway.validation.messages import MessagesValidator


class DefaultMaxTokens(MessagesValidator):
    """Fills in 4096 where max_tokens is missing."""

    def check_max_tokens(self, body: JsonObject, model: ChatModel) -> None:
        body.setdefault("max_tokens", 4096)
        super().check_max_tokens(body, model)


class TextSystemOnly(MessagesValidator):
    """Takes `system` as a text only."""

    def check_system(self, system: Any) -> None:
        if isinstance(system, list):
            raise invalid("system", "`system` must be a string.")


class TextContentOnly(MessagesValidator):
    """Takes text blocks only."""

    def check_block(self, block: Any, place: str) -> None:
        super().check_block(block, place)
        if block["type"] == "image":
            raise invalid(f"{place}.type", f"`{place}.type` must be text.")


class NoToolResults(MessagesValidator):
    """Does not know tool_result blocks, so no tool loop can be closed."""

    def check_block(self, block: Any, place: str) -> None:
        super().check_block(block, place)
        if block["type"] == "tool_result":
            raise invalid(f"{place}.type", f"`{place}.type` is not supported.")


class TwoToolChoices(MessagesValidator):
    """Knows the tool choices auto and any only."""

    def check_tools(self, body: JsonObject) -> None:
        super().check_tools(body)
        if (body.get("tool_choice") or {}).get("type") in {"tool", "none"}:
            raise invalid("tool_choice", "`tool_choice.type` must be auto or any.")


class StripsCacheMarks(MessagesValidator):
    """Removes cache_control, which the gateway's own request model lacks."""

    def forwarded(self, body: JsonObject) -> JsonObject:
        return decode_object(re.sub(rb',"cache_control":\{[^}]*\}', b"", encode(super().forwarded(body))))


class StripsUnknown(MessagesValidator):
    """Forwards only what the other format has too."""

    def forwarded(self, body: JsonObject) -> JsonObject:
        dropped = {"thinking", "stop_sequences", "top_k", "metadata"}
        return {name: value for name, value in super().forwarded(body).items() if name not in dropped}


class OldVersionOnly(MessagesSurface):
    """Serves one value of anthropic-version."""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("anthropic-version", "2023-06-01") != "2023-06-01":
            raise invalid("anthropic-version", "anthropic-version must be 2023-06-01.")
        return await super().serve(request)


class UnprocessableMessage(MessagesErrorRenderer):
    """422 for a bad shape."""

    def status_for(self, kind: Kind) -> int:
        return 422 if kind in {Kind.MISSING_FIELD, Kind.INVALID_FIELD} else super().status_for(kind)

    def type_for(self, kind: Kind) -> str:
        return "invalid_request_error" if self.status_for(kind) == 422 else super().type_for(kind)


class ForbiddenWithoutMoney(MessagesErrorRenderer):
    """403 for an empty account."""

    def status_for(self, kind: Kind) -> int:
        return 403 if kind is Kind.INSUFFICIENT_BALANCE else super().status_for(kind)

    def type_for(self, kind: Kind) -> str:
        return "permission_error" if self.status_for(kind) == 403 else super().type_for(kind)


DEFECTS = (
    Defect(
        "messages-max-tokens-defaulted",
        "/v1/messages without max_tokens is served",
        ("MSG-02",),
        lambda: Components(messages_validator=DefaultMaxTokens),
    ),
    Defect(
        "system-array-refused",
        "`system` as an array is refused",
        ("MSG-03", "MSG-04"),
        lambda: Components(messages_validator=TextSystemOnly),
    ),
    Defect(
        "message-images-refused",
        "Image blocks are refused",
        ("MSG-09",),
        lambda: Components(messages_validator=TextContentOnly),
    ),
    Defect(
        "tool-result-block-refused",
        "tool_result blocks are refused",
        ("MSG-07",),
        lambda: Components(messages_validator=NoToolResults),
    ),
    Defect(
        "tool-choices-missing",
        "tool_choice tool and none are refused",
        ("MSG-08",),
        lambda: Components(messages_validator=TwoToolChoices),
    ),
    Defect(
        "cache-marks-stripped",
        "cache_control does not reach the provider",
        ("MCACHE-07", "MCACHE-01", "MCACHE-04"),
        lambda: Components(messages_validator=StripsCacheMarks),
    ),
    Defect(
        "native-fields-stripped",
        "thinking, stop_sequences, top_k and metadata do not reach the provider",
        ("MSG-16",),
        lambda: Components(messages_validator=StripsUnknown),
    ),
    Defect(
        "newer-version-refused",
        "anthropic-version 2026-10-21 is refused",
        ("MSG-10",),
        lambda: Components(messages_surface=OldVersionOnly),
    ),
    Defect(
        "messages-shape-error-422",
        "A bad shape on /v1/messages is answered with 422",
        ("MSG-02", "MERR-01"),
        lambda: Components(messages_errors=UnprocessableMessage),
    ),
    Defect(
        "messages-empty-account-403",
        "An empty account is answered with 403 on /v1/messages",
        ("MERR-01",),
        lambda: Components(messages_errors=ForbiddenWithoutMoney),
    ),
)
