"""Error envelopes: one renderer per surface turns a `Failure` into a status, a body and headers.

Sources: public docs, Errors of the chat pages ({error:{message,type,code}}); API Overview, Response format, and Errors
({error:{code,message,request_id}}, five digits, the first one names the category); the Anthropic error format.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from aiohttp import web

from reference_gateway.failures import Failure, Kind
from reference_gateway.identifiers import current_request, request_id
from reference_gateway.jsonwire import JsonObject, encode
from reference_gateway.sse import frame, named_frame

_CHAT_STATUS: Mapping[Kind, int] = {
    Kind.MALFORMED_BODY: 400,
    Kind.MISSING_FIELD: 400,
    Kind.INVALID_FIELD: 400,
    Kind.UNKNOWN_FIELD: 400,
    Kind.UNKNOWN_MODEL: 400,
    Kind.UNKNOWN_GROUP: 400,
    Kind.BODY_TOO_LARGE: 400,
    Kind.HEADERS_TOO_LARGE: 431,
    Kind.UPSTREAM_REFUSED: 400,
    Kind.MISSING_KEY: 401,
    Kind.MALFORMED_KEY: 401,
    Kind.INVALID_KEY: 401,
    Kind.REVOKED_KEY: 401,
    Kind.DISABLED_KEY: 401,
    Kind.INSUFFICIENT_BALANCE: 402,
    Kind.UNKNOWN_TASK: 404,
    Kind.UNKNOWN_ROUTE: 404,
    Kind.WRONG_METHOD: 405,
    Kind.MISDIRECTED: 421,
    Kind.RATE_LIMITED: 429,
    Kind.UPSTREAM_RATE_LIMITED: 429,
    Kind.UPSTREAM_FAILED: 500,
    Kind.OVERLOADED: 500,
    Kind.INTERNAL: 500,
}


class ErrorRenderer(ABC):
    """What all surfaces have in common."""

    statuses: ClassVar[Mapping[Kind, int]] = _CHAT_STATUS

    def response(self, failure: Failure) -> web.Response:
        """The whole HTTP response of a failed call."""
        request = self.request_id()
        return web.Response(
            status=self.status_for(failure.kind),
            body=encode(self.envelope(failure, request)),
            content_type="application/json",
            headers=self.headers(failure, request),
        )

    def request_id(self) -> str:
        """What this failure is known by, unique per call."""
        return current_request.get() or request_id()

    def status_for(self, kind: Kind) -> int:
        """The HTTP status of a kind of failure."""
        return self.statuses[kind]

    def headers(self, failure: Failure, request: str) -> dict[str, str]:  # noqa: ARG002 - a surface may show the id
        """Headers beside the content type."""
        headers = {}
        if failure.retry_after is not None:
            headers["Retry-After"] = str(failure.retry_after)
        if failure.allow is not None:
            headers["Allow"] = failure.allow
        return headers

    @abstractmethod
    def envelope(self, failure: Failure, request: str) -> JsonObject:
        """The JSON body."""

    def stream_frame(self, failure: Failure) -> bytes:
        """The event that ends a stream which had already begun."""
        return frame(encode(self.envelope(failure, self.request_id())))


class ChatErrorRenderer(ErrorRenderer):
    """The OpenAI envelope of /v1/chat/completions."""

    types: ClassVar[Mapping[int, str]] = {
        400: "invalid_request_error",
        401: "authentication_error",
        402: "billing_error",
        404: "not_found_error",
        405: "not_found_error",
        413: "request_too_large",
        421: "not_found_error",
        429: "rate_limit_error",
        431: "request_too_large",
        500: "api_error",
    }

    def envelope(self, failure: Failure, request: str) -> JsonObject:  # noqa: ARG002 - not part of this envelope
        return {
            "error": {
                "message": failure.message,
                "type": self.type_for(failure.kind),
                "param": failure.param,
                "code": self.code_for(failure.kind),
            }
        }

    def type_for(self, kind: Kind) -> str:
        """The category; `invalid_request_error` stays with 400."""
        return self.types[self.status_for(kind)]

    def code_for(self, kind: Kind) -> str:
        """The machine-readable cause."""
        return kind.value


class MessagesErrorRenderer(ChatErrorRenderer):
    """The envelope of /v1/messages: the Anthropic one, with the members of the OpenAI one beside it."""

    # The native format has a status of its own for this; the other surfaces' documents have none.
    statuses: ClassVar[Mapping[Kind, int]] = {**_CHAT_STATUS, Kind.BODY_TOO_LARGE: 413}

    def envelope(self, failure: Failure, request: str) -> JsonObject:
        return {
            "type": "error",
            "error": {
                "type": self.type_for(failure.kind),
                "message": failure.message,
                "code": self.code_for(failure.kind),
            },
            "request_id": request,
        }

    def headers(self, failure: Failure, request: str) -> dict[str, str]:
        return {**super().headers(failure, request), "request-id": request}

    def stream_frame(self, failure: Failure) -> bytes:
        return named_frame("error", encode(self.envelope(failure, self.request_id())))


class TaskErrorRenderer(ErrorRenderer):
    """The envelope of the task gateway, and its catalogue of five-digit codes."""

    statuses: ClassVar[Mapping[Kind, int]] = {
        **_CHAT_STATUS,
        Kind.WRONG_METHOD: 404,
        Kind.OVERLOADED: 503,
    }
    codes: ClassVar[Mapping[Kind, int]] = {
        Kind.MISSING_KEY: 10001,
        Kind.MALFORMED_KEY: 10002,
        Kind.INVALID_KEY: 10003,
        Kind.REVOKED_KEY: 10004,
        Kind.DISABLED_KEY: 10004,
        Kind.MALFORMED_BODY: 20001,
        Kind.MISSING_FIELD: 20002,
        Kind.INVALID_FIELD: 20003,
        Kind.UNKNOWN_MODEL: 20004,
        Kind.UNKNOWN_FIELD: 20005,
        Kind.UNKNOWN_GROUP: 20006,
        Kind.BODY_TOO_LARGE: 20007,
        Kind.HEADERS_TOO_LARGE: 20009,
        Kind.UPSTREAM_REFUSED: 20008,
        Kind.INSUFFICIENT_BALANCE: 30001,
        Kind.UNKNOWN_TASK: 40401,
        Kind.UNKNOWN_ROUTE: 40402,
        Kind.WRONG_METHOD: 40403,
        Kind.MISDIRECTED: 40404,
        Kind.RATE_LIMITED: 50001,
        Kind.UPSTREAM_RATE_LIMITED: 50002,
        Kind.INTERNAL: 60099,
        Kind.UPSTREAM_FAILED: 60001,
        Kind.OVERLOADED: 70001,
    }

    def envelope(self, failure: Failure, request: str) -> JsonObject:
        return {
            "error": {"code": self.code_for(failure.kind), "message": failure.message, "request_id": request}
        }

    def code_for(self, kind: Kind) -> int:
        """The five-digit identifier."""
        return self.codes[kind]
