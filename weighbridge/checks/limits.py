"""Rules about the rate limit of token groups on the chat surface."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from weighbridge import tolerances
from weighbridge.checks import errors, posts
from weighbridge.checks.findings import broken, holds, met, needs, outcome_of, situation, unjudged
from weighbridge.checks.tasks_limits import span
from weighbridge.evidence import Call, Observation
from weighbridge.retry_after import announced_wait
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
    calls = observation.where("group-burst")
    odd = [call for call in calls if (call.exchange.status or 0) >= 400 and call.exchange.status != 429]
    if odd:
        return broken(odd[0], "the burst is served or answered 429", outcome_of(odd[0]))
    return some_refused_at_once(calls)


def some_refused_at_once(calls: Sequence[Call]) -> Finding:
    """A 429 within a burst of more than twice a group's rate.

    A burst without any was one only if it was answered in whole, and within the second that the rate counts.
    """
    refused = [call for call in calls if call.exchange.status == 429]
    served = [call for call in calls if call.exchange.ok]
    took = span(calls)
    required = "a burst beyond the group's limit meets a 429"
    told = f"{len(served)} of {len(calls)} calls were served in {took:.2f} s"
    if refused:
        return met(refused[0], required, told)
    if len(served) < len(calls):
        lost = next(call for call in calls if not call.exchange.ok)
        return unjudged(lost, f"{told}, and no 429: {outcome_of(lost)}")
    if took > tolerances.RATE_WINDOW_S:
        return unjudged(calls[-1], f"{told}: too slow to exceed a limit per second")
    return broken(calls[-1], required, told)


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
    """After backing off for as long as was announced, or two seconds where nothing was, the group serves again."""
    burst = _burst(observation)
    blocked = unless_limited(observation)
    if blocked is not None or isinstance(burst, Finding):
        return [blocked] if blocked is not None else []
    return [_recovered(call, burst[1]) for call in observation.where("group-recovered")]


def _recovered(call: Call, refused: Sequence[Call]) -> Finding:
    quiet = call.exchange.started - max(one.exchange.started + one.exchange.ended_at for one in refused)
    announced = max((announced_wait(one.exchange) or 0.0 for one in refused), default=0.0)
    if call.exchange.status == 429 and quiet < announced:
        return unjudged(call, f"{announced:g} s were announced, and {quiet:.1f} s were waited")
    required = "the group serves again after the announced wait, or after two seconds where none is announced"
    return holds(call, call.exchange.ok, required, f"{outcome_of(call)}, {quiet:.1f} s after the last 429")


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


def _channels(call: Call) -> frozenset[str]:
    """The channels that a call came through, by the name that the simulator knows each by."""
    return frozenset(posts.by_upstream([call]))


def _named(channels: Iterable[str]) -> str:
    return ", ".join(sorted(channels))


def _by_group(observation: Observation, role: str | None) -> dict[str, Call]:
    """The call of each group that was named in one; the burst that looks for a limit is none of these."""
    calls = (call for call in observation.where(role=role) if call.situation.startswith("group:"))
    return {call.situation.partition(":")[2]: call for call in calls}


def groups_use_their_channels(observation: Observation) -> list[Finding]:
    """Two groups of one model are served by different channels."""
    findings = []
    named = [call for call in observation.calls if call.situation.startswith("group:")]
    for role in dict.fromkeys(call.role for call in named):
        mine = _by_group(observation, role)
        if any(call.upstream is None for call in mine.values()):
            return [needs("upstream")]
        if len(mine) < 2:
            return [needs("groups: two without a limit, whose channels the simulator can tell apart")]
        lost = [call for call in mine.values() if not posts.model_posts(call)]
        if lost:
            findings += [unjudged(call, f"the call reached no provider: {outcome_of(call)}") for call in lost]
            continue
        used = {name: _channels(call) for name, call in mine.items()}
        told = "; ".join(f"{name}: {_named(channels)}" for name, channels in used.items())
        required = (
            "the group decides which channel serves; channels are told apart by /u/NAME in their address"
        )
        last = list(mine.values())[-1]
        findings.append(holds(last, len(set(used.values())) > 1, required, f"channels by group: {told}"))
    return findings


def none_equals_default(observation: Observation) -> list[Finding]:
    """A call that names no group is served by a channel of `default`, whose pool may have several."""
    findings = []
    for call in observation.where("group-none"):
        groups = _by_group(observation, call.role)
        twin = groups.get("default")
        if call.upstream is None:
            return [needs("upstream")]
        if twin is None:
            return [needs("groups.default")]
        if not posts.model_posts(call) or not posts.model_posts(twin):
            lost = call if not posts.model_posts(call) else twin
            findings.append(unjudged(lost, f"the call reached no provider: {outcome_of(lost)}"))
            continue
        left, right = _channels(call), _channels(twin)
        others = {name for name, other in groups.items() if name != "default" and _channels(other) & left}
        told = _named(left)
        if left != right and not others:
            findings.append(
                unjudged(call, f"served by {told}, a channel that no named group was seen to use")
            )
            continue
        told = f"{told}, which group {', '.join(sorted(others))} uses" if left != right else told
        findings.append(holds(call, left == right, f"a channel of group default: {_named(right)}", told))
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
