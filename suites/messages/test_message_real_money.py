"""Charges on POST /v1/messages whose usage is not scripted: the bill against the counters of the reply."""

from weighbridge.checks import real_money
from weighbridge.evidence import Observation
from weighbridge.suite import Judge, requirement


@requirement("MBIL-01", "CBIL-12", surface="messages", widens=True)
def test_real_charge_is_the_price_of_the_counters(judge: Judge, message_real_money: Observation) -> None:
    """What the reply reports, times the rate card, leaves the balance, streamed and not."""
    names = ("real-charge", "real-streamed")
    judge.settle(*real_money.charged_by_report(message_real_money, judge.facts, *names))


@requirement("CBIL-08", surface="messages", widens=True)
def test_real_written_tokens_pay_the_write_rate(judge: Judge, message_real_money: Observation) -> None:
    """A document that no earlier run can have sent fills the cache."""
    judge.settle(
        *real_money.charged_by_report(message_real_money, judge.facts, "real-written", counter="written")
    )


@requirement("CBIL-09", surface="messages", widens=True)
def test_real_read_tokens_pay_the_read_rate_only(judge: Judge, message_real_money: Observation) -> None:
    """The same document again comes out of the cache."""
    judge.settle(
        *real_money.charged_by_report(message_real_money, judge.facts, "real-read", counter="cached")
    )
