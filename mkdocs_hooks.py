"""Puts the pages that stand outside docs/ on the site: those of the root, and the published reports. A hook of mkdocs.

Links are written for the checkout and led to the same page of the site here, so that every link works in both places; one that
leads nowhere on the site stays as it is, and the build names it.
"""

from __future__ import annotations

import posixpath
import re
from functools import cache
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).resolve().parent

#: Pages outside docs/ and their places on the site; mkdocs takes a README for the index of its folder.
PLACES = {
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "reports/README.md": "reports/publishing.md",
}
_LINK = re.compile(r"(\]\()([^)\s#:]+)((?:#[^)\s]*)?\))")


def published() -> list[str]:
    """The files of the published reports; the list of them as a bare page gives way to the one with the site around it."""
    found = (path.relative_to(ROOT).as_posix() for path in (ROOT / "reports").rglob("*") if path.is_file())
    return sorted(
        name for name in found if not name.startswith("reports/runs/") and name != "reports/index.html"
    )


def place_of(path: str) -> str:
    """Where a file of the checkout stands on the site; empty for one that does not."""
    if path in PLACES:
        return PLACES[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    # The same matrix stands beside it as a bare page, and on the site both would be comparison.html.
    path = re.sub(r"/comparison\.md$", "/side-by-side.md", path)
    return path if path.startswith("reports/") else ""


@cache
def outside() -> dict[str, str]:
    """What stands outside docs/, by its place on the site."""
    return {place_of(path): path for path in (*PLACES, *published())}


def relinked(text: str, path: str) -> str:
    """The text of a page of the checkout with its links as they are on the site."""
    here = posixpath.dirname(place_of(path))

    def led(found: re.Match[str]) -> str:
        meant = place_of(posixpath.normpath(posixpath.join(posixpath.dirname(path), found[2])))
        return f"{found[1]}{posixpath.relpath(meant, here or '.')}{found[3]}" if meant else found[0]

    return _LINK.sub(led, text)


def on_files(files: Files, config: Any) -> Files:
    """Add what stands outside docs/."""
    for place, path in outside().items():
        named = path in PLACES or path == "reports/index.md"
        inclusion = InclusionLevel.INCLUDED if named else InclusionLevel.NOT_IN_NAV
        files.append(File.generated(config, place, abs_src_path=str(ROOT / path), inclusion=inclusion))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead the links of every page."""
    source = page.file.src_uri
    return relinked(markdown, outside().get(source, f"docs/{source}"))
