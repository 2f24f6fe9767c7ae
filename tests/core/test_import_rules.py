"""Who may import whom: independence is what keeps one mistake from hiding itself."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.core.running import ROOT

PROJECT = {"weighbridge", "mock_upstreams", "reference_gateway", "defects", "suites", "loadtests", "spec"}
#: What each part may import of the project, itself aside.
ALLOWED = {
    "mock_upstreams": set(),
    "reference_gateway": set(),
    "defects": {"reference_gateway"},
    "suites": {"weighbridge"},
    "weighbridge": set(),
    "spec": set(),
    "loadtests": {"weighbridge"},
}
#: The embedding and proving modules of the core, which start what ships beside it.
EMBEDDING = {
    "embed.py": {"mock_upstreams", "reference_gateway"},
    "serve.py": {"mock_upstreams", "reference_gateway"},
    "prove.py": {"mock_upstreams", "reference_gateway", "defects"},
    "describe.py": {"mock_upstreams", "defects"},
}


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names & PROJECT


@pytest.mark.parametrize("part", ALLOWED)
def test_each_part_imports_only_what_it_may(part: str) -> None:
    files = sorted((ROOT / part).rglob("*.py"))
    assert files
    for path in files:
        allowed = {part} | ALLOWED[part]
        if part == "weighbridge" and path.parent.name == "weighbridge":
            allowed |= EMBEDDING.get(path.name, set())
        extra = _imports(path) - allowed
        assert not extra, f"{path.relative_to(ROOT)} imports {', '.join(sorted(extra))}"


def test_checks_read_no_clock_and_no_socket() -> None:
    forbidden = {"time", "asyncio", "socket", "random", "datetime", "os"}
    for path in (ROOT / "weighbridge" / "checks").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        used = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        assert not used & forbidden, path.name


def test_heavy_packages_stay_out_of_a_quick_start() -> None:
    heavy = {"schemathesis", "hypothesis", "locust", "gevent", "allure", "requests"}
    for path in (ROOT / "weighbridge").rglob("*.py"):
        if path.parts[-2:] == ("report", "allure.py"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        top = {
            name.partition(".")[0]
            for node in tree.body
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in (
                [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            )
        }
        assert not top & heavy, f"{path.relative_to(ROOT)} imports {top & heavy} at the top"
