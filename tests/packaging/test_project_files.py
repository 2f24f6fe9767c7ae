"""The files beside the code: containers, hooks and change notes are accepted by the tools that read them."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import mkdocs_hooks
from reference_gateway import load_config

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_the_dockerfile_satisfies_its_linter() -> None:
    done = _run(str(BIN / "hadolint"), "Dockerfile")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_gets_every_folder_that_the_wheel_is_made_of() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"][
        "targets"
    ]["wheel"]
    folders = {*wheel["packages"], *wheel["force-include"]}
    copied = set(
        re.findall(r"^COPY (\w+) \w+$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    allowed = set(re.findall(r"^!(\w+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE))
    assert folders <= copied
    assert folders <= allowed


def test_hooks_call_tools_of_the_environment_only() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    entries = [hook["entry"] for repo in hooks["repos"] for hook in repo["hooks"]]
    assert entries
    assert all(entry.startswith(".venv/bin/") for entry in entries)
    assert _run(str(BIN / "pre-commit"), "validate-config").returncode == 0


@pytest.mark.parametrize("tool", ["ruff", "mypy", "pre-commit", "towncrier"])
def test_the_tools_of_the_environment_are_those_of_the_pins(tool: str) -> None:
    pins = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    )
    pinned = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    assert importlib.metadata.version(tool) == pinned[tool]


def test_the_strict_type_checker_reads_every_folder_that_holds_python() -> None:
    mypy = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
    assert mypy["strict"] is True
    assert "exclude" not in mypy
    ours = {*mypy["files"]}
    for folder in ROOT.iterdir():
        made = folder.name in {"build", "dist", "reports"}
        if folder.name.startswith(".") or made or not folder.is_dir():
            continue
        assert folder.name in ours or not any(folder.rglob("*.py")), folder.name
    assert {file.name for file in ROOT.glob("*.py")} <= ours


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "ARCHITECTURE.md", "SECURITY.md"])
def test_a_page_that_should_fit_on_one_does(page: str) -> None:
    assert len((ROOT / page).read_text(encoding="utf-8").splitlines()) <= 60


def test_every_change_note_has_a_known_kind_and_a_sentence() -> None:
    kinds = {
        kind["directory"]
        for kind in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["towncrier"][
            "type"
        ]
    }
    for note in sorted((ROOT / "changelog.d").glob("*.md")):
        if note.name == "README.md":
            continue
        assert note.name.split(".")[-2] in kinds, f"{note.name}: its kind is none of {sorted(kinds)}"
        assert note.read_text(encoding="utf-8").strip().endswith("."), f"{note.name}: not a sentence"


def test_the_pins_carry_no_index_address() -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert not re.search(r"https?://|@|--", pins)
    assert all(re.fullmatch(r"[\w.\-]+==[\w.+!]+", line) for line in pins.splitlines())


@pytest.mark.parametrize("link", ["docs", "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_relative_links_lead_somewhere(link: str) -> None:
    place = ROOT / link
    pages = sorted(place.rglob("*.md")) if place.is_dir() else [place]
    assert pages
    for page in pages:
        for found in re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in found and not found.startswith("mailto:"):
                assert (page.parent / found).exists(), f"{page.relative_to(ROOT)} links to {found}"


def test_the_compose_file_satisfies_its_schema() -> None:
    done = _run(str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", "compose.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_commands_of_the_compose_file_exist() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    for name in ("simulator", "gateway"):
        command, *flags = services[name]["command"]
        shown = _run(sys.executable, "-m", "weighbridge", command, "--help").stdout
        for flag in (word for word in flags if word.startswith("--")):
            assert flag in shown, f"{command} has no {flag}"


def test_the_gateway_of_the_compose_file_has_a_usable_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE", "postgresql://weighbridge:secret@database/weighbridge")
    monkeypatch.setenv("GATEWAY_OPERATOR_TOKEN", "operator-token-of-a-test")
    config = load_config(ROOT / "targets" / "compose" / "gateway.yaml")
    assert config.groups["default"].routes["gpt-5.5"] == "openai"


def test_the_documentation_builds_without_a_broken_link(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(BIN / "mkdocs"), "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site" / "index.html").exists()
    for path in (*mkdocs_hooks.PLACES, "reports/index.md"):
        page = (
            (tmp_path / "site" / mkdocs_hooks.place_of(path)).with_suffix(".html").read_text(encoding="utf-8")
        )
        title = re.findall(r"^# (.*)$", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)[0]
        assert f"{title}<" in page
    for claim in (ROOT / "reports").glob("20*/*/report.html"):
        assert (tmp_path / "site" / claim.relative_to(ROOT)).read_bytes() == claim.read_bytes()


@pytest.mark.parametrize(
    ("page", "link", "on_site"),
    [
        ("ARCHITECTURE.md", "docs/load.md#gates", "load.md#gates"),
        ("docs/index.md", "../CONTRIBUTING.md", "contributing.md"),
        ("docs/reports.md", "../reports/README.md", "reports/publishing.md"),
        ("reports/index.md", "README.md", "publishing.md"),
        ("reports/2026.11/comparison.md", "portkey-1.15.2/report.html", "portkey-1.15.2/report.html"),
        ("docs/index.md", "../Makefile", "../Makefile"),
        ("docs/index.md", "https://example.org/docs/a.md", "https://example.org/docs/a.md"),
    ],
)
def test_a_link_of_the_checkout_leads_to_the_same_page_of_the_site(
    page: str, link: str, on_site: str
) -> None:
    assert mkdocs_hooks.relinked(f"see [it]({link}).", page) == f"see [it]({on_site})."


def test_make_help_lists_every_target_with_what_it_is_for() -> None:
    shown = _run("make", "--no-print-directory", "help").stdout.splitlines()
    (phony,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert {line.split()[0] for line in shown} == set(phony.split())
    assert all(len(line.split()) > 1 for line in shown)


def test_the_bill_of_materials_is_of_the_extras_that_are_named() -> None:
    asked = _run("make", "--dry-run", "sbom", "EXTRAS=load,postgres").stdout
    assert "-c constraints.txt '.[load,postgres]'" in asked
    assert "-c constraints.txt '.'" in _run("make", "--dry-run", "sbom").stdout
