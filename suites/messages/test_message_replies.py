"""Replies of POST /v1/messages: their shape, and the requests that must be served."""

from weighbridge.checks import message_sdk, message_upstream, messages, replies
from weighbridge.checks.findings import over
from weighbridge.evidence import Observation
from weighbridge.features import beside_refused
from weighbridge.suite import Judge, requirement


@requirement("SURF-02", surface="messages")
def test_the_route_serves_claude(judge: Judge, message_replies: Observation) -> None:
    """Clients that need native blocks or cache_control have no other route."""
    judge.each(message_replies.where("plain"), replies.accepted)


@requirement("SURF-03", surface="messages")
def test_opus_is_served(judge: Judge, message_replies: Observation) -> None:
    """The page promises the model on both routes, so a team may keep the SDK that it has."""
    judge.settle(messages.serves(message_replies, "claude-opus-4-8"))


@requirement("SURF-04", surface="messages")
def test_sonnet_is_served(judge: Judge, message_replies: Observation) -> None:
    """The page promises the model on both routes, so a team may keep the SDK that it has."""
    judge.settle(messages.serves(message_replies, "claude-sonnet-4-6"))


@requirement("SURF-07", surface="messages")
def test_a_stock_client_works(judge: Judge, message_replies: Observation) -> None:
    """Code copied from the documents runs: the SDK's headers are taken, and its decoding finds what it needs."""
    judge.each(message_replies.where("sdk"), replies.accepted)
    judge.each(message_replies.where("sdk"), message_sdk.client_works)


@requirement("MSG-01", surface="messages")
def test_reply_is_a_message(judge: Judge, message_replies: Observation) -> None:
    """SDKs decode exactly this shape; anything else is an exception in the client."""
    judge.each(message_replies.where("plain", streamed=False), replies.accepted)
    judge.each(message_replies.where("plain", streamed=False), messages.is_message)


@requirement("MSG-03", surface="messages")
def test_system_may_be_blocks(judge: Judge, message_requests: Observation) -> None:
    """Only a block can carry cache_control, so caching needs this form."""
    judge.settle(*over(message_requests, ("system-blocks",), replies.accepted))


@requirement("MSG-04", surface="messages")
def test_cache_control_is_accepted(judge: Judge, message_requests: Observation) -> None:
    """In a system block and in a turn; a refusal keeps every caching client out."""
    judge.settle(*over(message_requests, ("cache-control", "cache-control-in-turn"), replies.accepted))


@requirement("MSG-05", surface="messages")
def test_several_blocks_are_accepted(judge: Judge, message_requests: Observation) -> None:
    """Native blocks are a reason to use this route at all."""
    judge.settle(*over(message_requests, ("several-blocks", "turns"), replies.accepted))


@requirement("MSG-06", surface="messages")
def test_tool_comes_back_as_a_block(judge: Judge, message_replies: Observation) -> None:
    """Agents look for tool_use and its stop_reason to run their tool."""
    judge.each(message_replies.where("tool-call", streamed=False), replies.accepted)
    judge.each(message_replies.where("tool-call", streamed=False), messages.calls_tool)


@requirement("MSG-07", surface="messages")
def test_tool_result_is_answered(judge: Judge, message_requests: Observation) -> None:
    """Without the second half of the loop a tool call is a dead end."""
    judge.settle(*over(message_requests, ("tool-result",), replies.accepted))


@requirement("MSG-08", surface="messages")
def test_all_tool_choices_are_accepted(judge: Judge, message_requests: Observation) -> None:
    """Agents that force or forbid a call rely on these four."""
    names = tuple(f"tool-choice-{name}" for name in ("auto", "any", "tool", "none"))
    judge.settle(*over(message_requests, names, replies.accepted))


@requirement("MSG-09", surface="messages")
def test_images_are_accepted(judge: Judge, message_requests: Observation) -> None:
    """Applications hold images in either form and should not have to convert."""
    judge.settle(*over(message_requests, ("image-base64", "image-url"), replies.accepted))


@requirement("MSG-10", surface="messages")
def test_versions_of_stock_clients_are_accepted(judge: Judge, message_requests: Observation) -> None:
    """The SDK sets the header by itself; its user cannot work around a refusal."""
    judge.settle(*over(message_requests, ("version-2023-06-01", "version-2026-10-21"), replies.accepted))


@requirement("MSG-11", surface="messages")
def test_a_call_without_version_is_told(judge: Judge, message_requests: Observation) -> None:
    """No document says whether the header is needed; the report says what this target does."""
    judge.settle(*over(message_requests, ("no-version",), replies.answered))


@requirement("MSG-12", surface="messages")
def test_reply_has_id_and_model(judge: Judge, message_replies: Observation) -> None:
    """Logs and cost accounting in the client are keyed by these two."""
    judge.each(message_replies.where("plain", streamed=False), messages.has_id)
    judge.each(message_replies.where("plain", streamed=False), messages.names_model)


@requirement("MSG-13", surface="messages")
def test_stop_reason_is_known(judge: Judge, message_replies: Observation) -> None:
    """Clients branch on the reason, and typed ones fail on a missing member."""
    shown = message_replies.where("plain", "tool-call", "low-cap", streamed=False)
    judge.each(beside_refused(shown), messages.stop_is_known)


@requirement("MSG-14", surface="messages")
def test_usage_counts_tokens(judge: Judge, message_replies: Observation) -> None:
    """A caller checks its bill against these."""
    judge.each(message_replies.where("plain", streamed=False), messages.counts_tokens)


@requirement("MSG-15", surface="messages")
def test_cut_answer_says_so(judge: Judge, message_replies: Observation) -> None:
    """Told end_turn, a client takes half an answer for a whole one."""
    judge.each(message_replies.where("low-cap"), messages.cut_by_cap)


@requirement("MSG-16", surface="messages")
def test_native_options_reach_the_provider(judge: Judge, message_upstream_side: Observation) -> None:
    """An option dropped in silence changes answers in silence."""
    judge.settle(
        *over(
            message_upstream_side,
            ("options",),
            message_upstream.arrives_as_sent("stop_sequences", "top_k", "metadata"),
        ),
        *over(
            message_upstream_side, ("thinking",), message_upstream.arrives_as_sent("thinking", "max_tokens")
        ),
        *over(message_upstream_side, ("tools",), message_upstream.arrives_as_sent("tools", "tool_choice")),
    )


@requirement("MSG-18", surface="messages")
def test_native_blocks_and_tools_are_not_translated(judge: Judge, message_requests: Observation) -> None:
    """What the other format has no words for is lost on the way through it."""
    blocks = ("several-blocks", "turns", "tool-result", "image-base64", "image-url")
    judge.settle(
        *over(message_requests, blocks, message_upstream.arrives_as_sent("messages")),
        *over(
            message_requests, ("tool-result", "tool-choice-auto"), message_upstream.arrives_as_sent("tools")
        ),
    )


@requirement("MSG-17", surface="messages")
def test_very_long_prompt_is_accepted(judge: Judge, message_upstream_side: Observation) -> None:
    """A limit on the size of a body shows only when the document is as large as the recipe's."""
    judge.settle(*over(message_upstream_side, ("long-prompt",), replies.accepted))
