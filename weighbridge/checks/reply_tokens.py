"""Rules about the tokens of one unstreamed chat completion: its usage counters, and the caps on its output."""

from __future__ import annotations

import json

from weighbridge.checks.findings import (
    alternative,
    broken,
    holds,
    is_int,
    member,
    met,
    needs,
    not_applicable,
    on_success,
    outcome_of,
    unjudged,
)
from weighbridge.checks.replies import field
from weighbridge.evidence import Call, Observation
from weighbridge.verdict import Finding, Outcome

#: The documented hard cap of the Claude models (S0, Request body: max_tokens).
OUTPUT_CAP = 128_000
_COUNTERS = ("prompt_tokens", "completion_tokens", "total_tokens")
counts_tokens = field(
    "usage holds integer prompt_tokens, completion_tokens, total_tokens",
    ("usage",),
    lambda value: isinstance(value, dict) and all(is_int(value.get(name)) for name in _COUNTERS),
)
reports_cached = field(
    "usage.prompt_tokens_details.cached_tokens is present",
    ("usage", "prompt_tokens_details", "cached_tokens"),
    is_int,
)


@on_success
def totals_add_up(call: Call) -> Finding:
    """total = prompt + completion."""
    usage = member(call.exchange.json, "usage")
    if not isinstance(usage, dict) or not all(is_int(usage.get(name)) for name in _COUNTERS):
        return unjudged(call, "the reply counts no tokens")
    prompt, completion, total = (usage[name] for name in _COUNTERS)
    return holds(
        call,
        total == prompt + completion,
        "total_tokens = prompt_tokens + completion_tokens",
        f"{total} against {prompt} + {completion}",
    )


@on_success
def cached_within_prompt(call: Call) -> Finding:
    """Cached tokens are part of the prompt."""
    cached = member(call.exchange.json, "usage", "prompt_tokens_details", "cached_tokens")
    prompt = member(call.exchange.json, "usage", "prompt_tokens")
    if cached is None:
        return not_applicable("the replies report no cached_tokens")
    return holds(
        call,
        is_int(cached) and is_int(prompt) and 0 <= cached <= prompt,
        "0 <= cached_tokens <= prompt_tokens",
        f"cached_tokens {cached}, prompt_tokens {prompt}",
    )


@on_success
def usage_is_the_upstreams(call: Call) -> Finding:
    """The counters are those that the provider reported."""
    if call.scenario is None or call.scenario.prompt_tokens is None:
        return needs("upstream")
    usage = member(call.exchange.json, "usage")
    seen = (member(usage, "prompt_tokens"), member(usage, "completion_tokens"))
    expected = (call.scenario.prompt_tokens, call.scenario.completion_tokens)
    return holds(
        call,
        seen == expected,
        f"usage as the provider reported it: {expected[0]} in, {expected[1]} out",
        f"{seen[0]} in, {seen[1]} out",
    )


@on_success
def cut_by_cap(call: Call) -> Finding:
    """A low max_tokens cuts the answer, and finish_reason says length."""
    if call.upstream is None:
        return needs("upstream")
    finish = member(call.exchange.json, "choices", 0, "finish_reason")
    return holds(
        call,
        finish == "length",
        "finish_reason length when max_tokens cuts the answer",
        f"finish_reason {finish!r}",
    )


@on_success
def within_cap(call: Call) -> Finding:
    """max_tokens bounds the output."""
    completion = member(call.exchange.json, "usage", "completion_tokens")
    cap = member(json.loads(call.exchange.request.body), "max_tokens")
    if not is_int(completion):
        return unjudged(call, "the reply counts no tokens")
    return holds(
        call, completion <= cap, f"completion_tokens <= max_tokens ({cap})", f"completion_tokens {completion}"
    )


def refused_or_capped(call: Call) -> Finding:
    """Above the hard cap: 400, or served within the cap (reading C26); an upstream in view shows which cap."""
    required = "max_tokens above 128000 gives 400 or is capped"
    if call.exchange.status == 400:
        return met(call, required, "400")
    if not call.exchange.ok:
        return broken(call, required, outcome_of(call))
    arrived = [member(post.json, "max_tokens") for post in call.upstream or () if post.is_model_call]
    above = [value for value in arrived if is_int(value) and value > OUTPUT_CAP]
    if above:
        return broken(call, required, f"served, and max_tokens {above[0]} arrived upstream")
    shown = f"max_tokens {arrived[0]} arrived upstream" if arrived else "the upstream is not in view"
    return alternative(call, required, f"served, {shown} (reading C26)")


def finished_as_scripted(call: Call) -> Finding:
    """finish_reason, text and counters as the provider gave them, whatever the cap."""
    if call.scenario is None:
        return needs("upstream")
    if not call.exchange.ok:
        return broken(call, "the call is served", outcome_of(call))
    expected = call.scenario.finish or "stop"
    finish = member(call.exchange.json, "choices", 0, "finish_reason")
    completion = member(call.exchange.json, "usage", "completion_tokens")
    return holds(
        call,
        finish == expected and completion == call.scenario.completion_tokens,
        f"finish_reason {expected} after {call.scenario.completion_tokens} tokens",
        f"finish_reason {finish!r} after {completion} tokens",
    )


@on_success
def output_within(call: Call) -> Finding:
    """No reply counts more output than the documented 128,000 tokens."""
    completion = member(call.exchange.json, "usage", "completion_tokens")
    if not is_int(completion):
        return unjudged(call, "the reply counts no tokens")
    return holds(call, completion <= OUTPUT_CAP, f"at most {OUTPUT_CAP} output tokens", f"{completion}")


def pictures_count(observation: Observation) -> list[Finding]:
    """A picture raises prompt_tokens, a large one by more than a small one."""
    findings = []
    for role in dict.fromkeys(call.role for call in observation.calls):
        calls = {
            name: observation.where(name, role=role)
            for name in ("image-none", "image-png", "image-png-large")
        }
        if not all(found and found[0].exchange.ok for found in calls.values()):
            findings.append(
                Finding(
                    Outcome.NOT_VERIFIED,
                    observed=f"a call with a picture was not served ({role})",
                    missing="vision",
                )
            )
            continue
        none, small, large = (
            member(found[0].exchange.json, "usage", "prompt_tokens") for found in calls.values()
        )
        if not all(is_int(value) for value in (none, small, large)):
            findings.append(unjudged(calls["image-none"][0], "the replies count no tokens"))
            continue
        findings.append(
            holds(
                calls["image-png-large"][0],
                none < small < large,
                "prompt_tokens rise with a picture, and more with a large one",
                f"{none} without, {small} with a small, {large} with a large one",
            )
        )
    return findings
