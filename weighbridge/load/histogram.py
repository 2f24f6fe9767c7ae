"""Log-linear histograms: bounded memory, a known relative error, exact merge.

A value below 1024 has a cell of its own; above, every power of two is cut into 512 cells, so a quantile is
at most 0.1 % beside the true value. Counts, sum, smallest and largest value are exact, and adding two
histograms gives the very cells that one histogram would have had: percentiles of several processes come
from merged counts, never from averaged percentiles.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_SUB_BITS = 9
_SUB = 1 << _SUB_BITS
_TOP_BITS = 36
#: Larger values (19 hours in microseconds) are counted in the last cell.
LARGEST = (1 << _TOP_BITS) - 1
#: No histogram ever holds more cells than this.
MAX_CELLS = (_TOP_BITS - _SUB_BITS + 1) * _SUB


def cell_of(value: int) -> int:
    """The cell that counts a value; negative values count as zero."""
    if value < 2 * _SUB:
        return max(value, 0)
    if value > LARGEST:
        return MAX_CELLS - 1
    shift = value.bit_length() - _SUB_BITS - 1
    return (shift << _SUB_BITS) + (value >> shift)


def middle_of(cell: int) -> int:
    """The value that stands for a cell: its middle, or the value itself where the cell holds only one."""
    if cell < 2 * _SUB:
        return cell
    shift = (cell >> _SUB_BITS) - 1
    low = (cell - (shift << _SUB_BITS)) << shift
    return low + ((1 << shift) >> 1)


class Histogram:
    """Counts of integers of one unit (microseconds here, throughout)."""

    __slots__ = ("cells", "count", "highest", "lowest", "total")

    def __init__(self) -> None:
        self.cells: dict[int, int] = {}
        self.count = 0
        self.total = 0
        self.lowest: int | None = None
        self.highest: int | None = None

    def record(self, value: int) -> None:
        """Count one value."""
        # cell_of, written out: this runs once for every read of every stream.
        if value < 1024:
            cell = max(value, 0)
        elif value > LARGEST:
            cell = MAX_CELLS - 1
        else:
            shift = value.bit_length() - 10
            cell = (shift << 9) + (value >> shift)
        cells = self.cells
        cells[cell] = cells.get(cell, 0) + 1
        self.count += 1
        self.total += value
        if self.highest is None or value > self.highest:
            self.highest = value
        if self.lowest is None or value < self.lowest:
            self.lowest = value

    def quantile(self, share: float) -> int | None:
        """The smallest recorded value that is not exceeded by this share of all; None where nothing was recorded."""
        if not self.count or self.lowest is None or self.highest is None:
            return None
        rank = min(self.count, max(1, math.ceil(share * self.count - 1e-9)))
        seen = 0
        for cell in sorted(self.cells):
            seen += self.cells[cell]
            if seen >= rank:
                return min(max(middle_of(cell), self.lowest), self.highest)
        raise AssertionError("the cells hold fewer values than were counted")

    @property
    def mean(self) -> float | None:
        """The exact mean, or None where nothing was recorded."""
        return self.total / self.count if self.count else None

    def add(self, other: Histogram) -> None:
        """Count all that `other` counted as well."""
        for cell, times in other.cells.items():
            self.cells[cell] = self.cells.get(cell, 0) + times
        self.count += other.count
        self.total += other.total
        lows = [value for value in (self.lowest, other.lowest) if value is not None]
        highs = [value for value in (self.highest, other.highest) if value is not None]
        self.lowest = min(lows, default=None)
        self.highest = max(highs, default=None)

    def as_json(self) -> dict[str, Any]:
        """All of it, for another process or a file."""
        return {
            "cells": sorted(self.cells.items()),
            "total": self.total,
            "lowest": self.lowest,
            "highest": self.highest,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Histogram:
        """What `as_json` gave."""
        made = cls()
        made.cells = {int(cell): int(times) for cell, times in raw["cells"]}
        made.count = sum(made.cells.values())
        made.total = int(raw["total"])
        made.lowest = raw["lowest"]
        made.highest = raw["highest"]
        return made
