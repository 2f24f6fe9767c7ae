"""Plots as plain SVG, drawn by hand: no library, no script, colours from the page's own variables. Pure.

Every plot is a frame (axes, grid, labels) and marks inside it. Values are numbers in the unit of the axis; what a
mark means exactly is in its tooltip.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 14, 38
#: Depths of colour in a heat map.
_DEPTHS = 10


@dataclass(frozen=True, slots=True)
class Size:
    """Of a plot, in its own units."""

    width: int
    height: int


#: Two side by side, and one alone.
SMALL, WIDE = Size(720, 270), Size(1120, 250)


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: from `low` to `high`, straight or logarithmic.

    Attributes:
        ticks: where it is labelled, and how.
    """

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    label: str = ""
    log: bool = False

    def share(self, value: float) -> float:
        """Where a value lies, from 0 to 1; values beyond the ends lie on them."""
        value = min(max(value, self.low), self.high)
        if self.log:
            return (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True, slots=True)
class Line:
    """A series: `colour` is a class of the page, `dashed` is for what is compared with."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: str
    dashed: bool = False
    area: bool = False
    step: bool = False


def short(value: float) -> str:
    """A number for an axis."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def milliseconds(value: float) -> str:
    """A latency in milliseconds for an axis or a tooltip."""
    return f"{value / 1000:.3g} s" if value >= 1000 else f"{value:.3g} ms"


def straight(high: float, label: str = "", form: Callable[[float], str] = short, low: float = 0.0) -> Axis:
    """A straight axis with about five round ticks."""
    span = max(high - low, 1e-9)
    step = 10 ** math.floor(math.log10(span / 4))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if span / (step * factor) <= 5.5)
    first = math.ceil(low / step)
    ticks = [step * number for number in range(first, first + 8) if step * number <= low + span * 1.0001]
    return Axis(low, low + span, tuple((value, form(value)) for value in ticks), label)


def logarithmic(low: float, high: float, label: str = "") -> Axis:
    """A logarithmic axis of milliseconds, labelled at 1, 2 and 5 of each power of ten where there is room."""
    low, high = max(low, 1e-3) / 1.15, max(high, low * 1.5, 2e-3) * 1.15
    decades = math.log10(high / low)
    dense = (1, 1.5, 2, 3, 4, 5, 6, 8)
    steps = dense if decades < 1 else (1, 2, 5) if decades < 3 else (1, 3) if decades < 4 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = [step * 10.0**power for power in powers for step in steps]
    return Axis(
        low,
        high,
        tuple((value, milliseconds(value)) for value in values if low <= value <= high),
        label,
        log=True,
    )


def _x(axis: Axis, value: float, size: Size) -> float:
    return _LEFT + axis.share(value) * (size.width - _LEFT - _RIGHT)


def _y(axis: Axis, value: float, size: Size) -> float:
    return size.height - _BOTTOM - axis.share(value) * (size.height - _TOP - _BOTTOM)


def frame(title: str, across: Axis, up: Axis, marks: Iterable[str], *, size: Size = SMALL) -> str:
    """A whole plot."""
    bottom, right = size.height - _BOTTOM, size.width - _RIGHT
    parts = [
        f'<svg viewBox="0 0 {size.width} {size.height}" role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
    ]
    for value, text in up.ticks:
        y = _y(up, value, size)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{right}"/>')
        parts.append(
            f'<text class="tick" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(text)}</text>'
        )
    for value, text in across.ticks:
        x = _x(across, value, size)
        parts.append(f'<path class="grid faint" d="M{x:.1f} {_TOP}V{bottom}"/>')
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{escape(text)}</text>'
        )
    parts += marks
    parts.append(f'<path class="axis" d="M{_LEFT} {bottom}H{right}"/>')
    if across.label:
        parts.append(
            f'<text class="label" x="{right}" y="{size.height - 4}" text-anchor="end">{escape(across.label)}</text>'
        )
    if up.label:
        parts.append(f'<text class="label" x="{_LEFT + 6}" y="{_TOP + 4}">{escape(up.label)}</text>')
    return "".join([*parts, "</svg>"])


def line(series: Line, across: Axis, up: Axis, *, size: Size = SMALL) -> str:
    """The mark of one series."""
    if not series.points:
        return ""
    placed = [(_x(across, x, size), _y(up, y, size)) for x, y in series.points]
    path = [f"M{placed[0][0]:.1f} {placed[0][1]:.1f}"]
    for x, y in placed[1:]:
        path.append(f"H{x:.1f}V{y:.1f}" if series.step else f"L{x:.1f} {y:.1f}")
    drawn = "".join(path)
    bottom = size.height - _BOTTOM
    filled = ""
    if series.area:
        filled = f'<path class="area {series.colour}" d="{drawn}L{placed[-1][0]:.1f} {bottom}L{placed[0][0]:.1f} {bottom}Z"/>'
    dashed = " dashed" if series.dashed else ""
    return f'{filled}<path class="line {series.colour}{dashed}" d="{drawn}"><title>{escape(series.name)}</title></path>'


def dots(
    points: Sequence[tuple[float, float, str, str]], across: Axis, up: Axis, *, size: Size = SMALL
) -> str:
    """Marks (x, y, class, tooltip)."""
    return "".join(
        f'<circle class="dot {colour}" cx="{_x(across, x, size):.1f}" cy="{_y(up, y, size):.1f}" r="4.5">'
        f"<title>{escape(text)}</title></circle>"
        for x, y, colour, text in points
    )


def band(across: Axis, begin: float, end: float, text: str, *, size: Size = SMALL) -> str:
    """A shaded stretch, such as the warm-up."""
    x, far = _x(across, begin, size), _x(across, end, size)
    if far - x < 1:
        return ""
    word = (
        f'<text class="label" x="{x + 5:.1f}" y="{size.height - _BOTTOM - 7}">{escape(text)}</text>'
        if far - x > 50
        else ""
    )
    return f'<rect class="band" x="{x:.1f}" y="{_TOP}" width="{far - x:.1f}" height="{size.height - _TOP - _BOTTOM}"/>{word}'


def rule(up: Axis, value: float, text: str, *, size: Size = SMALL) -> str:
    """A bound that was set on the upward axis."""
    y = _y(up, value, size)
    return (
        f'<path class="rule" d="M{_LEFT} {y:.1f}H{size.width - _RIGHT}"/>'
        f'<text class="label rule-text" x="{size.width - _RIGHT - 4}" y="{y - 5:.1f}" text-anchor="end">{escape(text)}</text>'
    )


def upright(across: Axis, value: float, text: str, *, size: Size = SMALL, row: int = 0) -> str:
    """A bound or a percentile on the axis across."""
    x = _x(across, value, size)
    anchor, shift = ("end", -5) if across.share(value) > 0.7 else ("start", 5)
    return (
        f'<path class="rule" d="M{x:.1f} {_TOP}V{size.height - _BOTTOM}"/>'
        f'<text class="label rule-text" x="{x + shift:.1f}" y="{size.height - _BOTTOM - 10 - 15 * row}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def heat(
    cells: Mapping[tuple[float, float], int],
    ends: Callable[[float, float], tuple[float, float]],
    across: Axis,
    up: Axis,
    *,
    size: Size = SMALL,
) -> str:
    """The marks of a heat map.

    Args:
        cells: counts by (x, y), the lower ends of each cell.
        ends: the upper ends of the cell at (x, y).
        across: the axis of x.
        up: the axis of y.
        size: of the plot.
    """
    if not cells:
        return ""
    most = math.log1p(max(cells.values()))
    paths: dict[int, list[str]] = {}
    for (x, y), count in sorted(cells.items()):
        far, top = ends(x, y)
        left, bottom = _x(across, x, size), _y(up, y, size)
        wide, high = _x(across, far, size) - left, bottom - _y(up, top, size)
        depth = min(_DEPTHS - 1, int(_DEPTHS * math.log1p(count) / most))
        paths.setdefault(depth, []).append(
            f"M{left:.1f} {bottom:.1f}h{wide + 0.3:.1f}v{-high - 0.3:.1f}h{-wide - 0.3:.1f}z"
        )
    return "".join(
        f'<path class="heat" style="fill-opacity:{(depth + 1) / _DEPTHS:.2f}" d="{"".join(drawn)}"/>'
        for depth, drawn in sorted(paths.items())
    )


def legend(entries: Sequence[tuple[str, str, bool]]) -> str:
    """Names of series: (name, class, dashed)."""
    return (
        '<div class="legend">'
        + "".join(
            f'<span><svg viewBox="0 0 22 8"><path class="line {colour}{" dashed" if dashed else ""}" d="M1 4H21"/></svg>'
            f"{escape(name)}</span>"
            for name, colour, dashed in entries
        )
        + "</div>"
    )
