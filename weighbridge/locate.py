"""Finds the project's data folders: bundled inside the wheel, or at the root of a checkout."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from weighbridge.errors import HarnessError

_PACKAGE = Path(__file__).resolve().parent


@cache
def folder(name: str) -> Path:
    """The folder `suites`, `spec`, `loadtests` or `targets`.

    Raises:
        HarnessError: the installation is damaged and holds no such folder.
    """
    for candidate in (_PACKAGE / "bundled" / name, _PACKAGE.parent / name):
        if candidate.is_dir():
            return candidate
    raise HarnessError(f"this installation holds no folder {name!r}; install weighbridge again")
