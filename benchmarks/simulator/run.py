"""How fast, how exact and how small the simulator is, against its peers and its limit.

    python -m benchmarks.simulator [--quick] [--json FILE] [--only WORDS] [--new-heads]

Each server has core 0 to itself and the load client core 1. A run reads every contender of a measure once, one after the
other; the figures are medians of three such runs, so that what disturbs the machine disturbs all of them. Ratios are
judged, not absolute figures. The journal of the simulator is on. Every call has a prompt and a correlation id of its own;
its headers are those of the call before, as from any client that keeps its connection, unless `--new-heads` gives each
unpaced call an id in its head too.
"""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.simulator.measures import (
    MEASURES,
    NEW_HEADS,
    QUICK,
    THOROUGH,
    Effort,
    Measure,
    Reading,
    client_was_the_limit,
)
from benchmarks.simulator.processes import NotMeasured
from benchmarks.simulator.servers import Contender

_DISTURBED = 0.10


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `ratio` and `ok` are None when the peer was not measured; `note` says why, or warns."""

    name: str
    value: float | None
    unit: str
    peer: str
    ratio: float | None
    target: str
    ok: bool | None
    note: str
    group: str = "simulator"
    better: str = ""
    ratio_target: float | None = None


def _readings(
    measure: Measure, effort: Effort, runs: int, tell: Callable[[str], None]
) -> tuple[dict[str, list[Reading]], dict[str, str]]:
    """All readings by contender, and why a contender has none."""
    contenders = [measure.ours, *(peer.contender for peer in measure.peers)]
    found: dict[str, list[Reading]] = {contender.name: [] for contender in contenders}
    missing: dict[str, str] = {}
    for run in range(runs):
        for contender in contenders:
            if contender.name in missing:
                continue
            tell(f"{measure.name}: {contender.name}, run {run + 1} of {runs}")
            try:
                found[contender.name].append(measure.read(contender, effort))
            except NotMeasured as reason:
                missing[contender.name] = str(reason)
    return found, missing


def _rows(measure: Measure, found: dict[str, list[Reading]], missing: dict[str, str]) -> list[Row]:
    ours = _median(found, missing, measure.ours)
    sign = "<=" if measure.less_is_better else ">="
    better = "lower" if measure.less_is_better else "higher"
    rows: list[Row] = []
    if measure.limit is not None:
        ok = None if ours is None else ours <= measure.limit
        note = _note(measure, found, missing, ())
        limit = f"<= {measure.limit:g}"
        rows.append(Row(measure.name, ours, measure.unit, "", None, limit, ok, note, better=better))
    for peer in measure.peers:
        theirs = _median(found, missing, peer.contender)
        ratio = None if ours is None or not theirs else ours / theirs
        ok = (
            None
            if ratio is None
            else ratio <= peer.target
            if measure.less_is_better
            else ratio >= peer.target
        )
        note = _note(measure, found, missing, (peer.contender,))
        told = peer.contender.name if theirs is None else f"{peer.contender.name}: {theirs:,.5g}"
        target = f"{sign} {peer.target:g} x"
        rows.append(
            Row(
                measure.name, ours, measure.unit, told, ratio, target, ok, note,
                better=better, ratio_target=peer.target,
            )
        )  # fmt: skip
    return rows


def _median(found: dict[str, list[Reading]], missing: dict[str, str], contender: Contender) -> float | None:
    if contender.name in missing:
        return None
    return statistics.median(reading.value for reading in found[contender.name])


def _note(
    measure: Measure, found: dict[str, list[Reading]], missing: dict[str, str], peers: Sequence[Contender]
) -> str:
    names = [measure.ours.name, *(peer.name for peer in peers)]
    for name in names:
        if name in missing:
            return f"not measured: {missing[name]}"
    readings = [reading for name in names for reading in found[name]]
    notes: list[str] = []
    if any(client_was_the_limit(reading) for reading in readings):
        notes.append("the load client was the limit")
    client = max((reading.notes.get("client_cpu", 0.0) for reading in readings), default=0.0)
    if client:
        notes.append(f"client at most {client:.2f} of its core")
    others = max((reading.notes.get("others_cpu", 0.0) for reading in readings), default=0.0)
    if others > _DISTURBED:
        notes.append(f"DISTURBED: others took up to {others:.2f} of the server's core")
    ratio = _ratio_by_cpu(names, found)
    if ratio is not None:
        notes.append(f"ratio by CPU time {ratio:.2f}")
    return "; ".join(notes)


def _ratio_by_cpu(names: Sequence[str], found: dict[str, list[Reading]]) -> float | None:
    """Answers for a second of the server's CPU, ours over the peer's: what a busy machine disturbs least."""
    costs = [[reading.notes.get("per_cpu_s", 0.0) for reading in found[name]] for name in names]
    if len(costs) < 2 or not all(any(cost) for cost in costs):
        return None
    return statistics.median(costs[0]) / statistics.median(costs[1])


def _show(rows: Sequence[Row]) -> None:
    print(f"{'measure':58} {'value':>10} {'unit':10} {'peer':44} {'ratio':>6} {'target':>9}  ok")
    for row in rows:
        value = "-" if row.value is None else f"{row.value:,.5g}"
        ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
        ok = {True: "yes", False: "NO", None: "-"}[row.ok]
        print(f"{row.name:58} {value:>10} {row.unit:10} {row.peer:44} {ratio:>6} {row.target:>9}  {ok}")
        if row.note:
            print(f"    {row.note}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 1 if a target was missed, 2 if nothing can be measured here."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulator", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short run: a first impression, no verdict")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows as JSON")
    parser.add_argument(
        "--only", default="", metavar="WORDS", help="only measures whose name has these words"
    )
    parser.add_argument(
        "--runs", type=int, default=0, metavar="N", help="runs to take the median of (default 3)"
    )
    parser.add_argument(
        "--new-heads", action="store_true", help="unpaced calls: an id of its own in the head of each"
    )
    asked = parser.parse_args(arguments)
    if not hasattr(os, "sched_setaffinity") or (os.cpu_count() or 1) < 2:
        sys.stderr.write("the benchmark needs Linux and two cores: one for the server, one for the client\n")
        return 2
    chosen = [measure for measure in MEASURES if asked.only in measure.name]
    if not chosen:
        known = "; ".join(measure.name for measure in MEASURES)
        sys.stderr.write(f"no measure has {asked.only!r} in its name; known: {known}\n")
        return 2
    rows: list[Row] = []
    effort = QUICK if asked.quick else THOROUGH
    if asked.new_heads:
        effort = replace(effort, header=NEW_HEADS)
    for measure in chosen:
        found, missing = _readings(measure, effort, asked.runs or (1 if asked.quick else 3), _progress)
        rows += _rows(measure, found, missing)
    _progress("")
    _show(rows)
    if asked.json:
        asked.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return 1 if any(row.ok is False for row in rows) and not asked.quick else 0


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
