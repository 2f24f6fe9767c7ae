"""Service-level gates: `ttft.p99<400ms`, `completion>=99.9%`, `errors.http_5xx<=0`. Pure.

    GATE    = METRIC OPERATOR VALUE
    METRIC  = LATENCY "." STATISTIC | SCALAR | "errors" [ "." CLASS ]
    STATISTIC = "p50" ... "p99.99" | "min" | "mean" | "max"

A gate on something that was never measured is missed: nothing observed is never a pass. Where no gate
speaks of completion or errors, every stream must be whole: failures are tolerated only on request.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from weighbridge.errors import UsageError, nearest
from weighbridge.load.figures import LATENCIES, Failure, Figures

_SHAPE = re.compile(r"\s*([A-Za-z][\w.]*)\s*(<=|>=|<|>)\s*(\d+(?:\.\d+)?|\.\d+)\s*(us|ms|s|%)?\s*\Z")
_QUANTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?)\Z")
_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_STATISTICS = ("p50", "p90", "p95", "p99", "p99.9", "min", "mean", "max")


class Unit(Enum):
    """What a metric is measured in, with the units that a gate may write and their size in it."""

    TIME = {"us": 1.0, "ms": 1_000.0, "s": 1_000_000.0}  # noqa: RUF012 - a member's value, never changed
    SHARE = {"%": 0.01, "": 1.0}  # noqa: RUF012 - as above
    NUMBER = {"": 1.0}  # noqa: RUF012 - as above


@dataclass(frozen=True, slots=True)
class _Scalar:
    unit: Unit
    measure: Callable[[Figures], float | None]


_SCALARS: Mapping[str, _Scalar] = {
    "completion": _Scalar(Unit.SHARE, lambda figures: figures.completion),
    "coalesced": _Scalar(Unit.SHARE, lambda figures: figures.coalesced_share),
    "chunks_s": _Scalar(Unit.NUMBER, lambda figures: figures.chunks_per_second),
    "streams_s": _Scalar(Unit.NUMBER, lambda figures: figures.streams_per_second),
    "streams": _Scalar(Unit.NUMBER, lambda figures: float(figures.completed)),
}
METRICS = (*LATENCIES, *_SCALARS, "errors")


@dataclass(frozen=True, slots=True)
class Gate:
    """One bound.

    Attributes:
        text: as the operator wrote it.
        metric: one of `METRICS`.
        statistic: of a latency; or the class of `errors`; empty elsewhere.
        bound: microseconds, a share of one, or a plain number.
    """

    text: str
    metric: str
    statistic: str
    comparison: str
    bound: float

    @property
    def unit(self) -> Unit:
        """What `bound` is measured in."""
        if self.metric in LATENCIES:
            return Unit.TIME
        return _SCALARS[self.metric].unit if self.metric in _SCALARS else Unit.NUMBER


@dataclass(frozen=True, slots=True)
class GateResult:
    """A gate and what was measured; None where there was nothing to measure."""

    gate: Gate
    measured: float | None

    @property
    def met(self) -> bool:
        """Whether the gate holds."""
        return self.measured is not None and _OPERATORS[self.gate.comparison](self.measured, self.gate.bound)

    @property
    def shown(self) -> str:
        """The measured value for people, in the unit of its kind."""
        if self.measured is None:
            return "nothing measured"
        if self.gate.unit is Unit.TIME:
            return f"{self.measured / 1000:.2f} ms"
        return f"{self.measured:.3%}" if self.gate.unit is Unit.SHARE else f"{self.measured:g}"


def _statistic(text: str, metric: str, statistic: str) -> None:
    """Raises unless the part behind the dot fits the metric."""
    if metric in LATENCIES:
        if not statistic:
            raise UsageError(
                f"--gate {text!r}: say which statistic of {metric}: {metric}.p99 or {metric}.mean"
            )
        if statistic not in _STATISTICS and not _QUANTILE.match(statistic):
            hint = nearest(statistic, _STATISTICS)
            raise UsageError(
                f"--gate {text!r}: no statistic {statistic!r}{hint}; known: {', '.join(_STATISTICS)}"
            )
    elif metric == "errors":
        classes = [item.value for item in Failure]
        if statistic and statistic not in classes:
            hint = nearest(statistic, classes)
            raise UsageError(
                f"--gate {text!r}: no class of failure {statistic!r}{hint}; known: {', '.join(classes)}"
            )
    elif statistic:
        raise UsageError(f"--gate {text!r}: {metric} has no statistics; write {metric} alone")


def parse(text: str) -> Gate:
    """One gate from the command line.

    Raises:
        UsageError: not of this shape, or an unknown metric, statistic, class or unit.
    """
    match = _SHAPE.match(text)
    if match is None:
        raise UsageError(
            f"--gate {text!r} is no gate; write METRIC, one of < <= > >=, and a value: 'ttft.p99<400ms' or 'completion>=99.9%'"
        )
    left, comparison, number, suffix = match[1], match[2], match[3], match[4] or ""
    metric, _, statistic = left.partition(".")
    if metric not in METRICS:
        raise UsageError(
            f"--gate {text!r}: no metric {metric!r}{nearest(metric, METRICS)}; known: {', '.join(METRICS)}"
        )
    _statistic(text, metric, statistic)
    gate = Gate(text, metric, statistic, comparison, 0.0)
    sizes = gate.unit.value
    if suffix not in sizes:
        wanted = ", ".join(unit or "none" for unit in sizes)
        raise UsageError(
            f"--gate {text!r}: {left} takes the unit {wanted}" + (f", not {suffix!r}" if suffix else "")
        )
    return Gate(text, metric, statistic, comparison, float(number) * sizes[suffix])


def measure(gate: Gate, figures: Figures) -> float | None:
    """What the gate is about, as measured."""
    if gate.metric in _SCALARS:
        return _SCALARS[gate.metric].measure(figures)
    if gate.metric == "errors":
        if not gate.statistic:
            return float(figures.failed) if figures.started else None
        return float(figures.failures.get(Failure(gate.statistic), 0)) if figures.started else None
    histogram = figures.histograms[gate.metric]
    match = _QUANTILE.match(gate.statistic)
    if match is not None:
        return histogram.quantile(float(match[1]) / 100)
    return {"min": histogram.lowest, "max": histogram.highest, "mean": histogram.mean}[gate.statistic]


def with_default(gates: Sequence[Gate]) -> tuple[Gate, ...]:
    """The gates, and the one on completion that holds where the operator set none on failures."""
    if any(gate.metric in {"completion", "errors"} for gate in gates):
        return tuple(gates)
    return (*gates, Gate("completion>=100% (the default)", "completion", "", ">=", 1.0))


def judge(gates: Sequence[Gate], figures: Figures) -> tuple[GateResult, ...]:
    """Every gate with its measurement, in the order given."""
    return tuple(GateResult(gate, measure(gate, figures)) for gate in gates)
