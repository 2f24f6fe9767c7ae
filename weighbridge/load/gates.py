"""Service-level gates: `ttft.p99<400ms`, `completion>=99.9%`, `added.ttft.p50<2ms`, `goodput(ttft<300ms)>=95%`. Pure.

    GATE    = METRIC OPERATOR VALUE
    METRIC  = LATENCY "." STATISTIC | SCALAR | "errors" [ "." CLASS ]
            | "added." LATENCY "." STATISTIC          gateway minus direct, measured in the same run
            | "relative." RATE                        share of the direct one
            | "goodput(" CONDITION { "," CONDITION } ")"
    CONDITION = ("ttfb" | "ttft" | "tpot" | "stall" | "e2e") OPERATOR VALUE      of one and the same stream
    STATISTIC = "p50" ... "p99.99" | "min" | "mean" | "max"

A gate on something that was never measured is missed: nothing observed is never a pass. Where no gate speaks of
completion or errors, every call must be whole, and where none speaks of `dropped`, every start of an open load must
have been made: failures are tolerated only on request.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import yaml

from weighbridge.errors import UsageError, nearest
from weighbridge.load.figures import LATENCIES, SCHEDULE, Failure, Figures
from weighbridge.load.plan import Condition

_SHAPE = re.compile(
    r"\s*([A-Za-z][\w.]*(?:\([^()]*\))?)\s*(<=|>=|<|>)\s*(\d+(?:\.\d+)?|\.\d+)\s*(us|ms|s|%)?\s*\Z"
)
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
    "tokens_per_s": _Scalar(Unit.NUMBER, lambda figures: figures.tokens_per_second),
    "chunks_per_s": _Scalar(Unit.NUMBER, lambda figures: figures.chunks_per_second),
    "streams_per_s": _Scalar(Unit.NUMBER, lambda figures: figures.streams_per_second),
    "streams": _Scalar(Unit.NUMBER, lambda figures: float(figures.completed)),
    "dropped": _Scalar(
        Unit.NUMBER, lambda figures: float(figures.dropped) if figures.started or figures.dropped else None
    ),
}
_TIMED = (*LATENCIES, SCHEDULE)
#: What can be compared as a share of the direct one.
RATES = ("tokens_per_s", "chunks_per_s", "streams_per_s")
METRICS = (*_TIMED, *_SCALARS, "errors", "added", "relative", "goodput")
#: What one stream has of its own, so that conditions can be put on it.
OF_A_STREAM = ("ttfb", "ttft", "tpot", "stall", "e2e")


@dataclass(frozen=True, slots=True)
class Gate:
    """One bound.

    Attributes:
        text: as the operator wrote it.
        metric: one of `METRICS`, `added` and `relative` aside.
        statistic: of a latency; or the class of `errors`; empty elsewhere.
        bound: microseconds, a share of one, or a plain number.
        against: `added` or `relative` where the direct baseline is part of it, else empty.
        conditions: of a goodput gate.
    """

    text: str
    metric: str
    statistic: str
    comparison: str
    bound: float
    against: str = ""
    conditions: tuple[Condition, ...] = ()

    @property
    def unit(self) -> Unit:
        """What `bound` is measured in."""
        if self.metric in _TIMED:
            return Unit.TIME
        if self.against == "relative" or self.metric == "goodput":
            return Unit.SHARE
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
    if metric in _TIMED:
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


def _value(text: str, left: str, unit: Unit, number: str, suffix: str) -> float:
    """The bound in the unit of its metric."""
    sizes = unit.value
    if suffix not in sizes:
        wanted = ", ".join(name or "none" for name in sizes)
        raise UsageError(
            f"--gate {text!r}: {left} takes the unit {wanted}" + (f", not {suffix!r}" if suffix else "")
        )
    # Exact, so that 95% is the very number that 95 of 100 gives.
    return float(Decimal(number) * Decimal(str(sizes[suffix])))


def _conditions(text: str, inside: str) -> tuple[Condition, ...]:
    """The conditions of a goodput gate."""
    found = []
    for part in inside.split(","):
        match = _SHAPE.match(part)
        if match is None or "(" in match[1]:
            raise UsageError(
                f"--gate {text!r}: {part.strip()!r} is no condition; write goodput(ttft<300ms,tpot<25ms)>=95%"
            )
        if match[1] not in OF_A_STREAM:
            raise UsageError(
                f"--gate {text!r}: one stream has no {match[1]!r}{nearest(match[1], OF_A_STREAM)}; "
                f"known: {', '.join(OF_A_STREAM)}"
            )
        found.append(
            Condition(match[1], match[2], _value(text, match[1], Unit.TIME, match[3], match[4] or ""))
        )
    return tuple(found)


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
    name, bracket, inside = left.partition("(")
    if bracket:
        if name != "goodput":
            raise UsageError(
                f"--gate {text!r}: only goodput takes conditions in brackets; write {name} alone"
            )
        conditions = _conditions(text, inside.removesuffix(")"))
        bound = _value(text, "goodput", Unit.SHARE, number, suffix)
        return Gate(text, "goodput", "", comparison, bound, "", conditions)
    against, _, rest = left.partition(".")
    if against not in {"added", "relative"}:
        against, rest = "", left
    metric, _, statistic = rest.partition(".")
    if against == "added" and metric not in LATENCIES:
        raise UsageError(
            f"--gate {text!r}: no latency {metric!r}{nearest(metric, LATENCIES)} to compare; known: {', '.join(LATENCIES)}"
        )
    if against == "relative" and metric not in RATES:
        raise UsageError(
            f"--gate {text!r}: no rate {metric!r}{nearest(metric, RATES)} to compare; known: {', '.join(RATES)}"
        )
    if metric not in METRICS or metric in {"added", "relative", "goodput"}:
        hint = "; write goodput(ttft<300ms)>=95%" if metric == "goodput" else nearest(metric, METRICS)
        raise UsageError(f"--gate {text!r}: no metric {metric!r}{hint}; known: {', '.join(METRICS)}")
    _statistic(text, metric, statistic)
    gate = Gate(text, metric, statistic, comparison, 0.0, against)
    return Gate(text, metric, statistic, comparison, _value(text, left, gate.unit, number, suffix), against)


def read_file(path: Path) -> tuple[Gate, ...]:
    """The gates of a YAML file: a list of gates, or a mapping from metric to bound, alone or under `gates`.

    Raises:
        UsageError: unreadable, no YAML, of another shape, or a gate that is none.
    """
    try:
        raw: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"--gates {path} cannot be read: {why}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problem = getattr(error, "problem", None) or str(error) or "it cannot be parsed"
        raise UsageError(f"--gates {path}: not valid YAML: {problem}") from error
    if isinstance(raw, dict) and set(raw) == {"gates"}:
        raw = raw["gates"]
    if isinstance(raw, dict):
        raw = [f"{metric}{bound}" for metric, bound in raw.items()]
    if not isinstance(raw, list) or not raw or not all(isinstance(item, str) for item in raw):
        raise UsageError(
            f"--gates {path}: write a list of gates such as - ttft.p99<400ms, or a mapping such as ttft.p99: <400ms"
        )
    return tuple(parse(item) for item in raw)


def needs_direct(gates: Sequence[Gate]) -> bool:
    """Whether any gate compares with a direct baseline."""
    return any(gate.against for gate in gates)


def measure(gate: Gate, figures: Figures, direct: Figures | None = None) -> float | None:
    """What the gate is about, as measured."""
    if gate.against:
        plain = Gate(gate.text, gate.metric, gate.statistic, gate.comparison, gate.bound)
        here = measure(plain, figures)
        there = None if direct is None else measure(plain, direct)
        if here is None or there is None:
            return None
        if gate.against == "added":
            return here - there
        return here / there if there else None
    if gate.metric in _SCALARS:
        return _SCALARS[gate.metric].measure(figures)
    if gate.metric == "goodput":
        return figures.good.get(gate.text)
    if gate.metric == "errors":
        if not gate.statistic:
            return float(figures.failed) if figures.started else None
        return float(figures.failures.get(Failure(gate.statistic), 0)) if figures.started else None
    histogram = figures.histograms[gate.metric]
    match = _QUANTILE.match(gate.statistic)
    if match is not None:
        return histogram.quantile(float(match[1]) / 100)
    return {"min": histogram.lowest, "max": histogram.highest, "mean": histogram.mean}[gate.statistic]


def with_default(gates: Sequence[Gate], *, open_load: bool = False) -> tuple[Gate, ...]:
    """The gates, and the ones on completion and dropped starts that hold where the operator set none on them."""
    made = list(gates)
    if not any(gate.metric in {"completion", "errors"} for gate in gates):
        made.append(Gate("completion>=100% (the default)", "completion", "", ">=", 1.0))
    if open_load and not any(gate.metric == "dropped" for gate in gates):
        made.append(Gate("dropped<=0 (the default)", "dropped", "", "<=", 0.0))
    return tuple(made)


def judge(gates: Sequence[Gate], figures: Figures, direct: Figures | None = None) -> tuple[GateResult, ...]:
    """Every gate with its measurement, in the order given."""
    return tuple(GateResult(gate, measure(gate, figures, direct)) for gate in gates)
