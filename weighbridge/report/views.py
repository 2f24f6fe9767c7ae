"""Writes the views of a report that were asked for. Every view is made from the document, and adds nothing.

Only the HTML view and Allure's attachments also read the evidence, for the exchanges that findings refer to.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from weighbridge.engine import Evidence
from weighbridge.errors import HarnessError
from weighbridge.output import replace_file, require_file, require_folder
from weighbridge.report import document as report


@dataclass(frozen=True, slots=True)
class ViewPaths:
    """Where each view goes; None for those not wanted. `allure` is a folder, the others are files."""

    json: Path | None = None
    junit: Path | None = None
    html: Path | None = None
    markdown: Path | None = None
    sarif: Path | None = None
    badge: Path | None = None
    allure: Path | None = None

    def chosen(self) -> Iterator[tuple[str, Path]]:
        """The views wanted, by name."""
        for field in fields(self):
            path = getattr(self, field.name)
            if path is not None:
                yield field.name, path

    def require(self) -> None:
        """Make sure, before anything costs time, that every view can be written.

        Raises:
            UsageError: one cannot.
        """
        for name, path in self.chosen():
            if name == "allure":
                require_folder("--allure", path)
            else:
                require_file(f"--{name}", path)


def rendered(name: str, document: Mapping[str, Any], evidence: Evidence | None) -> bytes:
    """One view that is a file, as bytes.

    Args:
        name: `json`, `junit`, `html`, `markdown`, `sarif` or `badge`.
        document: the report.
        evidence: the exchanges behind it, for the HTML view.
    """
    if name == "junit":
        from weighbridge.report import junit

        return junit.render(document)
    if name == "html":
        from weighbridge.report import html

        return html.render(document, evidence).encode()
    if name == "markdown":
        from weighbridge.report import markdown

        return markdown.render(document).encode()
    if name == "sarif":
        from weighbridge.report import sarif

        return _json(sarif.render(document))
    if name == "badge":
        from weighbridge.report import badge

        return badge.render(document).encode()
    return report.serialised(document)


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def write_views(paths: ViewPaths, document: Mapping[str, Any], evidence: Evidence | None) -> None:
    """Write the views that are files; Allure's results are written by the session or by `allure_results`.

    Raises:
        HarnessError: a place that could be written to before the run cannot be any more.
    """
    for name, path in paths.chosen():
        if name == "allure":
            continue
        data = rendered(name, document, evidence)
        try:
            replace_file(path, data)
        except OSError as error:
            raise HarnessError(
                f"--{name} {path} cannot be written: {error.strerror or error}; make room or choose another place"
            ) from error
