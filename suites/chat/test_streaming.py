"""Streamed chat completions, judged from the raw bytes of the stream."""

from weighbridge.checks import replies, stream_breaks, streams
from weighbridge.checks.findings import for_role, over
from weighbridge.evidence import Observation
from weighbridge.features import beside_refused
from weighbridge.suite import Judge, requirement

#: The provider's wire breaks after the headers, in the middle, and when only the finish is lacking.
CUTS = ("cut-after-headers", "broken-stream", "cut-stream", "cut-before-finish")


@requirement("CSTR-01", "CREQ-10", surface="chat")
def test_content_type_is_event_stream(judge: Judge, chat_replies: Observation) -> None:
    """SDKs choose their SSE decoder by this header."""
    judge.each(chat_replies.where("plain", streamed=True), streams.is_event_stream)


@requirement("CSTR-02", "CREQ-10", surface="chat")
def test_events_are_json_chunks(judge: Judge, chat_replies: Observation) -> None:
    """One JSON object a line is what every chunk decoder expects."""
    judge.each(chat_replies.where("plain", streamed=True), streams.events_are_chunks)


@requirement("CSTR-03", surface="chat")
def test_stream_ends_with_done(judge: Judge, chat_replies: Observation) -> None:
    """Without the terminator a client cannot tell a whole answer from a cut one."""
    judge.each(chat_replies.where("plain", streamed=True), streams.has_done)


@requirement("CSTR-04", surface="chat")
def test_done_comes_once_and_last(judge: Judge, chat_replies: Observation) -> None:
    """Clients stop reading at the first terminator; what follows poisons the next use of the connection."""
    judge.each(
        beside_refused(chat_replies.where("plain", "tool-call", streamed=True)), streams.done_once_and_last
    )


@requirement("CSTR-05", surface="chat")
def test_object_names_a_chunk(judge: Judge, chat_replies: Observation) -> None:
    """Typed clients dispatch on `object`."""
    judge.each(chat_replies.where("plain", streamed=True), streams.object_is_chunk)


@requirement("CSTR-06", surface="chat")
def test_identity_is_the_same_in_all_chunks(judge: Judge, chat_replies: Observation) -> None:
    """Clients join chunks of one answer by these members."""
    judge.each(chat_replies.where("plain", streamed=True), streams.identity_is_stable)
    judge.settle(*replies.echoes_in_streams_too(chat_replies))


@requirement("CSTR-07", surface="chat")
def test_chunks_have_index_and_delta(judge: Judge, chat_replies: Observation) -> None:
    """A chunk without a delta breaks the accumulation loop of every SDK."""
    judge.each(chat_replies.where("plain", streamed=True), streams.has_choices_and_delta)


@requirement("CSTR-08", surface="chat")
def test_first_delta_has_the_role(judge: Judge, chat_replies: Observation) -> None:
    """Accumulators take the role from the first delta."""
    judge.each(chat_replies.where("plain", streamed=True), streams.role_comes_first)


@requirement("CSTR-09", surface="chat")
def test_finish_is_null_until_the_end(judge: Judge, chat_replies: Observation) -> None:
    """Clients close the answer at the first finish_reason and lose what follows."""
    judge.each(chat_replies.where("plain", streamed=True), streams.finish_null_before)


@requirement("CSTR-10", surface="chat")
def test_last_chunk_carries_the_finish(judge: Judge, chat_replies: Observation) -> None:
    """Whether an answer is whole, cut or a tool call is read from the last chunk."""
    judge.each(chat_replies.where("plain", streamed=True), streams.finish_is_last)


@requirement("CSTR-11", surface="chat")
def test_finish_comes_once_per_choice(judge: Judge, chat_replies: Observation) -> None:
    """Two finishes run an agent's next step twice."""
    judge.each(beside_refused(chat_replies.where("plain", "tool-call", streamed=True)), streams.finish_once)


@requirement("CSTR-12", surface="chat")
def test_text_is_complete_to_the_byte(judge: Judge, chat_replies: Observation) -> None:
    """A lost last piece or a broken character is a wrong answer."""
    judge.each(chat_replies.where("plain", streamed=True), streams.text_is_whole)


@requirement("CSTR-13", surface="chat")
def test_gpt_stream_has_no_usage(judge: Judge, chat_replies: Observation) -> None:
    """Usage is documented as omitted; a client that adds it up would count twice."""
    judge.each(chat_replies.where("plain", role="openai", streamed=True), streams.no_usage)


@requirement("CSTR-14", surface="chat")
def test_claude_usage_in_streams_is_told(judge: Judge, chat_replies: Observation) -> None:
    """Neither promised nor ruled out."""
    judge.settle(
        *for_role(chat_replies.where("plain"), "anthropic", streams.usage_chunk_is_told, streamed=True)
    )


@requirement("PRAC-07", surface="chat")
def test_stream_is_not_compressed_unasked(judge: Judge, chat_replies: Observation) -> None:
    """Compressors hold events back until a block is full."""
    judge.each(chat_replies.where("plain", streamed=True), streams.not_compressed)


@requirement("CSTR-16", surface="chat")
def test_pieces_are_relayed_as_produced(judge: Judge, chat_pacing: Observation) -> None:
    """A stream that is collected first has no use."""
    judge.settle(*over(chat_pacing, ("slow",), streams.relayed_as_produced))


@requirement("CSTR-17", surface="chat")
def test_capped_stream_finishes_with_length(judge: Judge, chat_replies: Observation) -> None:
    """`length` tells the client to ask for the rest."""
    judge.each(chat_replies.where("low-cap", streamed=True), streams.cut_by_cap)


@requirement("CSTR-19", surface="chat")
def test_tool_fragments_make_a_whole_call(judge: Judge, chat_replies: Observation) -> None:
    """A lost fragment makes the arguments unparsable."""
    judge.each(chat_replies.where("tool-call", streamed=True), streams.tool_call_is_whole)


@requirement("CSTR-22", surface="chat")
def test_streamed_and_plain_reply_agree(judge: Judge, chat_replies: Observation) -> None:
    """Switching to streaming must not change the answer."""
    judge.settle(*streams.same_as_unstreamed(chat_replies))


@requirement("CSTR-21", surface="chat")
def test_a_break_is_signalled(judge: Judge, chat_upstream_failures: Observation) -> None:
    """An ending without an error passes half an answer off as a whole one."""
    judge.settle(*over(chat_upstream_failures, CUTS, stream_breaks.is_signalled))


@requirement("CSTR-21", surface="chat")
def test_a_break_gets_no_made_up_finish(judge: Judge, chat_upstream_failures: Observation) -> None:
    """A finish_reason says why the model stopped, and it did not stop."""
    judge.settle(*over(chat_upstream_failures, CUTS, stream_breaks.finish_is_not_made_up))


@requirement("CSTR-21", surface="chat")
def test_a_break_does_not_end_in_done_alone(judge: Judge, chat_upstream_failures: Observation) -> None:
    """Most clients take the terminator for the sign that all went well, and read no further."""
    judge.settle(*over(chat_upstream_failures, CUTS, stream_breaks.done_is_not_the_only_word))


@requirement("PRAC-01", surface="chat")
def test_early_end_is_not_dressed_up(judge: Judge, chat_upstream_failures: Observation) -> None:
    """A provider that stops early but cleanly sent no finish; inventing one hides the loss."""
    judge.settle(*over(chat_upstream_failures, ("early-end",), stream_breaks.no_made_up_finish))


@requirement("PRAC-01", surface="chat")
def test_early_end_gets_no_terminator(judge: Judge, chat_upstream_failures: Observation) -> None:
    """The terminator alone tells most clients that the answer is whole."""
    judge.settle(*over(chat_upstream_failures, ("early-end",), stream_breaks.no_done_after_break))
