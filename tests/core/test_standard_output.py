"""Standard output that is closed, full, or left by its reader costs nobody a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.core.running import ROOT


def _run(out: Path, redirection: str) -> subprocess.CompletedProcess[str]:
    """A quick run whose standard output is led elsewhere by a shell, which tells the code in its last line."""
    program = f"{sys.executable} -m weighbridge"
    return subprocess.run(
        ["sh", "-c", f"({program} run --quick --out {out}; echo code $? >&2) {redirection}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT, timeout=90, check=False,
        env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("redirection", "said"),
    [
        ("| head -n 1", "standard output cannot be written (its reader has left)"),
        ("> /dev/full", "standard output cannot be written (No space left on device)"),
        (">&-", ""),
    ],
)
def test_a_run_that_nobody_hears_is_written_all_the_same(redirection: str, said: str, tmp_path: Path) -> None:
    done = _run(tmp_path / "run", redirection)
    lines = done.stderr.splitlines()
    assert lines[-1] == "code 0", done.stderr
    assert len(lines) == (2 if said else 1), done.stderr
    assert said in lines[0]
    assert {"report.json", "report.html", "evidence.ndjson"} <= {
        path.name for path in (tmp_path / "run").iterdir()
    }


def test_a_list_that_cannot_be_written_is_one_sentence() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "weighbridge", "list"], stdout=full, stderr=subprocess.PIPE, text=True,
            cwd=ROOT, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 4
    assert done.stderr == "weighbridge: standard output cannot be written: No space left on device\n"
