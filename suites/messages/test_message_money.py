"""Money on POST /v1/messages: charges against the price of the four counters, and what must cost nothing."""

from weighbridge.checks import cut_streams, failure_billing, message_errors
from weighbridge.checks import message_billing as money
from weighbridge.evidence import Observation
from weighbridge.probes.leaving import AT_THE_END, NOTHING_YET, STAGES
from weighbridge.probes.message_upstream import FAILURES, OTHER_STAGES
from weighbridge.suite import Judge, requirement

#: Failures after which a customer holds no whole answer; what a target makes of a garbled one is open.
COSTLESS = tuple(name for name in FAILURES if name not in {"upstream-garbled", *OTHER_STAGES})


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


@requirement("MERR-05", surface="messages", widens=True)
def test_a_stream_cut_early_or_late_costs_what_its_ending_allows(
    judge: Judge, message_upstream_failures: Observation
) -> None:
    """Behind message_delta all counters are known; a stream that is told as failed is free all the same."""
    seen = message_upstream_failures
    judge.settle(*cut_streams.charged_as_it_ended(seen, judge.facts, *OTHER_STAGES, at_most=True))


@requirement("MERR-05", surface="messages", widens=True)
def test_leaving_costs_at_most_once(judge: Judge, message_pacing: Observation) -> None:
    """Hanging up is no reason to pay more than for staying, at whatever stage of the stream."""
    names = [name for name in STAGES if name not in NOTHING_YET]
    judge.settle(*cut_streams.charged_as_it_ended(message_pacing, judge.facts, *names, at_most=True))


@requirement("MERR-05", surface="messages", widens=True)
def test_leaving_before_the_first_event_holds_nothing_back(judge: Judge, message_pacing: Observation) -> None:
    """What was reserved for a call that nobody waits for any more is the caller's again."""
    judge.settle(*cut_streams.charged_as_it_ended(message_pacing, judge.facts, *NOTHING_YET, at_most=True))


@requirement("MBIL-01", surface="messages", widens=True)
def test_a_whole_answer_is_charged_whoever_hangs_up_behind_it(
    judge: Judge, message_pacing: Observation, message_upstream_failures: Observation
) -> None:
    """SDKs hang up at message_stop; the counters were told, and the bill follows from them."""
    judge.settle(
        *cut_streams.some_whole(message_pacing, *AT_THE_END),
        *cut_streams.charged_as_it_ended(message_pacing, judge.facts, *AT_THE_END),
        *cut_streams.charged_as_it_ended(message_upstream_failures, judge.facts, "cut-before-end"),
    )


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
