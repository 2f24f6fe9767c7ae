"""The page of the simulator: its recipes run as they stand, and its tables are fresh."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

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


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_there_are_eleven_one_program_each() -> None:
    assert [int(name.partition("-")[0]) for name in RECIPES] == list(range(1, 12))
    assert all(len(BLOCK.findall(text)) == 1 for _, _, text in SECTION.findall(PAGE))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_works_as_it_stands(name: str, tmp_path: Path) -> None:
    assert "assert" in RECIPES[name]
    (tmp_path / "recipe.py").write_text(RECIPES[name])
    ran = run(["recipe.py"], tmp_path)
    assert ran.returncode == 0, ran.stderr


def test_the_pytest_recipe_works_as_it_stands(tmp_path: Path) -> None:
    blocks = BLOCK.findall(PAGE.partition("### In pytest")[2].partition("\n## ")[0])
    for block in blocks:
        name = block.partition("\n")[0].removeprefix("# ")
        (tmp_path / name).write_text(block)
    ran = run(["-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)], tmp_path)
    assert "1 passed" in ran.stdout, ran.stdout + ran.stderr


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
