"""The lists of defects and variants: ids, requirements, what they replace, and what they may import."""

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import defects
from defects import DEFECTS, VARIANTS, Defect, Variant
from reference_gateway import Components

FOLDER = Path(defects.__file__).parent
MODULES = sorted(FOLDER.glob("*.py"))
ENTRIES: list[Defect | Variant] = [*DEFECTS.values(), *VARIANTS.values()]


def rows() -> Iterator[dict[str, Any]]:
    for path in sorted((FOLDER.parent / "spec" / "requirements").glob("*.yaml")):
        yield from yaml.safe_load(path.read_text("utf-8"))


def replaced(components: Components) -> list[str]:
    """Names of the parts that are not the right ones."""
    default = Components.default()
    names = [field.name for field in dataclasses.fields(Components)]
    return [name for name in names if getattr(components, name) != getattr(default, name)]


def test_there_are_enough_to_mean_something() -> None:
    assert len(DEFECTS) >= 40
    assert len(VARIANTS) >= 12


def test_ids_are_kebab_case_and_unique_over_both_lists() -> None:
    ids = [entry.id for entry in ENTRIES]
    assert len(set(ids)) == len(ids)
    assert [name for name in ids if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)] == []


def test_titles_are_unique_single_lines_without_a_full_stop() -> None:
    titles = [entry.title for entry in ENTRIES]
    assert len(set(titles)) == len(titles)
    assert [title for title in titles if "\n" in title or title.endswith(".") or not title] == []


def test_every_named_requirement_exists_and_can_be_judged() -> None:
    judged = {row["id"] for row in rows() if "not_checked" not in row}
    for defect in DEFECTS.values():
        assert defect.requirements, defect.id
        assert set(defect.requirements) <= judged, defect.id


def test_the_broken_requirement_binds() -> None:
    """A row that only reports can accuse nobody, so no defect may rest on one."""
    levels = {row["id"]: row["level"] for row in rows()}
    assert [d.id for d in DEFECTS.values() if levels[d.requirements[0]] == "MAY"] == []


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_one_behaviour_is_replaced_by_subclassing(entry: Defect | Variant) -> None:
    """One part, or the two halves of one behaviour; each is a subclass of the part it stands for."""
    components, default = entry.components(), Components.default()
    names = replaced(components)
    assert 1 <= len(names) <= 2
    for name in names:
        part, right = getattr(components, name), getattr(default, name)
        if isinstance(right, type):
            assert issubclass(part, right)
        else:
            for dialect, translators in right.items():
                assert issubclass(part[dialect].reply, translators.reply)
                assert issubclass(part[dialect].stream, translators.stream)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_modules_and_classes_say_what_they_are(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert ast.get_docstring(tree)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    assert [node.name for node in classes if not ast.get_docstring(node)] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_modules_know_the_gateway_and_not_its_judge(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module.partition(".")[0])
    assert not imported & {"weighbridge", "mock_upstreams", "suites", "spec"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_modules_replace_nothing_in_place(path: Path) -> None:
    """No assignment to an attribute of an imported name: parts are subclassed, modules left alone."""
    tree = ast.parse(path.read_text("utf-8"))
    imported = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    targets = [
        target
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.AugAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    ]
    assert not [
        ast.unparse(target)
        for target in targets
        if isinstance(target, ast.Attribute) and ast.unparse(target).partition(".")[0] in imported
    ]
    assert "setattr(" not in path.read_text("utf-8")
