"""Refusal of bad keys on the chat surface."""

from weighbridge.checks import errors, failure_billing, openai_sdk, posts, replies
from weighbridge.checks.findings import for_role, over
from weighbridge.evidence import Observation
from weighbridge.suite import Judge, requirement


@requirement("AUTH-01", surface="chat")
def test_a_good_key_is_accepted(judge: Judge, chat_replies: Observation) -> None:
    """The plainest call works with a bearer key."""
    judge.each(chat_replies.where("plain"), replies.accepted)


@requirement("SURF-06", surface="chat")
def test_a_stock_client_can_read_the_answers(judge: Judge, chat_replies: Observation) -> None:
    """What the OpenAI SDK decodes without an adapter: one typed completion, and typed chunks up to the end."""
    judge.settle(
        *(openai_sdk.reads_completion(call) for call in chat_replies.where("plain", streamed=False)),
        *(openai_sdk.reads_stream(call) for call in chat_replies.where("plain", streamed=True)),
    )


@requirement("SURF-01", surface="chat")
def test_the_three_models_are_served(judge: Judge, chat_replies: Observation) -> None:
    """Each page documents its model on this path."""
    calls = chat_replies.where("plain")
    roles = ("openai", "anthropic", "anthropic_sonnet")
    judge.settle(*(finding for role in roles for finding in for_role(calls, role, replies.accepted)))


@requirement("SURF-03", surface="chat")
def test_claude_is_served_on_chat(judge: Judge, chat_replies: Observation) -> None:
    """The Claude models are documented on this path."""
    judge.each(chat_replies.where("plain", role="anthropic"), replies.accepted)


@requirement("AUTH-10", surface="chat")
def test_one_key_serves_all_models(judge: Judge, chat_replies: Observation) -> None:
    """A customer routes between models of both families on one key."""
    calls = chat_replies.where("plain", streamed=False)
    judge.settle(
        *(finding for role in ("openai", "anthropic") for finding in for_role(calls, role, replies.accepted))
    )


@requirement("AUTH-02", surface="chat")
def test_no_key_is_refused(judge: Judge, chat_bad_keys: Observation) -> None:
    """A gateway that serves without a key serves the whole internet on its owner's bill."""
    judge.settle(*over(chat_bad_keys, ("no-key",), errors.status(401)))


@requirement("AUTH-03", surface="chat")
def test_unknown_key_is_refused(judge: Judge, chat_bad_keys: Observation) -> None:
    """200 on a made-up key means that keys are not looked at."""
    judge.settle(*over(chat_bad_keys, ("unknown-key",), errors.status(401)))


@requirement("AUTH-04", surface="chat")
def test_other_scheme_is_refused(judge: Judge, chat_bad_keys: Observation) -> None:
    """Only Bearer is documented."""
    judge.settle(*over(chat_bad_keys, ("wrong-scheme",), errors.status(401)))


@requirement("CERR-401-1", surface="chat")
def test_missing_and_invalid_key_are_401(judge: Judge, chat_bad_keys: Observation) -> None:
    """401 tells a client to issue a new key; any other status sends it elsewhere."""
    judge.settle(*over(chat_bad_keys, ("no-key", "unknown-key"), errors.status(401)))


@requirement("CERR-401-1", surface="chat")
def test_refused_key_is_told_in_the_envelope(judge: Judge, chat_bad_keys: Observation) -> None:
    """SDKs take the text of their authentication error from there."""
    judge.settle(*over(chat_bad_keys, ("no-key", "unknown-key"), errors.has_error_object))


@requirement("AUTH-03", "CERR-401-1", surface="chat", widens=True)
def test_revoked_key_is_refused(judge: Judge, chat_bad_keys: Observation) -> None:
    """Revoking is what a customer does when a key has leaked; it must work at once."""
    judge.settle(*over(chat_bad_keys, ("revoked-key",), errors.status(401)))


@requirement("AUTH-12", surface="chat")
def test_refused_key_is_charged_nothing(judge: Judge, chat_bad_keys: Observation) -> None:
    """A revoked key belongs to an account that still has money."""
    judge.settle(
        failure_billing.refusals_cost_nothing(chat_bad_keys, judge.facts, "revoked-key", ("revoked-key",))
    )


@requirement("SURF-04", surface="chat")
def test_sonnet_is_served_on_chat(judge: Judge, chat_replies: Observation) -> None:
    """The second Claude model is documented on this path."""
    judge.settle(*for_role(chat_replies.where("plain"), "anthropic_sonnet", replies.accepted))


@requirement("SURF-10", surface="chat")
def test_changing_the_model_name_is_enough(judge: Judge, chat_replies: Observation) -> None:
    """Both Claude models take the same request."""
    judge.settle(
        *for_role(chat_replies.where("plain"), "anthropic", replies.speaks_as_assistant, streamed=False),
        *for_role(
            chat_replies.where("plain"), "anthropic_sonnet", replies.speaks_as_assistant, streamed=False
        ),
    )


@requirement("AUTH-05", surface="chat")
def test_task_key_does_not_cross_over(judge: Judge, chat_bad_keys: Observation) -> None:
    """Keys of the other workspace belong to another balance."""
    judge.settle(*over(chat_bad_keys, ("other-workspace-key",), errors.status(401)))


@requirement("AUTH-11", surface="chat")
def test_refused_key_reaches_no_provider(judge: Judge, chat_bad_keys: Observation) -> None:
    """A call that nobody pays for must cost nobody anything."""
    judge.settle(*over(chat_bad_keys, ("no-key", "unknown-key", "wrong-scheme"), posts.none_if_401))


@requirement("AUTH-11", surface="chat", widens=True)
def test_revoked_key_reaches_no_provider(judge: Judge, chat_bad_keys: Observation) -> None:
    """The same for a key that once worked."""
    judge.settle(*over(chat_bad_keys, ("revoked-key",), posts.none_if_401))


@requirement("PRAC-06", surface="chat")
def test_refusal_does_not_repeat_the_key(judge: Judge, chat_bad_keys: Observation) -> None:
    """Error bodies end up in logs and tickets."""
    judge.settle(*over(chat_bad_keys, ("unknown-key", "wrong-scheme"), errors.keeps_key_out_of_body))
