"""The page and the views of a full embedded run: size, time until the page can be used, time for all views.

    python benchmarks/reports/run.py [--run FOLDER] [--json FILE] [--quick]

Needs Chromium (on Debian: apt-get install chromium). Times are medians; the processor time of the same work stands
beside them, since it says the same on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from weighbridge.recorded import judge_again
from weighbridge.report import allure_results
from weighbridge.report.views import ViewPaths, write_views

_VIEWS = ("json", "junit", "html", "markdown", "sarif", "badge")


def page_times(page: Path, times: int) -> tuple[float, float]:
    """Milliseconds until the page can be used, and of them those in which its main thread worked; medians."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path is None:
        raise SystemExit("left out: the page needs Chromium; on Debian: apt-get install chromium")
    ready, busy = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for _ in range(times):
            opened = browser.new_page()
            session = opened.context.new_cdp_session(opened)
            session.send("Performance.enable", {"timeDomain": "threadTicks"})
            opened.goto(f"file://{page.resolve()}")
            opened.wait_for_selector("html[data-ready=yes]", state="attached")
            ready.append(opened.evaluate("performance.getEntriesByName('weighbridge-ready')[0].startTime"))
            metrics = session.send("Performance.getMetrics")["metrics"]
            busy.append(next(item["value"] for item in metrics if item["name"] == "TaskDuration") * 1000)
            opened.close()
        browser.close()
    return statistics.median(ready), statistics.median(busy)


def views_times(run: Path, times: int) -> tuple[float, float]:
    """Seconds for reading, judging and writing every view of a recorded run, and their processor time; medians."""
    wall, worked = [], []
    for _ in range(times):
        with tempfile.TemporaryDirectory() as name:
            out = Path(name)
            began, began_work = time.perf_counter(), time.process_time()
            recorded = judge_again(run)
            document = recorded.document()
            write_views(ViewPaths(**{view: out / view for view in _VIEWS}), document, recorded.evidence)
            allure_results.write(document, recorded.evidence, out / "allure")
            wall.append(time.perf_counter() - began)
            worked.append(time.process_time() - began_work)
    return statistics.median(wall), statistics.median(worked)


def _row(name: str, value: float, unit: str, target: str, ok: bool | None) -> dict[str, Any]:
    return {
        "group": "reports", "name": name, "value": round(value, 3), "unit": unit, "peer": None, "ratio": None,
        "target": target, "ok": ok, "better": "lower", "ratio_target": None,
    }  # fmt: skip


def main() -> int:
    """Measure, print, and write the rows where asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, help="a recorded full run; without it one is made")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    times = 3 if options.quick else 9
    with tempfile.TemporaryDirectory() as name:
        run = options.run or Path(name)
        if options.run is None:
            command = [sys.executable, "-m", "weighbridge", "run", "--out", str(run)]
            subprocess.run(command, check=True, capture_output=True, timeout=300)  # noqa: S603 - our own program
        size = (run / "report.html").stat().st_size / 1e6
        ready, busy = page_times(run / "report.html", times)
        wall, worked = views_times(run, times)
    rows = [
        _row("HTML of a full embedded run", size, "MB", "below 1.5", size < 1.5),
        _row("page can be used after", ready, "ms", "below 500", ready < 500),
        _row("of it, work of the page's main thread", busy, "ms", "", None),
        _row("all views from a recorded run", wall, "s", "below 1", wall < 1),
        _row("of it, processor time", worked, "s", "", None),
    ]
    for row in rows:
        print(f"{row['name']:<42} {row['value']:>9} {row['unit']:<3} {row['target']}")
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0 if all(row["ok"] is not False for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
