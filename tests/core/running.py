"""Runs the command line in a process of its own, as a user does."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Finished:
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """What it said on standard error."""
        return self.err.strip()


def command(*arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> Finished:
    """Run `weighbridge` in a process of its own, bounded."""
    done = subprocess.run(
        [sys.executable, "-m", "weighbridge", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd or ROOT,
        env={**os.environ, "NO_COLOR": "1", **(env or {})},
        timeout=120,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


@contextmanager
def served(*options: str, end: signal.Signals = signal.SIGTERM) -> Iterator[dict[str, str]]:
    """The variables that `weighbridge serve` prints, while it serves simulator and gateway; it ends at that signal."""
    command = [sys.executable, "-m", "weighbridge", "serve", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            lines = itertools.takewhile(lambda line: line.startswith("export "), process.stdout)
            named = (line.removeprefix("export ").strip().partition("=") for line in lines)
            yield {name: value.strip("'\"") for name, _, value in named}
        finally:
            process.send_signal(end)
            code = process.wait(30)
    assert code == 0


@dataclass(frozen=True)
class EmbeddedRun:
    """The result of `weighbridge run` without a target."""

    finished: Finished
    folder: Path
    report: dict[str, Any]

    def verdicts(self) -> dict[str, str]:
        """Verdict by requirement."""
        return {row["id"]: row["verdict"] for row in self.report["requirements"]}


def rows(report: dict[str, Any], *verdicts: str) -> Sequence[str]:
    """Ids of the rows with one of these verdicts."""
    return [row["id"] for row in report["requirements"] if row["verdict"] in verdicts]
