"""One customer call, one upstream POST: counted by correlation id at the simulator behind the target."""

from weighbridge.checks import posts, streams
from weighbridge.checks.findings import over
from weighbridge.evidence import Observation
from weighbridge.probes.chat_extent import STAGES
from weighbridge.probes.chat_upstream import SILENT, UNREACHABLE
from weighbridge.suite import Judge, requirement


@requirement("CERR-NR-1", "PRAC-11", surface="chat")
def test_success_is_one_post(judge: Judge, chat_replies: Observation) -> None:
    """A second POST is a second bill at the provider."""
    judge.each(chat_replies.where("plain", streamed=False), posts.one_if_served)


@requirement("CERR-NR-2", surface="chat")
def test_upstream_500_is_not_retried(judge: Judge, chat_upstream_failures: Observation) -> None:
    """The customer retries; a gateway that retries as well multiplies the load on a provider in trouble."""
    judge.settle(*over(chat_upstream_failures, ("upstream-500", "upstream-500-streamed"), posts.exactly(1)))


@requirement("CERR-NR-3", surface="chat")
def test_upstream_429_is_not_retried(judge: Judge, chat_upstream_failures: Observation) -> None:
    """A provider that says slow down must not be asked again at once."""
    judge.settle(*over(chat_upstream_failures, ("upstream-429",), posts.exactly(1)))


@requirement("CERR-NR-4", surface="chat")
def test_upstream_reset_is_not_retried(judge: Judge, chat_upstream_failures: Observation) -> None:
    """The provider may have produced output already."""
    judge.settle(*over(chat_upstream_failures, ("upstream-reset", "upstream-close"), posts.exactly(1)))


@requirement("CERR-NR-4", "PRAC-12", surface="chat", widens=True)
def test_upstream_timeout_is_not_retried(judge: Judge, chat_upstream_wire: Observation) -> None:
    """A provider that is silent may be at work; asking again pays twice."""
    judge.settle(*over(chat_upstream_wire, (SILENT,), posts.exactly(1)))


@requirement("CERR-NR-4", "PRAC-12", surface="chat", widens=True)
def test_refused_connection_is_not_taken_elsewhere(judge: Judge, chat_upstream_wire: Observation) -> None:
    """Another provider than the one that the group names is another product; no attempt at it is seen."""
    judge.settle(*over(chat_upstream_wire, (UNREACHABLE,), posts.none_at_all))


@requirement("PRAC-12", surface="chat")
def test_no_failure_is_repeated_unseen(judge: Judge, chat_upstream_failures: Observation) -> None:
    """One customer call, one attempt, for every kind of failure."""
    names = ("upstream-500", "upstream-429", "upstream-reset", "broken-stream")
    judge.settle(*over(chat_upstream_failures, names, posts.exactly(1)))


@requirement("CERR-NR-5", surface="chat")
def test_stream_is_one_post(
    judge: Judge, chat_replies: Observation, chat_upstream_failures: Observation
) -> None:
    """Broken streams included: what was shown cannot be taken back."""
    cuts = ("cut-after-headers", "broken-stream", "cut-stream", "cut-before-finish", "early-end")
    broken = over(chat_upstream_failures, cuts, posts.exactly(1))
    healthy = [posts.one_if_served(call) for call in chat_replies.where("plain", streamed=True)]
    judge.settle(*healthy, *broken)


@requirement("CERR-NR-6", "PRAC-04", surface="chat")
def test_identical_calls_are_two_posts(judge: Judge, chat_upstream_side: Observation) -> None:
    """A hidden cache sells one answer twice."""
    judge.settle(*posts.one_each(chat_upstream_side.where("identical"), "identical"))


@requirement("CERR-NR-7", "PRAC-11", surface="chat")
def test_parallel_calls_are_as_many_posts(judge: Judge, chat_upstream_side: Observation) -> None:
    """Merged calls give two customers one answer."""
    judge.settle(*posts.one_each(chat_upstream_side.where("parallel"), "parallel"))


@requirement("CERR-402-2", surface="chat")
def test_402_reaches_no_provider(judge: Judge, chat_broke: Observation) -> None:
    """Who cannot pay must not make the gateway pay."""
    judge.settle(*over(chat_broke, ("broke",), posts.none_at_all))


@requirement("PRAC-02", surface="chat")
def test_leaving_stops_the_provider(judge: Judge, chat_left: Observation) -> None:
    """Tokens nobody reads are still paid for; left before the headers, nothing has been read at all."""
    names = ("left-before-headers", "left-after-headers", "left-after-first", "left-midway")
    judge.settle(*over(chat_left, names, posts.upstream_stopped))


@requirement("PRAC-03", surface="chat")
def test_nothing_is_retried_after_the_client_left(judge: Judge, chat_left: Observation) -> None:
    """There is nobody left to answer."""
    judge.settle(*posts.if_somebody_left(over(chat_left, STAGES, posts.none_after_leaving)))


@requirement("PRAC-13", surface="chat")
def test_tool_fragments_can_be_joined(judge: Judge, chat_replies: Observation) -> None:
    """Indexed fragments that concatenate to JSON."""
    judge.each(chat_replies.where("tool-call", streamed=True), streams.tool_call_is_whole)
