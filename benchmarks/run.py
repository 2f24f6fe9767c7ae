"""Every benchmark in one go: results.json, a page for the documentation, and a plot.

    .venv/bin/python benchmarks/run.py [--quick] [--group conformance|simulator|gateway|load|reports]...

Each group is a program of its own and runs alone, one after the other, since they would disturb each other. A group that
fails is named and the others still run; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.plot import plot, shown

ROOT = Path(__file__).resolve().parents[1]
GROUPS = ("conformance", "simulator", "gateway", "load", "reports")
RESULTS = ROOT / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "benchmarks.md"
PLOT = ROOT / "docs" / "images" / "benchmarks.svg"
_LIMIT_S = 3600

Row = Mapping[str, Any]

_QUESTIONS = {
    "conformance": "`weighbridge run` with nothing but a URL, a key and a model, against other testers on the same server.",
    "simulator": "The simulator against another mock and against the fastest server that this machine can run.",
    "gateway": "What the reference gateway adds to a call, and how it compares with two real gateways.",
    "load": "The load client against other load clients; what it reports against what the server really sent.",
    "reports": "How long the views of a recorded run take, and how soon the page can be used.",
}

#: What a group is given beside `--json`, and not in a quick run.
_WHOLE = {"load": ["--peers", "all"]}


def machine() -> str:
    """What the figures were taken on: processor, cores, system, Python."""
    cpu = platform.processor() or platform.machine()
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        names = [
            line.partition(":")[2].strip() for line in facts.read_text().splitlines() if "model name" in line
        ]
        cpu = names[0] if names else cpu
    return f"{cpu}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"


#: How a group is told to measure less.
NARROWED = {"simulator": "--only", "load": "--streams"}


def run_group(group: str, *, quick: bool, only: str = "") -> tuple[list[Row], str]:
    """One group's rows, and why it failed, if it did; `only` narrows what a group of `NARROWED` measures."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        rows = Path(folder) / "rows.json"
        command = [sys.executable, str(ROOT / "benchmarks" / group / "run.py"), "--json", str(rows)]
        print(f"== {group}", flush=True)
        try:
            code = subprocess.run(  # noqa: S603 - our own programs
                command
                + (["--quick"] if quick else _WHOLE.get(group, []))
                + ([NARROWED[group], only] if only else []),
                cwd=ROOT,
                timeout=_LIMIT_S,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            return [], f"it did not end within {_LIMIT_S} s"
        if not rows.exists():
            return [], f"it ended with exit code {code} and wrote no rows"
        return json.loads(rows.read_text(encoding="utf-8")), ""


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "**no**"
    return f"{value:,.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def aim(row: Row) -> str:
    """The target of a row in words: of the ratio where that has one, else of the value itself."""
    sign = {"higher": "at least", "lower": "at most"}.get(row.get("better", ""), "")
    bound = row.get("ratio_target")
    if isinstance(bound, int | float) and bound > 0:
        return f"ratio {sign} {bound:g}"
    target = row.get("target")
    if isinstance(target, int | float) and not isinstance(target, bool):
        return f"{sign} {target:g} {row['unit']}".strip()
    return str(target or "")


def left_out(rows: Sequence[Row]) -> list[str]:
    """What could not be measured, a sentence each."""
    found = []
    for row in rows:
        if row["value"] is None:
            found.append(row["name"])
        elif str(row.get("note", "")).startswith("not measured"):
            found.append(f"{row['name']} beside {row['peer']}: {row['note']}")
    return found


def page(results: Mapping[str, Any]) -> str:
    """The documentation page."""
    lines = [
        "# Benchmarks",
        "",
        f"Taken on {results['date']} on {results['machine']}. `make bench` repeats all of it. A row compares two measurements of one",
        "run, side by side; the rows of a table come from one run, but for those marked as measured again, which come from a later",
        'run of their own. "Better" says which way value and ratio should go. A target that was not met says **no**; a figure',
        "without a target is there to be read.",
        "",
    ]
    if shown(results["results"]):
        lines.append("![Each ratio, which way is better, and where its target lies](images/benchmarks.svg)")
    for group in GROUPS:
        rows = [row for row in results["results"] if row["group"] == group]
        if not rows:
            continue
        lines += ["", f"## {group.capitalize()}", "", _QUESTIONS[group], ""]
        short = any(row.get("short") for row in rows)
        lines += [f"`make bench ARGS='--group {group}{' --quick' if short else ''}'`", ""]
        if short:
            lines += [
                "These are short runs, one reading each: good for an order of magnitude, not for a close call.",
                "",
            ]
        lines += [
            "| measure | value | unit | beside | ratio | better | target | met |",
            "|---|---:|---|---|---:|---|---|---|",
        ]
        for row in rows:
            if row["value"] is None:
                continue
            name = f"{row['name']} (measured again)" if row.get("again") else row["name"]
            cells = [name, row["value"], row["unit"], row["peer"], row["ratio"]]
            cells += [row.get("better", ""), aim(row), row["ok"]]
            lines.append("| " + " | ".join(_cell(cell).replace("|", "\\|") for cell in cells) + " |")
        lines += [line for item in left_out(rows) for line in ("", f"Left out: {item}.")]
    return "\n".join(lines) + "\n"


def merged(before: Sequence[Row], rows: Sequence[Row], groups: Sequence[str], *, only: bool) -> list[Row]:
    """What is known now: rows of other groups stay; of a narrowed group, those that were not measured again."""
    again = {(row["group"], row["name"], row["peer"]) for row in rows}
    kept = [
        row
        for row in before
        if row["group"] not in groups
        or (only and (row["group"], row["name"], row["peer"].partition(":")[0]) not in _named(again))
    ]
    marked = [{**row, "again": True} for row in rows] if only else list(rows)
    return sorted([*kept, *marked], key=lambda row: GROUPS.index(row["group"]))


def _named(rows: set[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
    """The same without the peers' figures, which differ from run to run."""
    return {(group, name, peer.partition(":")[0]) for group, name, peer in rows}


def _known() -> list[Row]:
    if not RESULTS.exists():
        return []
    found: list[Row] = json.loads(RESULTS.read_text(encoding="utf-8"))["results"]
    return found


def main() -> int:
    """Run the groups, write the files, say what failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="short runs; the page says that they were")
    parser.add_argument("--group", action="append", choices=GROUPS, help="only this group (repeatable)")
    parser.add_argument(
        "--only",
        default="",
        metavar="WHAT",
        help="only the simulator's measures with these words, or the load clients at these numbers of streams",
    )
    options = parser.parse_args()
    if options.only and options.group not in ([name] for name in NARROWED):
        parser.error(f"--only needs one --group beside it, {' or '.join(NARROWED)}")
    groups = options.group or list(GROUPS)
    rows, failures = [], {}
    for group in groups:
        found, reason = run_group(group, quick=options.quick, only=options.only)
        rows += found
        if reason:
            failures[group] = reason
    for group, reason in failures.items():
        print(f"{group}: {reason}", file=sys.stderr)
    missed = [row for row in rows if row["ok"] is False]
    print(f"{len(rows)} figures, {len(missed)} below their target")
    for row in missed:
        print(
            f"  {row['group']}: {row['name']}: {row['value']} {row['unit']} beside {row['peer']}, target {row['target']}"
        )
    for item in left_out(rows):
        print(f"  left out: {item}")
    rows = [{**row, "short": options.quick} for row in rows]
    everything = merged(_known(), rows, groups, only=bool(options.only))
    if everything:
        results = {
            "machine": machine(),
            "date": dt.datetime.now(dt.UTC).date().isoformat(),
            "results": everything,
        }
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        PLOT.parent.mkdir(exist_ok=True)
        PLOT.write_text(plot(everything), encoding="utf-8")
        PAGE.write_text(page(results), encoding="utf-8")
        print("benchmarks/results.json, docs/benchmarks.md, docs/images/benchmarks.svg")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
