"""Load shapes: how many users, or what share of the rate, at which moment. Pure.

A shape is a line through points (seconds, level from 0 to 1), straight in between; two points at one moment
are a step. The named ones are such lines laid over the duration:

    ramp[:FROM]     from FROM (a share, 0 by default) to all, evenly
    step[:N]        N equal steps (5 by default)
    spike[:BASE]    BASE (a share, 0.2 by default), all in the middle fifth, BASE again
    soak            all after a short ramp, held to the end
    0s:0.1,10s:1    points of your own, levels as shares of --users or --rate
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from weighbridge.errors import UsageError, nearest
from weighbridge.target import seconds

Point = tuple[float, float]
NAMES = ("ramp", "step", "spike", "soak")
_SOAK_RAMP_S = 60.0


def _share(text: str, shape: str, default: float) -> float:
    if not text:
        return default
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UsageError(f"--shape {shape}: {text!r} is no share; write a number from 0 to 1, or 20%")
    return value


def _points(text: str) -> tuple[Point, ...]:
    found: list[Point] = []
    for part in text.split(","):
        moment, _, level = part.strip().partition(":")
        try:
            at = seconds(moment)
        except ValueError as error:
            raise UsageError(f"--shape: {error}; a point is SECONDS:SHARE such as 10s:0.5") from error
        if found and at < found[-1][0]:
            raise UsageError(f"--shape: the moment {moment} comes before the one ahead of it; order them")
        found.append((at, _share(level, text, -1)))
    return tuple(found)


def parse(text: str, duration: float) -> tuple[Point, ...]:
    """The points of `--shape` over a duration in seconds.

    Raises:
        UsageError: an unknown name, a level that is no share, moments out of order.
    """
    name, _, rest = text.partition(":")
    if name not in NAMES:
        if not name[:1].isdigit():
            raise UsageError(
                f"--shape {text!r}: no shape {name!r}{nearest(name, NAMES)}; known: {', '.join(NAMES)}, or points 0s:0.1,10s:1"
            )
        points = _points(text)
        if max(level for _, level in points) <= 0:
            raise UsageError(f"--shape {text!r} never rises above 0; give a point a level")
        return points
    if name == "ramp":
        return ((0.0, _share(rest, text, 0.0)), (duration, 1.0))
    if name == "step":
        if rest and not (rest.isascii() and rest.isdigit() and 1 <= int(rest) <= 100):
            raise UsageError(f"--shape {text!r}: the number of steps is a whole one from 1 to 100")
        count = int(rest or 5)
        edges = [(duration * index / count, (index + 1) / count) for index in range(count)]
        return tuple(
            point
            for index, (at, level) in enumerate(edges)
            for point in ((at, level), (edges[index + 1][0] if index + 1 < count else duration, level))
        )
    if name == "spike":
        base = _share(rest, text, 0.2)
        up, down = duration * 0.4, duration * 0.6
        return ((0.0, base), (up, base), (up, 1.0), (down, 1.0), (down, base), (duration, base))
    if rest:
        raise UsageError(f"--shape {text!r}: soak takes nothing more; write soak alone")
    return ((0.0, 0.0), (min(_SOAK_RAMP_S, duration * 0.05), 1.0), (duration, 1.0))


def level_at(points: Sequence[Point], moment: float) -> float:
    """The level at a moment; before the first and behind the last point theirs."""
    place = bisect_right([at for at, _ in points], moment)
    if place == 0:
        return points[0][1]
    if place == len(points):
        return points[-1][1]
    (begin, low), (end, high) = points[place - 1], points[place]
    return low + (high - low) * (moment - begin) / (end - begin)


def stretched(points: Sequence[Point], times: float) -> tuple[Point, ...]:
    """The same levels over a load that lasts so many times as long."""
    return tuple((at * times, level) for at, level in points)


def area_until(points: Sequence[Point], moment: float) -> float:
    """The integral of the level from 0 to a moment."""
    line = [(0.0, points[0][1]), *points, (max(moment, points[-1][0]), points[-1][1])]
    total = 0.0
    for (begin, low), (end, high) in pairwise(line):
        if end <= begin or begin >= moment:
            continue
        stop = min(end, moment)
        last = low + (high - low) * (stop - begin) / (end - begin)
        total += (stop - begin) * (low + last) / 2
    return total
