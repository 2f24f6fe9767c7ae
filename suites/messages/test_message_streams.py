"""Streams of POST /v1/messages: order of events, whole content, honest endings."""

from weighbridge.checks import cut_streams, message_streams, messages, replies, streams
from weighbridge.checks.findings import over
from weighbridge.evidence import Observation
from weighbridge.features import beside_refused
from weighbridge.suite import Judge, requirement

#: Streams that the provider broke on the wire or ended with an error of its own.
BROKEN = ("broken-stream", "cut-stream", "error-event")
STREAMED = ("plain", "tool-call", "low-cap")


@requirement("MSTR-01", surface="messages")
def test_stream_is_an_event_stream(judge: Judge, message_replies: Observation) -> None:
    """SDKs choose their parser by this header."""
    judge.each(message_replies.where("plain", streamed=True), replies.accepted)
    judge.each(message_replies.where("plain", streamed=True), streams.is_event_stream)


@requirement("MSTR-02", surface="messages")
def test_events_are_named_after_their_type(judge: Judge, message_replies: Observation) -> None:
    """The Python SDK skips events without a name, and their text is gone without an error."""
    judge.each(
        beside_refused(message_replies.where(*STREAMED, streamed=True)), message_streams.named_after_type
    )


@requirement("MSTR-03", surface="messages")
def test_stream_starts_with_the_message(judge: Judge, message_replies: Observation) -> None:
    """SDKs create the message from this event and fail on any delta before it."""
    judge.each(
        beside_refused(message_replies.where(*STREAMED, streamed=True)), message_streams.starts_with_message
    )


@requirement("MSTR-04", surface="messages")
def test_blocks_come_one_after_the_other(judge: Judge, message_replies: Observation) -> None:
    """SDKs keep one block open and put overlapping text into the wrong one."""
    judge.each(
        beside_refused(message_replies.where(*STREAMED, streamed=True)), message_streams.blocks_in_turn
    )


@requirement("MSTR-05", surface="messages")
def test_text_arrives_whole(judge: Judge, message_replies: Observation) -> None:
    """A lost or damaged piece is invisible to the client and ruins code, JSON and names."""
    judge.each(message_replies.where("plain", streamed=True), message_streams.text_is_whole)


@requirement("MSTR-06", surface="messages")
def test_tool_input_arrives_whole(judge: Judge, message_replies: Observation) -> None:
    """The tool cannot be run when its arguments do not parse."""
    judge.each(message_replies.where("tool-call", streamed=True), message_streams.tool_input_is_json)


@requirement("MSTR-07", surface="messages")
def test_message_delta_gives_stop_and_count(judge: Judge, message_replies: Observation) -> None:
    """A streaming client learns nowhere else how the answer ended and what it cost."""
    judge.each(
        beside_refused(message_replies.where(*STREAMED, streamed=True)),
        message_streams.delta_gives_stop_and_count,
    )


@requirement("MSTR-08", surface="messages")
def test_message_stop_is_last(judge: Judge, message_replies: Observation) -> None:
    """An SDK that decodes every data line as JSON fails on the end mark of the other format."""
    judge.each(beside_refused(message_replies.where(*STREAMED, streamed=True)), message_streams.stop_is_last)


@requirement("MSTR-09", surface="messages")
def test_pings_are_reported(judge: Judge, message_replies: Observation) -> None:
    """They keep idle connections open, wherever they stand."""
    judge.each(message_replies.where("plain", streamed=True), message_streams.pings_mean_nothing)


@requirement("MSTR-10", surface="messages")
def test_a_break_is_signalled(judge: Judge, message_upstream_failures: Observation) -> None:
    """By an error event or a broken connection; a quiet clean end leaves the client to guess."""
    judge.settle(*over(message_upstream_failures, BROKEN, message_streams.break_is_signalled))


@requirement("MSTR-10", surface="messages")
def test_a_break_gets_no_stop_reason(judge: Judge, message_upstream_failures: Observation) -> None:
    """A made-up end_turn says that half an answer is the whole one."""
    judge.settle(*over(message_upstream_failures, BROKEN, message_streams.no_stop_made_up))


@requirement("MSTR-10", surface="messages")
def test_a_break_gets_no_message_stop(judge: Judge, message_upstream_failures: Observation) -> None:
    """SDKs hand out the final message when they see it."""
    judge.settle(*over(message_upstream_failures, BROKEN, message_streams.no_message_stop))


@requirement("MSTR-10", surface="messages", widens=True)
def test_a_break_before_the_first_event_is_told(judge: Judge, message_upstream_failures: Observation) -> None:
    """A provider that sends its headers and nothing more has given no answer, not an empty one."""
    names = ("cut-after-headers",)
    rules = (
        message_streams.break_is_signalled,
        message_streams.no_stop_made_up,
        message_streams.no_message_stop,
    )
    seen = message_upstream_failures
    judge.settle(*(found for rule in rules for found in cut_streams.over_stages(seen, names, rule)))


@requirement("PRAC-01", surface="messages")
def test_an_early_end_is_not_dressed_up(judge: Judge, message_upstream_failures: Observation) -> None:
    """The transport looks healthy here, so an invented ending is all that the client sees."""
    judge.settle(*over(message_upstream_failures, ("early-end",), message_streams.no_stop_made_up))


@requirement("PRAC-01", surface="messages")
def test_an_early_end_gets_no_message_stop(judge: Judge, message_upstream_failures: Observation) -> None:
    """SDKs hand out the final message when they see it."""
    judge.settle(*over(message_upstream_failures, ("early-end",), message_streams.no_message_stop))


@requirement("PRAC-07", surface="messages")
def test_stream_is_not_compressed_unasked(judge: Judge, message_replies: Observation) -> None:
    """Compressors hold events back until a block is full, and simple clients cannot read them."""
    judge.each(message_replies.where("plain", streamed=True), message_streams.not_compressed)


@requirement("PRAC-08", surface="messages")
def test_events_are_relayed_as_produced(judge: Judge, message_pacing: Observation) -> None:
    """Perceived speed is the reason to stream at all."""
    judge.settle(*over(message_pacing, ("slow",), message_streams.relayed_as_produced))


@requirement("PRAC-14", surface="messages")
def test_streamed_and_plain_say_the_same(judge: Judge, message_replies: Observation) -> None:
    """Switching streaming on is a matter of display and must not change the answer."""
    judge.settle(*messages.streamed_equals_plain(message_replies, "plain", "tool-call"))
