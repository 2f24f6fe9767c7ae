"""Files that commands write: a place is tried before anything costs time, and refused in one sentence."""

from __future__ import annotations

import tempfile
from pathlib import Path

from weighbridge.errors import UsageError


def require_folder(option: str, folder: Path) -> None:
    """Make sure, before anything costs time, that files can be put into a folder; makes the folder.

    Raises:
        UsageError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".weighbridge-"):
            pass
    except OSError as error:
        raise UsageError(
            f"{option} {folder} cannot be written to: {error.strerror or error}; choose another place"
        ) from error


def require_file(option: str, path: Path) -> None:
    """Make sure that `write` can write this file; makes its folder.

    Raises:
        UsageError: it cannot.
    """
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{option} {path} is no file; name a file to write")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(path)
        temporary.touch()
        temporary.unlink()
    except OSError as error:
        raise UsageError(
            f"{option} {path} cannot be written: {error.strerror or error}; choose another place"
        ) from error


def _temporary(path: Path) -> Path:
    return path.with_suffix(path.suffix + ".part")


def replace_file(path: Path, data: bytes) -> None:
    """Write a file so that a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    temporary.write_bytes(data)
    temporary.replace(path)


def write_or_refuse(what: str, path: Path, text: str) -> None:
    """Write a text file and make its folder.

    Raises:
        UsageError: it cannot be written; `what` is what people call it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{what} {path} cannot be written: {error.strerror or error}; choose another place"
        ) from error
