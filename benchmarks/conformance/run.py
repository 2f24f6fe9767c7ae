"""Four testers on the same server: seconds, calls, and how many of a common set of defects each one sees.

    python benchmarks/conformance/run.py [--quick] [--json FILE]

A defect counts as seen when the tool reports something about the wrong gateway that it does not report about the right
one. What it reports about the right one is printed too, since a tool that complains about everything sees everything.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.conformance.common_set import COMMON_SET
from benchmarks.conformance.counting import counting
from benchmarks.conformance.peers import ROOT, TOOLS, Findings, Place, Tool, fresh_folder, install, parse
from defects import DEFECTS
from mock_upstreams import Simulator, SimulatorConfig
from reference_gateway import Components
from weighbridge.embed import gateway_on

MODEL = "gpt-5.5"
_LIMIT_S = 120.0
CLEAN_RUNS = 3


@dataclass(frozen=True, slots=True)
class Seen:
    """One run of one tool on one gateway."""

    findings: Findings
    seconds: float
    calls: int


async def _once(tool: Tool, url: str, key: str) -> Seen:
    parts = urlsplit(url)
    async with counting(parts.hostname or "127.0.0.1", parts.port or 80) as relay:
        with fresh_folder() as folder:
            place = Place(f"http://127.0.0.1:{relay.port}{parts.path}", key, MODEL, Path(folder))
            variables = os.environ | {
                "HOME": folder,
                "BENCH_KEY": key,
                "OPENAI_API_KEY": key,
                "PYTHONPATH": str(ROOT),
            }
            began = time.monotonic()
            child = await asyncio.create_subprocess_exec(
                *tool.command(place),
                env=variables,
                cwd=folder,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            try:
                printed, _ = await asyncio.wait_for(child.communicate(), _LIMIT_S)
            except TimeoutError:
                child.kill()
                await child.wait()
                raise ValueError(f"{tool.name} did not end within {_LIMIT_S:.0f} s") from None
            seconds = time.monotonic() - began
            return Seen(parse(tool, Path(folder), printed), seconds, relay.calls)


async def _on(components: Components | None, tools: Sequence[Tool]) -> dict[str, Seen]:
    async with Simulator(SimulatorConfig()) as simulator, gateway_on(simulator.url, components) as pair:
        url, key = pair.variables["WB_CHAT_URL"], pair.variables["WB_CHAT_KEY"]
        return {tool.name: await _once(tool, url, key) for tool in tools}


@dataclass(frozen=True, slots=True)
class Outcome:
    """All runs of one tool."""

    clean: Seen
    caught: tuple[str, ...]


async def measure(tools: Sequence[Tool], defects: Sequence[str], clean_runs: int) -> dict[str, Outcome]:
    """Each tool on the right gateway (the median run counts), then on each wrong one."""
    rounds = [await _on(None, tools) for _ in range(clean_runs)]
    # A finding that comes and goes on the right gateway says nothing about a wrong one.
    noise = {
        tool.name: frozenset[str]().union(*(seen[tool.name].findings for seen in rounds)) for tool in tools
    }
    caught: dict[str, list[str]] = {tool.name: [] for tool in tools}
    for number, name in enumerate(defects, 1):
        seen = await _on(DEFECTS[name].components(), tools)
        by = [tool.name for tool in tools if seen[tool.name].findings - noise[tool.name]]
        for catcher in by:
            caught[catcher].append(name)
        print(
            f"  {number:3}/{len(defects)}  {name:28} {', '.join(by) or 'nobody'}", file=sys.stderr, flush=True
        )
    outcomes = {}
    for tool in tools:
        runs = [seen[tool.name] for seen in rounds]
        middle = Seen(noise[tool.name], statistics.median(run.seconds for run in runs), runs[-1].calls)
        outcomes[tool.name] = Outcome(middle, tuple(caught[tool.name]))
    return outcomes


def rows(outcomes: Mapping[str, Outcome], defects: int) -> list[dict[str, object]]:
    """The result as the benchmark file wants it: our figure beside each peer's."""
    ours = outcomes["weighbridge"]
    found: list[dict[str, object]] = []
    for name, peer in outcomes.items():
        if name == "weighbridge":
            continue
        better = len(ours.caught) > len(peer.caught)
        found += [
            _row(
                f"defects seen of {defects}",
                len(ours.caught),
                "defects",
                f"{name}: {len(peer.caught)}",
                len(peer.caught),
            )
            | {"target": f"more than {name}", "ok": better, "better": "higher", "ratio_target": 1},
            _row(
                "seconds",
                round(ours.clean.seconds, 2),
                "s",
                f"{name}: {peer.clean.seconds:.2f}",
                peer.clean.seconds,
            ),
            _row("calls", ours.clean.calls, "calls", f"{name}: {peer.clean.calls}", peer.clean.calls),
            _row(
                "findings on the right gateway",
                len(ours.clean.findings),
                "findings",
                f"{name}: {len(peer.clean.findings)}",
                len(peer.clean.findings),
            )
            | {"target": "0", "ok": not ours.clean.findings},
        ]
    return found


def _row(name: str, value: float, unit: str, peer: str, other: float) -> dict[str, object]:
    ratio = round(value / other, 2) if other else None
    return {"group": "conformance", "name": name, "value": value, "unit": unit, "peer": peer} | {
        "ratio": ratio,
        "target": None,
        "ok": None,
        "better": "lower",
        "ratio_target": None,
    }


def missing_rows(missing: Mapping[str, str]) -> list[dict[str, object]]:
    """The testers that could not be had, in the place of their figures."""
    return [
        _row(f"{name} could not be had: {reason}", 0, "", name, 0) | {"value": None, "better": ""}
        for name, reason in missing.items()
    ]


def table(outcomes: Mapping[str, Outcome], defects: int) -> str:
    """The comparison for people."""
    lines = [
        f"{'tool':14}{'seconds':>9}{'calls':>7}{'defects seen':>15}{'findings on the right gateway':>32}"
    ]
    for name, outcome in outcomes.items():
        share = f"{len(outcome.caught)}/{defects}"
        clean = outcome.clean
        lines.append(f"{name:14}{clean.seconds:>9.2f}{clean.calls:>7}{share:>15}{len(clean.findings):>32}")
    return "\n".join(lines)


def main() -> int:
    """Install what is missing, measure, print, and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="six defects and one clean run")
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args()
    missing = install()
    for name, reason in missing.items():
        print(f"left out: {name} ({reason})", file=sys.stderr)
    tools = [tool for tool in TOOLS if tool.name not in missing]
    defects = COMMON_SET[::6] if options.quick else COMMON_SET
    logging.disable(logging.CRITICAL)  # gateways that are wrong on purpose complain about themselves
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcomes = runner.run(measure(tools, defects, 1 if options.quick else CLEAN_RUNS))
    print(table(outcomes, len(defects)))
    found = rows(outcomes, len(defects)) + missing_rows(missing)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
