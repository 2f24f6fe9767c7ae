"""Charges whose usage is not scripted: real providers, and deployments that count tokens themselves."""

from weighbridge.checks import real_money
from weighbridge.evidence import Observation
from weighbridge.suite import Judge, requirement


@requirement("CBIL-01", "CBIL-02", "CBIL-04", "CBIL-05", "CBIL-12", "CBIL-14", surface="chat", widens=True)
def test_real_charge_is_the_price_of_the_reported_usage(judge: Judge, chat_real_money: Observation) -> None:
    """What the reply reports, times the rate card, leaves the balance."""
    judge.settle(*real_money.charged_by_report(chat_real_money, judge.facts, "real-charge"))


@requirement("CBIL-03", surface="chat", widens=True)
def test_real_sonnet_charge_is_the_price(judge: Judge, chat_real_money: Observation) -> None:
    """The model's own card, not that of its sister."""
    facts = judge.facts
    judge.settle(
        *real_money.charged_by_report(chat_real_money, facts, "real-charge", role="anthropic_sonnet")
    )


@requirement("CBIL-15", surface="chat", widens=True)
def test_real_streamed_charge_is_the_price(judge: Judge, chat_real_money: Observation) -> None:
    """A stream that was asked for its usage says what it costs."""
    judge.settle(*real_money.charged_by_report(chat_real_money, judge.facts, "real-streamed"))


@requirement("CBIL-24", surface="chat", widens=True)
def test_real_long_prompt_of_claude_is_standard(judge: Judge, chat_real_money: Observation) -> None:
    """A real prompt of some 292,000 tokens at the one price that Claude models have."""
    facts = judge.facts
    judge.settle(
        *real_money.charged_by_report(chat_real_money, facts, "real-long-claude", long_context=False)
    )


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
