"""The page of the simulator: its recipes, and tables that are fresh."""

from __future__ import annotations

import re
from pathlib import Path

from mock_upstreams.faults import FAULTS
from mock_upstreams.reference import TABLES, refreshed
from mock_upstreams.scenario_files import read_library
from mock_upstreams.scenario_keys import KEYS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "simulator.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^### (\d+)\. ([^\n]+)\n(.*?)(?=^##)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RECIPES = {
    f"{number}-{title}": block
    for number, title, text in SECTION.findall(PAGE)
    for block in BLOCK.findall(text)
}


def test_there_are_eleven_one_program_each() -> None:
    assert [int(name.partition("-")[0]) for name in RECIPES] == list(range(1, 12))
    assert all(len(BLOCK.findall(text)) == 1 for _, _, text in SECTION.findall(PAGE))


def test_each_shows_what_comes_of_it() -> None:
    """They are run with all the other examples, by tests/docs."""
    assert all("assert" in recipe for recipe in RECIPES.values())


def test_the_tables_are_fresh() -> None:
    """Write them anew with `python -m mock_upstreams.reference docs/simulator.md`."""
    assert refreshed(PAGE) == PAGE


def test_every_table_is_on_the_page_and_whole() -> None:
    assert re.findall(r"<!-- begin: (\w+) -->", PAGE) == list(TABLES)
    for name in (*FAULTS, *KEYS):
        assert f"| `{name}` |" in PAGE


def test_the_scenario_file_on_the_page_is_one() -> None:
    import yaml

    (text,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert "flaky" in read_library(yaml.safe_load(text)).named
