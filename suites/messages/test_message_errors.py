"""Refusals and failures on POST /v1/messages: statuses, envelopes, and what a failing provider turns into."""

from weighbridge.checks import cut_streams, errors, message_errors, message_upstream
from weighbridge.checks.findings import over
from weighbridge.evidence import Observation
from weighbridge.probes.message_refusals import bad_shapes
from weighbridge.suite import Judge, requirement

SHAPES = ("no-max-tokens", *bad_shapes(""), "malformed-json")
#: Failures that the target knows of before it has sent anything.
EARLY = ("upstream-500", "upstream-500-streamed", "upstream-reset")
LEAKY = (*EARLY, "upstream-401", "broken-stream", "error-event")


@requirement("MSG-02", surface="messages")
def test_missing_max_tokens_is_400(judge: Judge, message_bad_requests: Observation) -> None:
    """It is the caller's cost limit; a default chosen unseen is not the caller's."""
    judge.settle(*over(message_bad_requests, ("no-max-tokens",), errors.status(400)))


@requirement("MERR-01", surface="messages")
def test_the_documented_statuses_hold(
    judge: Judge,
    message_bad_requests: Observation,
    message_bad_keys: Observation,
    message_broke: Observation,
    message_group_limit: Observation,
    message_upstream_failures: Observation,
) -> None:
    """A client with fallback between the two routes shares one table: 400, 401, 402, 429, 500."""
    judge.settle(
        *message_errors.observable(
            [
                *over(message_bad_requests, SHAPES, errors.status(400)),
                *over(message_bad_keys, ("no-key", "unknown-key"), errors.status(401)),
                *over(message_broke, ("broke",), errors.status(402)),
                message_errors.burst_is_limited(message_group_limit),
                *over(message_upstream_failures, ("upstream-429",), message_errors.provider_limit_is_429),
                *over(
                    message_upstream_failures,
                    (*EARLY, "upstream-garbled"),
                    message_errors.provider_failure_is_500,
                ),
            ]
        )
    )


@requirement("MERR-02", surface="messages")
def test_errors_have_an_error_object(
    judge: Judge, message_bad_keys: Observation, message_bad_requests: Observation
) -> None:
    """Both SDKs find their error text in type and message, in either envelope."""
    judge.each(
        message_errors.refusals(message_bad_keys, message_bad_requests), message_errors.has_error_object
    )


@requirement("MERR-03", surface="messages")
def test_error_types_fit_the_status(
    judge: Judge,
    message_bad_keys: Observation,
    message_bad_requests: Observation,
    message_broke: Observation,
    message_upstream_failures: Observation,
) -> None:
    """Clients that branch on the type take the wrong branch otherwise."""
    judge.each(
        message_errors.refusals(
            message_bad_keys, message_bad_requests, message_broke, message_upstream_failures
        ),
        message_errors.type_fits_status,
    )


@requirement("PRAC-05", surface="messages")
def test_the_providers_key_stays_inside(judge: Judge, message_upstream_failures: Observation) -> None:
    """Anyone who provokes such an error could spend the operator's money."""
    judge.settle(*over(message_upstream_failures, LEAKY, message_upstream.hides_upstream_key))


@requirement("PRAC-09", surface="messages")
def test_an_early_failure_uses_the_status(judge: Judge, message_upstream_failures: Observation) -> None:
    """Only a status lets the retry logic of a client work."""
    judge.settle(
        *over(message_upstream_failures, ("upstream-500-streamed",), message_errors.fails_before_stream)
    )


@requirement("PRAC-09", surface="messages", widens=True)
def test_a_wire_that_breaks_early_uses_the_status(
    judge: Judge, message_upstream_failures: Observation
) -> None:
    """The same where the provider's connection broke, or brought its headers and nothing more."""
    names = ("upstream-reset-streamed", "cut-after-headers")
    rule = message_errors.fails_before_stream
    judge.settle(*cut_streams.over_stages(message_upstream_failures, names, rule))


@requirement("PRAC-10", surface="messages")
def test_a_failing_provider_is_no_success(judge: Judge, message_upstream_failures: Observation) -> None:
    """A client cannot react to a failure that is presented as an answer."""
    names = (*EARLY, "upstream-429", "upstream-401")
    judge.settle(*over(message_upstream_failures, names, message_errors.failure_is_no_success))


@requirement("PRAC-15", surface="messages")
def test_a_refused_body_reaches_no_provider(judge: Judge, message_bad_requests: Observation) -> None:
    """Invalid requests must not run up the operator's bill."""
    refused = [call for call in message_errors.refusals(message_bad_requests) if call.exchange.status == 400]
    judge.each(refused, message_errors.refused_without_upstream)
