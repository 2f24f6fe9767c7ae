"""What the readings of a run say about money, as data: histories of accounts, and the long-context boundary.

A history is what one account's balance did between the first and the last reading of one case. Its steps are
named by what moved: money that left and did not come back was a charge; what left and came back was a hold
and its refund.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from weighbridge.checks.charges import cases, expected_price
from weighbridge.engine import Evidence
from weighbridge.evidence import Call, Observation, Reading, RunFacts
from weighbridge.verdict import Finding

_BOUNDARY = "boundary-"


def _unit(surface: str) -> str:
    return "credits" if surface == "tasks" else "pico-dollars"


def _movements(amounts: Sequence[int]) -> list[str]:
    """What each step is: `start`, `none`, `charge`, `hold`, `refund` or `top-up`.

    A rise pays back the latest falls before it that it equals; what it does not equal is a top-up.
    """
    names = ["start"]
    for index in range(1, len(amounts)):
        change = amounts[index] - amounts[index - 1]
        if change <= 0:
            names.append("charge" if change else "none")
            continue
        held = _paid_back(amounts, names, index, change)
        for step in held:
            names[step] = "hold"
        names.append("refund" if held else "top-up")
    return names


def _paid_back(amounts: Sequence[int], names: Sequence[str], index: int, change: int) -> list[int]:
    """The steps whose falls add up to a rise: a single one, else the latest ones together."""
    falls = [(step, amounts[step - 1] - amounts[step]) for step in range(1, index) if names[step] == "charge"]
    single = next((step for step, fall in reversed(falls) if fall == change), None)
    if single is not None:
        return [single]
    taken, total = [], 0
    for step, fall in reversed(falls):
        taken.append(step)
        total += fall
        if total >= change:
            break
    return taken if total == change else []


def histories(evidence: Evidence) -> list[dict[str, Any]]:
    """What each account's balance did, case by case, for cases with at least two readings."""
    return [
        _history(probe, label, readings, item)
        for probe, item in evidence.observations.items()
        for label, readings in _by_label(item.readings)
        if len(readings) > 1
    ]


def _by_label(readings: Sequence[Reading]) -> Iterator[tuple[str, list[Reading]]]:
    found: dict[str, list[Reading]] = {}
    for reading in readings:
        found.setdefault(f"{reading.situation}\0{reading.surface}", []).append(reading)
    for key, mine in found.items():
        yield key.partition("\0")[0], mine


def _history(probe: str, label: str, readings: Sequence[Reading], observation: Observation) -> dict[str, Any]:
    calls = {call.id: call for call in observation.calls}
    names = _movements([reading.amount for reading in readings])
    return {
        "probe": probe,
        "case": label,
        "surface": readings[0].surface,
        "unit": _unit(readings[0].surface),
        "readings": [
            {
                "at_s": round(reading.at, 4),
                "moment": reading.moment,
                "amount": str(reading.amount),
                "movement": name,
                "after": reading.after,
                "what": _what(calls.get(reading.after or "")),
            }
            for reading, name in zip(readings, names, strict=True)
        ],
    }


def _what(call: Call | None) -> str:
    if call is None:
        return ""
    status = call.exchange.status
    return f"{call.label}, {status if status is not None else call.exchange.ending.value}"


def boundary(evidence: Evidence) -> list[dict[str, Any]]:
    """Charges around the long-context boundary, by model and input size: what was charged, what either tier costs."""
    rows: list[dict[str, Any]] = []
    for observation in evidence.observations.values():
        names = dict.fromkeys(
            situation
            for call in observation.calls
            for situation in sorted(call.situations)
            if situation.startswith(_BOUNDARY) and situation.removeprefix(_BOUNDARY).isdigit()
        )
        for name in names:
            rows += _boundary_rows(observation, name, evidence.facts)
    return sorted(rows, key=lambda row: (row["model"], row["input_tokens"]))


def _boundary_rows(observation: Observation, name: str, facts: RunFacts) -> Iterator[dict[str, Any]]:
    found = cases(observation, name)
    if isinstance(found, Finding):
        return
    for case in found:
        standard = expected_price(case, facts, long_context=False)
        long = expected_price(case, facts, long_context=True)
        expected = expected_price(case, facts)
        script = case.calls[0].scenario
        if isinstance(standard, Finding) or isinstance(long, Finding) or isinstance(expected, Finding):
            continue
        yield {
            "model": case.calls[0].model or "",
            "input_tokens": (script.prompt_tokens or 0) if script else 0,
            "output_tokens": (script.completion_tokens or 0) if script else 0,
            "charged": str(case.charged),
            "expected": str(expected),
            "standard": str(standard),
            "long_context": str(long),
            "evidence": list(case.evidence),
        }
