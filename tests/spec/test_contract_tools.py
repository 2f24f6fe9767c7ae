"""The description passes the rule sets and generators that its readers use; `spec/lint.sh` runs them.

The tools are installed once into a folder that git ignores. Where that is not possible the tests are left out
aloud; with REQUIRE_ALL=1 that is a failure.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import spec

ROOT = Path(__file__).resolve().parents[2]
UNAVAILABLE = 3

pytestmark = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").exists(), reason="an installed package has no development tools"
)


def lint(*checks: str, openapi: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run some of the checks, bounded."""
    chosen = {} if openapi is None else {"OPENAPI": str(openapi)}
    return subprocess.run(
        [str(spec.root() / "lint.sh"), *checks],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHON": sys.executable, **chosen},
        timeout=180,
        check=False,
    )


@pytest.fixture(scope="session")
def tools() -> None:
    """The installed tools; one of several test processes installs them."""
    folder = ROOT / ".tools"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = lint("install")
    if done.returncode == UNAVAILABLE:
        pytest.skip(f"NOT CHECKED with Redocly, Spectral and the client generators: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("check", ["redocly", "spectral", "typescript", "python"])
def test_the_description_passes(check: str) -> None:
    done = lint(check)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_description_is_what_its_sources_give_and_is_valid() -> None:
    done = lint("fresh", "validator")
    assert done.returncode == 0, done.stdout + done.stderr


#: As small as a description without any finding can be, so that one flaw is the only finding.
SMALL: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {
        "title": "t",
        "version": "1",
        "description": "d",
        "contact": {"name": "c"},
        "license": {"name": "l", "identifier": "MIT"},
    },
    "servers": [{"url": "https://gw.test"}],
    "tags": [{"name": "t", "description": "d"}],
    "paths": {
        "/a": {
            "get": {
                "operationId": "a",
                "summary": "s",
                "description": "d",
                "tags": ["t"],
                "security": [],
                "responses": {"200": {"description": "d"}, "400": {"description": "d"}},
            }
        }
    },
}


def small(path: Path, **changed: Any) -> Path:
    """The small description with members replaced, as a file."""
    path.write_text(yaml.safe_dump({**SMALL, **changed}), encoding="utf-8")
    return path


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("check", ["redocly", "spectral"])
def test_a_mere_warning_is_a_finding(check: str, tmp_path: Path) -> None:
    orphan = {"schemas": {"Orphan": {"type": "string"}}}
    done = lint(check, openapi=small(tmp_path / "flawed.yaml", components=orphan))
    assert done.returncode == 1
    assert "Orphan" in done.stderr


@pytest.mark.usefixtures("tools")
def test_a_description_without_a_flaw_has_no_finding(tmp_path: Path) -> None:
    done = lint("validator", "redocly", "spectral", openapi=small(tmp_path / "good.yaml"))
    assert done.returncode == 0, done.stderr


def test_an_invalid_description_is_a_finding(tmp_path: Path) -> None:
    done = lint("validator", openapi=small(tmp_path / "invalid.yaml", info={"version": "1"}))
    assert done.returncode == 1
    assert "title" in done.stderr
