"""AI/ML API: the members of a reply, its cost, its headers, and its stream."""

from weighbridge.checks import aimlapi, aimlapi_streams, replies, reply_tokens, streams
from weighbridge.checks.findings import over
from weighbridge.evidence import Observation
from weighbridge.suite import Judge, requirement

FAILED = ("upstream-500", "upstream-reset", "upstream-500-streamed")


@requirement("AIML-RES-01", surface="aimlapi")
def test_success_has_the_four_members(judge: Judge, aimlapi_replies: Observation) -> None:
    """Typed clients declare id, object, created and model as required."""
    calls = aimlapi_replies.where("plain", streamed=False)
    rules = (
        replies.is_json_200,
        replies.has_id,
        replies.is_completion,
        aimlapi.created_is_now,
        replies.names_a_model,
    )
    judge.settle(*(rule(call) for call in calls for rule in rules))


@requirement("AIML-RES-08", surface="aimlapi")
def test_ids_differ_between_calls(judge: Judge, aimlapi_replies: Observation) -> None:
    """Two replies under one id overwrite each other in every store keyed by it."""
    judge.settle(replies.ids_differ(aimlapi_replies.where("plain", streamed=False)))


@requirement("AIML-RES-02", surface="aimlapi")
def test_choices_are_complete(judge: Judge, aimlapi_replies: Observation) -> None:
    """Nearly all client code reads `choices[0].message.content` without looking."""
    judge.each(aimlapi_replies.where("plain", "tool-call", streamed=False), aimlapi.choices_are_complete)


@requirement("AIML-RES-02", surface="aimlapi")
def test_text_comes_from_the_assistant(judge: Judge, aimlapi_replies: Observation) -> None:
    """A text answer is a string under role assistant, or no client shows it."""
    judge.each(aimlapi_replies.where("plain", streamed=False), replies.speaks_as_assistant)


@requirement("AIML-RES-03", surface="aimlapi")
def test_finish_reason_is_an_openai_word(judge: Judge, aimlapi_replies: Observation) -> None:
    """Clients branch on four words, and an unknown one falls through."""
    names = ("plain", "tool-call", "low-cap")
    judge.each(aimlapi_replies.where(*names, streamed=False), aimlapi.finish_is_openai_word)


@requirement("AIML-RES-04", surface="aimlapi")
def test_usage_adds_up(judge: Judge, aimlapi_replies: Observation) -> None:
    """Budget code that reads only the total would drift from the bill."""
    calls = aimlapi_replies.where("plain", streamed=False)
    judge.settle(
        *(rule(call) for call in calls for rule in (reply_tokens.counts_tokens, reply_tokens.totals_add_up))
    )


@requirement("AIML-RES-05", surface="aimlapi")
def test_cost_is_complete_when_present(judge: Judge, aimlapi_replies: Observation) -> None:
    """Callers book their cost from these two figures, of streams as well."""
    judge.each(aimlapi_replies.where("plain"), aimlapi.cost_is_complete)


@requirement("AIML-RES-06", surface="aimlapi")
def test_credits_and_dollars_agree(judge: Judge, aimlapi_replies: Observation) -> None:
    """Who books credits and who books dollars must reach the same cost."""
    judge.each(aimlapi_replies.where("plain"), aimlapi.credits_are_dollars)


@requirement("AIML-RES-07", surface="aimlapi")
def test_reply_names_a_listed_model(judge: Judge, aimlapi_replies: Observation) -> None:
    """Cost accounting in the client is keyed by this name."""
    judge.each(aimlapi_replies.where("plain", streamed=False), aimlapi.names_listed_model)


@requirement("PRAC-16", surface="aimlapi")
def test_parallel_callers_get_their_own_answers(judge: Judge, aimlapi_upstream_side: Observation) -> None:
    """One crossed answer shows a customer another customer's data."""
    parallel = aimlapi_upstream_side.where("parallel")
    judge.settle(
        *(replies.text_is_the_upstreams(call) for call in parallel if not call.streamed),
        *(streams.text_is_whole(call) for call in parallel if call.streamed),
    )


# ------------------------------------------------------------------ headers
@requirement("AIML-HDR-01", surface="aimlapi")
def test_every_response_has_an_inference_id(
    judge: Judge,
    aimlapi_replies: Observation,
    aimlapi_bad_requests: Observation,
    aimlapi_bad_keys: Observation,
) -> None:
    """Support finds a call by this id; streams and refusals need it most."""
    calls = (*aimlapi_replies, *aimlapi_bad_requests, *aimlapi_bad_keys)
    judge.each(calls, aimlapi.has_inference_id)


@requirement("AIML-HDR-01", surface="aimlapi", widens=True)
def test_failed_call_has_an_inference_id(judge: Judge, aimlapi_upstream_failures: Observation) -> None:
    """A failure is what support is asked about."""
    judge.settle(*over(aimlapi_upstream_failures, FAILED, aimlapi.has_inference_id))


@requirement("AIML-HDR-02", surface="aimlapi")
def test_valid_client_id_comes_back(judge: Judge, aimlapi_tracing: Observation) -> None:
    """Traces join the call to the caller's own record by it."""
    judge.settle(*over(aimlapi_tracing, ("valid-id",), aimlapi.echoes_client_id))


@requirement("AIML-HDR-03", surface="aimlapi")
def test_invalid_client_id_is_dropped(judge: Judge, aimlapi_tracing: Observation) -> None:
    """A tracing header must never be the reason for a failed call."""
    judge.settle(*over(aimlapi_tracing, ("invalid-id",), aimlapi.drops_client_id))


@requirement("AIML-HDR-04", surface="aimlapi")
def test_cost_headers_on_plain_answers_only(judge: Judge, aimlapi_replies: Observation) -> None:
    """Proxies book the cost from headers; a stream's cost is not known when its headers are sent."""
    judge.each(aimlapi_replies.where("plain"), aimlapi.cost_headers_fit)


# ------------------------------------------------------------------ streams
@requirement("AIML-STR-01", surface="aimlapi")
def test_stream_is_an_event_stream(judge: Judge, aimlapi_replies: Observation) -> None:
    """SDKs choose their decoder by the content type."""
    judge.each(aimlapi_replies.where("plain", streamed=True), streams.is_event_stream)


@requirement("AIML-STR-01", surface="aimlapi", widens=True)
def test_pieces_are_relayed_as_made(judge: Judge, aimlapi_pacing: Observation) -> None:
    """An interface that renders words as they come stays empty otherwise."""
    judge.settle(*over(aimlapi_pacing, ("slow",), streams.relayed_as_produced))


@requirement("AIML-STR-02", surface="aimlapi")
def test_chunks_have_the_documented_members(judge: Judge, aimlapi_replies: Observation) -> None:
    """SDKs decode each chunk with these members required."""
    calls = aimlapi_replies.where("plain", "tool-call", streamed=True)
    judge.each(calls, aimlapi_streams.chunks_are_complete)


@requirement("AIML-STR-03", surface="aimlapi")
def test_last_chunk_reports_the_cost(judge: Judge, aimlapi_replies: Observation) -> None:
    """A stream has no cost headers, so this is the only report of its price."""
    judge.each(aimlapi_replies.where("plain", streamed=True), aimlapi.last_chunk_has_cost)


@requirement("AIML-STR-04", surface="aimlapi")
def test_end_marker_is_told(judge: Judge, aimlapi_replies: Observation) -> None:
    """The vendor does not mention the marker; clients accept both endings."""
    judge.each(aimlapi_replies.where("plain", streamed=True), aimlapi_streams.done_is_told)


@requirement("CSTR-06", surface="aimlapi")
def test_identity_is_the_same_in_all_chunks(judge: Judge, aimlapi_replies: Observation) -> None:
    """Clients join chunks of one answer by these members."""
    judge.each(aimlapi_replies.where("plain", streamed=True), aimlapi_streams.identity_is_stable)


@requirement("CSTR-11", surface="aimlapi")
def test_finish_comes_once_per_choice(judge: Judge, aimlapi_replies: Observation) -> None:
    """Two finishes run an agent's next step twice."""
    judge.each(aimlapi_replies.where("plain", "tool-call", streamed=True), streams.finish_once)


@requirement("CSTR-12", surface="aimlapi")
def test_text_is_complete_to_the_byte(judge: Judge, aimlapi_replies: Observation) -> None:
    """A lost last piece or a broken character is a wrong answer."""
    judge.each(aimlapi_replies.where("plain", streamed=True), streams.text_is_whole)


@requirement("CSTR-22", surface="aimlapi")
def test_streamed_and_plain_reply_agree(judge: Judge, aimlapi_replies: Observation) -> None:
    """Switching to streaming must not change the answer."""
    judge.settle(*streams.same_as_unstreamed(aimlapi_replies))


@requirement("PRAC-07", surface="aimlapi")
def test_stream_is_not_compressed_unasked(judge: Judge, aimlapi_replies: Observation) -> None:
    """Compressors hold events back until a block is full."""
    judge.each(aimlapi_replies.where("plain", streamed=True), streams.not_compressed)
