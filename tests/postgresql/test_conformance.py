"""The reference gateway is as conformant on PostgreSQL as it is on SQLite."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.core.running import served


def test_a_full_run_against_the_gateway_on_postgresql_is_conformant(
    postgresql_url: str, tmp_path: Path
) -> None:
    with served("--database", postgresql_url) as variables:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "weighbridge", "run", "--target", "targets/embedded.yaml"),
                *("--out", str(tmp_path / "run")),
            ],
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert [claim["status"] for claim in report["claims"]] == ["conformant"] * 6
    assert not any(claim["counts"]["fail"] for claim in report["claims"])
