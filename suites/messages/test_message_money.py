"""Money on POST /v1/messages: charges against the price of the four counters, and what must cost nothing."""

from weighbridge.checks import failure_billing, message_errors
from weighbridge.checks import message_billing as money
from weighbridge.evidence import Observation
from weighbridge.probes.message_upstream import FAILURES
from weighbridge.suite import Judge, requirement

#: Failures after which a customer holds no whole answer; what a target makes of a garbled one is open.
COSTLESS = tuple(name for name in FAILURES if name != "upstream-garbled")


@requirement("MBIL-01", surface="messages")
def test_charge_is_the_price_of_the_counters(judge: Judge, message_charges: Observation) -> None:
    """Callers recompute their bill from input, written, read and output tokens with the rate card."""
    judge.settle(*money.charged_the_price(message_charges, judge.facts, "charge", "charge-both"))


@requirement("MBIL-01", surface="messages")
def test_a_streamed_charge_is_the_same(judge: Judge, message_charges: Observation) -> None:
    """The counters are spread over two events of a stream; none may be lost or billed twice."""
    judge.settle(
        *money.charged_the_price(
            message_charges,
            judge.facts,
            "charge-streamed",
            "charge-both-streamed",
        )
    )


@requirement("CBIL-08", surface="messages")
def test_written_tokens_pay_the_write_rate(judge: Judge, message_charges: Observation) -> None:
    """Once, at this rate, and not at the input rate as well."""
    judge.settle(*money.charged_the_price(message_charges, judge.facts, "charge-written"))


@requirement("CBIL-09", surface="messages")
def test_read_tokens_pay_the_read_rate_only(judge: Judge, message_charges: Observation) -> None:
    """Charging them as input or as a write again takes away what caching is for."""
    judge.settle(*money.charged_the_price(message_charges, judge.facts, "charge-cached"))


@requirement("MBIL-02", "CBIL-11", surface="messages")
def test_searches_pay_their_fee(judge: Judge, message_charges: Observation) -> None:
    """Per search as the usage block counts them, streamed and not."""
    judge.settle(
        *money.charged_the_price(message_charges, judge.facts, "charge-search", "charge-search-streamed")
    )


@requirement("CBIL-12", surface="messages")
def test_no_search_no_fee(judge: Judge, message_charges: Observation) -> None:
    """A flat surcharge on every call goes unnoticed and adds up."""
    judge.settle(*money.charged_the_price(message_charges, judge.facts, "charge"))


@requirement("MERR-05", surface="messages")
def test_a_failed_call_is_free(judge: Judge, message_upstream_failures: Observation) -> None:
    """Clients are told that retrying is safe for their money."""
    judge.settle(*money.failures_are_free(message_upstream_failures, judge.facts, *COSTLESS))


@requirement("MERR-05", surface="messages")
def test_a_repeated_call_is_billed_once(judge: Judge, message_upstream_failures: Observation) -> None:
    """Failure and repetition together cost one successful reply, broken streams included."""
    names = ("upstream-500", "broken-stream")
    judge.settle(*money.repetitions_are_billed_once(message_upstream_failures, judge.facts, *names))


@requirement("MERR-05", surface="messages")
def test_a_refused_request_is_free(
    judge: Judge, message_bad_requests: Observation, message_broke: Observation
) -> None:
    """A 400 and a 402 are failed calls like any other."""
    shapes = tuple(dict.fromkeys(call.situation for call in message_bad_requests))
    judge.settle(
        *message_errors.observable(
            [
                failure_billing.refusals_cost_nothing(
                    message_bad_requests, judge.facts, "bad-requests", shapes, whole=True
                ),
                failure_billing.refusals_cost_nothing(message_broke, judge.facts, "broke", ("broke",)),
            ]
        )
    )
