"""The pictures of a report that README and documentation show: `python -m tests.report.picture` takes them again.

Each says in a text chunk of its own from which published report it was taken, and a test holds it to that report.
"""

import json
import shutil
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[2]
FINDINGS = ROOT / "docs" / "images" / "report.png"
STREAMS = ROOT / "docs" / "images" / "report-streams.png"
PUBLISHED = ROOT / "reports" / "2026.11" / "litellm-1.106.2"
_KEY = b"Source"
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def source() -> str:
    """What the report says of itself as far as the picture shows it."""
    report = json.loads((PUBLISHED / "report.json").read_text(encoding="utf-8"))
    claims = ", ".join(f"{claim['profile']} {claim['counts']}" for claim in report["claims"])
    return (
        f"{PUBLISHED.name}, run {report['run']['id']}, {len(report['requirements'])} requirements, {claims}"
    )


def source_told(png: bytes) -> str:
    """What a picture says of its source; empty where it says nothing."""
    told = (data for kind, data in _chunks(png) if kind == b"tEXt" and data.startswith(_KEY + b"\0"))
    return next(told, b"").removeprefix(_KEY + b"\0").decode("latin-1")


def with_source(png: bytes, text: str) -> bytes:
    """The picture with its source in it."""
    chunks = list(_chunks(png))
    chunks.insert(1, (b"tEXt", _KEY + b"\0" + text.encode("latin-1")))
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_SIGNATURE)
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += length + 12


def _findings(page: Page) -> bytes:
    """The claims, the first finding closed, and the second one as far as its picture."""
    page.set_viewport_size({"width": 1200, "height": 900})
    findings = page.locator("#findings article")
    findings.nth(0).locator(".exchange").wait_for()
    findings.nth(0).get_by_role("button", expanded=True).click()
    drawn = findings.nth(1).locator("svg").first
    # An exchange is drawn when it comes into view.
    findings.nth(1).scroll_into_view_if_needed()
    drawn.wait_for()
    page.evaluate("window.scrollTo(0, 0)")
    box = drawn.bounding_box()
    assert box is not None
    page.set_viewport_size({"width": 1200, "height": round(box["y"] + box["height"]) + 48})
    return page.screenshot()


def _streams(page: Page) -> bytes:
    """The section of streams: what the provider wrote above what the client saw, whole and broken."""
    page.set_viewport_size({"width": 1200, "height": 900})
    page.locator("#streams").scroll_into_view_if_needed()
    page.locator("#stream-list svg").nth(2).wait_for()
    page.evaluate("document.querySelector('#streams').scrollIntoView()")
    return page.screenshot()


def main() -> None:
    """Take them."""
    path = next((found for name in _CHROMIUM if (found := shutil.which(name))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for picture, taken in ((FINDINGS, _findings), (STREAMS, _streams)):
            page = browser.new_page()
            page.goto((PUBLISHED / "report.html").as_uri())
            picture.write_bytes(with_source(taken(page), source()))
        browser.close()


if __name__ == "__main__":
    main()
