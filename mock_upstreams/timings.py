"""Delays of a scenario: a fixed one, one drawn from a distribution, or a recorded trace.

A timing is written `20`, `uniform:10:30`, `lognormal:20:0.5` (median and sigma) or `trace:5,10,40`; all in
milliseconds.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

_NUMBER: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")
_MAX_TRACE: Final = 10_000
_MAX_SIGMA: Final = 3.0


@dataclass(frozen=True, slots=True)
class Timing:
    """A delay that differs from one event to the next; `values` are what its `kind` needs, in milliseconds.

    The sigma of `lognormal` has no unit.
    """

    kind: str
    values: tuple[float, ...]


Delay = float | Timing


def milliseconds(high: float) -> str:
    return f"milliseconds from 0 to {high:g}"


def number_from_text(value: str, high: float) -> float:
    if not _NUMBER.fullmatch(value) or float(value) > high:
        raise ValueError(milliseconds(high))
    return float(value)


def number_from_json(value: Any, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= high:
        raise ValueError(milliseconds(high))
    return float(value)


def delay_from_text(value: str, high: float) -> Delay:
    """Read a delay as it is written in a token. Raises ValueError saying what to give."""
    kind, colon, rest = value.partition(":")
    if not colon:
        try:
            return number_from_text(value, high)
        except ValueError:
            raise ValueError(_forms(high)) from None
    parts = rest.split("," if kind == "trace" else ":")
    try:
        values = tuple(number_from_text(part, high) for part in parts[: _MAX_TRACE + 1])
    except ValueError:
        raise ValueError(_forms(high)) from None
    sound = {
        "uniform": len(values) == 2 and values[0] <= values[-1],
        "lognormal": len(values) == 2 and values[-1] <= _MAX_SIGMA,
        "trace": 1 <= len(values) <= _MAX_TRACE,
    }
    if not sound.get(kind, False):
        raise ValueError(_forms(high))
    return Timing(kind, values)


def delay_from_json(value: Any, high: float) -> Delay:
    """Read a delay from a file or the control API: a number, a text as in a token, or a list for a trace."""
    if isinstance(value, str):
        return delay_from_text(value, high)
    if isinstance(value, list):
        if not 1 <= len(value) <= _MAX_TRACE:
            raise ValueError(_forms(high))
        return Timing("trace", tuple(number_from_json(item, high) for item in value))
    return number_from_json(value, high)


def _forms(high: float) -> str:
    return f"{milliseconds(high)}, or uniform:LOW:HIGH, lognormal:MEDIAN:SIGMA, trace:A,B,C"


def read_speed(value: Any) -> float:
    """How fast something is played: `2`, `2x`, `0.5x`, or 0 for without any wait. Raises ValueError."""
    expected = "a factor like 2x or 0.5x, at most 1000x, or 0 for without any wait"
    try:
        speed = float(value.removesuffix("x") if isinstance(value, str) else value)
    except (TypeError, ValueError):
        raise ValueError(expected) from None
    if isinstance(value, bool) or not 0 <= speed <= 1000:
        raise ValueError(expected)
    return speed


SPEED_SCHEMA: Final = {"type": ["number", "string"], "minimum": 0, "maximum": 1000, "pattern": r"^[0-9.]+x?$"}


def at_speed(delay: Delay, speed: float) -> Delay:
    """The same delay when all is played `speed` times as fast; 0 is without any wait."""
    slow = 1 / speed if speed else 0.0
    if not isinstance(delay, Timing):
        return delay * slow
    if not slow:
        return 0.0
    # The sigma of a lognormal delay is that of its shape.
    scaled = len(delay.values) if delay.kind != "lognormal" else 1
    return Timing(delay.kind, tuple(v * slow if i < scaled else v for i, v in enumerate(delay.values)))
