"""The extent of chat completions: context, output, continuation, pictures."""

from weighbridge.checks import errors, replies, reply_tokens, streams
from weighbridge.checks.findings import over
from weighbridge.evidence import Observation
from weighbridge.suite import Judge, requirement


@requirement("CLIM-01", surface="chat")
def test_long_input_is_accepted(judge: Judge, chat_extent: Observation) -> None:
    """Several hundred thousand tokens in one request, as the page promises."""
    judge.settle(*over(chat_extent, ("long-input",), replies.accepted))


@requirement("CLIM-02", surface="chat")
def test_full_output_is_relayed(judge: Judge, chat_extent: Observation) -> None:
    """128,000 tokens of output are allowed, counted and end with length."""
    judge.settle(
        *over(chat_extent, ("full-output",), reply_tokens.finished_as_scripted),
        *over(chat_extent, ("full-output", "high-cap"), reply_tokens.output_within),
    )


@requirement("CLIM-03", surface="chat")
def test_input_beyond_the_window_is_400(judge: Judge, chat_upstream_failures: Observation) -> None:
    """A 500 would be retried although it can never succeed."""
    judge.settle(*over(chat_upstream_failures, ("context-exceeded",), errors.status(400)))


@requirement("CLA-07", surface="chat")
def test_large_cap_does_not_lengthen(judge: Judge, chat_extent: Observation) -> None:
    """The model stops where its answer ends."""
    calls = [call for call in chat_extent.where("high-cap") if (call.role or "").startswith("anthropic")]
    judge.each(calls, reply_tokens.finished_as_scripted)


@requirement("CSTR-18", surface="chat")
def test_continuation_is_accepted(judge: Judge, chat_extent: Observation, chat_replies: Observation) -> None:
    """After `length` the client asks for the rest."""
    judge.each(chat_replies.where("low-cap", streamed=True), replies.accepted)
    judge.settle(*over(chat_extent, ("continuation",), replies.accepted))


@requirement("CSTR-15", surface="chat")
def test_usage_in_streams_is_told(judge: Judge, chat_extent: Observation) -> None:
    """Whether include_usage yields a usage chunk is reported."""
    judge.settle(*over(chat_extent, ("include-usage",), streams.usage_chunk_is_told))


@requirement("GPT-23", surface="chat")
def test_function_calling_round_trip(
    judge: Judge, chat_replies: Observation, chat_requests: Observation
) -> None:
    """The call comes back whole, and its result is taken."""
    judge.settle(
        *(
            replies.carries_tool_call(call)
            for call in chat_replies.where("tool-call", role="openai", streamed=False)
        ),
        *(replies.accepted(call) for call in chat_requests.where("tool-result", role="openai")),
    )
