"""The fenced blocks of every page, each with its language and, where it cannot be run, the reason that stands above it.

A block that nobody can run on the machine of the tests has a comment of this form above it, which the site does not
show: `<!-- not run here: it needs a container engine -->`.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[\w+-]*)[^\n`]*$")
_MARK = re.compile(r"^\s*<!-- not run here: (?P<reason>.*?) -->\s*$")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block.

    Attributes:
        page: the page below the root of the project.
        line: where its fence is, from 1.
        language: the word behind the fence; empty for none.
        reason: why it is not run here; empty where it is.
    """

    page: str
    line: int
    language: str
    text: str
    reason: str

    @property
    def place(self) -> str:
        """For people."""
        return f"{self.page}:{self.line}"


def blocks_of(text: str, page: str) -> Iterator[Block]:
    """The blocks of one page, in order.

    Raises:
        ValueError: a fence is never closed.
    """
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        fence = _FENCE.match(lines[number])
        if fence is None:
            number += 1
            continue
        first = number
        number += 1
        while number < len(lines) and lines[number].strip() != "```":
            number += 1
        if number == len(lines):
            raise ValueError(f"{page}:{first + 1}: the block is never closed")
        cut = len(fence["indent"])
        above = _MARK.match(lines[first - 1]) if first else None
        body = "".join(f"{line[cut:]}\n" for line in lines[first + 1 : number])
        yield Block(page, first + 1, fence["language"], body, above["reason"] if above else "")
        number += 1


def pages() -> tuple[str, ...]:
    """Every page of the project that is kept in its repository, change notes aside."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    names = listed.stdout.split() if listed.returncode == 0 else []
    # Outside a checkout, such as in an unpacked sdist, the folders tell.
    names = names or [str(path.relative_to(ROOT)) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))]
    return tuple(sorted(name for name in names if (ROOT / name).is_file()))


def all_blocks() -> tuple[Block, ...]:
    """The blocks of all pages."""
    return tuple(
        block for page in pages() for block in blocks_of((ROOT / page).read_text(encoding="utf-8"), page)
    )
