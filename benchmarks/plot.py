"""The plot of all ratios: which way is better is said on every line, and the target stands where it lies."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

Row = Mapping[str, Any]

_LINE: Final = 19
_HEAD: Final = 34
_LEFT: Final = 520
_WIDTH: Final = 380
_RIGHT: Final = 180
_TOP: Final = 58
_COLOURS: Final = {True: "#2f7d4f", False: "#b3402e", None: "#5b7ba6"}
_LEGEND: Final = (("target met", _COLOURS[True]), ("missed", _COLOURS[False]), ("no target", _COLOURS[None]))
_BETTER: Final = {"higher": "higher is better \u2192", "lower": "\u2190 lower is better"}
_LONGEST: Final = 86


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _text(x: float, y: float, text: str, colour: str = "#222", more: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" fill="{colour}"{more}>{_escape(text)}</text>'


def shown(rows: Iterable[Row]) -> list[Row]:
    """The rows that have a ratio which a logarithmic scale can show."""
    return [row for row in rows if isinstance(row.get("ratio"), int | float) and row["ratio"] > 0]


def _positive(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and value > 0 else None


def _label(row: Row) -> str:
    """What was measured, and beside whom; a peer that is a bare figure is named in what was measured."""
    peer = str(row["peer"]).partition(":")[0].removesuffix(", times better")
    named = not peer.replace(".", "").replace(",", "").isdigit()
    text = f"{row['name']} / {peer}" if named else str(row["name"])
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}\u2026"


def _ratio(value: float) -> str:
    """Three digits: what comes behind them differs from run to run."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _scale(low: float, high: float) -> Iterator[float]:
    """The powers of ten between two values."""
    return (10.0**power for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1))


def plot(rows: Sequence[Row]) -> str:
    """A bar for each ratio from 1.0, on a logarithmic scale, with a mark where its target lies."""
    bars = shown(rows)
    marks = [_positive(row.get("ratio_target")) for row in bars]
    values = [row["ratio"] for row in bars] + [mark for mark in marks if mark]
    low, high = min([0.5, *values]) / 1.1, max([2.0, *values]) * 1.1
    groups = [(name, list(members)) for name, members in groupby(bars, key=lambda row: str(row["group"]))]
    total = _TOP + 10 + _LINE * len(bars) + _HEAD * len(groups)

    def place(ratio: float) -> float:
        return _LEFT + math.log(ratio / low) / math.log(high / low) * _WIDTH

    middle = place(1.0)
    width = _LEFT + _WIDTH + _RIGHT
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {total}" role="img"'
            ' font-family="system-ui, sans-serif" font-size="12">'
        ),
        "<title>Each measured ratio with its target, logarithmic; the grey line is 1.0</title>",
        f'<path d="M0 0H{width}V{total}H0z" fill="#fff"/>',
    ]
    for number, (word, colour) in enumerate(_LEGEND):
        x = 12 + 110 * number
        parts.append(f'<path d="M{x} 13h14v12h-14z" fill="{colour}"/>' + _text(x + 20, 23, word))
    parts.append('<path d="M342 11h3v16h-3z" fill="#111"/>' + _text(352, 23, "where the target lies"))
    for value in _scale(low, high):
        at, colour = place(value), "#888" if value == 1 else "#ddd"
        parts.append(f'<path d="M{at:.1f} {_TOP - 8}V{total - 8}" stroke="{colour}"/>')
        word = "1.0: the same" if value == 1 else f"{value:g}"
        parts.append(_text(round(at, 1), _TOP - 14, word, "#444", ' text-anchor="middle"'))
    top = _TOP
    left = iter(marks)
    for name, members in groups:
        parts.append(_text(12, top + 22, name.capitalize(), "#111", ' font-weight="600" font-size="14"'))
        top += _HEAD
        for row in members:
            end, mark = place(row["ratio"]), next(left)
            parts.append(
                _text(_LEFT - 10, top + 12, _label(row), more=' text-anchor="end"')
                + f'<rect x="{min(middle, end):.1f}" y="{top + 2}" width="{max(abs(end - middle), 1):.1f}"'
                f' height="{_LINE - 6}" fill="{_COLOURS[row.get("ok")]}"/>'
                + _text(_LEFT + _WIDTH + 12, top + 12, f"{_ratio(row['ratio'])} x")
                + _text(_LEFT + _WIDTH + 72, top + 12, _BETTER.get(row.get("better", ""), ""), "#666")
            )
            if mark:
                parts.append(
                    f'<rect x="{place(mark) - 1.5:.1f}" y="{top}" width="3" height="{_LINE - 2}" fill="#111">'
                    f"<title>target {mark:g} x</title></rect>"
                )
            top += _LINE
    return "".join(parts) + "</svg>\n"
