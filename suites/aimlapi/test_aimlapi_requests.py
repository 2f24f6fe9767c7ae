"""AI/ML API: requests that must be accepted, and what they mean at the provider."""

from weighbridge.checks import aimlapi, replies, reply_tokens
from weighbridge.checks import aimlapi_requests as arriving
from weighbridge.checks.findings import over
from weighbridge.evidence import Observation
from weighbridge.suite import Judge, requirement

#: The second of the two tools that the requests offer.
NAMED_TOOL = "get_time"
OPENAI_MESSAGES = ("openai-turns", "developer-role", "tool-role", "function-role")
ANTHROPIC_MESSAGES = ("anthropic-blocks", "tool-result")
TOOL_RESULTS = ("tool-result", "tool-result-blocks")
SYSTEMS = ("system-text", "system-blocks")


@requirement("AIML-REQ-01", surface="aimlapi")
def test_both_model_names_are_accepted(judge: Judge, aimlapi_replies: Observation) -> None:
    """Existing configurations use either name."""
    judge.settle(*(aimlapi.serves(aimlapi_replies, name) for name in aimlapi.LISTED_NAMES))


# ------------------------------------------------------------------ messages
@requirement("AIML-REQ-04", surface="aimlapi")
def test_openai_messages_are_accepted(judge: Judge, aimlapi_requests: Observation) -> None:
    """Code written for OpenAI keeps its history, with every role of it."""
    judge.settle(*over(aimlapi_requests, OPENAI_MESSAGES, replies.accepted))


@requirement("AIML-REQ-04", surface="aimlapi", widens=True)
def test_openai_messages_reach_the_model(judge: Judge, aimlapi_requests: Observation) -> None:
    """A turn that is accepted and dropped makes the model answer another conversation."""
    judge.settle(*over(aimlapi_requests, OPENAI_MESSAGES, arriving.texts_arrive))


@requirement("AIML-REQ-05", surface="aimlapi")
def test_anthropic_messages_are_accepted(judge: Judge, aimlapi_requests: Observation) -> None:
    """Code written for Anthropic keeps its history of typed blocks."""
    judge.settle(*over(aimlapi_requests, ANTHROPIC_MESSAGES, replies.accepted))


@requirement("AIML-REQ-05", surface="aimlapi", widens=True)
def test_anthropic_messages_reach_the_model(judge: Judge, aimlapi_requests: Observation) -> None:
    """A block that is accepted and dropped makes the model answer another conversation."""
    judge.settle(*over(aimlapi_requests, ANTHROPIC_MESSAGES, arriving.texts_arrive))


@requirement("AIML-REQ-10", surface="aimlapi")
def test_system_is_text_or_blocks(judge: Judge, aimlapi_requests: Observation) -> None:
    """SDKs differ in the form that they send."""
    judge.settle(*over(aimlapi_requests, SYSTEMS, replies.accepted))


@requirement("AIML-REQ-10", surface="aimlapi", widens=True)
def test_system_reaches_the_model(judge: Judge, aimlapi_requests: Observation) -> None:
    """A system prompt that is accepted and dropped leaves the model without its instructions."""
    judge.settle(*over(aimlapi_requests, SYSTEMS, arriving.texts_arrive))


@requirement("AIML-REQ-24", surface="aimlapi")
def test_images_and_documents_are_accepted(judge: Judge, aimlapi_requests: Observation) -> None:
    """Clients send files as content, in the form of either family."""
    names = ("image-anthropic", "image-openai", "document-text", "document-pdf")
    judge.settle(*over(aimlapi_requests, names, replies.accepted))


# ------------------------------------------------------------------ limits of the answer
@requirement("AIML-REQ-06", surface="aimlapi")
def test_max_tokens_may_be_left_out(judge: Judge, aimlapi_replies: Observation) -> None:
    """Clients of this vendor leave it out, of streams as well."""
    judge.each(aimlapi_replies.where("plain"), replies.accepted)


@requirement("AIML-REQ-06", surface="aimlapi", widens=True)
def test_max_tokens_defaults_to_128000(judge: Judge, aimlapi_replies: Observation) -> None:
    """A smaller default of the gateway's own would cut long answers."""
    judge.each(aimlapi_replies.where("plain"), arriving.default_cap_arrives)


@requirement("AIML-REQ-07", surface="aimlapi")
def test_max_tokens_bounds_the_output(judge: Judge, aimlapi_replies: Observation) -> None:
    """The parameter is named as the way to control cost."""
    judge.each(aimlapi_replies.where("low-cap", streamed=False), reply_tokens.within_cap)


@requirement("AIML-REQ-08", surface="aimlapi")
def test_answer_stops_at_the_first_stop_sequence(judge: Judge, aimlapi_stops: Observation) -> None:
    """Parsers rely on the text ending at their marker."""
    judge.settle(*aimlapi.stops_at_first(aimlapi_stops))


@requirement("AIML-REQ-09", surface="aimlapi")
def test_stream_defaults_to_false(judge: Judge, aimlapi_replies: Observation) -> None:
    """A client that asked for no events cannot parse them."""
    judge.each(aimlapi_replies.where("plain", streamed=False), replies.not_streamed)


@requirement("AIML-REQ-09", surface="aimlapi")
def test_stream_false_is_one_body(judge: Judge, aimlapi_requests: Observation) -> None:
    """An explicit false means the same as leaving it out."""
    judge.settle(*over(aimlapi_requests, ("stream-false",), replies.not_streamed))


@requirement("AIML-REQ-23", surface="aimlapi")
def test_documented_extent_is_served(judge: Judge, aimlapi_upstream_side: Observation) -> None:
    """A smaller hidden limit breaks long documents late."""
    judge.settle(
        *over(aimlapi_upstream_side, ("long-input", "whole-output"), replies.accepted),
        *over(aimlapi_upstream_side, ("whole-output",), arriving.output_is_whole),
    )


# ------------------------------------------------------------------ tools
@requirement("AIML-REQ-11", surface="aimlapi")
def test_choice_none_means_no_call(judge: Judge, aimlapi_requests: Observation) -> None:
    """A client without tool handling would meet a call that it cannot answer."""
    names = ("choice-none", "choice-none-object")
    judge.settle(
        *over(aimlapi_requests, names, arriving.calls_no_tool),
        *over(aimlapi_requests, names, arriving.choice_arrives("none")),
    )


@requirement("AIML-REQ-12", surface="aimlapi")
def test_choice_auto_leaves_it_to_the_model(
    judge: Judge, aimlapi_requests: Observation, aimlapi_replies: Observation
) -> None:
    """A model that answers in text and one that calls are both relayed."""
    names = ("choice-auto", "choice-auto-object")
    judge.settle(
        *over(aimlapi_requests, names, replies.accepted),
        *over(aimlapi_requests, names, arriving.choice_arrives("auto")),
        *(replies.carries_tool_call(call) for call in aimlapi_replies.where("tool-call", streamed=False)),
    )


@requirement("AIML-REQ-13", surface="aimlapi")
def test_choice_required_forces_a_call(judge: Judge, aimlapi_requests: Observation) -> None:
    """Extraction code reads the call and has no use for text; OpenAI's word and Anthropic's object."""
    names = ("choice-required", "choice-any-object")
    judge.settle(*over(aimlapi_requests, names, arriving.calls_tool()))


@requirement("AIML-REQ-14", surface="aimlapi")
def test_named_function_is_the_one_called(judge: Judge, aimlapi_requests: Observation) -> None:
    """Two tools are offered and the second is named, in both forms."""
    names = ("choice-function", "choice-tool-object")
    judge.settle(*over(aimlapi_requests, names, arriving.calls_tool(NAMED_TOOL)))


@requirement("AIML-REQ-15", surface="aimlapi")
def test_default_choice_depends_on_the_tools(
    judge: Judge, aimlapi_requests: Observation, aimlapi_replies: Observation
) -> None:
    """Clients leave the setting out and rely on this."""
    names = ("tools-openai", "tools-anthropic")
    plain = aimlapi_replies.where("plain", streamed=False)
    judge.settle(
        *over(aimlapi_requests, names, arriving.choice_arrives("auto")),
        *(arriving.choice_arrives("none")(call) for call in plain),
    )


@requirement("AIML-REQ-16", surface="aimlapi")
def test_anthropic_tools_are_accepted(judge: Judge, aimlapi_requests: Observation) -> None:
    """Agents written for Anthropic keep their definitions."""
    judge.settle(*over(aimlapi_requests, ("tools-anthropic",), replies.accepted))


@requirement("AIML-REQ-17", surface="aimlapi")
def test_openai_tools_are_accepted(judge: Judge, aimlapi_requests: Observation) -> None:
    """Agents written for OpenAI keep their definitions."""
    judge.settle(*over(aimlapi_requests, ("tools-openai",), replies.accepted))


@requirement("AIML-REQ-16", surface="aimlapi", widens=True)
def test_anthropic_tools_reach_the_model(judge: Judge, aimlapi_requests: Observation) -> None:
    """A changed schema changes what the model may call."""
    judge.settle(*over(aimlapi_requests, ("tools-anthropic",), arriving.tools_arrive))


@requirement("AIML-REQ-17", surface="aimlapi", widens=True)
def test_openai_tools_reach_the_model(judge: Judge, aimlapi_requests: Observation) -> None:
    """A changed schema changes what the model may call."""
    judge.settle(*over(aimlapi_requests, ("tools-openai",), arriving.tools_arrive))


@requirement("AIML-REQ-18", surface="aimlapi")
def test_tool_results_can_be_sent_back(judge: Judge, aimlapi_requests: Observation) -> None:
    """Without the second half of the loop a tool call is a dead end."""
    judge.settle(*over(aimlapi_requests, TOOL_RESULTS, replies.accepted))


@requirement("AIML-REQ-18", surface="aimlapi", widens=True)
def test_tool_results_reach_the_model(judge: Judge, aimlapi_requests: Observation) -> None:
    """The model waits for the result, not for the fact that there was one."""
    judge.settle(*over(aimlapi_requests, TOOL_RESULTS, arriving.texts_arrive))


# ------------------------------------------------------------------ thinking
@requirement("AIML-REQ-19", surface="aimlapi")
def test_smallest_thinking_budget_is_accepted(judge: Judge, aimlapi_requests: Observation) -> None:
    """1,024 is the documented minimum, itself included."""
    judge.settle(*over(aimlapi_requests, ("thinking-1024",), replies.accepted))


@requirement("AIML-REQ-20", surface="aimlapi")
def test_thinking_counts_toward_max_tokens(judge: Judge, aimlapi_requests: Observation) -> None:
    """The caller's limit bounds the whole cost and not only the visible part."""
    plain = aimlapi_requests.where("thinking-1024", streamed=False)
    judge.settle(
        *over(aimlapi_requests, ("thinking-1024",), arriving.cap_arrives),
        *(reply_tokens.within_cap(call) for call in plain),
    )


@requirement("AIML-REQ-21", surface="aimlapi")
def test_thinking_is_shown_before_the_answer(judge: Judge, aimlapi_requests: Observation) -> None:
    """Clients display or store the reasoning apart from the answer."""
    judge.settle(*over(aimlapi_requests, ("thinking-1024",), aimlapi.shows_thinking))


@requirement("AIML-REQ-22", surface="aimlapi")
def test_thinking_may_be_disabled_or_adaptive(judge: Judge, aimlapi_requests: Observation) -> None:
    """Clients switch it off, or leave the depth to the model."""
    names = ("thinking-disabled", "thinking-adaptive")
    judge.settle(*over(aimlapi_requests, names, replies.accepted))
