"""Texts for `list` and `explain`: the catalogue and its neighbours, for people and for scripts."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from weighbridge.capabilities import CAPABILITIES
from weighbridge.catalogue import load
from weighbridge.requirement_texts import raises, texts
from weighbridge.source_documents import cited
from weighbridge.suite import load_checks


def listing(what: str) -> list[dict[str, Any]]:
    """Rows with `id` and `title`, and what else belongs to the kind."""
    return {
        "requirements": _requirements,
        "profiles": _profiles,
        "capabilities": _capabilities,
        "scenarios": _scenarios,
        "faults": _faults,
        "defects": _defects,
    }[what]()


def _requirements() -> list[dict[str, Any]]:
    checked = {row for check in load_checks() for row in check.binding.ids}
    return [
        {
            "id": row.id,
            "title": row.title,
            "level": row.level.value,
            "profiles": list(row.profiles),
            "needs": list(row.needs),
            "checked": row.id in checked,
            "area": row.area,
        }
        for row in load().requirements.values()
    ]


def _profiles() -> list[dict[str, Any]]:
    return [
        {
            "id": profile.id,
            "title": profile.title,
            "surface": profile.surface,
            "requirements": len(profile.levels),
        }
        for profile in load().profiles.values()
    ]


def _capabilities() -> list[dict[str, Any]]:
    return [{"id": name, "title": how} for name, how in CAPABILITIES.items()]


def _scenarios() -> list[dict[str, Any]]:
    from mock_upstreams.scenario_keys import KEYS

    return [{"id": name, "title": key.says} for name, key in KEYS.items()]


def _faults() -> list[dict[str, Any]]:
    from mock_upstreams import FAULTS

    return [{"id": fault.name, "title": fault.caller_sees} for fault in FAULTS.values()]


def _defects() -> list[dict[str, Any]]:
    from defects import DEFECTS, VARIANTS

    rows = [
        {"id": defect.id, "title": defect.title, "kind": "defect", "requirements": list(defect.requirements)}
        for defect in DEFECTS.values()
    ]
    rows += [
        {"id": variant.id, "title": variant.title, "kind": "variant", "requirements": []}
        for variant in VARIANTS.values()
    ]
    return rows


def explain_lines(requirement_id: str) -> Iterator[str]:
    """One requirement for a person who wants to understand a finding.

    Raises:
        UsageError: there is no such row.
    """
    catalogue = load()
    row = catalogue.requirement(requirement_id)
    levels = ", ".join(
        f"{name} {profile.levels[row.id].value}"
        for name, profile in catalogue.profiles.items()
        if row.id in profile.levels
    )
    yield f"{row.id}  {row.title}  [{row.level.value}]"
    told = texts(row)
    for label, text in (("statement", told.statement), ("why", told.why), ("reading", told.reading)):
        if text:
            yield from _paragraph(label, text)
    yield from _paragraph("source", told.source)
    for line in cited(row.sources):
        yield from _paragraph("", line)
    yield from _paragraph("profiles", levels)
    for line in raises(row, catalogue.profiles.values()):
        yield from _paragraph("raised", line)
    yield from _paragraph("needs", told.needs)
    checks = [check for check in load_checks() if row.id in check.binding.ids]
    if not checks:
        yield from _paragraph("not checked", told.unchecked)
    for check in checks:
        yield from _paragraph("check", f"{check.id} (evidence of {', '.join(check.probes)})")
    for defect in _defects():
        if row.id in defect["requirements"]:
            yield from _paragraph("defect", f"{defect['id']}: {defect['title']}")


def _paragraph(label: str, text: str) -> Iterator[str]:
    lines = textwrap.wrap(" ".join(text.split()), 96, break_on_hyphens=False) or [""]
    yield f"  {label:<11} {lines[0]}"
    for line in lines[1:]:
        yield f"  {'':<11} {line}"
