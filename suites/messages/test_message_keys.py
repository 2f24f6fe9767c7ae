"""Keys on POST /v1/messages: which are accepted, in which header, and what a refused one may not do."""

from weighbridge.checks import errors, failure_billing, message_errors, replies
from weighbridge.checks.findings import over
from weighbridge.evidence import Observation
from weighbridge.suite import Judge, requirement

STRANGERS = ("no-key", "unknown-key", "near-key")
BAD_KEYS = (*STRANGERS, "revoked-key", "other-workspace-key")


@requirement("AUTH-02", surface="messages")
def test_no_key_is_refused(judge: Judge, message_bad_keys: Observation) -> None:
    """Clients tell a forgotten key from a broken service by this status alone."""
    judge.settle(*over(message_bad_keys, ("no-key",), errors.status(401)))


@requirement("AUTH-03", surface="messages")
def test_unknown_key_is_refused(judge: Judge, message_bad_keys: Observation) -> None:
    """In either header, streamed too, and where only one character is wrong."""
    judge.settle(*over(message_bad_keys, ("unknown-key", "near-key"), errors.status(401)))


@requirement("AUTH-03", surface="messages")
def test_revoked_key_is_refused(judge: Judge, message_bad_keys: Observation) -> None:
    """Revoking is what a customer does when a key has leaked; it must work at once, in either header."""
    judge.settle(
        *message_errors.observable(
            [
                *over(message_bad_keys, ("unknown-key",), errors.status(401)),
                *over(message_bad_keys, ("revoked-key",), errors.status(401)),
            ]
        )
    )


@requirement("AUTH-05", surface="messages")
def test_task_key_does_not_cross_over(judge: Judge, message_bad_keys: Observation) -> None:
    """A mixed-up key must get a clear refusal and not spend from the wrong balance."""
    judge.settle(*over(message_bad_keys, ("other-workspace-key",), errors.status(401)))


@requirement("AUTH-08", surface="messages")
def test_bearer_is_accepted(judge: Judge, message_requests: Observation) -> None:
    """The page shows a Bearer token for every request, and recent SDKs send it that way."""
    judge.settle(*over(message_requests, ("bearer",), replies.accepted))


@requirement("AUTH-09", surface="messages")
def test_x_api_key_is_accepted(judge: Judge, message_requests: Observation) -> None:
    """Older Anthropic SDKs send it that way, and the documented sample runs on them."""
    judge.settle(*over(message_requests, ("x-api-key", "bearer"), replies.accepted))


@requirement("AUTH-11", surface="messages")
def test_refused_key_reaches_no_provider(judge: Judge, message_bad_keys: Observation) -> None:
    """Anyone without a key could otherwise spend the operator's money."""
    judge.settle(*message_errors.observable(over(message_bad_keys, BAD_KEYS, message_errors.none_if_401)))


@requirement("AUTH-12", surface="messages")
def test_refused_key_is_not_charged(judge: Judge, message_bad_keys: Observation) -> None:
    """An owner cannot dispute what a stranger's wrong key cost."""
    judge.settle(failure_billing.refusals_cost_nothing(message_bad_keys, judge.facts, "bad-keys", STRANGERS))


@requirement("PRAC-06", surface="messages")
def test_refusal_does_not_repeat_the_key(judge: Judge, message_bad_keys: Observation) -> None:
    """Error bodies end up in logs, where a key with one wrong character is as good as leaked."""
    judge.settle(*over(message_bad_keys, ("unknown-key", "near-key"), errors.keeps_key_out_of_body))
