"""Installs LiteLLM into an environment of its own, from recorded versions, once.

The environment is whole when its stamp says so; the stamp is written last and names what it was made from, so an
interrupted installation, other constraints or another Python lead to a new one.
"""

# ruff: noqa: INP001 - a folder of scripts, not a package
from __future__ import annotations

import fcntl
import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway_processes import GatewayError, say

VERSION: Final = "1.106.2"
REQUIREMENT: Final = f"litellm[proxy]=={VERSION}"
#: The proxy's error handler imports it; without it a call without a key is answered 500 instead of 401, which
#: would be a fault of this installation and not of LiteLLM. Its database engine is not needed and not fetched.
ALSO: Final = "prisma"
#: Parts of every environment, whatever is installed in it.
_TOOLS: Final = frozenset({"pip", "setuptools", "wheel"})


@dataclass(frozen=True, slots=True)
class Installation:
    """Where LiteLLM is installed, and the versions that are used for it."""

    environment: Path
    constraints: Path

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.environment / "bin" / "python"

    @property
    def litellm(self) -> Path:
        """The proxy's command."""
        return self.environment / "bin" / "litellm"

    @property
    def _mark(self) -> Path:
        return self.environment / "installed.txt"

    def stamp(self) -> str:
        """What an installation is made from: the requirement, the constraints, this Python."""
        given = self.constraints.read_bytes() if self.constraints.exists() else b""
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        return f"{REQUIREMENT}\n{ALSO}\nconstraints {hashlib.sha256(given).hexdigest()}\npython {python}\n"

    def is_whole(self) -> bool:
        """Whether it is there and made from the present requirement and constraints."""
        return (
            self._mark.is_file()
            and self._mark.read_text(encoding="utf-8") == self.stamp()
            and self.litellm.exists()
        )

    def install(self, *, record: bool = False) -> None:
        """Make the environment, unless it is there. With `record`, resolve anew and rewrite the constraints.

        Raises:
            GatewayError: Python or pip failed.
        """
        if self.is_whole() and not record:
            return
        self.environment.parent.mkdir(parents=True, exist_ok=True)
        lock = self.environment.with_suffix(".lock")
        with lock.open("w", encoding="utf-8") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            if not self.is_whole() or record:
                self._make(record=record)

    def _make(self, *, record: bool) -> None:
        say(f"installing LiteLLM {VERSION} into {self.environment}; this takes about a minute")
        _run(
            [sys.executable, "-m", "venv", "--clear", str(self.environment)],
            "the environment could not be made",
        )
        pip = [str(self.python), "-m", "pip", "--disable-pip-version-check"]
        held = [] if record else ["--constraint", str(self.constraints)]
        # Twice quiet leaves errors: warnings are about the machine's own pip settings.
        _run([*pip, "install", "-qq", *held, REQUIREMENT, ALSO], "pip could not install LiteLLM")
        if record:
            listing = _run([*pip, "list", "--format", "json"], "pip could not list what it installed")
            self.constraints.write_text(constraints_text(listing), encoding="utf-8")
        self._mark.write_text(self.stamp(), encoding="utf-8")


def constraints_text(listing: str) -> str:
    """The constraints file for what pip lists as JSON: names and versions, never an address."""
    packages = {item["name"]: item["version"] for item in json.loads(listing)}
    names = sorted((name for name in packages if name not in _TOOLS), key=str.lower)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return "\n".join(
        [
            f"# All packages of {REQUIREMENT}, as resolved with Python {python}.",
            "# Written by `gateway.py install --record`.",
            *(f"{name}=={packages[name]}" for name in names),
            "",
        ]
    )


def _run(command: Sequence[str], failure: str) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 - our own commands
    if done.returncode:
        raise GatewayError(f"{failure} (exit code {done.returncode}); the reason stands above")
    return done.stdout
