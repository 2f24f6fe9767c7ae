"""One thing that `weighbridge check` looked at, and how it is told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measured:
    """One thing that was looked at.

    Attributes:
        good: whether it is as declared; None where it says nothing either way.
        remedy: what to do about it; empty if nothing.
    """

    subject: str
    observed: str
    good: bool | None = True
    remedy: str = ""

    @property
    def line(self) -> str:
        """For people."""
        mark = {True: "ok", False: "WRONG", None: "-"}[self.good]
        tail = f"; {self.remedy}" if self.remedy else ""
        return f"  {mark:<6} {self.subject:<26} {self.observed}{tail}"
