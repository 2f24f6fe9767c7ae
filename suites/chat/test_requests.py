"""Chat requests that must be accepted, and single violations of shape that must be refused."""

from weighbridge.checks import errors, posts, replies, reply_tokens
from weighbridge.checks.findings import over
from weighbridge.evidence import Observation
from weighbridge.suite import Judge, requirement

#: Every refused request of the probe, whatever the model.
SHAPES = (
    "no-model",
    "no-messages",
    "messages-not-array",
    "malformed-json",
    "max-tokens-text",
)


# ------------------------------------------------------------------ accepted
@requirement("CREQ-05", surface="chat")
def test_string_content_is_accepted(
    judge: Judge, chat_replies: Observation, chat_requests: Observation
) -> None:
    """The plainest form of content, in a question and in every other role."""
    judge.each(chat_replies.where("plain", streamed=False), replies.accepted)
    judge.settle(*over(chat_requests, ("roles",), replies.accepted))


@requirement("CREQ-08", surface="chat")
def test_without_stream_one_body_comes(judge: Judge, chat_replies: Observation) -> None:
    """A client that did not ask for events cannot read them."""
    judge.each(chat_replies.where("plain", streamed=False), replies.not_streamed)


@requirement("CREQ-04", surface="chat")
def test_all_roles_are_accepted(judge: Judge, chat_requests: Observation) -> None:
    """A conversation has system, user, assistant and tool turns."""
    judge.settle(*over(chat_requests, ("roles", "tool-result"), replies.accepted))


@requirement("CREQ-06", surface="chat")
def test_content_parts_are_accepted(judge: Judge, chat_requests: Observation) -> None:
    """SDK helpers send content as an array of parts."""
    judge.settle(*over(chat_requests, ("content-parts",), replies.accepted))


@requirement("CREQ-09", surface="chat")
def test_stream_false_is_one_body(judge: Judge, chat_requests: Observation) -> None:
    """An explicit false means the same as leaving it out."""
    judge.settle(*over(chat_requests, ("stream-false",), replies.not_streamed))


@requirement("CREQ-11", surface="chat")
def test_top_p_in_range_is_accepted(judge: Judge, chat_requests: Observation) -> None:
    """A documented parameter in its range."""
    judge.settle(*over(chat_requests, ("top-p",), replies.accepted))


@requirement("CREQ-13", surface="chat")
def test_temperature_with_top_p_is_no_error(judge: Judge, chat_requests: Observation) -> None:
    """Discouraged, not forbidden."""
    judge.settle(*over(chat_requests, ("temperature-and-top-p",), replies.accepted))


@requirement("CREQ-14", surface="chat")
def test_group_is_accepted(judge: Judge, chat_requests: Observation) -> None:
    """The documented examples all send it."""
    judge.settle(*over(chat_requests, ("group-default",), replies.accepted))


@requirement("CLA-03", surface="chat")
def test_minimum_claude_request(judge: Judge, chat_requests: Observation) -> None:
    """The documented minimum request."""
    judge.settle(*over(chat_requests, ("max-tokens-4096",), replies.accepted))


@requirement("CLA-04", surface="chat")
def test_full_cap_is_accepted(judge: Judge, chat_requests: Observation) -> None:
    """128000 is the documented cap, itself included."""
    judge.settle(*over(chat_requests, ("max-tokens-128000",), replies.accepted))


@requirement("CLA-10", surface="chat")
def test_claude_temperature_in_range(judge: Judge, chat_requests: Observation) -> None:
    """The documented example uses 0.7."""
    judge.settle(
        *(
            replies.accepted(call)
            for call in chat_requests.where("temperature-low", "temperature-0.7", role="anthropic")
        )
    )


@requirement("CLA-12", "CLA-13", surface="chat")
def test_claude_takes_openai_tools(judge: Judge, chat_requests: Observation) -> None:
    """Tools in OpenAI form with tool_choice auto, as in the documented recipe."""
    judge.settle(*over(chat_requests, ("tool-choice-auto",), replies.accepted))


@requirement("CLA-14", surface="chat")
def test_claude_takes_every_tool_choice(judge: Judge, chat_requests: Observation) -> None:
    """none, required and a named function belong to the tool-use format."""
    names = ("tool-choice-none", "tool-choice-required", "tool-choice-named")
    judge.settle(*over(chat_requests, names, replies.accepted))


@requirement("CLA-15", surface="chat")
def test_tool_result_completes_the_loop(judge: Judge, chat_requests: Observation) -> None:
    """An agent's second turn carries the tool's result."""
    judge.each(chat_requests.where("tool-result", role="anthropic"), replies.accepted)


@requirement("GPT-01", surface="chat")
def test_gpt_needs_no_max_tokens(judge: Judge, chat_requests: Observation, chat_replies: Observation) -> None:
    """model and messages alone are the documented minimum, whatever the answer is."""
    judge.settle(*over(chat_requests, ("no-max-tokens",), replies.accepted))
    judge.each(chat_replies.where("plain", role="openai", streamed=False), replies.accepted)


@requirement("GPT-02", surface="chat")
def test_full_parameter_set(judge: Judge, chat_requests: Observation) -> None:
    """The documented recipe with every parameter."""
    judge.settle(*over(chat_requests, ("full-set",), replies.accepted))


@requirement("GPT-03", surface="chat")
def test_gpt_temperature_in_range(judge: Judge, chat_requests: Observation) -> None:
    """0 and 2 are inside."""
    judge.settle(
        *(
            replies.accepted(call)
            for call in chat_requests.where("temperature-low", "temperature-high", role="openai")
        )
    )


@requirement("GPT-05", "GPT-06", surface="chat")
def test_penalties_in_range(judge: Judge, chat_requests: Observation) -> None:
    """-2 and 2 are inside."""
    judge.settle(*over(chat_requests, ("penalties",), replies.accepted))


@requirement("GPT-19", surface="chat")
def test_every_documented_effort(judge: Judge, chat_requests: Observation) -> None:
    """Five words are documented."""
    names = tuple(f"effort-{word}" for word in ("none", "low", "medium", "high", "xhigh"))
    judge.settle(*over(chat_requests, names, replies.accepted))


@requirement("GPT-22", surface="chat")
def test_other_openai_fields_are_known(judge: Judge, chat_requests: Observation) -> None:
    """Unknown means not in the public format."""
    judge.settle(*over(chat_requests, ("other-openai-fields",), replies.accepted))


# ------------------------------------------------------------------ what arrives upstream
@requirement("CREQ-24", surface="chat")
def test_sampling_settings_reach_the_model(judge: Judge, chat_requests: Observation) -> None:
    """A setting that is accepted and dropped changes every answer."""
    names = ("top-p", "temperature-low", "temperature-0.7", "temperature-high", "penalties")
    settings = ("temperature", "top_p", "frequency_penalty", "presence_penalty")
    judge.each(chat_requests.where(*names), posts.settings_arrive(*settings))


@requirement("GPT-09", surface="chat")
def test_max_tokens_passes_through(judge: Judge, chat_requests: Observation) -> None:
    """Changing the cap changes the bill."""
    judge.settle(*over(chat_requests, ("pass-through",), posts.passes_through("max_tokens")))


@requirement("GPT-10", surface="chat")
def test_stop_passes_through(judge: Judge, chat_requests: Observation) -> None:
    """A lost stop word lets the model run on."""
    judge.settle(*over(chat_requests, ("pass-through",), posts.passes_through("stop")))


@requirement("GPT-11", surface="chat")
def test_n_passes_through(judge: Judge, chat_requests: Observation) -> None:
    """The caller asked for n answers."""
    judge.settle(
        *over(chat_requests, ("pass-through",), posts.passes_through("n")),
        *over(chat_requests, ("pass-through",), replies.one_choice_per_n),
    )


@requirement("GPT-12", surface="chat")
def test_seed_passes_through(judge: Judge, chat_requests: Observation) -> None:
    """Without its seed an evaluation cannot be repeated."""
    judge.settle(*over(chat_requests, ("pass-through",), posts.passes_through("seed")))


@requirement("GPT-13", surface="chat")
def test_tools_pass_through(judge: Judge, chat_requests: Observation) -> None:
    """A changed schema changes what the model may call."""
    judge.settle(*over(chat_requests, ("pass-through",), posts.passes_through("tools")))


@requirement("GPT-14", surface="chat")
def test_tool_choice_passes_through(judge: Judge, chat_requests: Observation) -> None:
    """Whether a tool must be called is the caller's decision."""
    judge.settle(*over(chat_requests, ("pass-through",), posts.passes_through("tool_choice")))


@requirement("GPT-15", surface="chat")
def test_response_format_passes_through(judge: Judge, chat_requests: Observation) -> None:
    """JSON mode lost is a parser broken."""
    judge.settle(*over(chat_requests, ("pass-through",), posts.passes_through("response_format")))


@requirement("GPT-16", surface="chat")
def test_logprobs_pass_through(judge: Judge, chat_requests: Observation) -> None:
    """Both members."""
    judge.settle(*over(chat_requests, ("pass-through",), posts.passes_through("logprobs", "top_logprobs")))


@requirement("GPT-17", surface="chat")
def test_user_passes_through(judge: Judge, chat_requests: Observation) -> None:
    """Abuse handling at the provider is by this member."""
    judge.settle(*over(chat_requests, ("pass-through",), posts.passes_through("user")))


@requirement("GPT-18", surface="chat")
def test_parallel_tool_calls_passes_through(judge: Judge, chat_requests: Observation) -> None:
    """An agent that handles one call at a time relies on it."""
    judge.settle(*over(chat_requests, ("pass-through",), posts.passes_through("parallel_tool_calls")))


@requirement("GPT-20", surface="chat")
def test_reasoning_effort_passes_through(judge: Judge, chat_requests: Observation) -> None:
    """Effort decides latency and cost."""
    judge.settle(*over(chat_requests, ("pass-through",), posts.passes_through("reasoning_effort")))


@requirement("CREQ-11", surface="chat", widens=True)
def test_top_p_defaults_to_1(judge: Judge, chat_replies: Observation) -> None:
    """A default of the gateway's own changes every answer of those who set nothing."""
    judge.each(chat_replies.where("plain"), posts.defaults_arrive(top_p=1))


@requirement("CLA-10", surface="chat", widens=True)
def test_claude_temperature_defaults_to_1(judge: Judge, chat_replies: Observation) -> None:
    """The same on the Claude models."""
    judge.each(chat_replies.where("plain", role="anthropic"), posts.defaults_arrive(temperature=1))


@requirement("GPT-03", surface="chat", widens=True)
def test_gpt_temperature_defaults_to_1(judge: Judge, chat_replies: Observation) -> None:
    """The same on gpt-5.5."""
    judge.each(chat_replies.where("plain", role="openai"), posts.defaults_arrive(temperature=1))


@requirement("GPT-05", "GPT-06", surface="chat", widens=True)
def test_penalties_default_to_0(judge: Judge, chat_replies: Observation) -> None:
    """A penalty that nobody asked for makes a model avoid its own words."""
    rule = posts.defaults_arrive(frequency_penalty=0, presence_penalty=0)
    judge.each(chat_replies.where("plain", role="openai"), rule)


@requirement("CREQ-07", surface="chat")
def test_turns_arrive_in_order(judge: Judge, chat_requests: Observation) -> None:
    """The last turn is the one to answer."""
    judge.settle(*over(chat_requests, ("roles",), posts.turns_in_order))


@requirement("CREQ-17", surface="chat")
def test_group_is_not_forwarded(judge: Judge, chat_requests: Observation) -> None:
    """Strict providers refuse fields that they do not know."""
    judge.settle(*over(chat_requests, ("group-default",), posts.group_stays_inside))


# ------------------------------------------------------------------ refused
@requirement("CREQ-01", surface="chat")
def test_missing_model_is_400(judge: Judge, chat_bad_requests: Observation) -> None:
    """A default model would bill what nobody chose."""
    judge.settle(*over(chat_bad_requests, ("no-model",), errors.status(400)))


@requirement("CREQ-02", surface="chat")
def test_unknown_model_is_refused(judge: Judge, chat_bad_requests: Observation) -> None:
    """A silent substitute is another product at another price."""
    judge.settle(*over(chat_bad_requests, ("unknown-model",), errors.refused))


@requirement("CREQ-02", surface="chat")
def test_unknown_model_is_told_in_the_envelope(judge: Judge, chat_bad_requests: Observation) -> None:
    """The message says which name is wrong, and clients read it there."""
    judge.settle(*over(chat_bad_requests, ("unknown-model",), errors.has_error_object))


@requirement("CREQ-03", surface="chat")
def test_missing_messages_is_400(judge: Judge, chat_bad_requests: Observation) -> None:
    """Nothing to answer."""
    judge.settle(*over(chat_bad_requests, ("no-messages",), errors.status(400)))


@requirement("CREQ-12", surface="chat")
def test_top_p_out_of_range_is_400(judge: Judge, chat_bad_requests: Observation) -> None:
    """Clamped sampling hides a mistake."""
    judge.settle(*over(chat_bad_requests, ("top-p-high", "top-p-low"), errors.status(400)))


@requirement("CREQ-19", surface="chat")
def test_malformed_json_is_400(judge: Judge, chat_bad_requests: Observation) -> None:
    """A 500 would be retried for ever."""
    judge.settle(*over(chat_bad_requests, ("malformed-json",), errors.status(400)))


@requirement("CREQ-19", surface="chat")
def test_malformed_json_is_told_in_the_envelope(judge: Judge, chat_bad_requests: Observation) -> None:
    """Parsers of frameworks answer in a form of their own, before the gateway has a say."""
    judge.settle(*over(chat_bad_requests, ("malformed-json",), errors.has_error_object))


@requirement("CREQ-20", surface="chat")
def test_wrong_type_is_400(judge: Judge, chat_bad_requests: Observation) -> None:
    """messages must be an array, max_tokens a number."""
    judge.settle(*over(chat_bad_requests, ("messages-not-array", "max-tokens-text"), errors.status(400)))


@requirement("CREQ-21", surface="chat")
def test_empty_messages_is_400(judge: Judge, chat_bad_requests: Observation) -> None:
    """Nothing to answer."""
    judge.settle(*over(chat_bad_requests, ("empty-messages",), errors.status(400)))


@requirement("CREQ-22", surface="chat")
def test_refused_shape_reaches_no_provider(judge: Judge, chat_bad_requests: Observation) -> None:
    """Zero upstream POSTs on a local refusal."""
    judge.settle(*over(chat_bad_requests, SHAPES, posts.none_if_refused))


@requirement("CLA-01", surface="chat")
def test_claude_without_max_tokens_is_400(judge: Judge, chat_bad_requests: Observation) -> None:
    """Documented on three places of the page; served with 4096 is the reading that the heading leaves open."""
    judge.each(chat_bad_requests.where("no-max-tokens", role="anthropic"), errors.refused_or_default_cap)


@requirement("CLA-02", surface="chat")
def test_streamed_claude_without_max_tokens_is_json_400(judge: Judge, chat_bad_requests: Observation) -> None:
    """An error inside a 200 stream is missed by every client that looks at the status."""
    judge.settle(
        *over(chat_bad_requests, ("no-max-tokens-streamed",), errors.refused_or_default_cap),
        *over(chat_bad_requests, ("no-max-tokens-streamed",), errors.refusal_is_json),
    )


@requirement("CLA-05", surface="chat")
def test_cap_is_hard(judge: Judge, chat_bad_requests: Observation) -> None:
    """128001 is above the documented cap."""
    judge.settle(*over(chat_bad_requests, ("max-tokens-over",), reply_tokens.refused_or_capped))


@requirement("CLA-09", surface="chat")
def test_senseless_max_tokens_is_400(judge: Judge, chat_bad_requests: Observation) -> None:
    """Zero, negative and fractional caps are mistakes."""
    names = ("max-tokens-zero", "max-tokens-negative", "max-tokens-fraction")
    judge.settle(*over(chat_bad_requests, names, errors.status(400)))


@requirement("CLA-11", surface="chat")
def test_claude_temperature_out_of_range_is_400(judge: Judge, chat_bad_requests: Observation) -> None:
    """The documented range ends at 1."""
    judge.settle(
        *(
            errors.status(400)(call)
            for call in chat_bad_requests.where("temperature-over", "temperature-under", role="anthropic")
        )
    )


@requirement("GPT-04", surface="chat")
def test_gpt_temperature_out_of_range_is_400(judge: Judge, chat_bad_requests: Observation) -> None:
    """The documented range ends at 2."""
    judge.settle(
        *(
            errors.status(400)(call)
            for call in chat_bad_requests.where("temperature-over", "temperature-under", role="openai")
        )
    )


@requirement("GPT-07", surface="chat")
def test_penalty_out_of_range_is_400(judge: Judge, chat_bad_requests: Observation) -> None:
    """Both penalties end at plus and minus two."""
    names = ("frequency-penalty-over", "presence-penalty-under")
    judge.settle(*over(chat_bad_requests, names, errors.status(400)))


@requirement("GPT-08", surface="chat")
def test_unknown_field_is_400(judge: Judge, chat_bad_requests: Observation) -> None:
    """A misspelt parameter must not be ignored."""
    judge.settle(*over(chat_bad_requests, ("unknown-field",), errors.status(400)))


@requirement("GPT-21", surface="chat")
def test_other_effort_is_400(judge: Judge, chat_bad_requests: Observation) -> None:
    """Five words are documented."""
    judge.settle(*over(chat_bad_requests, ("bad-effort",), errors.status(400)))
