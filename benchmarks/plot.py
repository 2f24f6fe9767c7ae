"""The plot of all ratios: which way is better is said on every line, and the target stands where it lies."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

Row = Mapping[str, Any]

_LINE: Final = 18
_LEFT: Final = 430
_WIDTH: Final = 400
_TOP: Final = 44
_COLOURS: Final = {True: "#2f7d4f", False: "#b3402e", None: "#5b7ba6"}
_BETTER: Final = {"higher": "higher is better \u2192", "lower": "\u2190 lower is better"}


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def shown(rows: Iterable[Row]) -> list[Row]:
    """The rows that have a ratio which a logarithmic scale can show."""
    return [row for row in rows if isinstance(row.get("ratio"), int | float) and row["ratio"] > 0]


def _positive(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and value > 0 else None


def plot(rows: Sequence[Row]) -> str:
    """A bar for each ratio from 1.0, on a logarithmic scale, with a mark where its target lies."""
    bars = shown(rows)
    marks = [_positive(row.get("ratio_target")) for row in bars]
    values = [row["ratio"] for row in bars] + [mark for mark in marks if mark]
    reach = max((abs(math.log2(value)) for value in values), default=1.0) or 1.0
    middle, total = _LEFT + _WIDTH / 2, _TOP + 12 + _LINE * len(bars)

    def place(ratio: float) -> float:
        return middle + math.log2(ratio) / reach * (_WIDTH / 2)

    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + 210} {total}" role="img"'
            ' font-family="system-ui, sans-serif" font-size="11">'
        ),
        "<title>Each measured ratio with its target, logarithmic; the grey line is 1.0</title>",
        (
            f'<rect width="100%" height="100%" fill="#fff"/><line x1="{middle}" y1="{_TOP - 8}" x2="{middle}"'
            f' y2="{total - 8}" stroke="#888"/>'
        ),
        f'<text x="{middle}" y="{_TOP - 14}" text-anchor="middle" fill="#444">1.0: the same</text>',
        (
            '<text x="8" y="14" fill="#222">Green: target met. Red: missed. Blue: no target.'
            " The black mark is the target.</text>"
        ),
    ]
    for number, (row, mark) in enumerate(zip(bars, marks, strict=True)):
        top = _TOP + number * _LINE
        end = place(row["ratio"])
        label = f"{row['group']}: {row['name']} / {str(row['peer']).partition(':')[0]}"
        told = f"{row['ratio']:g} x   {_BETTER.get(row.get('better', ''), '')}"
        parts.append(
            f'<text x="{_LEFT - 8}" y="{top + 11}" text-anchor="end" fill="#222">{_escape(label[:72])}</text>'
            f'<rect x="{min(middle, end):.1f}" y="{top + 2}" width="{max(abs(end - middle), 1):.1f}"'
            f' height="{_LINE - 6}" fill="{_COLOURS[row.get("ok")]}"/>'
            f'<text x="{_LEFT + _WIDTH + 8}" y="{top + 11}" fill="#222">{told}</text>'
        )
        if mark:
            parts.append(
                f'<rect x="{place(mark) - 1.5:.1f}" y="{top}" width="3" height="{_LINE - 2}" fill="#111">'
                f"<title>target {mark:g} x</title></rect>"
            )
    return "".join(parts) + "</svg>\n"
