"""Error bodies, each provider in its own dialect, from one table of statuses a dialect."""

from typing import Any, Final

from mock_upstreams.plans import Document, json_document

OPENAI: Final = "openai"
ANTHROPIC: Final = "anthropic"
MEDIA: Final = "media"

_OPENAI_TYPES: Final[dict[int, tuple[str, str | None]]] = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    402: ("insufficient_quota", "insufficient_quota"),
    403: ("invalid_request_error", "unsupported_country_region_territory"),
    404: ("invalid_request_error", "unknown_url"),
    405: ("invalid_request_error", "method_not_supported"),
    413: ("invalid_request_error", "request_too_large"),
    429: ("requests", "rate_limit_exceeded"),
    500: ("server_error", None),
    503: ("server_error", "service_unavailable"),
}
_ANTHROPIC_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    409: "invalid_request_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_MESSAGES: Final = {
    400: "The request is not valid.",
    401: "Incorrect API key provided.",
    402: "Your credit balance is too low.",
    403: "You are not allowed to use this resource.",
    404: "The requested resource does not exist.",
    413: "The request is too large.",
    429: "Rate limit reached. Please try again later.",
    500: "The server had an error while processing your request.",
    502: "Bad gateway.",
    503: "The service is temporarily unavailable.",
    504: "The request timed out.",
    529: "Overloaded.",
}


def default_message(status: int) -> str:
    fallback = "The request was not accepted." if status < 500 else "The server had an error."
    return _MESSAGES.get(status, fallback)


def error_object(
    provider: str,
    status: int,
    message: str,
    request_id: str,
    param: str | None = None,
    code: str | None = None,
) -> dict[str, Any]:
    """The body of an error answer; the same object is the error event of a stream."""
    if provider == ANTHROPIC:
        kind = _ANTHROPIC_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}
    if provider == MEDIA:
        return {"error": {"code": code or status, "message": message, "request_id": request_id}}
    kind, usual_code = _OPENAI_TYPES.get(
        status, ("invalid_request_error" if status < 500 else "server_error", None)
    )
    return {"error": {"message": message, "type": kind, "param": param, "code": code or usual_code}}


def error_document(
    provider: str,
    status: int,
    message: str,
    request_id: str,
    param: str | None = None,
    code: str | None = None,
) -> Document:
    body = error_object(provider, status, message, request_id, param, code)
    return json_document(status, body, request_id_header(provider, request_id))


def request_id_header(provider: str, request_id: str) -> tuple[str, str]:
    return ("request-id" if provider == ANTHROPIC else "x-request-id", request_id)
