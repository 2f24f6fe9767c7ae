"""Tells a call that hangs from one that the end of the test merely cuts off, by how long the whole ones took."""

from __future__ import annotations

from dataclasses import dataclass

#: A call hung, and was not just late, if it ran for so long and so many times as long as the longest of enough whole ones.
_LONG_NS = 10_000_000_000
_TIMES = 2
_ENOUGH = 10


@dataclass(slots=True)
class WholeCalls:
    """The whole calls of one lane so far; `longest` in nanoseconds."""

    calls: int = 0
    longest: int = 0

    def took(self, lasted: int) -> None:
        """One more was whole."""
        self.calls += 1
        self.longest = max(self.longest, lasted)

    def why_hanging(self, age: int) -> str:
        """Why a call of this age was hanging; empty where nobody can say that it was."""
        if self.calls < _ENOUGH or age < _LONG_NS or age < _TIMES * self.longest:
            return ""
        return (
            f"not finished after {age / 1e9:.1f} s at the end of the test; whole calls took at most "
            f"{self.longest / 1e9:.1f} s"
        )
