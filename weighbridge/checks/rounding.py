"""What a balance can show: two amounts are the same if its steps and its rounding cannot tell them apart.

A charge is the difference of two readings. Rounded to steps of r, up or down, each reading is off by less than
r, so a difference is off by less than r as well; rounded to the nearest step it can be off by r itself, where
both readings lay half-way. A balance that is declared not to be rounded is compared to the last digit.
"""

from __future__ import annotations

from weighbridge.evidence import RunFacts

#: A charge smaller than this many steps of a rounded balance cannot be told from rounding.
MIN_STEPS = 100


def _name(facts: RunFacts, surface: str | None) -> str:
    """The reading that shows a surface's money: its own, or that of chat."""
    return next((name for name in (surface, "chat", "messages") if name in facts.resolution), "chat")


def resolution_of(facts: RunFacts, surface: str | None = None) -> int:
    """Pico-dollars of the smallest change that the surface's dollar balance shows."""
    return facts.resolution.get(_name(facts, surface), 1)


def allowance(facts: RunFacts, surface: str | None = None) -> int:
    """The first difference, in pico-dollars, that rounding does not explain; 1 where nothing is rounded."""
    rounding = facts.rounding.get(_name(facts, surface))
    if rounding == "none":
        return 1
    return resolution_of(facts, surface) + (1 if rounding == "nearest" else 0)


def same(one: int, other: int, facts: RunFacts, surface: str | None = None) -> bool:
    """Whether the balance shows two amounts as one."""
    return abs(one - other) < allowance(facts, surface)


def too_small(amount: int, facts: RunFacts, surface: str | None = None) -> bool:
    """Whether an expected charge cannot be told from rounding."""
    step = allowance(facts, surface)
    return amount < MIN_STEPS * (resolution_of(facts, surface) if step > 1 else 1)
