"""Rules about the rate limit per user (TRAT rows): bursts, refusals, the way back.

A burst counts as one only if it was sent and answered within a window's length; one that took longer, on a
slow line or a busy machine, may lawfully have been served in whole.
"""

from __future__ import annotations

from collections.abc import Sequence

from weighbridge import tolerances
from weighbridge.checks.findings import broken, holds, met, needs, not_applicable, outcome_of, unjudged
from weighbridge.checks.tasks import creates_nothing
from weighbridge.checks.tasks_credits import charged_for_each
from weighbridge.evidence import Call, Observation, header
from weighbridge.retry_after import announced_wait
from weighbridge.verdict import Finding, Outcome


def span(calls: Sequence[Call]) -> float:
    """Seconds from the first byte sent to the last answer."""
    return max(c.exchange.started + c.exchange.ended_at for c in calls) - min(
        c.exchange.started for c in calls
    )


def limited(call: Call) -> bool:
    """Whether the call was refused for its rate."""
    return call.exchange.status == 429


def absent(observation: Observation, situation: str) -> Finding:
    """Why there is no such burst."""
    missing = dict(observation.missing)
    reason = missing.get(situation, missing.get("*"))
    if reason is not None:
        return needs(reason)
    return Finding(Outcome.NOT_VERIFIED, observed=f"nothing was observed for {situation}", inside_scope=True)


def _too_slow(calls: Sequence[Call]) -> Finding:
    return unjudged(
        calls[-1], f"{len(calls)} requests took {span(calls):.2f} s, too long to exceed a limit per second"
    )


def all_served(observation: Observation, *situations: str) -> Finding:
    """None of these is refused for its rate."""
    calls = observation.where(*situations)
    if not calls:
        return absent(observation, situations[0])
    refused = next((call for call in calls if limited(call)), None)
    if refused is not None:
        return broken(
            refused,
            f"{len(calls)} requests are served",
            f"a 429 among {len(calls)} requests in {span(calls):.2f} s",
        )
    stopped = next((call for call in calls if not _let_through(call)), None)
    if stopped is not None:
        return unjudged(stopped, f"not served, and not for its rate: {outcome_of(stopped)}")
    return met(calls[-1], "served", f"{len(calls)} requests in {span(calls):.2f} s without a 429")


def _let_through(call: Call) -> bool:
    """Whether the request came past the limit, as one that is answered 404 did; a bad key or a failure shows nothing."""
    status = call.exchange.status
    return status is not None and status < 500 and status not in {401, 403, 429}


def full_rate_served(observation: Observation, *situations: str) -> Finding:
    """None of as many requests as a second allows is refused for its rate, if they were sent within one."""
    calls = observation.where(*situations)
    found = all_served(observation, *situations)
    sent = [call.exchange.started for call in calls]
    if found.outcome is not Outcome.MET or max(sent) - min(sent) <= tolerances.RATE_WINDOW_S:
        return found
    return unjudged(
        calls[-1], f"it took {max(sent) - min(sent):.2f} s to send {len(calls)} requests, more than a second"
    )


def neighbour_served(observation: Observation) -> Finding:
    """While one user is refused for its rate, another one is served."""
    if not any(limited(call) for call in observation.where("burst:poll")):
        return nothing_refused(observation, "burst:poll")
    return all_served(observation, "neighbour:balance:read")


def some_refused(observation: Observation, *situations: str) -> Finding:
    """A burst above twice the limit holds a 429."""
    calls = observation.where(*situations)
    if not calls:
        return absent(observation, situations[0])
    refused = [call for call in calls if limited(call)]
    if refused:
        return met(
            refused[0],
            "a 429 in the burst",
            f"{len(refused)} of {len(calls)} requests in {span(calls):.2f} s",
        )
    if span(calls) > tolerances.RATE_WINDOW_S:
        return _too_slow(calls)
    lost = next((call for call in calls if call.exchange.status is None), None)
    if lost is not None:
        return unjudged(lost, f"not all of {len(calls)} requests were answered: {outcome_of(lost)}")
    return broken(
        calls[-1], f"a 429 among {len(calls)} requests within a second", f"none in {span(calls):.2f} s"
    )


def refusals(*observations: Observation) -> list[Call]:
    """All calls that were refused for their rate while a probe provoked it."""
    return [call for observation in observations for call in observation if limited(call)]


def says_when(call: Call) -> Finding:
    """Retry-After is there."""
    value = _retry_after(call)
    return holds(call, value is not None, "a Retry-After header", "none" if value is None else value)


def says_when_in_seconds(call: Call) -> Finding:
    """Retry-After is a positive number of seconds."""
    value = _retry_after(call)
    if value is None:
        return unjudged(call, "no Retry-After")
    return holds(
        call, _positive(value), "Retry-After is a positive number of seconds", f"Retry-After: {value}"
    )


def _retry_after(call: Call) -> str | None:
    return header(call.exchange.response.headers, "retry-after") if call.exchange.response else None


def _positive(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False


def nothing_refused(observation: Observation, situation: str) -> Finding:
    """Why no 429 can be judged."""
    calls = observation.where(situation)
    if not calls:
        return absent(observation, situation)
    return unjudged(calls[-1], f"no 429 among {len(calls)} requests")


def recovers(observation: Observation) -> Finding:
    """Served after the announced wait, at most a second later (reading C31)."""
    calls = observation.where("recovered:poll")
    if not calls:
        return nothing_refused(observation, "burst:poll")
    last = calls[-1]
    refused = [call for call in observation.where("burst:poll") if limited(call)]
    waited = last.exchange.started - max(call.exchange.started for call in refused) if refused else 0.0
    announced = max((announced_wait(call.exchange) or 0.0 for call in refused), default=0.0)
    if limited(last) and waited < announced:
        return unjudged(last, f"{announced:g} s were announced, and {waited:.1f} s were waited")
    if not limited(last) and not _let_through(last):
        return unjudged(last, f"not served, and not for its rate: {outcome_of(last)}")
    required = "a request after Retry-After is served"
    return holds(last, not limited(last), required, f"{last.exchange.status} after {waited:.2f} s")


def window_is_short(observation: Observation) -> Finding:
    """Two seconds after a burst the user is served again."""
    calls = observation.where("window-over:balance:read")
    burst = observation.where("burst:balance:read")
    if not calls or not burst:
        return absent(observation, "window-over:balance:read")
    if not any(limited(call) for call in burst):
        return unjudged(burst[-1], "no 429 in the burst, so there is no way back to see")
    last = calls[-1]
    if not limited(last) and not _let_through(last):
        return unjudged(last, f"not served, and not for its rate: {outcome_of(last)}")
    return holds(last, not limited(last), "served again within two seconds", outcome_of(last))


def _share_phase(one: Sequence[Call], other: Sequence[Call]) -> bool:
    """Whether one edge per second could fall into both bursts."""
    apart = min(c.exchange.started for c in other) - min(c.exchange.started for c in one)
    phase = apart % tolerances.RATE_WINDOW_S
    return phase <= span(one) or phase + span(other) >= tolerances.RATE_WINDOW_S


def keys_share(observation: Observation) -> Finding:
    """Two keys of one user, each within its limit, exceed it together."""
    bursts = [calls for n in (1, 2) if (calls := observation.where(f"two-keys-{n}:poll"))]
    if not bursts:
        return absent(observation, "two-keys-1:poll")
    for calls in bursts:
        refused = next((call for call in calls if limited(call)), None)
        if refused is not None:
            return met(
                refused,
                "two keys of one user share its limit",
                f"a 429 among {len(calls)} requests of two keys",
            )
    # A burst that an edge between windows falls into may be served in whole; not so two in different phases.
    if len(bursts) < 2 or _share_phase(bursts[0], bursts[1]):
        return _too_slow(bursts[-1])
    lost = next((call for calls in bursts for call in calls if call.exchange.status is None), None)
    if lost is not None:
        return unjudged(lost, f"not all requests were answered: {outcome_of(lost)}")
    total = len(bursts[-1])
    return broken(
        bursts[-1][-1],
        "two keys of one user share its limit",
        f"{total} requests of two keys were served in one second",
    )


def leaves_no_trace(observation: Observation, price: int | None) -> list[Finding]:
    """Refused submissions: no id, no provider call; the debit is that of the accepted ones."""
    calls = observation.where("burst")
    if not calls:
        return [absent(observation, "burst")]
    refused = [call for call in calls if limited(call)]
    if not refused:
        return [nothing_refused(observation, "burst")]
    return [*(creates_nothing(call) for call in refused), charged_for_each(observation, "burst", price)]


def window_kind(*observations: Observation) -> Finding:
    """Report only: more than the limit served in one burst shows an edge between fixed windows inside it."""
    bursts = [[c for c in item if c.situation.startswith("burst")] for item in observations]
    partly = [calls for calls in bursts if any(limited(call) for call in calls)]
    if not partly:
        return not_applicable("no burst was refused in part")
    served = [sum(1 for call in calls if not limited(call)) for calls in partly]
    kind = (
        "an edge of fixed windows lay inside"
        if max(served) > tolerances.TASK_RATE_LIMIT
        else "no edge was seen"
    )
    return met(partly[0][-1], "fixed or sliding windows", f"served of each burst: {served}; {kind}")
