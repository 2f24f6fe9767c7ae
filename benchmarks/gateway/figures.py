"""What a figure is, how long to measure for it, and what tells the simulator to reply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_TEXT: Final = "The quick brown fox jumps over the lazy dog"
STREAMS: Final = 200
GAP_MS: Final = 50


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure."""

    calls: int
    slices: int
    slice_s: float
    stream_rounds: int
    chunks: int


FULL: Final = Effort(calls=1500, slices=5, slice_s=2.0, stream_rounds=3, chunks=100)
QUICK: Final = Effort(calls=300, slices=2, slice_s=1.0, stream_rounds=1, chunks=40)


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `ratio` is value / peer; `ok` is None where there is no aim. Without a value its name says why."""

    name: str
    value: float | None
    unit: str
    peer: float | None = None
    ratio: float | None = None
    target: float | None = None
    ok: bool | None = None
    group: str = "gateway"
    better: str = ""
    ratio_target: float | None = None


def at_most(name: str, value: float, unit: str, target: float, peer: float | None = None) -> Row:
    """A figure that must stay below its aim."""
    return Row(
        name, value, unit, peer, value / peer if peer else None, target, value < target,
        better="lower", ratio_target=target / peer if peer else None,
    )  # fmt: skip


def prompt(name: str, *, chunks: int | None = None) -> str:
    """What tells the simulator the reply: the same for all, in so many paced chunks if asked for."""
    if chunks is None:
        return f"[[wb:{name};text={_TEXT};in=40;out=9]]"
    return f"[[wb:{name};text={' word' * chunks};in=40;out={chunks};gap_ms={GAP_MS};chunks={chunks}]]"


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
