"""Unstreamed chat completions: the reply's shape, its identity, its counters."""

from weighbridge.checks import replies, reply_tokens
from weighbridge.checks.findings import for_role, over
from weighbridge.evidence import Observation
from weighbridge.suite import Judge, requirement


@requirement("CRES-01", surface="chat")
def test_success_is_200_with_json(judge: Judge, chat_replies: Observation) -> None:
    """A client decodes JSON on 200; anything else sends it into its error path."""
    judge.each(chat_replies.where("plain", streamed=False), replies.is_json_200)


@requirement("CRES-02", surface="chat")
def test_reply_has_an_id(judge: Judge, chat_replies: Observation) -> None:
    """Support and logs refer to a reply by its id."""
    judge.each(chat_replies.where("plain", streamed=False), replies.has_id)


@requirement("CRES-03", surface="chat")
def test_ids_differ_between_calls(
    judge: Judge, chat_replies: Observation, chat_requests: Observation
) -> None:
    """Two replies under one id overwrite each other in every store keyed by it."""
    plain = chat_replies.where("plain", "tool-call", "low-cap", streamed=False)
    judge.settle(replies.ids_differ((*plain, *(call for call in chat_requests if not call.streamed))))


@requirement("CRES-04", surface="chat")
def test_object_names_a_completion(judge: Judge, chat_replies: Observation) -> None:
    """Typed clients dispatch on `object`."""
    judge.each(chat_replies.where("plain", streamed=False), replies.is_completion)


@requirement("CRES-05", surface="chat")
def test_created_is_unix_seconds(judge: Judge, chat_replies: Observation) -> None:
    """Milliseconds or text put the reply into another century."""
    judge.each(chat_replies.where("plain", streamed=False), replies.created_is_now)


@requirement("CRES-06", surface="chat")
def test_model_echoes_the_request(judge: Judge, chat_replies: Observation) -> None:
    """A bill by model, and any router in front, reads this member."""
    judge.each(chat_replies.where("plain", streamed=False), replies.echoes_model)


@requirement("CRES-07", surface="chat")
def test_choices_start_at_zero(judge: Judge, chat_replies: Observation) -> None:
    """Every client reads `choices[0]`."""
    judge.each(chat_replies.where("plain", streamed=False), replies.has_choices)


@requirement("CRES-08", surface="chat")
def test_message_is_the_assistants_text(judge: Judge, chat_replies: Observation) -> None:
    """The text must be a string under role assistant, or no client shows it."""
    judge.each(chat_replies.where("plain", streamed=False), replies.speaks_as_assistant)


@requirement("CRES-09", surface="chat")
def test_finish_reason_is_known(judge: Judge, chat_replies: Observation) -> None:
    """Agents branch on the four documented words."""
    judge.each(chat_replies.where("plain", streamed=False), replies.finish_is_known)


@requirement("CRES-10", surface="chat")
def test_usage_has_three_integers(judge: Judge, chat_replies: Observation) -> None:
    """Usage is the basis of the bill."""
    judge.each(chat_replies.where("plain", streamed=False), reply_tokens.counts_tokens)


@requirement("CRES-11", surface="chat")
def test_total_is_the_sum(judge: Judge, chat_replies: Observation) -> None:
    """A total that does not add up makes every budget wrong."""
    judge.each(chat_replies.where("plain", streamed=False), reply_tokens.totals_add_up)


@requirement("CRES-12", surface="chat")
def test_opus_reports_cached_tokens(judge: Judge, chat_replies: Observation) -> None:
    """The cached part is billed at another rate, so the customer must see it, also when it is zero."""
    judge.each(chat_replies.where("plain", role="anthropic", streamed=False), reply_tokens.reports_cached)


@requirement("CRES-13", surface="chat")
def test_cached_tokens_are_part_of_the_prompt(judge: Judge, chat_replies: Observation) -> None:
    """More cached than sent would make the bill for plain input negative."""
    judge.each(chat_replies.where("plain", streamed=False), reply_tokens.cached_within_prompt)


@requirement("CRES-13", surface="chat", widens=True)
def test_scripted_cache_hit_is_part_of_the_prompt(judge: Judge, chat_charges: Observation) -> None:
    """The same with a hit that the provider is known to have reported."""
    judge.settle(*over(chat_charges, ("charge-cached",), reply_tokens.cached_within_prompt))


@requirement("CRES-14", surface="chat")
def test_details_are_optional_elsewhere(judge: Judge, chat_replies: Observation) -> None:
    """Only the Opus page documents them."""
    rule = replies.reports(("usage", "prompt_tokens_details"), "prompt_tokens_details")
    judge.settle(*for_role(chat_replies.where("plain"), "openai", rule, streamed=False))


@requirement("CRES-17", surface="chat")
def test_further_members_are_told(judge: Judge, chat_replies: Observation) -> None:
    """Clients ignore what they do not know."""
    judge.each(chat_replies.where("plain", streamed=False), replies.extra_members)


@requirement("CRES-18", surface="chat")
def test_written_tokens_are_told(judge: Judge, chat_replies: Observation) -> None:
    """The format has a place for them."""
    rule = replies.reports(("usage", "prompt_tokens_details", "cache_write_tokens"), "cache_write_tokens")
    judge.each(chat_replies.where("plain", streamed=False), rule)


@requirement("PRAC-17", surface="chat")
def test_reply_names_a_model(judge: Judge, chat_replies: Observation) -> None:
    """Logs and bills are sorted by it."""
    judge.each(chat_replies.where("plain", streamed=False), replies.names_a_model)


@requirement("PRAC-16", surface="chat")
def test_parallel_callers_get_their_own_answers(judge: Judge, chat_upstream_side: Observation) -> None:
    """Mixed-up answers show one customer's data to another."""
    judge.settle(*over(chat_upstream_side, ("parallel",), replies.text_is_the_upstreams))


@requirement("CRES-15", surface="chat")
def test_usage_is_what_the_provider_reported(judge: Judge, chat_replies: Observation) -> None:
    """A gateway that counts anew bills numbers that nobody can check."""
    judge.each(chat_replies.where("plain", streamed=False), reply_tokens.usage_is_the_upstreams)


@requirement("CRES-16", surface="chat")
def test_tool_call_is_complete(judge: Judge, chat_replies: Observation) -> None:
    """An agent executes exactly what stands in these members."""
    judge.each(chat_replies.where("tool-call", streamed=False), replies.carries_tool_call)


@requirement("CLA-08", surface="chat")
def test_low_cap_truncates_with_length(judge: Judge, chat_replies: Observation) -> None:
    """`length` tells the client that there is more to ask for."""
    judge.each(chat_replies.where("low-cap", role="anthropic", streamed=False), reply_tokens.cut_by_cap)


@requirement("CLA-06", surface="chat")
def test_max_tokens_bounds_the_output(judge: Judge, chat_replies: Observation) -> None:
    """The cap is the caller's only bound on cost."""
    judge.each(chat_replies.where("low-cap", role="anthropic", streamed=False), reply_tokens.within_cap)
