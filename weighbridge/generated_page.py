"""What the pages have in common that are written from the tree: one command writes a page or says whether it is fresh."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path


def write_or_check(command: str, path: Path, text: str, arguments: Sequence[str]) -> int:
    """Write the page, or with `--check` say whether it is fresh; returns the process's exit code.

    Args:
        command: the module that writes it, for the sentence about a stale page.
        path: where the page stands.
        text: what it should say.
        arguments: of the command line.
    """
    if "--check" not in arguments:
        path.write_text(text, encoding="utf-8")
        return 0
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(f"{path} is stale; run `python -m {command}`\n")
    return 1
