"""Errors on the chat surface: envelope, members, and what a failing provider turns into."""

from weighbridge.checks import errors, message_upstream
from weighbridge.checks.findings import over
from weighbridge.evidence import Observation
from weighbridge.probes.chat_upstream import SILENT, UNREACHABLE
from weighbridge.suite import Judge, requirement

SHAPES = ("no-model", "no-messages", "messages-not-array", "malformed-json")
#: Failures whose text, or whose wire, could carry the key of the provider out.
LEAKY = (
    "upstream-500",
    "upstream-401",
    "upstream-403",
    "upstream-429",
    "upstream-garbled",
    "broken-stream",
    "error-event",
)
FAILED_BEFORE_FIRST_BYTE = ("upstream-500", "upstream-reset", "upstream-close")


@requirement("CERR-400-1", surface="chat")
def test_bad_shape_is_400(judge: Judge, chat_bad_requests: Observation) -> None:
    """The status tells the client that repeating is useless."""
    judge.settle(*over(chat_bad_requests, SHAPES, errors.status(400)))


@requirement("CERR-01", surface="chat")
def test_errors_have_the_envelope(
    judge: Judge, chat_bad_requests: Observation, chat_bad_keys: Observation
) -> None:
    """SDKs build their exception from these three members."""
    judge.settle(
        *over(chat_bad_requests, SHAPES, errors.has_envelope),
        *over(chat_bad_keys, ("no-key", "unknown-key"), errors.has_envelope),
    )


@requirement("CERR-01", surface="chat", widens=True)
def test_upstream_failures_have_the_envelope(judge: Judge, chat_upstream_failures: Observation) -> None:
    """An HTML page in place of the envelope is an exception within the client's error path."""
    judge.settle(*over(chat_upstream_failures, ("upstream-500", "upstream-reset"), errors.has_envelope))


@requirement("CERR-02", surface="chat")
def test_error_members_are_typed(judge: Judge, chat_bad_requests: Observation) -> None:
    """A number where a string is expected breaks typed clients in their error path."""
    judge.settle(*over(chat_bad_requests, SHAPES, errors.members_are_typed))


@requirement("CERR-03", surface="chat")
def test_shape_error_is_invalid_request(judge: Judge, chat_bad_requests: Observation) -> None:
    """The one type that the documents show."""
    judge.settle(*over(chat_bad_requests, SHAPES, errors.is_invalid_request))


@requirement("CERR-500-1", surface="chat")
def test_upstream_5xx_is_500(judge: Judge, chat_upstream_failures: Observation) -> None:
    """500 is documented as safe to retry."""
    judge.settle(
        *over(chat_upstream_failures, ("upstream-500", "upstream-500-streamed"), errors.server_error)
    )


@requirement("CERR-500-2", surface="chat")
def test_upstream_reset_is_500(judge: Judge, chat_upstream_failures: Observation) -> None:
    """A wire failure behind the gateway is the gateway's error in front of it."""
    judge.settle(*over(chat_upstream_failures, ("upstream-reset", "upstream-close"), errors.server_error))


@requirement("CERR-500-2", surface="chat", widens=True)
def test_silent_upstream_is_500(judge: Judge, chat_upstream_wire: Observation) -> None:
    """A call that hangs for ever, or ends as a success without content, cannot be retried."""
    judge.settle(*over(chat_upstream_wire, (SILENT,), errors.server_error))


@requirement("CERR-500-2", surface="chat", widens=True)
def test_unreachable_upstream_is_500(judge: Judge, chat_upstream_wire: Observation) -> None:
    """The provider is down, which is no fault of the caller's."""
    judge.settle(*over(chat_upstream_wire, (UNREACHABLE,), errors.server_error))


@requirement("CERR-500-3", surface="chat")
def test_garbled_upstream_is_500(judge: Judge, chat_upstream_failures: Observation) -> None:
    """Half a JSON document must not be relayed as a reply."""
    judge.settle(*over(chat_upstream_failures, ("upstream-garbled",), errors.server_error))


@requirement("CSTR-20", surface="chat")
def test_failure_before_first_byte_is_plain_http(judge: Judge, chat_upstream_failures: Observation) -> None:
    """A status that is known before the stream begins belongs into the status line."""
    judge.settle(*over(chat_upstream_failures, ("upstream-500-streamed",), errors.is_plain_http_error))


@requirement("CERR-UP-1", surface="chat")
def test_upstream_401_is_not_the_callers(judge: Judge, chat_upstream_failures: Observation) -> None:
    """The caller's key is not at fault; what the target makes of it is told."""
    refused, others = ("upstream-401", "upstream-403"), ("context-exceeded", "upstream-429", "upstream-529")
    judge.settle(
        *over(chat_upstream_failures, refused, errors.not_success_and_not_callers_fault),
        *over(chat_upstream_failures, others, errors.no_success),
    )


@requirement("CERR-UP-1", "PRAC-05", surface="chat")
def test_upstream_secret_stays_inside(judge: Judge, chat_upstream_failures: Observation) -> None:
    """Providers print part of the key in their errors; relayed, it is everybody's."""
    judge.settle(*over(chat_upstream_failures, LEAKY, message_upstream.hides_upstream_key))


@requirement("PRAC-10", surface="chat")
def test_upstream_failure_is_no_success(judge: Judge, chat_upstream_failures: Observation) -> None:
    """Whatever the mapping, it is not a 2xx."""
    names = (*FAILED_BEFORE_FIRST_BYTE, "upstream-429", "upstream-401", "upstream-garbled")
    judge.settle(*over(chat_upstream_failures, names, errors.no_success))


@requirement("CERR-402-1", surface="chat")
def test_empty_account_is_402(judge: Judge, chat_broke: Observation) -> None:
    """402 tells a client to top up, and nothing else does."""
    judge.settle(*over(chat_broke, ("broke",), errors.status(402)))
