"""Whose token counts a deployment reports and bills: those of its upstream, or its own.

A wired run scripts the provider's usage. A deployment that counts tokens itself reports something else, which is
its right where no document forbids it; rows that rest on scripted counts then cannot be judged by them.
"""

from __future__ import annotations

from collections.abc import Iterable

from weighbridge.evidence import Call
from weighbridge.scenario import Scenario

#: Counts that no tokenizer makes out of a short prompt.
SCRIPT = Scenario(prompt_tokens=123_457, completion_tokens=7_919)


def reported_usage(call: Call) -> tuple[int, int] | None:
    """Input and output tokens as an unstreamed reply reports them, in either dialect."""
    body = call.exchange.json
    usage = body.get("usage") if isinstance(body, dict) else None
    if not isinstance(usage, dict):
        return None
    pairs = (("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens"))
    for one, two in pairs:
        if isinstance(usage.get(one), int) and isinstance(usage.get(two), int):
            return usage[one], usage[two]
    return None


def whose(call: Call) -> str | None:
    """`upstream` if the reply reports the counts that were scripted, `own` if others, None if none.

    Output alone decides: input may be told with or without its cached part.
    """
    found = reported_usage(call)
    script = call.scenario
    if found is None or script is None or script.completion_tokens is None:
        return None
    return "upstream" if found[1] == script.completion_tokens else "own"


def own_counters(calls: Iterable[Call], unwired: Iterable[str]) -> frozenset[str]:
    """Models whose replies report other counts than the provider did."""
    dark = set(unwired)
    return frozenset(
        call.model
        for call in calls
        if call.model and call.model not in dark and call.exchange.ok and whose(call) == "own"
    )


def rests_on_script(script: Scenario | None) -> bool:
    """Whether a call's provider was told which token counts to report."""
    return script is not None and (script.prompt_tokens is not None or script.completion_tokens is not None)
