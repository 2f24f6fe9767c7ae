"""Charges whose usage is not scripted: real providers, and deployments that count tokens themselves."""

from weighbridge.checks import real_money
from weighbridge.evidence import Observation
from weighbridge.suite import Judge, requirement


@requirement("CBIL-01", "CBIL-02", "CBIL-04", "CBIL-14", surface="chat", widens=True)
def test_real_charge_is_the_price_of_the_reported_usage(judge: Judge, chat_real_money: Observation) -> None:
    """What the reply reports, times the rate card, leaves the balance."""
    judge.settle(*real_money.charged_by_report(chat_real_money, judge.facts, "real-charge"))


@requirement("CBIL-18", surface="chat", widens=True)
def test_real_prompt_below_the_boundary_is_standard(judge: Judge, chat_real_money: Observation) -> None:
    """A real prompt of some 262,000 tokens."""
    judge.settle(
        *real_money.charged_by_report(chat_real_money, judge.facts, "real-below", long_context=False)
    )


@requirement("CBIL-16", "CBIL-17", "CBIL-19", "CBIL-23", surface="chat", widens=True)
def test_real_prompt_above_the_boundary_is_long(judge: Judge, chat_real_money: Observation) -> None:
    """A real prompt of some 292,000 tokens: beyond both readings of 272K."""
    judge.settle(*real_money.charged_by_report(chat_real_money, judge.facts, "real-above", long_context=True))
