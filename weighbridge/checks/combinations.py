"""Rules about chat requests that are combined from documented members."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping

from weighbridge.checks.findings import needs
from weighbridge.checks.replies import accepted
from weighbridge.evidence import Call, Observation
from weighbridge.verdict import Finding

#: The situation of requests without anything wrong.
VALID = "combined"
#: The documented words of `reasoning_effort` (S0, parameters).
EFFORTS = ("none", "low", "medium", "high", "xhigh")
#: Member -> the lowest and the highest documented value.
Ranges = Mapping[str, tuple[int, int]]
_RANGES: Mapping[str, Ranges] = {
    "openai": {
        "temperature": (0, 2),
        "top_p": (0, 1),
        "frequency_penalty": (-2, 2),
        "presence_penalty": (-2, 2),
    },
    "anthropic": {"temperature": (0, 1), "top_p": (0, 1)},
}


def ranges_of(family: str) -> Ranges:
    """The documented ranges of numbers for a family of models (S0 to S2, parameters)."""
    return _RANGES[family]


def accepted_with(observation: Observation, member: str, *families: str) -> list[Finding]:
    """Valid requests that carry a member are accepted; what else they carry, they may."""
    calls = [call for call in observation.where(VALID) if _family(call) in families]
    if not calls:
        return [needs(f"models.{families[0]}")]
    return _accepted(calls, lambda call: member in _body(call))


def accepted_in_conversation(observation: Observation) -> list[Finding]:
    """Valid requests with earlier turns are accepted."""
    return _accepted(observation.where(VALID), _has_earlier_turns)


def _accepted(calls: Iterable[Call], concerned: Callable[[Call], bool]) -> list[Finding]:
    """The findings on those calls that are concerned.

    Of several that are refused only the smallest says something: what it carries was needed for the refusal, what
    others carry may have stood by.
    """
    known = list(calls)
    refused = sorted((call for call in known if not call.exchange.ok), key=_size)
    blamed = [accepted(call) for call in refused[:1] if concerned(call)]
    return blamed or [accepted(call) for call in known if call.exchange.ok and concerned(call)]


def _family(call: Call) -> str:
    return (call.role or "").partition("_")[0]


def _size(call: Call) -> tuple[int, int]:
    return len(_body(call)), len(call.exchange.request.body)


def _body(call: Call) -> Mapping[str, object]:
    body = json.loads(call.exchange.request.body)
    return body if isinstance(body, dict) else {}


def _has_earlier_turns(call: Call) -> bool:
    messages = _body(call).get("messages")
    return isinstance(messages, list) and len(messages) > 1
