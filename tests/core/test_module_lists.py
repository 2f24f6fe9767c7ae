"""What the first file of a folder says about the modules in it is what is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.core.running import ROOT
from tests.core.test_import_rules import EMBEDDING


def _said(place: Path) -> str:
    return ast.get_docstring(ast.parse((place / "__init__.py").read_text(encoding="utf-8"))) or ""


@pytest.mark.parametrize("name", ["weighbridge/load", "loadtests"])
def test_each_module_is_listed_and_each_name_listed_is_a_module(name: str) -> None:
    listed = re.findall(r"^    (\w+) +\S", _said(ROOT / name), re.MULTILINE)
    assert sorted(listed) == sorted(path.stem for path in (ROOT / name).glob("[!_]*.py"))


def test_the_modules_that_are_said_to_patch_the_process_are_those_that_import_locust() -> None:
    (said,) = re.findall(r"^Only (.*?) import locust", _said(ROOT / "loadtests"), re.MULTILINE)
    importing = {
        path.stem
        for path in (ROOT / "loadtests").glob("*.py")
        if re.search(r"^(from|import) locust\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert set(re.findall(r"`(\w+)`", said)) == importing


def test_the_modules_that_know_what_ships_beside_the_core_are_named_alike_everywhere() -> None:
    embedding = {name.removesuffix(".py") for name in EMBEDDING}
    (said,) = re.findall(r"Only (.*?) know the simulator", _said(ROOT / "weighbridge"))
    assert set(re.findall(r"`(\w+)`", said)) == embedding
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    (said,) = re.findall(r"only (.*?) may import the three below", page)
    assert set(re.findall(r"`(\w+)`", said)) == embedding
