"""The official clients for Node and the Vercel AI SDK, run by Node's own test runner."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.places import Places

HERE = Path(__file__).resolve().parent / "node"
ROOT = Path(__file__).resolve().parents[2]
INSTALLED = ROOT / ".targets" / "clients"


@pytest.fixture(scope="module")
def modules() -> Path:
    """A folder with the pinned packages and the test files beside them, installed once."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip(
            "Node clients are not proved: node and npm are not here (on Debian: apt-get install nodejs npm)"
        )
    INSTALLED.mkdir(parents=True, exist_ok=True)
    lock = HERE / "package-lock.json"
    with (INSTALLED / ".lock").open("w", encoding="utf-8") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = INSTALLED / "installed.json"
        if not done.exists() or done.read_bytes() != lock.read_bytes():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(HERE / name, INSTALLED)
            installed = subprocess.run(
                [str(npm), "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
                cwd=INSTALLED,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            if installed.returncode:
                pytest.skip(f"Node clients are not proved: npm ci failed: {installed.stderr[-300:]}")
            shutil.copy(lock, done)
        for script in HERE.glob("*.mjs"):
            shutil.copy(script, INSTALLED)
    return INSTALLED


@pytest.mark.parametrize("name", ["openai", "anthropic", "vercel"])
def test_the_client_completes_every_call(places: Places, modules: Path, name: str) -> None:
    pair = dataclasses.asdict(places) | {"broke": places.broke_key}
    done = subprocess.run(
        ["node", "--test", "--test-reporter=tap", f"{name}.test.mjs"],
        cwd=modules,
        env=os.environ | {"PAIR": json.dumps(pair), "AI_SDK_LOG_WARNINGS": "false"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    counts = {word: int(number) for word, number in re.findall(r"^# (\w+) (\d+)$", done.stdout, re.MULTILINE)}
    assert counts["pass"] == counts["tests"] > 0, done.stdout[-3000:]
