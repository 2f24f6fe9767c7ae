"""The requirement catalogue and the profiles, read from `spec/` into frozen values.

Membership of a row in a profile: the row lists the profile, or a profile that it extends; then the
profile's `drops` leave and its `raises` bind harder. A row's own level is never lowered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from weighbridge.errors import UsageError, nearest
from weighbridge.locate import folder
from weighbridge.verdict import Level, at_least, strongest_level

EDITION = "2026.11"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a rule stands: a document and its heading."""

    document: str
    heading: str


@dataclass(frozen=True, slots=True)
class Requirement:
    """One normative statement.

    Attributes:
        needs: capabilities without which it cannot be observed.
        not_checked: why no check judges it, if none does.
        feature: what the product must offer for the row to apply; empty for the core.
        reading: the reading taken where documents contradict each other.
    """

    id: str
    title: str
    statement: str
    why: str
    level: Level
    sources: tuple[Source, ...]
    needs: tuple[str, ...]
    profiles: tuple[str, ...]
    area: str
    reading: str = ""
    not_checked: str = ""
    feature: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """A named set of requirements that a deployment can claim; levels are the profile's own.

    Attributes:
        raised_by: for each row whose level is higher here, the place that promises it.
    """

    id: str
    title: str
    surface: str
    levels: Mapping[str, Level]
    optional_features: frozenset[str] = frozenset()
    raised_by: Mapping[str, Source] = field(default_factory=dict)


@dataclass(frozen=True)
class Catalogue:
    """All requirements by id, and all profiles.

    Attributes:
        scored: the rows of each profile that the present edition's claims rest on.
    """

    requirements: Mapping[str, Requirement]
    profiles: Mapping[str, Profile]
    files: tuple[str, ...] = field(default=())
    scored: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def scores(self, profile_id: str, requirement_id: str) -> bool:
        """Whether a claim of the profile rests on the row."""
        return requirement_id in self.scored.get(profile_id, ())

    def requirement(self, requirement_id: str) -> Requirement:
        """One row.

        Raises:
            UsageError: there is no such id.
        """
        try:
            return self.requirements[requirement_id]
        except KeyError:
            # CSTR-6 is meant for CSTR-06.
            written = re.sub(r"-(\d)$", r"-0\1", requirement_id.upper())
            hint = nearest(written, self.requirements)
            raise UsageError(
                f"no requirement {requirement_id!r}{hint}; `weighbridge list requirements` shows all"
            ) from None

    def profile(self, profile_id: str) -> Profile:
        """One profile.

        Raises:
            UsageError: there is no such profile.
        """
        try:
            return self.profiles[profile_id]
        except KeyError:
            known = ", ".join(self.profiles)
            raise UsageError(
                f"no profile {profile_id!r}{nearest(profile_id, self.profiles)}; known: {known}"
            ) from None

    def level(self, requirement_id: str, profiles: Iterable[str]) -> Level:
        """The strongest level of a row over some profiles, or its own level if none holds it."""
        levels = [
            self.profiles[name].levels[requirement_id]
            for name in profiles
            if requirement_id in self.profiles[name].levels
        ]
        return strongest_level(levels) if levels else self.requirements[requirement_id].level


def _requirement(raw: Mapping[str, Any], area: str) -> Requirement:
    return Requirement(
        id=raw["id"],
        title=raw["title"],
        statement=raw["statement"],
        why=raw["why"],
        level=Level(raw["level"]),
        sources=tuple(Source(str(item["document"]), str(item.get("heading", ""))) for item in raw["source"]),
        needs=tuple(raw.get("needs") or ()),
        profiles=tuple(raw["profiles"]),
        area=area,
        reading=raw.get("reading", ""),
        not_checked=raw.get("not_checked", ""),
        feature=raw.get("feature", ""),
    )


def _read(path: Path) -> Any:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - both loaders are safe ones


def _levels(
    profile_id: str, raw: Mapping[str, Mapping[str, Any]], requirements: Mapping[str, Requirement]
) -> dict[str, Level]:
    definition = raw[profile_id]
    parents = definition.get("extends") or []
    levels: dict[str, Level] = {}
    for parent in [parents] if isinstance(parents, str) else parents:
        levels |= _levels(parent, raw, requirements)
    levels |= {row.id: row.level for row in requirements.values() if profile_id in row.profiles}
    for requirement_id in definition.get("drops") or {}:
        levels.pop(requirement_id, None)
    for requirement_id, word in (definition.get("raises") or {}).items():
        raised = Level(word)
        if requirement_id in levels and at_least(raised, levels[requirement_id]):
            levels[requirement_id] = raised
    return levels


def _scored(path: Path) -> dict[str, frozenset[str]]:
    """The scored rows of each profile; none while an edition has not been written yet."""
    found: dict[str, set[str]] = {}
    for row in _read(path)["requirements"] if path.exists() else ():
        for profile in row["profiles"]:
            found.setdefault(profile, set()).add(row["id"])
    return {profile: frozenset(rows) for profile, rows in found.items()}


@cache
def load() -> Catalogue:
    """The catalogue that ships with this installation."""
    spec = folder("spec")
    requirements: dict[str, Requirement] = {}
    files = sorted((spec / "requirements").glob("*.yaml"))
    for path in files:
        for raw in _read(path):
            row = _requirement(raw, path.stem)
            requirements[row.id] = row
    listed = _read(spec / "profiles.yaml")
    definitions = {item["id"]: item for item in (listed["profiles"] if isinstance(listed, dict) else listed)}
    profiles = {
        name: Profile(
            name,
            raw["title"],
            raw["surface"],
            _levels(name, definitions, requirements),
            frozenset(raw.get("optional_features") or ()),
            {row: Source(**place) for row, place in (raw.get("raised_by") or {}).items()},
        )
        for name, raw in definitions.items()
    }
    return Catalogue(
        requirements,
        profiles,
        tuple(path.name for path in files),
        _scored(spec / "editions" / f"{EDITION}.yaml"),
    )
