"""Open arrivals: when calls start, whatever became of the ones before. Pure and repeatable by their seed.

Every process computes the same schedule and takes each n-th start of it, so the rate is split exactly, and
a Poisson process stays one. A varying rate stretches time: starts are evenly (or exponentially) spaced in the
area under the rate.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from weighbridge.errors import UsageError, nearest
from weighbridge.load.shapes import Point, area_until

KINDS = ("constant", "poisson", "trace")
_MAX_TRACE = 1_000_000


@dataclass(frozen=True, slots=True)
class Arrivals:
    """How calls arrive.

    Attributes:
        kind: one of `KINDS`.
        rate: starts a second at the full level, all processes together.
        seed: of the Poisson process.
        shape: levels over time; empty for the full level throughout.
        trace: moments in seconds, ascending, of a trace.
        in_flight: no more calls than this at the same time in one process; starts beyond are dropped.
    """

    kind: str
    rate: float
    seed: int = 0
    shape: tuple[Point, ...] = ()
    trace: tuple[float, ...] = ()
    in_flight: int = 1000


def _moments_in_area(shape: tuple[Point, ...], rate: float, wanted: Iterator[float]) -> Iterator[float]:
    """The moments at which the area under the rate reaches each wanted value, by walking along the line."""
    begin, done = 0.0, 0.0
    line = [point for point in shape if point[0] > 0]
    low = area_slope(shape, 0.0)
    target = next(wanted)
    for end, high in [*line, (math.inf, shape[-1][1])]:
        while True:
            moment = _crossing(begin, end, low, high, (target - done) / rate)
            if moment is None or moment > end:
                break
            yield moment
            target = next(wanted)
        if end == math.inf:
            return
        done = area_until(shape, end) * rate
        begin, low = end, area_slope(shape, end)


def area_slope(shape: tuple[Point, ...], moment: float) -> float:
    """The level just behind a moment (a step counts as taken)."""
    behind = [level for at, level in shape if at <= moment]
    return behind[-1] if behind else shape[0][1]


def _crossing(begin: float, end: float, low: float, high: float, area: float) -> float | None:
    """Where the area of a straight piece reaches `area`; None if it never does."""
    slope = 0.0 if end == math.inf else (high - low) / (end - begin) if end > begin else 0.0
    if abs(slope) < 1e-12:
        return begin + area / low if low > 0 else None
    root = low * low + 2 * slope * area
    if root < 0:
        return None
    return begin + (math.sqrt(root) - low) / slope


def moments(arrivals: Arrivals) -> Iterator[float]:
    """The starts in seconds since the load began, ascending, without end except for a trace."""
    if arrivals.kind == "trace":
        yield from arrivals.trace
        return
    source = random.Random(arrivals.seed)  # noqa: S311 - a schedule, no secret

    def spaced() -> Iterator[float]:
        total = 0.0
        while True:
            total += 1.0 if arrivals.kind == "constant" else source.expovariate(1.0)
            yield total

    if not arrivals.shape:
        yield from (value / arrivals.rate for value in spaced())
        return
    yield from _moments_in_area(arrivals.shape, arrivals.rate, spaced())


def share_of(arrivals: Arrivals, index: int, processes: int) -> Iterator[tuple[int, float]]:
    """The numbers and moments of those starts that belong to one process."""
    for number, moment in enumerate(moments(arrivals)):
        if number % processes == index:
            yield number, moment


def read_trace(path: Path) -> tuple[float, ...]:
    """The moments of a trace file: one a line, seconds as a number or a JSON object with `at`.

    They are shifted so that the first one is at 0, and ordered.

    Raises:
        UsageError: unreadable, empty, or a line is neither.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"--arrivals trace:{path} cannot be read: {why}") from error
    found: list[float] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            raw = json.loads(line)
            moment = float(raw["at"] if isinstance(raw, dict) else raw)
        except (ValueError, KeyError, TypeError):
            moment = math.nan
        if not math.isfinite(moment):
            raise UsageError(
                f'--arrivals trace:{path}, line {number}: write seconds as a number, or {{"at": 1.25}}'
            )
        found.append(moment)
    if not found:
        raise UsageError(f"--arrivals trace:{path} has no start in it; write one moment a line")
    if len(found) > _MAX_TRACE:
        raise UsageError(f"--arrivals trace:{path} has more than {_MAX_TRACE:,} starts; cut it")
    first = min(found)
    return tuple(sorted(moment - first for moment in found))


def parse(text: str, rate: float | None, *, seed: int, shape: tuple[Point, ...], in_flight: int) -> Arrivals:
    """`--arrivals` and `--rate`.

    Raises:
        UsageError: an unknown kind, a rate that is missing or does not go with a trace.
    """
    kind, _, rest = text.partition(":")
    if kind not in KINDS:
        raise UsageError(
            f"--arrivals {text!r}: no such model{nearest(kind, KINDS)}; known: constant, poisson, trace:FILE"
        )
    if kind == "trace":
        if not rest:
            raise UsageError("--arrivals trace needs a file: trace:starts.txt")
        if rate is not None or shape:
            raise UsageError("--arrivals trace has its own moments; leave --rate and --shape out")
        trace = read_trace(Path(rest))
        # A trace that is all one burst is so many starts in a second, not a rate without bound.
        return Arrivals(kind, len(trace) / max(trace[-1], 1.0), seed, (), trace, in_flight)
    if rest:
        raise UsageError(
            f"--arrivals {text!r}: {kind} takes nothing more; write --rate for the starts a second"
        )
    if rate is None:
        raise UsageError(f"--arrivals {kind} needs --rate, the starts a second")
    return Arrivals(kind, rate, seed, shape, (), in_flight)
