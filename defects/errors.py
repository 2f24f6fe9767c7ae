"""Errors of the chat workspace: wrong statuses, wrong envelopes, and what leaks through them."""

# ruff: noqa: ARG002 - a defect ignores what it ought to look at

from collections.abc import Mapping
from typing import ClassVar

from aiohttp import web

from defects.definition import Defect
from reference_gateway import Components
from reference_gateway.calls import CallPlan, CallService
from reference_gateway.config import Channel
from reference_gateway.errors import ChatErrorRenderer, MessagesErrorRenderer
from reference_gateway.failures import Failure, GatewayError, Kind
from reference_gateway.jsonwire import JsonObject
from reference_gateway.relay import EventSink
from reference_gateway.upstream import UpstreamClient

_SHAPE_FAILURES = frozenset({Kind.MISSING_FIELD, Kind.INVALID_FIELD, Kind.UNKNOWN_FIELD, Kind.MALFORMED_BODY})
_HTML = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"


class FlatEnvelope(ChatErrorRenderer):
    """The members stand at the top, without `error` around them."""

    def envelope(self, failure: Failure, request: str) -> JsonObject:
        flat: JsonObject = super().envelope(failure, request)["error"]
        return flat


class NoCode(ChatErrorRenderer):
    """`code` is left out; SDKs read it without asking whether it is there."""

    def envelope(self, failure: Failure, request: str) -> JsonObject:
        error = super().envelope(failure, request)["error"]
        return {"error": {name: value for name, value in error.items() if name != "code"}}


class NumericCode(ChatErrorRenderer):
    """`code` repeats the status as a number."""

    def envelope(self, failure: Failure, request: str) -> JsonObject:
        error = super().envelope(failure, request)["error"]
        return {"error": {**error, "code": self.status_for(failure.kind)}}


class OwnErrorType(ChatErrorRenderer):
    """All errors have the type of the gateway's own product, as in a well-known open-source one."""

    def type_for(self, kind: Kind) -> str:
        return "gateway_api_error"


class DetailEnvelope(ChatErrorRenderer):
    """The web framework's own {"detail": ...} where the gateway forgot to render the error."""

    def envelope(self, failure: Failure, request: str) -> JsonObject:
        return {"detail": failure.message}


class Unprocessable(ChatErrorRenderer):
    """422 for a bad shape, the default of a widely used web framework."""

    def status_for(self, kind: Kind) -> int:
        return 422 if kind in _SHAPE_FAILURES else super().status_for(kind)

    def type_for(self, kind: Kind) -> str:
        return "invalid_request_error" if kind in _SHAPE_FAILURES else super().type_for(kind)


class CrashesOnBadJson(ChatErrorRenderer):
    """The parser's exception goes unhandled."""

    statuses: ClassVar[Mapping[Kind, int]] = {**ChatErrorRenderer.statuses, Kind.MALFORMED_BODY: 500}


class HtmlForBadJson(ChatErrorRenderer):
    """The page of the proxy in front, which reads the body first."""

    def response(self, failure: Failure) -> web.Response:
        if failure.kind is not Kind.MALFORMED_BODY:
            return super().response(failure)
        return web.Response(status=400, text=_HTML.format("400 Bad Request"), content_type="text/html")


class HtmlForUpstreamFailure(ChatErrorRenderer):
    """The page of the proxy in front, when what is behind it fails."""

    def response(self, failure: Failure) -> web.Response:
        if failure.kind is not Kind.UPSTREAM_FAILED:
            return super().response(failure)
        return web.Response(
            status=500, text=_HTML.format("500 Internal Server Error"), content_type="text/html"
        )


class FailureAsSuccess(ChatErrorRenderer):
    """Status 200 with an error in the body; seen in gateways that wrap everything in a result object."""

    statuses: ClassVar[Mapping[Kind, int]] = {**ChatErrorRenderer.statuses, Kind.UPSTREAM_FAILED: 200}
    types: ClassVar[Mapping[int, str]] = {**ChatErrorRenderer.types, 200: "api_error"}


class FailureAsBadRequest(ChatErrorRenderer):
    """The provider's failure is put at the caller's door."""

    statuses: ClassVar[Mapping[Kind, int]] = {**ChatErrorRenderer.statuses, Kind.UPSTREAM_FAILED: 400}


class ForbiddenWithoutMoney(ChatErrorRenderer):
    """403 for an empty account, where clients look for 402."""

    def status_for(self, kind: Kind) -> int:
        return 403 if kind is Kind.INSUFFICIENT_BALANCE else super().status_for(kind)

    def type_for(self, kind: Kind) -> str:
        return "billing_error" if kind is Kind.INSUFFICIENT_BALANCE else super().type_for(kind)


class RelaysUpstreamWords(UpstreamClient):
    """Hands the provider's error text on, key and all."""

    def failure_for_status(self, channel: Channel, status: int, text: str) -> Failure:
        failure = super().failure_for_status(channel, status, text)
        return Failure(failure.kind, f"Upstream error {status}: {text}")


class StreamsItsErrors(CallService):
    """Begins the stream before it calls the provider, so a failure can only be an event in a 200."""

    async def serve(self, request: web.Request, plan: CallPlan) -> web.StreamResponse:
        try:
            return await super().serve(request, plan)
        except GatewayError as error:
            if not plan.stream or error.failure.kind is not Kind.UPSTREAM_FAILED:
                raise
            sink = EventSink(request)
            await sink.write(plan.errors.stream_frame(error.failure))
            return await sink.finish()


class BareMessageOnMessages(MessagesErrorRenderer):
    """`error` is a text and not an object."""

    def envelope(self, failure: Failure, request: str) -> JsonObject:
        return {"type": "error", "error": failure.message}


class OneTypeOnMessages(MessagesErrorRenderer):
    """Every error of /v1/messages is an api_error, so SDKs take a bad key for an outage."""

    def type_for(self, kind: Kind) -> str:
        return "api_error"


DEFECTS = (
    Defect(
        "flat-error-envelope",
        "Error members stand at the top, without `error` around them",
        ("CERR-01",),
        lambda: Components(chat_errors=FlatEnvelope),
    ),
    Defect(
        "error-code-missing",
        "Chat errors have no `code`",
        ("CERR-01",),
        lambda: Components(chat_errors=NoCode),
    ),
    Defect(
        "error-code-is-number",
        "`code` of a chat error is the status as a number",
        ("CERR-02",),
        lambda: Components(chat_errors=NumericCode),
    ),
    Defect(
        "error-type-of-its-own",
        "Shape errors do not have type invalid_request_error",
        ("CERR-03",),
        lambda: Components(chat_errors=OwnErrorType),
    ),
    Defect(
        "detail-envelope",
        "Errors come as {detail: ...}",
        ("CERR-01",),
        lambda: Components(chat_errors=DetailEnvelope),
    ),
    Defect(
        "shape-error-422",
        "A bad shape is answered with 422",
        ("CERR-400-1", "CREQ-01", "CREQ-03", "CREQ-20"),
        lambda: Components(chat_errors=Unprocessable),
    ),
    Defect(
        "bad-json-500",
        "A body that is not JSON is answered with 500",
        ("CREQ-19", "CERR-400-1"),
        lambda: Components(chat_errors=CrashesOnBadJson),
    ),
    Defect(
        "bad-json-html",
        "A body that is not JSON is answered with an HTML page",
        ("CERR-01",),
        lambda: Components(chat_errors=HtmlForBadJson),
    ),
    Defect(
        "upstream-failure-html",
        "A failure of the provider is answered with an HTML page",
        ("CERR-01", "CSTR-20"),
        lambda: Components(chat_errors=HtmlForUpstreamFailure),
    ),
    Defect(
        "upstream-failure-200",
        "A failure of the provider is answered with 200",
        ("CERR-500-1", "CERR-500-2", "CERR-500-3", "PRAC-10"),
        lambda: Components(chat_errors=FailureAsSuccess),
    ),
    Defect(
        "upstream-failure-400",
        "A failure of the provider is answered with 400",
        ("CERR-500-1", "CERR-500-2", "CERR-500-3"),
        lambda: Components(chat_errors=FailureAsBadRequest),
    ),
    Defect(
        "empty-account-403",
        "An account without money is answered with 403",
        ("CERR-402-1",),
        lambda: Components(chat_errors=ForbiddenWithoutMoney),
    ),
    Defect(
        "upstream-key-leaked",
        "The provider's error text is relayed with the upstream key in it",
        ("PRAC-05",),
        lambda: Components(upstream=RelaysUpstreamWords),
    ),
    Defect(
        "early-failure-inside-stream",
        "A failure before the first byte is an event in a 200 stream",
        ("CSTR-20", "CERR-500-1", "PRAC-09"),
        lambda: Components(calls=StreamsItsErrors),
    ),
    Defect(
        "messages-error-is-text",
        "`error` of /v1/messages is a text",
        ("MERR-02",),
        lambda: Components(messages_errors=BareMessageOnMessages),
    ),
    Defect(
        "messages-error-type-unfit",
        "Every error of /v1/messages has type api_error",
        ("MERR-03",),
        lambda: Components(messages_errors=OneTypeOnMessages),
    ),
)
