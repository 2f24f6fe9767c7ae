"""The page and the plot of the benchmarks: which way is better, where the target lies, and what was left out."""

from __future__ import annotations

import re
from typing import Any

import pytest

from benchmarks.conformance.run import missing_rows
from benchmarks.plot import plot
from benchmarks.run import aim, merged, page


def row(**changes: Any) -> dict[str, Any]:
    return {
        "group": "simulator", "name": "streams", "value": 12.5, "unit": "1/s", "peer": "aimock: 5", "ratio": 2.5,
        "target": ">= 3 x", "ok": False, "better": "higher", "ratio_target": 3.0, **changes,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "ratio at least 3"),
        ({"better": "lower", "ratio_target": 1.6}, "ratio at most 1.6"),
        ({"better": "lower", "ratio_target": None, "target": 2.0, "unit": "ms"}, "at most 2 ms"),
        ({"ratio_target": None, "target": "more than aimock"}, "more than aimock"),
        ({"ratio_target": None, "target": None}, ""),
    ],
)
def test_the_target_says_what_it_bounds_and_from_which_side(changes: dict[str, Any], told: str) -> None:
    assert aim(row(**changes)) == told


def test_the_plot_says_for_each_ratio_which_way_is_better_and_marks_its_target() -> None:
    drawn = plot(
        [row(), row(better="lower", ratio=0.8, ratio_target=1.6, ok=True), row(ratio=None), row(ratio=0)]
    )
    assert drawn.count("higher is better") == 1
    assert drawn.count("lower is better") == 1
    assert re.findall(r"<title>target ([\d.]+) x</title>", drawn) == ["3", "1.6"]
    at = {
        colour: float(x)
        for x, colour in re.findall(r'<rect x="([\d.]+)"[^>]*fill="(#b3402e|#2f7d4f)"', drawn)
    }
    marks = [float(x) for x in re.findall(r'<rect x="([\d.]+)"[^>]*fill="#111"', drawn)]
    (middle,) = (float(x) for x in re.findall(r'<path d="M([\d.]+) [^"]*" stroke="#888"/>', drawn))
    assert at["#b3402e"] == middle  # a ratio above 1.0 goes to the right, to 2.5 and short of its mark at 3
    assert at["#2f7d4f"] < middle < marks[1] < marks[0]


def test_the_page_has_a_column_for_the_better_way_and_names_what_was_left_out() -> None:
    missing = missing_rows({"llmprobe": "npm is not here"})
    rows = [row(), row(name="paced", note="not measured: it is not installed"), *missing]
    text = page({"date": "2026-11-21", "machine": "a laptop", "results": rows})
    assert "| streams | 12.5 | 1/s | aimock: 5 | 2.5 | higher | ratio at least 3 | **no** |" in text
    assert "Left out: paced beside aimock: 5: not measured: it is not installed." in text
    assert "Left out: llmprobe could not be had: npm is not here." in text
    assert "| llmprobe" not in text


def test_rows_that_are_measured_again_replace_their_like_and_say_so() -> None:
    before = [
        row(name="memory", value=58.0),
        row(name="memory", peer="raw: 3"),
        row(),
        row(group="load", name="cpu"),
    ]
    known = merged(before, [row(name="memory", value=9.0, peer="aimock: 6")], ["simulator"], only=True)
    assert [(item["group"], item["name"], item["value"], item.get("again")) for item in known] == [
        ("simulator", "memory", 12.5, None), ("simulator", "streams", 12.5, None), ("simulator", "memory", 9.0, True),
        ("load", "cpu", 12.5, None),
    ]  # fmt: skip
    text = page({"date": "2026-01-01", "machine": "here", "results": known})
    assert "| memory (measured again) | 9 |" in text
    assert "marked as measured again, which come from a later" in text


def test_a_group_that_is_measured_whole_replaces_all_its_rows() -> None:
    known = merged([row(name="memory"), row(group="load", name="cpu")], [row()], ["simulator"], only=False)
    assert [item["name"] for item in known] == ["streams", "cpu"]


def test_the_plot_names_each_group_once_and_cuts_no_peer_in_two() -> None:
    drawn = plot(
        [row(ratio=0.976572), row(peer="aiohttp, one transport write: 18,807"), row(group="gateway", name="calls against litellm", peer="73.75")]
    )  # fmt: skip
    assert re.findall(r'font-weight="600"[^>]*>(\w+)<', drawn) == ["Simulator", "Gateway"]
    assert ">0.977 x<" in drawn
    assert ">streams / aiohttp, one transport write<" in drawn
    assert ">calls against litellm<" in drawn
