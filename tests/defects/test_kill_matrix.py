"""The published kill matrix is about the defects and variants of today, and its page is what its command writes."""

import re
from collections import Counter
from pathlib import Path

from defects import DEFECTS, VARIANTS
from defects.one_way import ONE_WAY
from weighbridge.catalogue import load
from weighbridge.embed import EMBEDDED_PROFILES
from weighbridge.kill_matrix import page
from weighbridge.verdict import Level

PAGE = Path(__file__).parents[2] / "docs" / "kill-matrix.md"


def _ids(title: str) -> list[str]:
    """First cells of the table under a heading."""
    section = PAGE.read_text(encoding="utf-8").partition(f"## {title}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([a-z0-9-]+)` \|", section, flags=re.MULTILINE)


def test_every_defect_is_in_the_published_matrix_and_was_killed() -> None:
    """Write it anew with `make kill-matrix`."""
    assert sorted(_ids("Defects")) == sorted(DEFECTS)
    assert "**survived**" not in PAGE.read_text(encoding="utf-8")


def _seen_to_fail() -> dict[str, int]:
    """How many defects broke each requirement, by the published table."""
    section = PAGE.read_text(encoding="utf-8").partition("## Requirements")[2].partition("\n## ")[0]
    counts = {}
    for row, defects in re.findall(r"^\| ([A-Z0-9-]+) \| .* \| ([^|]*) \|$", section, flags=re.MULTILINE):
        more = re.search(r" and (\d+) more$", defects)
        counts[row] = len(re.findall(r"`[a-z0-9-]+`", defects)) + (int(more[1]) if more else 0)
    return counts


def test_every_must_row_was_broken_in_two_ways_or_says_why_there_is_only_one() -> None:
    """A row of the table of exceptions is what one defect is made to break; what another breaks in passing, since its
    calls happened to meet others, is no second way.
    """
    catalogue = load()
    profiles = [catalogue.profiles[name] for name in EMBEDDED_PROFILES]
    must = {row for profile in profiles for row, level in profile.levels.items() if level is Level.MUST}
    must = {row for row in must if not catalogue.requirements[row].not_checked}
    seen = _seen_to_fail()
    assert {row for row in must if seen.get(row, 0) == 0} == set()
    assert {row for row in must if seen[row] == 1} <= set(ONE_WAY)
    named = Counter(row for defect in DEFECTS.values() for row in defect.requirements)
    assert {row: named[row] for row in ONE_WAY} == dict.fromkeys(ONE_WAY, 1)
    assert all(reason.endswith(".") for reason in ONE_WAY.values())


def test_every_check_of_a_must_row_caught_a_defect() -> None:
    """One that no defect makes fail may pass on anything."""
    assert "- 0 checks of MUST rows that no defect makes fail\n" in PAGE.read_text(encoding="utf-8")


def test_every_variant_is_in_the_published_matrix_and_was_spared() -> None:
    """The gateway as it is counts among them."""
    assert sorted(_ids("Variants")) == sorted([*VARIANTS, "clean"])
    section = PAGE.read_text(encoding="utf-8").partition("## Variants")[2]
    rows = re.findall(r"^\| `.*\|$", section, flags=re.MULTILINE)
    assert [row for row in rows if not row.endswith("| no |")] == []


def test_the_page_tells_who_caught_what_from_both_sides() -> None:
    document = {
        "defects": [
            {
                "id": "a-defect",
                "title": "Does | it wrong",
                "requirements": ["CREQ-01"],
                "killed_by": ["CREQ-01"],
                "also_broken": ["CREQ-02"],
                "verdict": "killed",
            },
            {
                "id": "another",
                "title": "Lives",
                "requirements": ["CREQ-03"],
                "killed_by": [],
                "also_broken": ["CREQ-01"],
                "verdict": "survived",
            },
        ],
        "variants": [{"id": "odd", "title": "Odd", "failed": [], "warned": []}],
        "survivors": ["another"],
        "accused": [],
        "toothless": [],
    }
    text = page(document, "2026-11-21")
    assert "| `a-defect` | Does \\| it wrong | CREQ-01 | CREQ-02 |" in text
    assert "| `another` | Lives | **survived** | CREQ-01 |" in text
    assert re.search(r"^\| CREQ-01 \| .* \| `a-defect`, `another` \|$", text, flags=re.MULTILINE)
    assert "1 of 2 defects killed" in text
    assert "| `odd` | Odd | no |" in text
