"""`action.yml`: valid by the syntax of composite actions, and each of its scripts run as a runner would."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.core.running import ROOT
from tests.targets.plain_server import KEY, MODEL, plain_server

ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
SCHEMA = json.loads(Path(__file__).with_name("action.schema.json").read_text(encoding="utf-8"))
STEPS: dict[str, dict[str, Any]] = {step["name"]: step for step in ACTION["runs"]["steps"]}
#: As a runner calls bash for a step of a composite action.
BASH = ("bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c")

needs_bash = pytest.mark.skipif(
    shutil.which("bash") is None, reason="bash is missing; on Debian: apt-get install bash"
)


def problems(document: Any) -> list[str]:
    """What the syntax of composite actions says about a document."""
    return [error.message for error in Draft202012Validator(SCHEMA).iter_errors(document)]


def test_the_action_is_valid_by_the_syntax_of_composite_actions() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert problems(ACTION) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda action: action.pop("description"),
        lambda action: action["runs"].update(using="node20"),
        lambda action: action["runs"]["steps"][1].pop("shell"),
        lambda action: action["runs"]["steps"][0].update(run="true"),
        lambda action: action["runs"]["steps"][0].update(uses="actions/setup-python"),
        lambda action: action["inputs"]["target"].update(type="string"),
        lambda action: action["inputs"]["level"].update(default=3),
        lambda action: action["outputs"]["report"].pop("value"),
        lambda action: action["branding"].update(color="pink"),
    ],
)
def test_a_mistake_in_the_action_would_be_found(spoil: Callable[[dict[str, Any]], Any]) -> None:
    action = copy.deepcopy(ACTION)
    spoil(action)
    assert problems(action)


@needs_bash
@pytest.mark.parametrize("name", [name for name, step in STEPS.items() if "run" in step])
def test_every_script_parses(name: str) -> None:
    done = subprocess.run(
        ["bash", "-n"], input=STEPS[name]["run"], text=True, capture_output=True, check=False, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, "")


@needs_bash
def test_the_tool_is_installed_from_the_action_itself_with_its_pins(tmp_path: Path) -> None:
    """With a Python that makes an environment whose pip writes down what it was told."""
    seen = tmp_path / "seen"
    stub = tmp_path / "bin" / "python"
    stub.parent.mkdir()
    pip = tmp_path / "pip"
    pip.write_text(f'#!/bin/sh\nfor word in "$@"; do echo "$word"; done > "{seen}"\n', encoding="utf-8")
    pip.chmod(0o755)
    stub.write_text(
        f'#!/bin/sh\n[ "$1 $2" = "-m venv" ] || exit 9\nmkdir -p "$3/bin"\ncp "{pip}" "$3/bin/pip"\n',
        encoding="utf-8",
    )
    stub.chmod(0o755)
    given = {"ACTION_PATH": str(ROOT), "RUNNER_TEMP": str(tmp_path / "a b")}
    step = STEPS["Install Weighbridge"]
    assert set(step["env"]) <= set(given)
    subprocess.run(
        [*BASH, step["run"]],
        env=given | {"PATH": f"{stub.parent}:{os.environ['PATH']}"},
        check=True,
        timeout=30,
    )
    told = seen.read_text(encoding="utf-8").splitlines()
    assert told[-1] == str(ROOT)
    assert Path(told[told.index("-c") + 1]).is_file()


@needs_bash
@pytest.mark.parametrize(("flaws", "code"), [((), 0), (("no-done",), 1)], ids=["right", "wrong"])
def test_the_script_judges_a_server_and_leaves_what_a_workflow_reads(
    flaws: tuple[str, ...], code: int, tmp_path: Path
) -> None:
    tool = Path(sys.executable).parent / "weighbridge"
    step = STEPS["Judge"]
    with plain_server(flaws=flaws) as server:
        given = {
            name.upper().replace("-", "_"): str(item.get("default", ""))
            for name, item in ACTION["inputs"].items()
        }
        given |= {
            "WEIGHBRIDGE": str(tool),
            "TARGET": server.url,
            "KEY_ENV": "GATEWAY_KEY",
            "MODEL": MODEL,
            "LEVEL": "must",
            "GATEWAY_KEY": KEY,
            "GITHUB_OUTPUT": str(tmp_path / "output"),
            "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
            "PATH": os.environ["PATH"],
        }
        assert set(step["env"]) <= set(given)
        done = subprocess.run(
            [*BASH, step["run"]],
            env=given,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.returncode == code, done.stdout + done.stderr
    outputs = dict(line.split("=", 1) for line in (tmp_path / "output").read_text("utf-8").splitlines())
    assert set(outputs) == set(ACTION["outputs"])
    assert outputs["exit-code"] == str(code)
    report = json.loads((tmp_path / outputs["report"]).read_text(encoding="utf-8"))
    broken = [row["id"] for row in report["requirements"] if row["verdict"] == "fail"]
    assert "<html" in (tmp_path / outputs["html"]).read_text(encoding="utf-8")[:2000]
    sarif = json.loads((tmp_path / outputs["sarif"]).read_text(encoding="utf-8"))
    told = {item["ruleId"] for item in sarif["runs"][0]["results"]}
    assert set(broken) <= told
    assert bool(broken) is bool(code)
    assert "openai-chat" in (tmp_path / "summary").read_text(encoding="utf-8")
