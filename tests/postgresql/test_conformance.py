"""The reference gateway is as conformant on PostgreSQL as it is on SQLite."""

import json
import os
import subprocess
import sys
from pathlib import Path


def test_a_full_run_against_the_gateway_on_postgresql_is_conformant(
    postgresql_url: str, tmp_path: Path
) -> None:
    serving = subprocess.Popen(
        [sys.executable, "-m", "weighbridge", "serve", "--database", postgresql_url],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert serving.stdout is not None
    try:
        variables = {}
        for line in serving.stdout:
            if not line.startswith("export "):
                break
            name, _, value = line.removeprefix("export ").strip().partition("=")
            variables[name] = value
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
    finally:
        serving.terminate()
        assert serving.wait(30) == 0
        serving.stdout.close()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert [claim["status"] for claim in report["claims"]] == ["conformant"] * 6
    assert not any(claim["counts"]["fail"] for claim in report["claims"])
