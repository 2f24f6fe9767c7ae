"""A run with findings of every kind, and the tools that look at its views: Chromium, and packages from npm."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, sync_playwright

from tests.report.records import a_run
from weighbridge.engine import Evidence
from weighbridge.report import html

ROOT = Path(__file__).resolve().parents[2]
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def run() -> tuple[Evidence, dict[str, Any]]:
    """Evidence and report."""
    return a_run()


@pytest.fixture(scope="session")
def document(run: tuple[Evidence, dict[str, Any]]) -> dict[str, Any]:
    """The report."""
    return run[1]


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """The packages from npm that these tests need; one of several test processes installs them."""
    npm = shutil.which("npm")
    folder = ROOT / ".tools" / "report"
    folder.mkdir(parents=True, exist_ok=True)
    source = Path(__file__).parent / "node"
    wanted = (source / "package-lock.json").read_text(encoding="utf-8")
    stamp = folder / "installed"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
            if npm is None:
                pytest.skip(
                    "NOT CHECKED with axe-core and the SARIF schema: there is no npm; install nodejs and npm"
                )
            for name in ("package.json", "package-lock.json"):
                shutil.copy(source / name, folder / name)
            done = subprocess.run(
                [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                cwd=folder, capture_output=True, text=True, timeout=180, check=False,
            )  # fmt: skip
            if done.returncode != 0:
                pytest.skip(
                    f"NOT CHECKED with axe-core and the SARIF schema: npm ci failed: {done.stderr[-300:]}"
                )
            stamp.write_text(wanted, encoding="utf-8")
    return folder / "node_modules"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium of this machine; while it is open its driver's event loop runs in this thread, and no other can."""
    path = next((found for name in _CHROMIUM if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("NOT CHECKED in a browser: there is no Chromium; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh browser profile that may use the clipboard and must not reach any network."""
    made = browser.new_context(viewport={"width": 1280, "height": 900})
    made.grant_permissions(["clipboard-read", "clipboard-write"])
    made.set_default_timeout(10_000)
    yield made
    made.close()


class Opened:
    """A page with what it complained about, and what it asked for beyond its own file."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._console)
        page.on("dialog", self._dialog)
        page.on("request", lambda request: self.requests.append(request.url))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def _dialog(self, dialog: Dialog) -> None:
        self.complaints.append("a dialog")
        dialog.dismiss()

    def open(self, path: Path, fragment: str = "") -> Page:
        """Open a file and wait until it can be used."""
        self.page.goto(f"file://{path}{fragment}")
        self.page.wait_for_selector("html[data-ready=yes]", state="attached")
        return self.page


@pytest.fixture
def opened(context: BrowserContext) -> Iterator[Opened]:
    """A page that must not complain and must load nothing but itself."""
    made = Opened(context.new_page())
    yield made
    assert made.complaints == []
    assert [url for url in made.requests if not url.startswith("file://")] == []


@pytest.fixture(scope="session")
def page_file(run: tuple[Evidence, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The HTML view of the run."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(html.render(run[1], run[0]), encoding="utf-8")
    return path
