"""Token groups on the chat surface: routing and rate limit."""

from weighbridge.checks import failure_billing, limits
from weighbridge.checks.findings import over
from weighbridge.evidence import Observation
from weighbridge.suite import Judge, requirement


@requirement("CREQ-15", surface="chat")
def test_no_group_means_default(judge: Judge, chat_groups: Observation) -> None:
    """Leaving the field out must not change who serves."""
    judge.settle(*limits.none_equals_default(chat_groups))


@requirement("CREQ-16", surface="chat")
def test_group_selects_the_channel(judge: Judge, chat_groups: Observation) -> None:
    """A customer picks a pool by its group."""
    judge.settle(*limits.groups_use_their_channels(chat_groups))


@requirement("CREQ-18", surface="chat")
def test_unknown_group_is_told(judge: Judge, chat_groups: Observation) -> None:
    """No document says which; the report does."""
    judge.settle(*over(chat_groups, ("group-unknown",), limits.unknown_group_is_told))


@requirement("CERR-429-1", surface="chat")
def test_burst_meets_429(judge: Judge, chat_group_limit: Observation) -> None:
    """A limit that never bites protects nobody."""
    judge.settle(limits.burst_meets_429(chat_group_limit))


@requirement("CERR-429-2", surface="chat")
def test_other_group_still_serves(judge: Judge, chat_group_limit: Observation) -> None:
    """The documented advice is to move to another group."""
    judge.settle(*limits.other_group_serves(chat_group_limit))


@requirement("CERR-429-3", surface="chat")
def test_group_recovers(judge: Judge, chat_group_limit: Observation) -> None:
    """The other documented advice is to back off."""
    judge.settle(*limits.group_recovers(chat_group_limit))


@requirement("CERR-429-4", surface="chat")
def test_retry_after_parses_if_present(judge: Judge, chat_group_limit: Observation) -> None:
    """A header that does not parse is worse than none."""
    judge.settle(*limits.retry_after_parses(chat_group_limit))


@requirement("CERR-429-5", surface="chat")
def test_429_costs_nothing_and_reaches_nobody(judge: Judge, chat_group_limit: Observation) -> None:
    """A refused call is neither sent nor billed."""
    judge.settle(
        *limits.limited_call_reaches_no_provider(chat_group_limit),
        *failure_billing.burst_charged_only_served(chat_group_limit, judge.facts),
    )
