"""The wheel and the sdist hold what they should, and the wheel works where nothing of the checkout is at hand."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Mapping
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("weighbridge", "mock_upstreams", "reference_gateway", "defects")
BUNDLED = ("suites", "spec", "loadtests", "targets")
BIN = Path(sys.executable).parent


def tracked(*folders: str) -> set[str]:
    """The files of the checkout that belong to it; what git ignores does not."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *folders]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist of the checkout, and the wheel made from that sdist."""
    place = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(place), str(ROOT)],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (sdist,), (wheel,) = place.glob("*.tar.gz"), place.glob("*.whl")
    return sdist, wheel


def test_the_wheel_holds_the_packages_and_the_bundled_folders_and_nothing_else(
    built: tuple[Path, Path],
) -> None:
    held = set(zipfile.ZipFile(built[1]).namelist())
    information = {name for name in held if ".dist-info/" in name}
    wanted = tracked(*PACKAGES) | {f"weighbridge/bundled/{name}" for name in tracked(*BUNDLED)}
    assert held - information == wanted
    assert {f"{name}/py.typed" for name in PACKAGES} <= held
    assert any(name.endswith("licenses/LICENSE") for name in information)
    assert not any("pytest11" in zipfile.ZipFile(built[1]).read(name).decode() for name in information)


def test_the_sdist_holds_the_whole_checkout(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[0]) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert tracked() - held == set()
    assert held - tracked() - {""} == {"PKG-INFO"}


def test_the_core_stays_small_and_the_rest_is_an_extra(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[1]) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "Apache-2.0"
    needed = {
        re.match(r"[\w-]+", line)[0]  # type: ignore[index]
        for line in metadata.get_all("Requires-Dist", [])
        if "extra ==" not in line
    }
    assert needed == {
        "aiohttp", "hypothesis", "jinja2", "jsonschema", "orjson", "prometheus-client", "pytest", "pyyaml", "rich",
        "schemathesis", "typer", "uvloop",
    }  # fmt: skip
    assert {"load", "postgres", "allure", "otel"} <= set(metadata.get_all("Provides-Extra", []))


@pytest.mark.parametrize("lies_around", [False, True], ids=["empty-folder", "hostile-folder"])
def test_the_wheel_judges_the_embedded_gateway(
    built: tuple[Path, Path], lies_around: bool, tmp_path: Path
) -> None:
    if lies_around:
        (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option -p no_such_plugin\n")
        (tmp_path / "conftest.py").write_text('raise RuntimeError("the conftest of a stranger was loaded")\n')
    beside(built[1], tmp_path)
    (printed,) = lines_of_the_page("uvx")
    # The line as it is printed, made short.
    said = shell(
        f"{printed} --quick --out run",
        tmp_path,
        {"UV_PYTHON": sys.executable, "UV_CONSTRAINT": str(ROOT / "constraints.txt")}
        | ({"PYTEST_ADDOPTS": "-p no_such_plugin"} if lies_around else {}),
    )
    assert "0 fail" in said
    assert (tmp_path / "run" / "report.html").exists()


def beside(wheel: Path, folder: Path) -> None:
    """The wheel where `make wheel` puts it, below a folder."""
    (folder / "dist").mkdir()
    (folder / "dist" / wheel.name).symlink_to(wheel)


def lines_of_the_page(program: str) -> list[str]:
    """The commands with a wheel on the page for strangers, without their comments."""
    page = (ROOT / "docs" / "first-run.md").read_text(encoding="utf-8")
    return [
        line.partition("  #")[0].rstrip()
        for line in page.splitlines()
        if line.startswith(f"{program} ") and "dist/" in line
    ]


def shell(line: str, folder: Path, variables: Mapping[str, str]) -> str:
    """What a command line says in a shell of the folder, with the tools of our environment; it must end well."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", line],
        cwd=folder,
        env={**kept, "PATH": path, **variables},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, line + done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout + done.stderr


def test_the_wheel_installs_by_the_lines_of_the_page(built: tuple[Path, Path], tmp_path: Path) -> None:
    beside(built[1], tmp_path)
    plain, with_extra = lines_of_the_page("pip")
    # What it needs is not fetched again; a name that is no extra of the wheel would be warned of.
    for number, line in enumerate((plain, with_extra)):
        place = tmp_path / str(number)
        said = shell(line, tmp_path, {"PIP_NO_DEPS": "1", "PIP_TARGET": str(place)})
        assert (place / "weighbridge" / "cli.py").exists()
        assert "WARNING" not in said
    assert shlex.split(with_extra)[-1].endswith("[load]")


def test_every_extra_that_a_page_asks_for_is_one_of_the_wheel() -> None:
    named = {
        extra
        for page in (ROOT / "docs").glob("*.md")
        for group in re.findall(r"weighbridge-\*\.whl\)\[([\w,]+)\]", page.read_text(encoding="utf-8"))
        for extra in group.split(",")
    }
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    assert {"load", "postgres"} <= named <= set(known)
