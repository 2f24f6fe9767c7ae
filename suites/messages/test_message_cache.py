"""The prompt cache of POST /v1/messages: written once, read by repeats, never by others."""

from weighbridge.checks import message_cache as rules
from weighbridge.checks import message_upstream
from weighbridge.checks.findings import over
from weighbridge.evidence import Observation
from weighbridge.suite import Judge, requirement


@requirement("MCACHE-01", surface="messages")
def test_first_call_writes(judge: Judge, message_cache: Observation) -> None:
    """Callers see from it that caching took effect and what it cost."""
    judge.settle(*over(message_cache, ("cache-first",), rules.writes))


@requirement("MCACHE-02", surface="messages")
def test_repeat_reads(judge: Judge, message_cache: Observation) -> None:
    """Without the hit every turn of a long session pays the full input price."""
    judge.settle(*rules.hits_in_window(message_cache, judge.facts, "cache-repeat"))


@requirement("MCACHE-03", surface="messages")
def test_changed_content_is_a_miss(judge: Judge, message_cache: Observation) -> None:
    """A hit on other content would be an answer from the wrong document."""
    judge.settle(*rules.reads_nothing(message_cache, judge.facts, "cache-changed"))


@requirement("MCACHE-04", surface="messages")
def test_another_question_is_a_hit(judge: Judge, message_cache: Observation) -> None:
    """One document, many questions: what caching is for."""
    judge.settle(*rules.hits_in_window(message_cache, judge.facts, "cache-other-question"))


@requirement("MCACHE-06", surface="messages")
def test_another_account_reads_nothing(judge: Judge, message_cache: Observation) -> None:
    """A shared cache tells one customer what another has been sending."""
    judge.settle(*rules.reads_nothing(message_cache, judge.facts, "cache-other-account"))


@requirement("MCACHE-07", surface="messages")
def test_marked_blocks_reach_the_provider(
    judge: Judge, message_cache: Observation, message_requests: Observation
) -> None:
    """A block altered by one character misses the cache every time."""
    names = ("cache-control", "cache-control-in-turn")
    judge.settle(
        *over(message_cache, ("cache-first", "cache-repeat"), message_upstream.marks_arrive_as_sent),
        *over(message_requests, names, message_upstream.marks_arrive_as_sent),
    )
