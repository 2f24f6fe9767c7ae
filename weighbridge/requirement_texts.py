"""The texts of a requirement for people: one source for reports, `weighbridge explain` and docs/requirements.md."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from weighbridge.catalogue import Profile, Requirement


@dataclass(frozen=True, slots=True)
class RequirementTexts:
    """A requirement in words, each on one line; `reading` is empty where the documents agree."""

    statement: str
    why: str
    reading: str
    source: str
    needs: str
    unchecked: str


def _line(text: str) -> str:
    return " ".join(text.split())


def texts(row: Requirement) -> RequirementTexts:
    """The words for a requirement."""
    sources = (f"{source.document}, {source.heading}".removesuffix(", ") for source in row.sources)
    return RequirementTexts(
        statement=_line(row.statement),
        why=_line(row.why),
        reading=_line(row.reading),
        source="; ".join(sources),
        needs=", ".join(row.needs) or "nothing but a key",
        unchecked=_line(row.not_checked) or "no check judges it yet",
    )


def raises(row: Requirement, profiles: Iterable[Profile]) -> tuple[str, ...]:
    """Which profiles raise the level of a requirement, and what promises it there."""
    return tuple(
        f"{profile.id} to {profile.levels[row.id].value} by {place.document}, {place.heading}"
        for profile in profiles
        if (place := profile.raised_by.get(row.id)) is not None
    )
