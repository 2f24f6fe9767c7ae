"""Rules about the rate limit of token groups on the chat surface."""

from __future__ import annotations

from weighbridge.checks import errors, posts
from weighbridge.checks.findings import broken, holds, met, needs, outcome_of, situation
from weighbridge.evidence import Call, Observation
from weighbridge.verdict import Finding, Outcome


def _burst(observation: Observation) -> tuple[list[Call], list[Call]] | Finding:
    """Served and refused calls of the burst."""
    calls = situation(observation, "group-burst")
    if isinstance(calls, Finding):
        return calls
    refused = [call for call in calls if call.exchange.status == 429]
    return [call for call in calls if call.exchange.ok], refused


def burst_meets_429(observation: Observation) -> Finding:
    """More than twice the limit within a second contains a 429, and nothing else but successes."""
    burst = _burst(observation)
    if isinstance(burst, Finding):
        return burst
    served, refused = burst
    calls = observation.where("group-burst")
    odd = [call for call in calls if not call.exchange.ok and call.exchange.status != 429]
    if odd:
        return broken(odd[0], "the burst is served or answered 429", outcome_of(odd[0]))
    evidence = refused[0] if refused else calls[-1]
    return holds(
        evidence,
        bool(refused),
        "a burst beyond the group's limit meets a 429",
        f"{len(served)} of {len(calls)} calls were served",
    )


def unless_limited(observation: Observation) -> Finding | None:
    """Why nothing about a refused call can be judged: the burst is missing, or met no 429."""
    burst = _burst(observation)
    if isinstance(burst, Finding):
        return burst
    if not burst[1]:
        return Finding(Outcome.NOT_VERIFIED, observed="the burst met no 429", inside_scope=True)
    return None


def other_group_serves(observation: Observation) -> list[Finding]:
    """While one group is at its limit another serves."""
    blocked = unless_limited(observation)
    if blocked is not None:
        return [blocked]
    return [
        holds(call, call.exchange.ok, "another group serves", outcome_of(call))
        for call in observation.where("group-other")
    ]


def group_recovers(observation: Observation) -> list[Finding]:
    """After backing off, the group serves again."""
    blocked = unless_limited(observation)
    if blocked is not None:
        return [blocked]
    calls = observation.where("group-recovered")
    return [
        holds(call, call.exchange.ok, "the group serves again after two seconds", outcome_of(call))
        for call in calls
    ]


def retry_after_parses(observation: Observation) -> list[Finding]:
    """Retry-After on a 429 of this surface is optional, but must parse."""
    burst = _burst(observation)
    if isinstance(burst, Finding):
        return [burst]
    return [errors.retry_after_parses(call) for call in burst[1]]


def limited_call_reaches_no_provider(observation: Observation) -> list[Finding]:
    """A 429 of the gateway's own causes no upstream POST."""
    blocked = unless_limited(observation)
    if blocked is not None:
        return [blocked]
    refused = [call for call in observation.where("group-burst") if call.exchange.status == 429]
    return [posts.none_at_all(call) for call in refused]


def groups_use_their_channels(observation: Observation) -> list[Finding]:
    """Two groups of one model are served by different channels."""
    findings = []
    named = [call for call in observation.calls if call.situation.startswith("group:")]
    for role in dict.fromkeys(call.role for call in named):
        mine = [call for call in named if call.role == role]
        if any(call.upstream is None for call in mine):
            return [needs("upstream")]
        used = {call.situation.partition(":")[2]: dict(posts.by_upstream([call])) for call in mine}
        channels = {name for counter in used.values() for name in counter}
        findings.append(
            holds(
                mine[-1],
                len(channels) > 1,
                "the group decides which channel serves",
                f"channels by group: {used}",
            )
        )
    return findings


def none_equals_default(observation: Observation) -> list[Finding]:
    """A call that names no group is served by the channel of `default`."""
    findings = []
    for call in observation.where("group-none"):
        twin = observation.where("group:default", role=call.role)
        if call.upstream is None:
            return [needs("upstream")]
        if not twin:
            return [needs("groups.default")]
        left, right = dict(posts.by_upstream([call])), dict(posts.by_upstream(twin[:1]))
        findings.append(
            holds(call, left == right and bool(left), f"the channel of group default, {right}", f"{left}")
        )
    return findings


def unknown_group_is_told(call: Call) -> Finding:
    """A 4xx, or served by falling back: told, not judged; a 5xx is neither."""
    seen = call.exchange.status
    if call.exchange.ok:
        return met(call, "an unknown group is refused or falls back", "it falls back")
    return holds(
        call,
        seen is not None and 400 <= seen < 500,
        "an unknown group is refused or falls back",
        outcome_of(call),
    )
