"""AI/ML API refusals and headers: wrong statuses, wrong envelopes, lost ids, and failures that cost money."""

# ruff: noqa: ARG002 - a defect ignores what it ought to look at

from collections.abc import Mapping
from typing import ClassVar

from aiohttp import web

from defects.definition import Defect
from reference_gateway import Components
from reference_gateway.accounts import Account, Key
from reference_gateway.aimlapi.errors import AimlapiErrorRenderer
from reference_gateway.aimlapi.surface import PATH, AimlapiSurface
from reference_gateway.aimlapi.tracing import CLIENT_REQUEST_ID, INFERENCE_ID, RequestTracing
from reference_gateway.authentication import Authenticator
from reference_gateway.config import Group
from reference_gateway.failures import Failure, GatewayError, Kind
from reference_gateway.identifiers import random_hex
from reference_gateway.jsonwire import JsonObject
from reference_gateway.limits import AccountLimiter
from reference_gateway.payment import Payment
from reference_gateway.validation.fields import invalid

_FEE_PICO_USD = 10**9


class Nested(AimlapiErrorRenderer):
    """The envelope of OpenAI, for which the clients were written."""

    def envelope(self, failure: Failure, request: str) -> JsonObject:
        return {"error": super().envelope(failure, request)}


class Anonymous(AimlapiErrorRenderer):
    """The id stands in the header, and that must do."""

    def envelope(self, failure: Failure, request: str) -> JsonObject:
        return {
            name: value for name, value in super().envelope(failure, request).items() if name != "requestId"
        }


class PlainLimiter(AimlapiErrorRenderer):
    """Refusals of the limiter come from a part of the gateway that knows no envelope."""

    def envelope(self, failure: Failure, request: str) -> JsonObject:
        if failure.kind is Kind.RATE_LIMITED:
            return {"detail": failure.message}
        return super().envelope(failure, request)


class StatusOfClass(AimlapiErrorRenderer):
    """statusCode is 400 for whatever the caller did wrong."""

    def envelope(self, failure: Failure, request: str) -> JsonObject:
        return {**super().envelope(failure, request), "statusCode": 400}


class UnixTimestamp(AimlapiErrorRenderer):
    """`timestamp` in seconds."""

    def envelope(self, failure: Failure, request: str) -> JsonObject:
        envelope = super().envelope(failure, request)
        return {**envelope, "timestamp": 1_700_000_000}


class FixedPath(AimlapiErrorRenderer):
    """`path` is that of the one route there is."""

    def envelope(self, failure: Failure, request: str) -> JsonObject:
        return {**super().envelope(failure, request), "path": PATH}


class ShortPath(AimlapiErrorRenderer):
    """`path` as the framework sees it, below the version."""

    def envelope(self, failure: Failure, request: str) -> JsonObject:
        return {**super().envelope(failure, request), "path": self._path.removeprefix("/v1")}


class InvalidKey403(AimlapiErrorRenderer):
    """An unknown key is forbidden, not unauthorized."""

    statuses: ClassVar[Mapping[Kind, int]] = {**AimlapiErrorRenderer.statuses, Kind.INVALID_KEY: 403}


class MissingKey400(AimlapiErrorRenderer):
    """A missing header is a mistake in the request."""

    statuses: ClassVar[Mapping[Kind, int]] = {**AimlapiErrorRenderer.statuses, Kind.MISSING_KEY: 400}


class DisabledKey403(AimlapiErrorRenderer):
    """A disabled key is forbidden, not unauthorized."""

    statuses: ClassVar[Mapping[Kind, int]] = {**AimlapiErrorRenderer.statuses, Kind.DISABLED_KEY: 403}


class Payment402(AimlapiErrorRenderer):
    """402 where money is missing, as elsewhere."""

    statuses: ClassVar[Mapping[Kind, int]] = {
        **AimlapiErrorRenderer.statuses,
        Kind.INSUFFICIENT_BALANCE: 402,
    }


class Invalid422(AimlapiErrorRenderer):
    """422 for values of the wrong type, the framework's own status."""

    statuses: ClassVar[Mapping[Kind, int]] = {**AimlapiErrorRenderer.statuses, Kind.INVALID_FIELD: 422}


class Missing422(AimlapiErrorRenderer):
    """422 for what is missing, the framework's own status."""

    statuses: ClassVar[Mapping[Kind, int]] = {**AimlapiErrorRenderer.statuses, Kind.MISSING_FIELD: 422}


class Malformed500(AimlapiErrorRenderer):
    """A body that does not parse is an exception like any other."""

    statuses: ClassVar[Mapping[Kind, int]] = {**AimlapiErrorRenderer.statuses, Kind.MALFORMED_BODY: 500}


class UnknownModel404(AimlapiErrorRenderer):
    """A model that is not there is not found."""

    statuses: ClassVar[Mapping[Kind, int]] = {**AimlapiErrorRenderer.statuses, Kind.UNKNOWN_MODEL: 404}


class UnknownRoute400(AimlapiErrorRenderer):
    """Any path is taken for a wrong request of the one route."""

    statuses: ClassVar[Mapping[Kind, int]] = {**AimlapiErrorRenderer.statuses, Kind.UNKNOWN_ROUTE: 400}


class Limited503(AimlapiErrorRenderer):
    """503 for callers that are too fast, a proxy's default."""

    statuses: ClassVar[Mapping[Kind, int]] = {**AimlapiErrorRenderer.statuses, Kind.RATE_LIMITED: 503}


class UpstreamIs400(AimlapiErrorRenderer):
    """The provider's failure is the caller's."""

    statuses: ClassVar[Mapping[Kind, int]] = {**AimlapiErrorRenderer.statuses, Kind.UPSTREAM_FAILED: 400}


class UpstreamIs520(AimlapiErrorRenderer):
    """A status that only some proxies know."""

    statuses: ClassVar[Mapping[Kind, int]] = {**AimlapiErrorRenderer.statuses, Kind.UPSTREAM_FAILED: 520}


class NeverDisabled(Authenticator):
    """Does not look whether a key is enabled."""

    def is_disabled(self, key: Key) -> bool:
        return False


class Unlimited(AccountLimiter):
    """Lets everyone in."""

    async def admit(self, account: Account, group: Group) -> None:
        """No count at all."""


class IdOnSuccess(RequestTracing):
    """Failures have no inference id, since nothing was inferred."""

    async def mark(self, request: web.Request, response: web.StreamResponse) -> None:
        await super().mark(request, response)
        if response.status >= 400:
            del response.headers[INFERENCE_ID]


class NoIdOnStreams(RequestTracing):
    """Streams have no inference id."""

    async def mark(self, request: web.Request, response: web.StreamResponse) -> None:
        await super().mark(request, response)
        if response.content_type == "text/event-stream":
            del response.headers[INFERENCE_ID]


class NoEchoOfFailures(RequestTracing):
    """The caller's id does not come back with a failure."""

    async def mark(self, request: web.Request, response: web.StreamResponse) -> None:
        await super().mark(request, response)
        if response.status >= 400:
            response.headers.pop(CLIENT_REQUEST_ID, None)


class ShortIds(RequestTracing):
    """Ids of more than 64 characters are not valid here."""

    def client_id(self, headers: Mapping[str, str]) -> str | None:
        sent = super().client_id(headers)
        return sent if sent is not None and len(sent) <= 64 else None


class LowercaseIds(RequestTracing):
    """Ids come back in lower case."""

    def client_id(self, headers: Mapping[str, str]) -> str | None:
        sent = super().client_id(headers)
        return None if sent is None else sent.lower()


class EchoesAll(RequestTracing):
    """Sends any id back, whatever it is made of."""

    def client_id(self, headers: Mapping[str, str]) -> str | None:
        return headers.get(CLIENT_REQUEST_ID)


class CutsIds(RequestTracing):
    """Sends as much of an id back as fits."""

    def client_id(self, headers: Mapping[str, str]) -> str | None:
        return super().client_id({CLIENT_REQUEST_ID: headers.get(CLIENT_REQUEST_ID, "")[:128]})


class RefusesIds(AimlapiSurface):
    """An id of the wrong form is a wrong request."""

    async def completions(self, request: web.Request) -> web.StreamResponse:
        if CLIENT_REQUEST_ID in request.headers and self._parts.tracing.client_id(request.headers) is None:
            raise invalid(CLIENT_REQUEST_ID, "X-Client-Request-Id is not of the documented form.")
        return await super().completions(request)


class KeepsHolds(Payment):
    """The hold of a call that failed becomes its price."""

    async def release(self) -> None:
        if not self._ended:
            self._ended = True
            await self._ledger.settle(self.call, self.account.id, self._reservation, {})


class FeeForRefusals(AimlapiSurface):
    """A request that is refused costs a fee."""

    async def completions(self, request: web.Request) -> web.StreamResponse:
        account = self._parts.authenticator.authenticate(request.headers)
        try:
            return await super().completions(request)
        except GatewayError as error:
            if error.failure.kind is Kind.INVALID_FIELD:
                ledger, call = self._parts.calls._ledger, random_hex()  # noqa: SLF001 - charges on its own
                await ledger.hold(call, account.id, _FEE_PICO_USD)
                await ledger.settle(call, account.id, _FEE_PICO_USD, {})
            raise


def _error(id_: str, title: str, requirements: tuple[str, ...], errors: type[AimlapiErrorRenderer]) -> Defect:
    return Defect(id_, title, requirements, lambda: Components(aimlapi_errors=errors))


def _trace(id_: str, title: str, requirements: tuple[str, ...], tracing: type[RequestTracing]) -> Defect:
    return Defect(id_, title, requirements, lambda: Components(aimlapi_tracing=tracing))


DEFECTS = (
    _error("aimlapi-errors-nested", "Errors of AI/ML API are nested under error", ("AIML-ERR-01",), Nested),
    _error("aimlapi-request-id-missing", "Errors have no requestId", ("AIML-ERR-01",), Anonymous),
    _error("aimlapi-limiter-envelope", "A 429 has an envelope of its own", ("AIML-ERR-01",), PlainLimiter),
    _error("aimlapi-status-code-400", "statusCode is always 400", ("AIML-ERR-02",), StatusOfClass),
    _error("aimlapi-timestamp-unix", "`timestamp` is a number of seconds", ("AIML-ERR-03",), UnixTimestamp),
    _error("aimlapi-path-fixed", "`path` is not the path of an unknown route", ("AIML-ERR-03",), FixedPath),
    _error("aimlapi-path-short", "`path` lacks its version", ("AIML-ERR-03",), ShortPath),
    _error("aimlapi-invalid-key-403", "An invalid key gives 403", ("AIML-ERR-04",), InvalidKey403),
    _error("aimlapi-missing-key-400", "A missing key gives 400", ("AIML-ERR-04",), MissingKey400),
    _error("aimlapi-disabled-key-403", "A disabled key gives 403", ("AIML-ERR-10",), DisabledKey403),
    _error("aimlapi-empty-account-402", "An empty account gives 402", ("AIML-ERR-05",), Payment402),
    _error(
        "aimlapi-invalid-422", "Values of the wrong type give 422", ("AIML-ERR-06", "AIML-REQ-19"), Invalid422
    ),
    _error(
        "aimlapi-missing-422",
        "Missing members give 422",
        ("AIML-REQ-03", "AIML-REQ-02", "AIML-REQ-19"),
        Missing422,
    ),
    _error("aimlapi-malformed-500", "A body that is no JSON gives 500", ("AIML-ERR-06",), Malformed500),
    _error("aimlapi-unknown-model-404", "An unknown model gives 404", ("AIML-REQ-02",), UnknownModel404),
    _error("aimlapi-unknown-route-400", "An unknown route gives 400", ("AIML-ERR-07",), UnknownRoute400),
    _error("aimlapi-limited-503", "Too many calls give 503", ("AIML-ERR-08",), Limited503),
    _error("aimlapi-upstream-400", "A failure of the provider gives 400", ("AIML-ERR-09",), UpstreamIs400),
    _error("aimlapi-upstream-520", "A failure of the provider gives 520", ("AIML-ERR-09",), UpstreamIs520),
    Defect(
        "aimlapi-disabled-key-served",
        "A disabled key is served",
        ("AIML-ERR-10",),
        lambda: Components(aimlapi_authenticator=NeverDisabled),
    ),
    Defect(
        "aimlapi-unlimited",
        "No call of AI/ML API is refused for its rate",
        ("AIML-ERR-08",),
        lambda: Components(aimlapi_limiter=Unlimited),
    ),
    _trace("aimlapi-inference-id-on-success", "Failures have no inference id", ("AIML-HDR-01",), IdOnSuccess),
    _trace(
        "aimlapi-inference-id-off-streams", "Streams have no inference id", ("AIML-HDR-01",), NoIdOnStreams
    ),
    _trace(
        "aimlapi-client-id-off-failures",
        "Failures do not echo the caller's id",
        ("AIML-HDR-02",),
        NoEchoOfFailures,
    ),
    _trace("aimlapi-client-id-64", "Ids of 128 characters are not echoed", ("AIML-HDR-02",), ShortIds),
    _trace(
        "aimlapi-client-id-lowercase",
        "The caller's id is echoed in lower case",
        ("AIML-HDR-02",),
        LowercaseIds,
    ),
    _trace("aimlapi-client-id-unchecked", "Invalid ids are echoed", ("AIML-HDR-03",), EchoesAll),
    _trace("aimlapi-client-id-cut", "Ids that are too long are echoed in part", ("AIML-HDR-03",), CutsIds),
    Defect(
        "aimlapi-client-id-refused",
        "A call with an invalid id is refused",
        ("AIML-HDR-03",),
        lambda: Components(aimlapi_surface=RefusesIds),
    ),
    Defect(
        "aimlapi-holds-kept",
        "A call that fails costs what was held for it",
        ("AIML-BIL-01",),
        lambda: Components(payment=KeepsHolds),
    ),
    Defect(
        "aimlapi-refusals-charged",
        "A refused request costs a fee",
        ("AIML-BIL-01",),
        lambda: Components(aimlapi_surface=FeeForRefusals),
    ),
)
