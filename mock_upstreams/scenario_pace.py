"""The pace that a scenario asks for, as the schedule of one answer.

What is drawn depends on the seed and the call alone, so that the same call has the same schedule.
"""

import itertools
import random
import zlib

from mock_upstreams.pacing import AT_ONCE, Fixed, Gap, Lognormal, Pace, Trace, Uniform
from mock_upstreams.scenario import Scenario
from mock_upstreams.timings import Delay, Timing


def _gap_of(delay: Delay) -> Gap:
    if not isinstance(delay, Timing):
        return Fixed(delay / 1000)
    values = tuple(value / 1000 for value in delay.values)
    if delay.kind == "uniform":
        return Uniform(*values)
    if delay.kind == "lognormal":
        return Lognormal(values[0], delay.values[1])
    return Trace(values)


def first_s(delay: Delay, seed: int) -> float:
    """A delay that is needed once, in seconds."""
    return next(_gap_of(delay).gaps(random.Random(seed)))  # noqa: S311 - a schedule, no secret


def pace_of(scenario: Scenario, events: int, tokens: float, key: str) -> Pace:
    """The pace of an answer with `events` content events of `tokens` tokens each; `key` seeds what is drawn."""
    if not scenario.is_paced:
        return AT_ONCE
    seed = zlib.crc32(key.encode("utf-8", "surrogatepass"))
    pace = Pace(
        ttft_s=first_s(scenario.ttft_ms, seed),
        gap=_gap_of(scenario.gap_ms),
        chunk_tokens=max(1, round(tokens)),
        tokens_per_s=scenario.tokens_per_second,
        seed=seed,
    )
    return _with_spike(pace, scenario, events) if scenario.fault == "latency_spike" else pace


def _with_spike(pace: Pace, scenario: Scenario, events: int) -> Pace:
    spike_s = scenario.spike_ms / 1000
    at = min(scenario.after, max(0, events - 1))
    if at == 0:
        return Pace(pace.ttft_s + spike_s, pace.gap, pace.chunk_tokens, pace.tokens_per_s, pace.seed)
    offsets = itertools.islice(pace.offsets(), events)
    gaps = [later - earlier for earlier, later in itertools.pairwise(offsets)]
    gaps[at - 1] += spike_s
    return Pace(pace.ttft_s, Trace(tuple(gaps)))
