"""The scored set of an edition: which rows a claim rests on, frozen with what each of them means.

A claim names its edition, so a check that is added later must not change what an old claim said. The file
`spec/editions/<edition>.yaml` holds each scored row with its level in every profile and a digest of its
meaning. While the edition is a draft, `python -m weighbridge.editions` writes it from the catalogue and the
suites; `--freeze` closes it, and from then on a scored row may not change without a new edition.
`--executed REPORT` writes the list of checks that reached a verdict in a run of the reference gateway.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from weighbridge.catalogue import EDITION, Catalogue, Requirement, load
from weighbridge.locate import folder
from weighbridge.suite import Check, load_checks
from weighbridge.verdict import Level, Outcome

_HEAD = """\
# The scored set of edition {edition}: the rows that a claim rests on, each with its level in every profile and
# a digest of its meaning (statement, level, profiles, needs, reading). Written by `python -m weighbridge.editions`.
"""
_NO_VERDICT = {Outcome.NOT_VERIFIED.value, Outcome.HARNESS_ERROR.value}


@dataclass(frozen=True, slots=True)
class ScoredRow:
    """One row of an edition, with its level in each profile that scores it."""

    id: str
    profiles: tuple[tuple[str, Level], ...]
    digest: str


@dataclass(frozen=True, slots=True)
class Edition:
    """A scored set. A draft may still be written anew; a frozen one may not change."""

    id: str
    frozen: bool
    rows: tuple[ScoredRow, ...]


def digest(row: Requirement, profiles: Iterable[tuple[str, Level]]) -> str:
    """What changes when the meaning of a scored row does, and at no other time: 16 hexadecimal digits."""
    meaning = {
        "statement": " ".join(row.statement.split()),
        "level": row.level.value,
        "profiles": {name: level.value for name, level in profiles},
        "needs": sorted(row.needs),
        "reading": " ".join(row.reading.split()),
    }
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()[:16]


def scored(catalogue: Catalogue, checks: Iterable[Check]) -> tuple[ScoredRow, ...]:
    """The rows with at least one check on the surface of a profile that holds them, by id."""
    judged = {(row, check.binding.surface) for check in checks for row in check.binding.ids}
    rows = []
    for row in sorted(catalogue.requirements.values(), key=lambda row: row.id):
        profiles = tuple(
            (profile.id, profile.levels[row.id])
            for profile in catalogue.profiles.values()
            if row.id in profile.levels and (row.id, profile.surface) in judged
        )
        if profiles:
            rows.append(ScoredRow(row.id, profiles, digest(row, profiles)))
    return tuple(rows)


def changes(recorded: Edition, catalogue: Catalogue, now: Sequence[ScoredRow]) -> tuple[str, ...]:
    """What breaks the promise of a recorded edition, one sentence each.

    A row that gained a profile keeps its old meaning: the digest is taken over the recorded profiles.
    A draft has to equal the present set; a frozen edition may lack what was added since.
    """
    present = {row.id: row for row in now}
    found = []
    for old in recorded.rows:
        new = present.get(old.id)
        if new is None or not {name for name, _ in old.profiles} <= {name for name, _ in new.profiles}:
            found.append(
                f"{old.id} is scored, and no check of the suites judges it in all its profiles any more"
            )
            continue
        kept = [(name, level) for name, level in new.profiles if name in dict(old.profiles)]
        if digest(catalogue.requirement(old.id), kept) != old.digest:
            found.append(f"{old.id} is scored, and its meaning changed; that takes a new edition")
        elif not recorded.frozen and new != old:
            found.append(f"{old.id} is now scored in another profile; write the draft anew")
    if not recorded.frozen:
        added = present.keys() - {old.id for old in recorded.rows}
        found += [f"{name} has a check and is not in the draft; write it anew" for name in sorted(added)]
    return tuple(found)


def read(text: str) -> Edition:
    """An edition from the text of its file."""
    raw: dict[str, Any] = yaml.safe_load(text)
    rows = tuple(
        ScoredRow(
            item["id"],
            tuple((name, Level(level)) for name, level in item["profiles"].items()),
            item["digest"],
        )
        for item in raw["requirements"]
    )
    return Edition(raw["edition"], raw["frozen"], rows)


def rendered(edition: Edition) -> str:
    """The text of an edition's file, one line for each row."""
    lines = [
        _HEAD.format(edition=edition.id),
        f'edition: "{edition.id}"',
        f"frozen: {str(edition.frozen).lower()}",
        "requirements:",
    ]
    for row in edition.rows:
        profiles = ", ".join(f"{name}: {level.value}" for name, level in row.profiles)
        lines.append(f'  - {{id: {row.id}, profiles: {{{profiles}}}, digest: "{row.digest}"}}')
    return "\n".join(lines) + "\n"


def executed(report: Mapping[str, Any]) -> tuple[str, ...]:
    """The checks of a report that reached a verdict, sorted."""
    return tuple(
        sorted(
            {
                check["id"]
                for row in report["requirements"]
                for check in row["checks"]
                if check["outcome"] not in _NO_VERDICT
            }
        )
    )


def edition_path() -> Path:
    """Where the present edition is recorded."""
    return folder("spec") / "editions" / f"{EDITION}.yaml"


def executed_path() -> Path:
    """Where the checks that ran on the reference gateway are listed."""
    return edition_path().with_suffix(".executed.txt")


def main(arguments: Sequence[str]) -> int:
    """Write the draft of the present edition, freeze it, or list the executed checks of a report."""
    if arguments[:1] == ["--executed"] and len(arguments) == 2:
        report = json.loads(Path(arguments[1]).read_text(encoding="utf-8"))
        executed_path().write_text("\n".join(executed(report)) + "\n", encoding="utf-8")
        return 0
    if arguments not in ([], ["--freeze"]):
        sys.stderr.write("usage: python -m weighbridge.editions [--freeze | --executed REPORT]\n")
        return 2
    path = edition_path()
    if path.exists() and read(path.read_text(encoding="utf-8")).frozen:
        sys.stderr.write(f"edition {EDITION} is frozen; name a new one in weighbridge/catalogue.py\n")
        return 1
    path.parent.mkdir(exist_ok=True)
    edition = Edition(EDITION, "--freeze" in arguments, scored(load(), load_checks()))
    path.write_text(rendered(edition), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
