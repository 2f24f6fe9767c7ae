"""One message call, one upstream POST: counted by correlation id at the simulator behind the target."""

from weighbridge.checks import cut_streams, message_upstream, messages, posts
from weighbridge.checks.findings import over
from weighbridge.evidence import Observation
from weighbridge.probes.leaving import AT_WORK, STAGES
from weighbridge.probes.message_upstream import OTHER_STAGES
from weighbridge.suite import Judge, requirement

FAILED = ("upstream-500", "upstream-500-streamed", "upstream-429", "upstream-reset")
BROKEN = ("broken-stream", "cut-stream", "early-end", "error-event")


@requirement("MERR-04", "PRAC-11", surface="messages")
def test_success_is_one_post(judge: Judge, message_replies: Observation) -> None:
    """Each further POST costs money and can run side effects of tools twice."""
    judge.each(message_replies.where("plain", "tool-call"), posts.one_if_served)


@requirement("MERR-04", "PRAC-11", surface="messages")
def test_parallel_calls_are_as_many_posts(judge: Judge, message_upstream_side: Observation) -> None:
    """Merged calls give two customers one answer."""
    judge.settle(*posts.one_each(message_upstream_side.where("parallel"), "parallel"))


@requirement("MERR-04", "PRAC-12", surface="messages")
def test_a_failure_is_not_repeated(judge: Judge, message_upstream_failures: Observation) -> None:
    """The customer retries; a gateway that retries as well multiplies load on a provider in trouble."""
    judge.settle(*over(message_upstream_failures, FAILED, message_upstream.one_post_though_failed))


@requirement("MERR-04", "PRAC-12", surface="messages")
def test_a_broken_stream_is_not_repeated(judge: Judge, message_upstream_failures: Observation) -> None:
    """What was shown cannot be taken back, and the provider may have been paid for it."""
    judge.settle(*over(message_upstream_failures, BROKEN, message_upstream.one_post_though_failed))


@requirement("MERR-04", "PRAC-12", surface="messages", widens=True)
def test_a_stream_cut_early_or_late_is_not_repeated(
    judge: Judge, message_upstream_failures: Observation
) -> None:
    """With nothing shown yet a second attempt looks harmless, and after the finish it looks needless to tell."""
    judge.settle(
        *cut_streams.over_stages(
            message_upstream_failures, OTHER_STAGES, message_upstream.one_post_though_failed
        )
    )


@requirement("MERR-04", "PRAC-04", surface="messages")
def test_identical_calls_are_two_posts(judge: Judge, message_upstream_side: Observation) -> None:
    """A hidden cache sells one answer twice."""
    judge.settle(*posts.one_each(message_upstream_side.where("identical"), "identical"))


@requirement("PRAC-02", surface="messages")
def test_leaving_stops_the_provider(judge: Judge, message_pacing: Observation) -> None:
    """Tokens that nobody reads are still paid for."""
    judge.settle(*over(message_pacing, ("left",), posts.upstream_stopped))


@requirement("PRAC-03", surface="messages")
def test_nothing_is_retried_after_the_client_left(judge: Judge, message_pacing: Observation) -> None:
    """There is nobody left to answer."""
    judge.settle(*over(message_pacing, ("left",), message_upstream.none_after_leaving))


@requirement("PRAC-02", surface="messages", widens=True)
def test_leaving_early_stops_the_provider(judge: Judge, message_pacing: Observation) -> None:
    """Before the first piece there is nothing to write, and so nothing that would notice the loss."""
    judge.settle(*cut_streams.over_stages(message_pacing, AT_WORK, posts.upstream_stopped))


@requirement("PRAC-03", surface="messages", widens=True)
def test_nothing_is_retried_at_any_stage(judge: Judge, message_pacing: Observation) -> None:
    """There is nobody left to answer."""
    found = cut_streams.over_stages(message_pacing, STAGES, posts.none_after_leaving)
    judge.settle(*posts.if_somebody_left(found))


@requirement("PRAC-16", surface="messages")
def test_parallel_callers_get_their_own_answers(judge: Judge, message_upstream_side: Observation) -> None:
    """One crossed answer shows a customer another customer's data."""
    judge.settle(*over(message_upstream_side, ("parallel",), messages.says_own_text))
