"""Rules about the prompt cache (MCACHE rows): the two counters over a sequence of calls.

What a counter means depends on the calls before it, so the rules take the situations of the cache probe by
name. A target that reports neither counter at all is broken where a count above 0 is required. Where the target
file declares how long a region lives, a call that came later than that decides nothing.
"""

from __future__ import annotations

from weighbridge.checks.findings import holds, is_int, member, on_success, over, situation, unjudged
from weighbridge.evidence import Call, Observation, RunFacts
from weighbridge.verdict import Finding

#: Calls that send the first document, and so begin its window anew.
_SAME_REGION = ("cache-first", "cache-repeat", "cache-other-question")


def counters(call: Call) -> tuple[int, int]:
    """Tokens written to and read from the cache by one call; an absent counter is 0."""
    usage = member(call.exchange.json, "usage")
    written = member(usage, "cache_creation_input_tokens")
    read = member(usage, "cache_read_input_tokens")
    return (written if is_int(written) else 0, read if is_int(read) else 0)


def _told(call: Call) -> str:
    written, read = counters(call)
    return f"{written} written, {read} read"


@on_success
def writes(call: Call) -> Finding:
    """The region is new: it is written, and nothing is read for it."""
    written, read = counters(call)
    required = "cache_creation_input_tokens above 0, cache_read_input_tokens 0"
    return holds(call, written > 0 and read == 0, required, _told(call))


@on_success
def hits(call: Call) -> Finding:
    """The region is known: it is read."""
    _, read = counters(call)
    return holds(call, read > 0, "cache_read_input_tokens above 0", _told(call))


def hits_in_window(observation: Observation, facts: RunFacts, *names: str) -> list[Finding]:
    """Repeats within the window read the region."""
    return over(observation, names, lambda call: _too_late(observation, facts, call) or hits(call))


def _too_late(observation: Observation, facts: RunFacts, call: Call) -> Finding | None:
    """Why a miss of this call would mean nothing, or None: the declared window had passed when it was made."""
    if facts.cache_window is None or counters(call)[1] > 0:
        return None
    began = call.exchange.started
    used = [one.exchange.started for one in observation.where(*_SAME_REGION) if one.exchange.started < began]
    if not used or began - max(used) < facts.cache_window:
        return None
    return unjudged(
        call,
        f"made {began - max(used):.1f} s after the region was last used, and the declared window is {facts.cache_window:g} s",
        missing="a repeat within cache_window",
    )


@on_success
def misses(call: Call) -> Finding:
    """The region is another one: nothing is read."""
    _, read = counters(call)
    return holds(call, read == 0, "cache_read_input_tokens 0", _told(call))


def reads_nothing(observation: Observation, facts: RunFacts, name: str) -> list[Finding]:
    """A miss, which means something only where the first call did write the cache, and the region still lives."""
    first = situation(observation, "cache-first")
    if isinstance(first, Finding):
        return [first]
    if not any(counters(call)[0] > 0 for call in first):
        return [unjudged(first[0], "the first call wrote no cache, so there was nothing to read")]
    return over(observation, (name,), lambda call: _too_late(observation, facts, call) or misses(call))
