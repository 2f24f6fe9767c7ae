"""The wheel and the sdist hold what they should, and the wheel works where nothing of the checkout is at hand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
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
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(BIN / "uv"), "tool", "run", "--python", sys.executable, "--constraints", str(ROOT / "constraints.txt"),
         "--from", str(built[1]), "weighbridge", "run", "--quick", "--out", "run"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
        env=variables | ({"PYTEST_ADDOPTS": "-p no_such_plugin"} if lies_around else {}),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "0 fail" in done.stdout
    assert (tmp_path / "run" / "report.html").exists()
