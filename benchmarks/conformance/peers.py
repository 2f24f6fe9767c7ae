"""The testers under comparison: how each is installed, started, and what it reports.

Every tool gets the same: a URL, a key and a model. A finding is whatever the tool itself prints as failed or warned
about; its identity is the tool's own name for it, so that a finding on a wrong gateway can be told from one that the
tool has on the right gateway as well.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
PLACE = ROOT / ".targets" / "conformance-peers"

Findings = frozenset[str]


@dataclass(frozen=True, slots=True)
class Place:
    """What a tool is told about the server, and a folder for what it writes."""

    url: str
    key: str
    model: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Tool:
    """One tester.

    Attributes:
        command: the command line for a place; the key is in the variable `BENCH_KEY` and `OPENAI_API_KEY`.
        report: the file that holds its JSON, or None for standard output.
        findings: what the JSON reports as wrong.
    """

    name: str
    command: Callable[[Place], list[str]]
    report: str | None
    findings: Callable[[Mapping[str, Any]], Findings]


def _ours(report: Mapping[str, Any]) -> Findings:
    return frozenset(row["id"] for row in report["requirements"] if row["verdict"] in {"fail", "warn"})


def _comply(report: Mapping[str, Any]) -> Findings:
    return frozenset(
        f"{row['id']}: {error}"
        for row in report["results"]
        if row["status"] == "failed"
        for error in row["errors"]
    )


def _canary(report: Mapping[str, Any]) -> Findings:
    return frozenset(row["id"] for row in report["results"] if row["status"] != "pass")


def _probe(report: Mapping[str, Any]) -> Findings:
    conformance = report["conformance"]
    hard = {
        f"{row['id']}: {failure.get('label', failure) if isinstance(failure, dict) else failure}"
        for row in conformance["results"]
        for failure in row["failures"]
    }
    return frozenset(hard | {f"{row['id']}: {row['label']}" for row in conformance["warnings"]})


def _weighbridge(place: Place) -> list[str]:
    target = place.folder / "target.yaml"
    target.write_text(
        "name: benchmark\nprofiles: [openai-chat]\n"
        f"surfaces: {{chat: {{url: '{place.url}'}}}}\n"
        # The other tools send as fast as they can; a declared limit lets this one do the same.
        'principals: {chat.funded: {key: "${BENCH_KEY}", requests_per_second: 1000, in_flight: 64}}\n'
        f"models: {{openai: {place.model}}}\n",
        encoding="utf-8",
    )
    return [
        sys.executable,
        "-m",
        "weighbridge",
        "run",
        "--target",
        str(target),
        "--out",
        str(place.folder / "run"),
    ]


TOOLS = (
    Tool("weighbridge", _weighbridge, "run/report.json", _ours),
    Tool(
        "llm-comply",
        lambda place: [
            str(PLACE / "python/bin/llm-comply"),
            *("--format", "openai-chat", "-u", place.url, "-k", place.key, "-m", place.model, "--json"),
        ],
        None,
        _comply,
    ),
    Tool(
        "compatcanary",
        lambda place: [
            str(PLACE / "node_modules/.bin/compatcanary"),
            *("scan", "--base-url", place.url, "--model", place.model, "--profile", "chat"),
            *("--fail-on", "never", "--format", "json", "--output", str(place.folder / "report.json")),
        ],
        "report.json",
        _canary,
    ),
    Tool(
        "llmprobe",
        lambda place: [
            str(PLACE / "node_modules/.bin/llmprobe"),
            *(place.url, "-k", place.key, "-m", place.model, "--no-bench", "--no-save", "--json"),
        ],
        None,
        _probe,
    ),
)


def install() -> dict[str, str]:
    """Bring the peers, pinned, into a folder that git ignores.

    Returns:
        name of a tool that cannot be had, and why.
    """
    PLACE.mkdir(parents=True, exist_ok=True)
    missing: dict[str, str] = {}
    if not (PLACE / "python/bin/llm-comply").exists():
        done = [
            _quietly([sys.executable, "-m", "venv", str(PLACE / "python")]),
            _quietly(
                [
                    *(str(PLACE / "python/bin/pip"), "install", "--quiet", "--disable-pip-version-check"),
                    *("-r", str(HERE / "requirements.txt")),
                ]
            ),
        ]
        if any(done):
            missing["llm-comply"] = next(reason for reason in done if reason)
    if not (PLACE / "node_modules/.bin/llmprobe").exists():
        npm = shutil.which("npm")
        shutil.copy(HERE / "package.json", PLACE)
        reason = (
            _quietly([npm, "install", "--no-audit", "--no-fund", "--prefix", str(PLACE)])
            if npm
            else "npm is not here"
        )
        if reason:
            missing |= {"compatcanary": reason, "llmprobe": reason}
    return missing


def _quietly(command: list[str]) -> str:
    """Run it; the last line of its complaint, or nothing."""
    done = subprocess.run(  # noqa: S603 - package managers with fixed arguments
        command, capture_output=True, text=True, timeout=300, check=False
    )
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["it failed"])[-1]


def fresh_folder() -> tempfile.TemporaryDirectory[str]:
    """A home directory for one run of one tool."""
    return tempfile.TemporaryDirectory(prefix="bench-")


def parse(tool: Tool, folder: Path, printed: bytes) -> Findings:
    """What the tool reported.

    Raises:
        ValueError: it left no JSON; the text says what it printed.
    """
    text = printed.decode() if tool.report is None else ""
    if tool.report is not None:
        report = folder / tool.report
        if not report.exists():
            raise ValueError(f"{tool.name} wrote no report: {printed.decode()[-300:]}")
        text = report.read_text(encoding="utf-8")
    try:
        return tool.findings(json.loads(text))
    except (json.JSONDecodeError, KeyError) as error:
        raise ValueError(f"{tool.name} printed no usable report ({error}): {text[:300]}") from error
