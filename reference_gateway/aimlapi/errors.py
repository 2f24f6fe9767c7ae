"""The flat error envelope of this vendor. Source: public docs, Errors: General Info, 4xx, 5xx."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import ClassVar

from reference_gateway.aimlapi.tracing import INFERENCE_ID
from reference_gateway.errors import ErrorRenderer
from reference_gateway.failures import Failure, Kind
from reference_gateway.identifiers import random_hex
from reference_gateway.jsonwire import JsonObject, encode
from reference_gateway.sse import frame


class AimlapiErrorRenderer(ErrorRenderer):
    """Renders the failures of one path; with `inference_id` those of one call, whose stream has begun already."""

    # Neither 402, 405 nor 413 exists at this vendor; trouble behind the gateway is a 5xx, a provider's 429 included.
    statuses: ClassVar[Mapping[Kind, int]] = {
        **ErrorRenderer.statuses,
        Kind.HEADERS_TOO_LARGE: 400,
        Kind.MISDIRECTED: 404,
        Kind.INSUFFICIENT_BALANCE: 403,
        Kind.WRONG_METHOD: 404,
        Kind.UPSTREAM_FAILED: 502,
        Kind.UPSTREAM_RATE_LIMITED: 503,
        Kind.OVERLOADED: 503,
    }

    def __init__(self, path: str, inference_id: str | None = None) -> None:
        self._path = path
        self._inference_id = inference_id

    def request_id(self) -> str:
        return self._inference_id or random_hex()

    def envelope(self, failure: Failure, request: str) -> JsonObject:
        return {
            "message": failure.message,
            "path": self._path,
            "requestId": request,
            "statusCode": self.status_for(failure.kind),
            "timestamp": self.timestamp(),
        }

    def timestamp(self) -> str:
        """Now, in ISO 8601."""
        return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def headers(self, failure: Failure, request: str) -> dict[str, str]:
        return {**super().headers(failure, request), INFERENCE_ID: request}

    def stream_frame(self, failure: Failure) -> bytes:
        """The flat members, and `error` beside them: stock OpenAI clients notice nothing else in a stream."""
        envelope = self.envelope(failure, self.request_id())
        error = {"message": failure.message, "code": failure.kind.value}
        return frame(encode({**envelope, "error": error}))
