"""Rules about charges whose usage nobody scripted: the bill against what the reply itself reports."""

from __future__ import annotations

from typing import Any

from weighbridge.checks import message_events, transcripts
from weighbridge.checks.charges import Case, cases, charge_finding, unseen_charge
from weighbridge.checks.findings import is_int, member, needs
from weighbridge.evidence import Call, Observation, RunFacts
from weighbridge.money import LONG_CONTEXT_ABOVE, LONG_CONTEXT_BINARY, Usage, price
from weighbridge.verdict import Finding, Outcome


def reported(call: Call) -> Usage | None:
    """Tokens as the reply reports them, streamed or not, in either dialect; None where it reports none."""
    if call.surface == "messages":
        return _of_messages(_message_usage(call))
    if call.streamed:
        told = [member(piece.json, "usage") for piece in transcripts.read(call).chunks]
        return next((usage for usage in map(_of_chat, reversed(told)) if usage is not None), None)
    return _of_chat(member(call.exchange.json, "usage"))


def _count(usage: Any, *path: str) -> int:
    found = member(usage, *path)
    return found if is_int(found) else 0


def _of_chat(usage: Any) -> Usage | None:
    """docs: Pricing: prompt_tokens holds the cached ones."""
    if not is_int(member(usage, "prompt_tokens")) or not is_int(member(usage, "completion_tokens")):
        return None
    return Usage(
        usage["prompt_tokens"],
        usage["completion_tokens"],
        _count(usage, "prompt_tokens_details", "cached_tokens"),
    )


def _message_usage(call: Call) -> dict[str, Any]:
    """The usage block; of a stream what its first event says, overwritten by what later ones do."""
    if not call.streamed:
        found = member(call.exchange.json, "usage")
        return found if isinstance(found, dict) else {}
    events = message_events.read(call)
    told = [member(event.json, "message", "usage") for event in events.of("message_start")]
    told += [member(event.json, "usage") for event in events.of("message_delta")]
    whole: dict[str, Any] = {}
    for usage in told:
        whole |= {name: value for name, value in (usage or {}).items() if value is not None}
    return whole


def _of_messages(usage: dict[str, Any]) -> Usage | None:
    """Anthropic format: input_tokens excludes what was read from a cache or written to it."""
    if not is_int(usage.get("input_tokens")) or not is_int(usage.get("output_tokens")):
        return None
    read = _count(usage, "cache_read_input_tokens")
    written = _count(usage, "cache_creation_input_tokens")
    searches = _count(usage, "server_tool_use", "web_search_requests")
    whole = usage["input_tokens"] + read + written
    return Usage(whole, usage["output_tokens"], read, written, searches)


def charged_by_report(
    observation: Observation,
    facts: RunFacts,
    *names: str,
    long_context: bool | None = None,
    role: str | None = None,
    counter: str = "",
) -> list[Finding]:
    """The balance fell by the price of the usage that the reply reports.

    Args:
        observation: of the probe that sent real prompts.
        facts: the rate card.
        names: the situations.
        long_context: the tier that the prompt was made for; a prompt that came out on the other side of the
            boundary, or between its two readings, decides nothing. None is for models and prompts without tiers.
        role: the one model role to look at.
        counter: `cached` or `written`: a reply that reports none of these decides nothing.
    """
    findings: list[Finding] = []
    for name in names:
        found = cases(observation, name, role)
        if isinstance(found, Finding):
            findings.append(found)
            continue
        findings += [_one(case, facts, long_context, counter) for case in found]
    return findings


def _open(case: Case, observed: str, missing: str) -> Finding:
    return Finding(
        Outcome.NOT_VERIFIED, observed=f"{observed} ({case.label})", evidence=case.evidence, missing=missing
    )


def _one(case: Case, facts: RunFacts, long_context: bool | None, counter: str) -> Finding:
    call = case.calls[-1]
    card = facts.rates.get(call.model or "")
    if card is None:
        return needs("rates")
    usage = reported(call) if call.exchange.ok else None
    if usage is None:
        return _open(
            case, "the call was not served, or its reply reports no usage", "a served call with usage"
        )
    if counter and not getattr(usage, counter):
        return _open(
            case, f"the reply reports no {counter} tokens", f"a provider that reports {counter} tokens"
        )
    openai = (call.role or "").startswith("openai")
    if openai and not (
        usage.prompt > LONG_CONTEXT_BINARY if long_context else usage.prompt <= LONG_CONTEXT_ABOVE
    ):
        told = f"the prompt came out at {usage.prompt} tokens"
        return _open(case, told, "a prompt on that side of the boundary")
    if not openai and long_context is False and usage.prompt <= LONG_CONTEXT_BINARY:
        return _open(case, f"the prompt came out at {usage.prompt} tokens", "a prompt beyond the boundary")
    try:
        expected = price(usage, dict(card), long_context=bool(long_context))
    except KeyError as error:
        return needs(f"rates ({error.args[0]})")
    return unseen_charge(case, expected, facts) or charge_finding(case, expected, facts)
