"""Requests that nobody tried by hand: documented members combined, and the same with one thing wrong in them."""

from weighbridge.checks import combinations, errors, failure_billing, posts
from weighbridge.checks.findings import over
from weighbridge.evidence import Observation
from weighbridge.probes.chat_combinations import VIOLATIONS
from weighbridge.suite import Judge, requirement


# ------------------------------------------------------------------ valid stays accepted
@requirement("CREQ-11", surface="chat", generated=True, widens=True)
def test_any_top_p_is_accepted_among_others(judge: Judge, chat_combinations: Observation) -> None:
    """A validator that knows the usual values refuses somebody's."""
    judge.settle(*combinations.accepted_with(chat_combinations, "top_p", "openai", "anthropic"))


@requirement("GPT-03", surface="chat", generated=True, widens=True)
def test_any_gpt_temperature_is_accepted_among_others(judge: Judge, chat_combinations: Observation) -> None:
    """The whole range, whatever else is set."""
    judge.settle(*combinations.accepted_with(chat_combinations, "temperature", "openai"))


@requirement("CLA-10", surface="chat", generated=True, widens=True)
def test_any_claude_temperature_is_accepted_among_others(
    judge: Judge, chat_combinations: Observation
) -> None:
    """The whole range, whatever else is set."""
    judge.settle(*combinations.accepted_with(chat_combinations, "temperature", "anthropic"))


@requirement("GPT-05", surface="chat", generated=True, widens=True)
def test_any_frequency_penalty_is_accepted_among_others(judge: Judge, chat_combinations: Observation) -> None:
    """Both signs, with the other penalty or without."""
    judge.settle(*combinations.accepted_with(chat_combinations, "frequency_penalty", "openai"))


@requirement("GPT-06", surface="chat", generated=True, widens=True)
def test_any_presence_penalty_is_accepted_among_others(judge: Judge, chat_combinations: Observation) -> None:
    """Both signs, with the other penalty or without."""
    judge.settle(*combinations.accepted_with(chat_combinations, "presence_penalty", "openai"))


@requirement("GPT-19", surface="chat", generated=True, widens=True)
def test_any_effort_is_accepted_among_others(judge: Judge, chat_combinations: Observation) -> None:
    """The five words, whatever else is set."""
    judge.settle(*combinations.accepted_with(chat_combinations, "reasoning_effort", "openai"))


@requirement("CREQ-04", surface="chat", generated=True, widens=True)
def test_conversations_are_accepted_with_any_members(judge: Judge, chat_combinations: Observation) -> None:
    """A second turn has the same settings as the first."""
    judge.settle(*combinations.accepted_in_conversation(chat_combinations))


# ------------------------------------------------------------------ one thing wrong is refused
@requirement("CREQ-01", surface="chat", generated=True, widens=True)
def test_no_model_is_400_whatever_else_is_set(judge: Judge, chat_combinations: Observation) -> None:
    """A default model would bill what nobody chose."""
    judge.settle(*over(chat_combinations, ("wrong:no-model",), errors.status(400)))


@requirement("CREQ-03", surface="chat", generated=True, widens=True)
def test_no_messages_is_400_whatever_else_is_set(judge: Judge, chat_combinations: Observation) -> None:
    """Nothing to answer."""
    judge.settle(*over(chat_combinations, ("wrong:no-messages",), errors.status(400)))


@requirement("CREQ-12", surface="chat", generated=True, widens=True)
def test_any_top_p_beyond_is_400_among_others(judge: Judge, chat_combinations: Observation) -> None:
    """Just beside the range and far away."""
    judge.settle(*over(chat_combinations, ("wrong:top-p",), errors.status(400)))


@requirement("CREQ-20", surface="chat", generated=True, widens=True)
def test_any_other_type_is_400_among_others(judge: Judge, chat_combinations: Observation) -> None:
    """Words, lists and objects where an array or a number belongs."""
    judge.settle(*over(chat_combinations, ("wrong:messages-type", "wrong:cap-type"), errors.status(400)))


@requirement("GPT-04", surface="chat", generated=True, widens=True)
def test_any_gpt_temperature_beyond_is_400_among_others(judge: Judge, chat_combinations: Observation) -> None:
    """Just beside the range and far away."""
    judge.settle(*over(chat_combinations, ("wrong:gpt-temperature",), errors.status(400)))


@requirement("CLA-11", surface="chat", generated=True, widens=True)
def test_any_claude_temperature_beyond_is_400_among_others(
    judge: Judge, chat_combinations: Observation
) -> None:
    """Just beside the range and far away."""
    judge.settle(*over(chat_combinations, ("wrong:claude-temperature",), errors.status(400)))


@requirement("GPT-07", surface="chat", generated=True, widens=True)
def test_any_penalty_beyond_is_400_among_others(judge: Judge, chat_combinations: Observation) -> None:
    """Just beside the range and far away, of either penalty."""
    names = ("wrong:frequency-penalty", "wrong:presence-penalty")
    judge.settle(*over(chat_combinations, names, errors.status(400)))


@requirement("GPT-08", surface="chat", generated=True, widens=True)
def test_unknown_member_is_400_whatever_its_value(judge: Judge, chat_combinations: Observation) -> None:
    """It is the name that is not known."""
    judge.settle(*over(chat_combinations, ("wrong:unknown-member",), errors.status(400)))


@requirement("GPT-21", surface="chat", generated=True, widens=True)
def test_any_other_effort_is_400_among_others(judge: Judge, chat_combinations: Observation) -> None:
    """Five words are documented."""
    judge.settle(*over(chat_combinations, ("wrong:effort",), errors.status(400)))


@requirement("CLA-09", surface="chat", generated=True, widens=True)
def test_any_senseless_cap_is_400_among_others(judge: Judge, chat_combinations: Observation) -> None:
    """Zero, below zero and fractions."""
    judge.settle(*over(chat_combinations, ("wrong:cap",), errors.status(400)))


@requirement("CREQ-22", surface="chat", generated=True, widens=True)
def test_no_wrong_combination_reaches_a_provider(judge: Judge, chat_combinations: Observation) -> None:
    """Zero upstream POSTs on a local refusal."""
    judge.each(chat_combinations.where(*VIOLATIONS), posts.none_if_refused)


@requirement("CREQ-23", surface="chat", generated=True, widens=True)
def test_wrong_combinations_cost_nothing(judge: Judge, chat_combinations: Observation) -> None:
    """A 400 is not charged."""
    judge.settle(
        failure_billing.refusals_cost_nothing(chat_combinations, judge.facts, "combined", tuple(VIOLATIONS))
    )
