"""What can go wrong with a call, free of any surface: a kind, a sentence and the field at fault.

Each surface renders a failure in its own envelope (`errors`); nothing else decides on status codes.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Why a call is refused or has failed."""

    MALFORMED_BODY = "malformed_body"
    MISSING_FIELD = "missing_field"
    INVALID_FIELD = "invalid_field"
    UNKNOWN_FIELD = "unknown_field"
    UNKNOWN_MODEL = "unknown_model"
    UNKNOWN_GROUP = "unknown_group"
    BODY_TOO_LARGE = "body_too_large"
    HEADERS_TOO_LARGE = "headers_too_large"
    MISSING_KEY = "missing_key"
    MALFORMED_KEY = "malformed_key"
    INVALID_KEY = "invalid_key"
    REVOKED_KEY = "revoked_key"
    DISABLED_KEY = "disabled_key"
    INSUFFICIENT_BALANCE = "insufficient_balance"
    RATE_LIMITED = "rate_limited"
    UNKNOWN_TASK = "unknown_task"
    UNKNOWN_ROUTE = "unknown_route"
    WRONG_METHOD = "wrong_method"
    MISDIRECTED = "misdirected"
    UPSTREAM_REFUSED = "upstream_refused"
    UPSTREAM_RATE_LIMITED = "upstream_rate_limited"
    UPSTREAM_FAILED = "upstream_failed"
    OVERLOADED = "overloaded"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure: `message` is a sentence for the caller, `retry_after` is in whole seconds."""

    kind: Kind
    message: str
    param: str | None = None
    retry_after: int | None = None
    allow: str | None = None


class GatewayError(Exception):
    """Carries a `Failure` up to the surface that renders it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def refuse(kind: Kind, message: str, param: str | None = None) -> GatewayError:
    """Shorthand for the commonest case, a refusal that names a field."""
    return GatewayError(Failure(kind, message, param))
