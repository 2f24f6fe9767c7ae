"""Capacity search: the highest level that still meets the gates, found by doubling, then by halving the gap. Pure.

The search asks for a level and is told what a load at that level gave; it knows nothing of how it is made. A
level at which the client cannot be trusted ends the way up: what lies beyond says nothing about the target.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from weighbridge.errors import ExitCode, UsageError

#: The bracket around the answer is this narrow at the end, as a share of it.
PRECISION = 0.1
MAX_STEPS = 14


@dataclass(frozen=True, slots=True)
class Step:
    """One load of the search.

    Attributes:
        level: users, or starts a second.
        met: every gate held, and the client could be trusted.
        trusted: the client could be trusted.
        why: what stood in the way, or `gates met`.
    """

    level: float
    met: bool
    trusted: bool
    why: str
    ttft_p99_ms: float | None = None
    streams_per_s: float | None = None
    tokens_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Search:
    """A finished search; `found` is None where not even the lowest level was seen to meet the gates."""

    unit: str
    found: float | None
    steps: tuple[Step, ...]

    @property
    def lowest(self) -> Step:
        """The lowest level that was tried."""
        return min(self.steps, key=lambda step: step.level)

    @property
    def failed(self) -> bool:
        """Whether the target failed at the lowest level already, as far as the client can be trusted there."""
        return self.found is None and self.lowest.trusted

    @property
    def exit_codes(self) -> tuple[ExitCode, ...]:
        """What the search adds to the exit code; one without trust at its lowest level measured nothing."""
        if self.found is not None:
            return ()
        return (ExitCode.VIOLATION if self.failed else ExitCode.INVALID_MEASUREMENT,)

    @property
    def statement(self) -> str:
        """One sentence for people."""
        broken = [step for step in self.steps if not step.met]
        if self.found is None:
            low = self.lowest
            reason = "already fails" if low.trusted else "is already too much for the client"
            return f"capacity not found: {low.level:g} {self.unit}, the lowest level, {reason}: {low.why}"
        above = [step for step in broken if step.level > self.found]
        if not above:
            return f"capacity at least {self.found:g} {self.unit}, the highest level asked for"
        first = min(above, key=lambda step: step.level)
        reason = (
            f"{first.level:g} {self.unit} fails: {first.why}"
            if first.trusted
            else f"beyond it the client is the limit: {first.why}"
        )
        return f"capacity {self.found:g} {self.unit}: {reason}"

    @property
    def lines(self) -> Sequence[str]:
        """The search as a table for the console."""
        rows = [
            f"  {step.level:>10g}  {_shown(step.ttft_p99_ms):>10}  {_shown(step.streams_per_s):>10}  "
            f"{'met   ' if step.met else 'MISSED' if step.trusted else 'CLIENT'}  {step.why}"
            for step in sorted(self.steps, key=lambda step: step.level)
        ]
        return [f"  {self.unit:>10}  {'ttft p99':>10}  {'streams/s':>10}", *rows, self.statement]

    def as_json(self) -> dict[str, Any]:
        """All of it, for load.json."""
        return {
            "unit": self.unit,
            "found": self.found,
            "statement": self.statement,
            "steps": [asdict(step) for step in self.steps],
        }


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"


def parse_range(text: str) -> tuple[float, float]:
    """`--capacity LOW..HIGH`.

    Raises:
        UsageError: not of this shape, or LOW is not below HIGH.
    """
    low, dots, high = text.partition("..")
    try:
        bounds = float(low), float(high)
    except ValueError:
        bounds = 0.0, 0.0
    if not dots or not 0 < bounds[0] < bounds[1] <= 1_000_000:
        raise UsageError(f"--capacity {text!r}: write the lowest and the highest level, such as 5..500")
    return bounds


def levels(low: float, high: float, *, whole: bool) -> Generator[float, Step, tuple[Step, ...]]:
    """The levels to try, each answered by its step; returns all steps.

    Args:
        low: where to begin.
        high: never beyond.
        whole: levels are whole numbers (users).
    """
    steps: list[Step] = []
    best: float | None = None
    worst: float | None = None
    level = float(round(low)) if whole else low
    while len(steps) < MAX_STEPS:
        step = yield level
        steps.append(step)
        if step.met:
            best = level
        else:
            worst = level
        if best is None or best >= high:
            break
        if worst is None:
            following = min(best * 2, high)
        elif worst - best <= max(PRECISION * best, 1.0 if whole else 0.0):
            break
        else:
            following = (best + worst) / 2
        level = float(round(following)) if whole else round(following, 2)
        if level in {item.level for item in steps}:
            break
    return tuple(steps)


def finish(unit: str, steps: tuple[Step, ...]) -> Search:
    """The search that these steps are."""
    met = [step.level for step in steps if step.met]
    return Search(unit, max(met, default=None), steps)
