"""What a run sets out to judge: profiles, rows, surfaces. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from weighbridge.catalogue import Catalogue
from weighbridge.errors import TargetFileError, UsageError
from weighbridge.registry import PROBES
from weighbridge.suite import Check
from weighbridge.target import Target
from weighbridge.verdict import Level, at_least

#: The chat role a profile cannot do without.
_NEEDED_ROLES = {
    "openai-chat": ("openai",),
    "anthropic-messages": ("anthropic",),
    "reapi-chat": ("openai",),
    "reapi-messages": ("anthropic",),
    "aimlapi-chat": ("aimlapi",),
}


@dataclass(frozen=True, slots=True)
class Selection:
    """How the operator narrowed the run.

    Attributes:
        level: judge rows of at least this level.
        requirements: judge only these rows.
        quick: what replies alone show, by directed calls that wait for nothing.
    """

    level: Level = Level.MAY
    requirements: tuple[str, ...] = ()
    quick: bool = False

    @property
    def partial(self) -> bool:
        """A narrowed run claims nothing."""
        return self.level is not Level.MAY or bool(self.requirements) or self.quick


@dataclass(frozen=True)
class Plan:
    """The rows to report on, by profile, and the surfaces to reach."""

    profiles: tuple[str, ...]
    rows: dict[str, tuple[str, ...]]
    surfaces: tuple[str, ...]
    selection: Selection

    @cached_property
    def ids(self) -> frozenset[str]:
        """All rows of the run."""
        return frozenset(row for rows in self.rows.values() for row in rows)

    def wants(self, check: Check) -> bool:
        """Whether a check contributes to any chosen row on a chosen surface."""
        if self.selection.quick and not self._is_quick(check):
            return False
        return check.binding.surface in self.surfaces and bool(self.ids & set(check.binding.ids))

    @staticmethod
    def _is_quick(check: Check) -> bool:
        """Whether all that a check looks at comes from probes of a quick run."""
        import weighbridge.probes  # noqa: F401 - registers the probes

        return all(name in PROBES and PROBES[name].quick for name in check.probes)


def make_plan(target: Target, catalogue: Catalogue, profiles: Sequence[str], selection: Selection) -> Plan:
    """Resolve profiles against a target.

    Raises:
        UsageError: an unknown profile or requirement id, or no profile at all.
        TargetFileError: the target has no surface or model for a chosen profile.
    """
    chosen = tuple(dict.fromkeys(profiles or target.profiles))
    if not chosen:
        raise UsageError(
            f"{target.place}: no profile is named; add `profiles: [openai-chat]` or pass --profile (known: {', '.join(catalogue.profiles)})"
        )
    for requirement_id in selection.requirements:
        catalogue.requirement(requirement_id)
    rows: dict[str, tuple[str, ...]] = {}
    surfaces: list[str] = []
    for name in chosen:
        profile = catalogue.profile(name)
        if profile.surface not in target.surfaces:
            raise TargetFileError(
                f"{target.place}: the profile {name} needs surfaces.{profile.surface}; add it or drop the profile"
            )
        for role in _NEEDED_ROLES.get(name, ()):
            if not any(known.startswith(role) for known in target.models):
                raise TargetFileError(
                    f"{target.place}: the profile {name} needs models.{role}; name the model to use"
                )
        surfaces.append(profile.surface)
        rows[name] = tuple(
            row
            for row, level in profile.levels.items()
            if at_least(level, selection.level)
            and (not selection.requirements or row in selection.requirements)
        )
    if selection.requirements and not any(rows.values()):
        raise UsageError(
            f"none of the chosen profiles ({', '.join(chosen)}) holds {', '.join(selection.requirements)}"
        )
    return Plan(chosen, rows, tuple(dict.fromkeys(surfaces)), selection)
