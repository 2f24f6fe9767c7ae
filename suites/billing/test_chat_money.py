"""Money on the chat surface: charges against the price of the usage, and what must cost nothing."""

from weighbridge.checks import billing, books, errors, failure_billing, replies
from weighbridge.checks.findings import over
from weighbridge.evidence import Observation
from weighbridge.probes.chat_extent import STAGES
from weighbridge.probes.chat_upstream import FAILURES, NO_DONE, SILENT, UNREACHABLE
from weighbridge.suite import Judge, requirement

#: Failures after which a customer holds no whole answer.
COSTLESS = tuple(name for name in FAILURES if name != "upstream-garbled")


@requirement("CBIL-01", "CBIL-02", "CBIL-04", "CBIL-14", surface="chat", widens=True)
def test_charge_is_the_price_of_the_usage(judge: Judge, chat_charges: Observation) -> None:
    """Reported usage times the rate card is what leaves the balance, to the last digit."""
    judge.settle(*billing.charged_the_price(chat_charges, judge.facts, "charge"))


@requirement("CBIL-05", "CBIL-07", surface="chat")
def test_output_is_charged_at_its_own_rate(judge: Judge, chat_charges: Observation) -> None:
    """A swapped rate shows in any charge; a cache hit shows what counts as uncached."""
    judge.settle(
        *billing.charged_the_price(chat_charges, judge.facts, "charge"),
        *billing.charged_the_price(chat_charges, judge.facts, "charge-cached"),
    )


@requirement("CBIL-06", "CBIL-09", surface="chat")
def test_cached_tokens_pay_the_read_rate(judge: Judge, chat_charges: Observation) -> None:
    """Cached input at the full rate, or at both rates, takes away what caching is for."""
    judge.settle(*billing.charged_the_price(chat_charges, judge.facts, "charge-cached"))


@requirement("CBIL-10", surface="chat")
def test_read_rate_is_below_the_input_rate(judge: Judge, chat_charges: Observation) -> None:
    """The declared card and what was charged by it agree."""
    judge.settle(
        *billing.read_rate_is_lower(judge.facts),
        *billing.charged_the_price(chat_charges, judge.facts, "charge-cached"),
    )


@requirement("CBIL-08", surface="chat")
def test_written_tokens_pay_the_write_rate(judge: Judge, chat_charges: Observation) -> None:
    """The first call pays for filling the cache."""
    judge.settle(*billing.written_at_its_rate(chat_charges, judge.facts, "charge-written"))


@requirement("CERR-DB-2", surface="chat")
def test_leaving_costs_at_most_once(judge: Judge, chat_left: Observation) -> None:
    """Hanging up is no reason to pay more than for staying, at whatever stage of the stream."""
    found = [failure_billing.at_most_the_price(chat_left, judge.facts, name) for name in STAGES]
    judge.settle(*(finding for findings in found for finding in findings))


@requirement("CBIL-11", surface="chat")
def test_web_search_has_a_fee(judge: Judge, chat_charges: Observation) -> None:
    """Billed per search, when used."""
    judge.settle(*billing.charged_the_price(chat_charges, judge.facts, "charge-search"))


@requirement("CBIL-12", surface="chat")
def test_no_search_no_fee(judge: Judge, chat_charges: Observation) -> None:
    """A fee on a call without any search is a charge for nothing."""
    judge.settle(*billing.charged_the_price(chat_charges, judge.facts, "charge"))


@requirement("CBIL-15", surface="chat")
def test_streamed_call_costs_the_same(judge: Judge, chat_charges: Observation) -> None:
    """Streaming is a way to deliver, not another product."""
    judge.settle(*billing.charged_the_price(chat_charges, judge.facts, "charge-streamed"))


@requirement("CBIL-18", surface="chat", widens=True)
def test_270000_is_standard(judge: Judge, chat_boundary: Observation) -> None:
    """The documented example below the boundary."""
    judge.settle(
        *billing.charged_the_price(chat_boundary, judge.facts, "boundary-270000", long_context=False)
    )


@requirement("CBIL-20", surface="chat")
def test_272000_is_standard(judge: Judge, chat_boundary: Observation) -> None:
    """The limit itself is still standard: one token early doubles the bill of everyone who fills it."""
    judge.settle(
        *billing.charged_the_price(chat_boundary, judge.facts, "boundary-272000", long_context=False)
    )


@requirement("CBIL-21", surface="chat")
def test_band_between_the_readings_is_reported(judge: Judge, chat_boundary: Observation) -> None:
    """272,001 is above in decimal and below in binary reading; the report says which is in use."""
    judge.settle(*billing.tier_is_reported(chat_boundary, judge.facts, "boundary-272001"))


@requirement("CBIL-16", "CBIL-17", "CBIL-19", "CBIL-23", surface="chat", widens=True)
def test_280000_reprices_the_whole_call(judge: Judge, chat_boundary: Observation) -> None:
    """Input twice, output one and a half times, from the first token on."""
    judge.settle(
        *billing.charged_the_price(chat_boundary, judge.facts, "boundary-280000", long_context=True),
    )


@requirement("CBIL-22", surface="chat")
def test_tier_is_by_one_requests_input(judge: Judge, chat_boundary: Observation) -> None:
    """Neither output nor earlier requests count toward the boundary."""
    judge.settle(
        *billing.charged_the_price(chat_boundary, judge.facts, "boundary-output", long_context=False),
        *billing.charged_the_price(chat_boundary, judge.facts, "boundary-sum", long_context=False),
    )


@requirement("CBIL-24", surface="chat")
def test_claude_has_no_long_tier(judge: Judge, chat_charges: Observation) -> None:
    """No surcharge is documented for Claude models."""
    judge.settle(
        *billing.charged_the_price(chat_charges, judge.facts, "charge-long-claude", long_context=False)
    )


@requirement("CBIL-13", "CERR-500-4", surface="chat")
def test_failures_cost_nothing(judge: Judge, chat_upstream_failures: Observation) -> None:
    """Failed requests are not charged, broken streams included."""
    seen, facts = chat_upstream_failures, judge.facts
    found = [failure_billing.charged_nothing_if_failed(seen, facts, name) for name in COSTLESS]
    judge.settle(*(finding for findings in found for finding in findings))


@requirement("CBIL-13", "CERR-500-4", surface="chat", widens=True)
def test_silent_and_unreachable_providers_cost_nothing(judge: Judge, chat_upstream_wire: Observation) -> None:
    """A hold that is taken for a call which never ended must come back."""
    found = [
        failure_billing.charged_nothing_if_failed(chat_upstream_wire, judge.facts, name)
        for name in (SILENT, UNREACHABLE)
    ]
    judge.settle(*(finding for findings in found for finding in findings))


@requirement("CERR-500-5", surface="chat")
def test_retry_after_500_is_billed_once(judge: Judge, chat_upstream_failures: Observation) -> None:
    """The documents call a retry safe; twice billed, it is not."""
    judge.settle(*failure_billing.billed_once(chat_upstream_failures, judge.facts, "upstream-500"))


@requirement("CERR-DB-1", surface="chat")
def test_broken_wire_and_retry_are_billed_once(judge: Judge, chat_upstream_failures: Observation) -> None:
    """The provider had produced output when the wire broke; the customer still pays for one answer."""
    judge.settle(*failure_billing.billed_once(chat_upstream_failures, judge.facts, "broken-stream"))


@requirement("CERR-DB-1", surface="chat", widens=True)
def test_wire_that_breaks_after_the_finish_is_billed_once(
    judge: Judge, chat_upstream_wire: Observation
) -> None:
    """The answer was whole and only its terminator is lacking: at most its price."""
    judge.settle(*failure_billing.at_most_the_price(chat_upstream_wire, judge.facts, NO_DONE))


@requirement("CREQ-23", surface="chat")
def test_refused_shapes_cost_nothing(judge: Judge, chat_bad_requests: Observation) -> None:
    """A 400 is not charged."""
    names = ("no-model", "no-messages", "messages-not-array", "malformed-json", "max-tokens-text")
    judge.settle(
        failure_billing.refusals_cost_nothing(
            chat_bad_requests, judge.facts, "bad-requests", names, whole=True
        )
    )


@requirement("CERR-402-3", surface="chat")
def test_402_changes_no_balance(judge: Judge, chat_broke: Observation) -> None:
    """An empty account stays at what it was."""
    judge.settle(failure_billing.refusals_cost_nothing(chat_broke, judge.facts, "broke", ("broke",)))


@requirement("CERR-402-4", surface="chat")
def test_top_up_heals_402(judge: Judge, chat_broke: Observation) -> None:
    """The documented remedy works."""
    judge.settle(
        *over(chat_broke, ("broke",), errors.refused),
        *over(chat_broke, ("topped-up",), replies.accepted),
    )


@requirement("CBIL-03", surface="chat")
def test_sonnet_charge_is_the_price(judge: Judge, chat_charges: Observation) -> None:
    """Input and output at the model's own rates."""
    judge.settle(*billing.charged_the_price(chat_charges, judge.facts, "charge", role="anthropic_sonnet"))


@requirement("CBIL-14", surface="chat")
def test_concurrent_calls_sum_up(judge: Judge, chat_concurrent_charges: Observation) -> None:
    """Fifty calls in flight lose nothing and pay nothing twice."""
    judge.settle(*billing.charged_the_price(chat_concurrent_charges, judge.facts, "concurrent"))


@requirement("CBIL-14", surface="chat", widens=True)
def test_two_hundred_calls_in_flight_sum_up(judge: Judge, chat_crowd: Observation) -> None:
    """A ledger that is right for fifty can still forget the oldest of many open calls."""
    judge.settle(books.crowd_agrees(chat_crowd, judge.facts))
