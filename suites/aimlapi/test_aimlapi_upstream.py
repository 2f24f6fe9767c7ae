"""AI/ML API: what a call becomes at the provider, and what a broken provider may look like to the client."""

from weighbridge.checks import cut_streams, message_upstream, posts, stream_breaks
from weighbridge.checks.findings import over
from weighbridge.evidence import Observation
from weighbridge.probes.leaving import AT_WORK, STAGES
from weighbridge.probes.message_upstream import OTHER_STAGES
from weighbridge.suite import Judge, requirement

#: What a gateway sees without knowing the model's own limits.
SHAPES = ("no-model", "no-messages", "messages-text", "max-tokens-text", "malformed-json")
#: The provider's wire breaks in the middle of a stream.
CUTS = ("broken-stream", "cut-stream")


# ------------------------------------------------------------------ refused locally
@requirement("AUTH-11", surface="aimlapi")
def test_refused_key_reaches_no_provider(judge: Judge, aimlapi_bad_keys: Observation) -> None:
    """A call that nobody pays for must cost nobody anything."""
    judge.settle(*over(aimlapi_bad_keys, ("no-key", "unknown-key"), posts.none_if_401))


@requirement("AUTH-11", surface="aimlapi", widens=True)
def test_disabled_key_reaches_no_provider(judge: Judge, aimlapi_bad_keys: Observation) -> None:
    """The same for a key that once worked."""
    judge.settle(*over(aimlapi_bad_keys, ("disabled-key",), posts.none_if_401))


@requirement("CREQ-22", surface="aimlapi")
def test_refused_request_reaches_no_provider(judge: Judge, aimlapi_bad_requests: Observation) -> None:
    """Invalid requests must not consume the operator's quota."""
    judge.settle(*over(aimlapi_bad_requests, SHAPES, posts.none_if_refused))


# ------------------------------------------------------------------ one call, one POST
@requirement("PRAC-11", surface="aimlapi")
def test_success_is_one_post(
    judge: Judge, aimlapi_replies: Observation, aimlapi_upstream_side: Observation
) -> None:
    """A second POST is a second bill at the provider; in parallel traffic as well."""
    judge.each(
        (*aimlapi_replies.where("plain"), *aimlapi_upstream_side.where("parallel")), posts.one_if_served
    )


@requirement("PRAC-12", surface="aimlapi")
def test_no_failure_is_repeated_unseen(judge: Judge, aimlapi_upstream_failures: Observation) -> None:
    """One customer call, one attempt, for every kind of failure."""
    names = ("upstream-500", "upstream-429", "upstream-reset", "broken-stream")
    judge.settle(*over(aimlapi_upstream_failures, names, posts.exactly(1)))


@requirement("PRAC-12", surface="aimlapi", widens=True)
def test_a_stream_cut_early_or_late_is_not_repeated(
    judge: Judge, aimlapi_upstream_failures: Observation
) -> None:
    """With nothing shown yet a second attempt looks harmless, and after the finish it looks needless to tell."""
    judge.settle(*cut_streams.over_stages(aimlapi_upstream_failures, OTHER_STAGES, posts.exactly(1)))


@requirement("PRAC-04", surface="aimlapi")
def test_identical_calls_are_two_posts(judge: Judge, aimlapi_upstream_side: Observation) -> None:
    """A hidden cache sells one answer twice."""
    judge.settle(*posts.one_each(aimlapi_upstream_side.where("identical"), "identical"))


@requirement("PRAC-02", surface="aimlapi")
def test_leaving_stops_the_provider(judge: Judge, aimlapi_pacing: Observation) -> None:
    """Tokens nobody reads are still paid for."""
    judge.settle(*over(aimlapi_pacing, ("left",), posts.upstream_stopped))


@requirement("PRAC-03", surface="aimlapi")
def test_nothing_is_retried_after_the_client_left(judge: Judge, aimlapi_pacing: Observation) -> None:
    """There is nobody left to answer."""
    judge.settle(*over(aimlapi_pacing, ("left",), message_upstream.none_after_leaving))


@requirement("PRAC-02", surface="aimlapi", widens=True)
def test_leaving_early_stops_the_provider(judge: Judge, aimlapi_pacing: Observation) -> None:
    """Before the first piece there is nothing to write, and so nothing that would notice the loss."""
    judge.settle(*cut_streams.over_stages(aimlapi_pacing, AT_WORK, posts.upstream_stopped))


@requirement("PRAC-03", surface="aimlapi", widens=True)
def test_nothing_is_retried_at_any_stage(judge: Judge, aimlapi_pacing: Observation) -> None:
    """There is nobody left to answer."""
    found = cut_streams.over_stages(aimlapi_pacing, STAGES, posts.none_after_leaving)
    judge.settle(*posts.if_somebody_left(found))


# ------------------------------------------------------------------ a provider that fails
@requirement("PRAC-05", surface="aimlapi")
def test_upstream_key_stays_inside(judge: Judge, aimlapi_upstream_failures: Observation) -> None:
    """Providers print part of the key in their errors; relayed, it is everybody's."""
    names = ("upstream-500", "upstream-401")
    judge.settle(*over(aimlapi_upstream_failures, names, message_upstream.hides_upstream_key))


@requirement("CSTR-21", surface="aimlapi")
def test_a_break_is_signalled(judge: Judge, aimlapi_upstream_failures: Observation) -> None:
    """A finish_reason and a clean end of the connection are a whole answer here; no end marker is needed for that."""
    judge.settle(*over(aimlapi_upstream_failures, CUTS, stream_breaks.is_signalled))


@requirement("CSTR-21", surface="aimlapi")
def test_a_break_gets_no_made_up_finish(judge: Judge, aimlapi_upstream_failures: Observation) -> None:
    """A finish_reason says why the model stopped, and it did not stop."""
    judge.settle(*over(aimlapi_upstream_failures, CUTS, stream_breaks.finish_is_not_made_up))


@requirement("CSTR-21", surface="aimlapi")
def test_a_break_does_not_end_in_done_alone(judge: Judge, aimlapi_upstream_failures: Observation) -> None:
    """Where a gateway sends the marker, clients take it for the sign that all went well."""
    judge.settle(*over(aimlapi_upstream_failures, CUTS, stream_breaks.done_is_not_the_only_word))


@requirement("CSTR-21", surface="aimlapi", widens=True)
def test_a_break_before_the_first_chunk_is_told(judge: Judge, aimlapi_upstream_failures: Observation) -> None:
    """A provider that sends its headers and nothing more has given no answer, not an empty one."""
    names = ("cut-after-headers",)
    rules = (
        stream_breaks.is_signalled,
        stream_breaks.finish_is_not_made_up,
        stream_breaks.done_is_not_the_only_word,
    )
    seen = aimlapi_upstream_failures
    judge.settle(*(found for rule in rules for found in cut_streams.over_stages(seen, names, rule)))


@requirement("PRAC-01", surface="aimlapi")
def test_early_end_is_not_dressed_up(judge: Judge, aimlapi_upstream_failures: Observation) -> None:
    """A provider that stops early but cleanly sent no finish; inventing one hides the loss."""
    judge.settle(*over(aimlapi_upstream_failures, ("early-end",), stream_breaks.no_made_up_finish))


@requirement("PRAC-01", surface="aimlapi")
def test_early_end_gets_no_terminator(judge: Judge, aimlapi_upstream_failures: Observation) -> None:
    """Nor did it send the marker, which tells most clients that the answer is whole."""
    judge.settle(*over(aimlapi_upstream_failures, ("early-end",), stream_breaks.no_done_after_break))
