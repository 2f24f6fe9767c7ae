"""What a finished load is shown as: the page, JUnit, Markdown."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from weighbridge.embed import EMBEDDED_SHAPE
from weighbridge.load.document import figures_document
from weighbridge.load.export import junit_suite, markdown
from weighbridge.load.figures import LAG, ClientProcess, Failure, Figures, Tally, row_of
from weighbridge.load.histogram import cell_of
from weighbridge.load.lanes import parse_mix
from weighbridge.load.page import render
from weighbridge.load.planning import make_plan
from weighbridge.load.trust import check


def figures(shift: int = 0) -> Figures:
    tally = Tally()
    for value in range(1, 500):
        for name in ("ttft", "ttfb", "ttft_sent", "icl", "tpot", "e2e", "stall"):
            tally.histograms[name].record(value * 1000 + shift)
        tally.histograms[LAG].record(100)
    for number in range(20):
        part = tally.slice(number)
        part.counts.update(
            {"chunks": 100 + number, "tokens": 200, "completed": 5, "failed": number % 2, "started": 6}
        )
        part.icl[row_of(cell_of(8000))] += 50
        part.ttft[row_of(cell_of(60000 + 9000 * number))] += 5
    tally.started, tally.completed, tally.chunks, tally.tokens, tally.usage_streams = (
        510,
        499,
        2000,
        4000,
        499,
    )
    tally.failures.update({Failure.TRUNCATED: 10})
    tally.lane("chat").completed, tally.lane("messages").completed = 300, 199
    tally.processes.append(ClientProcess(1, 20.0, 2.0, 2000, 499, 4000))
    return Figures.of(tally)


@pytest.fixture
def document() -> dict[str, Any]:
    plan = make_plan(EMBEDDED_SHAPE, parse_mix("chat=3,messages"), wired=True, users=4, duration=20)
    made = figures_document(
        plan,
        figures(2000),
        check(figures()),
        run={"id": "r1", "started": "2026-01-01T00:00:00+00:00"},
        direct=figures(),
        examples={"truncated": "cut <off> & gone"},
    )
    made["gates"] = [
        {"gate": "ttft.p99<400ms", "measured": 495000.0, "shown": "495.00 ms", "met": False},
        {"gate": "completion>=90%", "measured": 0.98, "shown": "98.000%", "met": True},
    ]
    made["money"] = {"ok": True, "skipped": True, "statement": "money not reconciled: no balance"}
    steps = [
        {"level": level, "met": level < 40, "trusted": True, "why": "gates met", "ttft_p99_ms": 60.0 + level,
         "streams_per_s": float(level), "tokens_per_s": None}
        for level in (10.0, 20.0, 40.0, 30.0)
    ]  # fmt: skip
    made["capacity"] = {
        "unit": "starts/s",
        "found": 30.0,
        "statement": "capacity 30 starts/s",
        "steps": steps,
    }
    return made


class Checked(HTMLParser):
    """Collects elements and attributes; knows which elements need no end."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: dict[str, int] = {}
        self.values: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] = self.seen.get(tag, 0) + 1
        self.values += [value or "" for _, value in attrs]
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] = self.seen.get(tag, 0) + 1
        self.values += [value or "" for _, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_from_outside(document: dict[str, Any]) -> None:
    page = render(document)
    checked = Checked()
    checked.feed(page)
    assert checked.open == []
    assert not {"script", "link", "img", "iframe"} & set(checked.seen)
    assert not any(value.startswith(("http", "//")) for value in checked.values)
    assert "url(" not in page
    assert "@import" not in page
    assert "NaN" not in page
    for words in (
        "Gateway against direct",
        "Distributions",
        "Over time",
        "Capacity",
        "Kinds of calls",
        "MISSED",
    ):
        assert words in page
    assert "cut &lt;off&gt; &amp; gone" in page
    assert checked.seen["svg"] >= 10


def test_every_mark_lies_inside_its_plot(document: dict[str, Any]) -> None:
    page = render(document)
    for width, height, body in re.findall(r'<svg viewBox="0 0 (\d+) (\d+)"(.*?)</svg>', page, re.DOTALL):
        for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", body):
            assert -1 <= float(x) <= float(width) + 1
            assert -1 <= float(y) <= float(height) + 1


def test_a_load_without_any_answer_still_has_a_page() -> None:
    plan = make_plan(EMBEDDED_SHAPE, parse_mix("chat"), wired=True)
    empty = Figures.of(Tally())
    assert "Load test" in render(figures_document(plan, empty, check(empty)))


def test_junit_has_a_case_for_each_gate_the_client_and_the_money(document: dict[str, Any]) -> None:
    suite = junit_suite(document)
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors"), suite.get("skipped")) == (
        "4",
        "1",
        "0",
        "1",
    )
    failed = suite.find("testcase/failure")
    assert failed is not None
    assert failed.get("message") == "measured 495.00 ms"


def test_markdown_leads_with_the_missed_gates(document: dict[str, Any]) -> None:
    text = markdown(document)
    assert text.index("**MISSED**") < text.index("| met |")
    assert "| ttft |" in text
    assert "+2." in text
