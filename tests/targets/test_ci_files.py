"""What a stranger takes over into CI: the action, the examples, the ready target files, the generated page."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.core.running import ROOT, command
from weighbridge import catalogue, target, target_pages
from weighbridge.baseline import Entry, _read
from weighbridge.target_file import load

ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
_MEMBERS = {"name", "description", "author", "branding", "inputs", "outputs", "runs"}
KEYS = ("GATEWAY_KEY", "REAPI_CHAT_KEY", "REAPI_TASKS_KEY", "AIMLAPI_KEY", "LITELLM_KEY", "PORTKEY_KEY")


def test_the_action_is_what_a_runner_reads() -> None:
    assert set(ACTION) <= _MEMBERS
    assert ACTION["runs"]["using"] == "composite"
    assert {"target", "profile", "level", "baseline"} <= set(ACTION["inputs"])
    for item in ACTION["inputs"].values():
        assert set(item) <= {"description", "required", "default"}
        assert item["description"]
        assert isinstance(item.get("default", ""), str)
    for step in ACTION["runs"]["steps"]:
        assert set(step) <= {"name", "id", "if", "env", "uses", "with", "run", "shell"}
        assert ("run" in step) != ("uses" in step)
        assert "run" not in step or step["shell"] == "bash"


def test_every_input_is_used_and_none_becomes_part_of_a_script() -> None:
    steps = ACTION["runs"]["steps"]
    assert not [step["name"] for step in steps if "${{" in step.get("run", "")]
    used = set(re.findall(r"inputs\.([a-z-]+)", "\n".join(str(step) for step in steps)))
    assert used == set(ACTION["inputs"])
    outputs = "\n".join(item["value"] for item in ACTION["outputs"].values())
    ids = {step.get("id") for step in steps}
    assert set(re.findall(r"steps\.([a-z]+)\.", outputs)) <= ids


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is missing; on Debian: apt-get install bash")
def test_the_actions_script_hands_everything_over_and_keeps_the_exit_code(tmp_path: Path) -> None:
    step = next(step for step in ACTION["runs"]["steps"] if step.get("id") == "run")
    tool = tmp_path / "weighbridge"
    tool.write_text(
        '#!/bin/bash\nprintf "%s\\n" "$@" > "$SEEN"\nmkdir -p run\necho "# Result" > run/summary.md\nexit 1\n',
        encoding="utf-8",
    )
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    given = {
        "WEIGHBRIDGE": str(tool),
        "SEEN": str(tmp_path / "seen"),
        "TARGET": "a b.yaml; touch evil",
        "PROFILE": "openai-chat anthropic-messages",
        "LEVEL": "must",
        "BASELINE": "known.yaml",
        "DIFF": "",
        "KEY_ENV": "",
        "MODEL": "",
        "MAX_SPEND": "3",
        "ALLOW_COMMANDS": "true",
        "TIMEOUT": "7.5",
        "CONCURRENCY": "9",
        "REQUIRE_CLAIM": "true",
        "OUT": "run",
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "PATH": os.environ["PATH"],
    }
    assert set(step["env"]) <= set(given)
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", step["run"]], env=given, cwd=tmp_path, check=False, timeout=30
    )
    assert done.returncode == 1
    seen = (tmp_path / "seen").read_text(encoding="utf-8").splitlines()
    assert seen[:5] == ["run", "--level", "must", "--out", "run"]
    assert seen[seen.index("--target") + 1] == "a b.yaml; touch evil"
    assert seen.count("--profile") == 2
    assert "--allow-commands" in seen
    assert (seen[seen.index("--timeout") + 1], seen[seen.index("--concurrency") + 1]) == ("7.5", "9")
    assert not (tmp_path / "evil").exists()
    assert "exit-code=1" in (tmp_path / "output").read_text(encoding="utf-8")
    assert (tmp_path / "summary").read_text(encoding="utf-8") == "# Result\n"
    known = command("run", "--help").out
    assert not [word for word in seen if word.startswith("--") and word not in known]


def test_the_examples_of_the_page_are_valid() -> None:
    text = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)
    assert {kind for kind, _ in blocks} == {"sh", "yaml"}
    documents = [yaml.safe_load(body) for kind, body in blocks if kind == "yaml"]
    workflow = next(document for document in documents if "jobs" in document)
    steps = workflow["jobs"]["gateway"]["steps"]
    ours = next(step for step in steps if step.get("id") == "weighbridge")
    assert set(ours["with"]) <= set(ACTION["inputs"])
    help_ = command("run", "--help").out + command("baseline", "--help").out
    for _, body in blocks:
        for option in re.findall(r"(?<=\s)--[a-z-]+", body):
            assert option in help_, option


def test_the_baseline_of_the_page_can_be_read(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    body = next(body for body in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "entries:" in body)
    file = tmp_path / "b.yaml"
    file.write_text(body, encoding="utf-8")
    (entry,) = _read(file)
    assert isinstance(entry, Entry)
    assert entry.requirement == "CSTR-03"


@pytest.mark.parametrize("file", sorted((ROOT / "targets").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_ready_target_file_can_be_read_and_rehearsed(file: Path) -> None:
    if file.stem == "embedded":
        return
    variables = dict.fromkeys(KEYS, "sk-made-up-123456") | {
        "GATEWAY_URL": "http://127.0.0.1:9/v1",
        "GATEWAY_MODEL": "some-model",
        "PORTKEY_CONFIG": "{}",
    }
    target = load(file, variables)
    assert target.profiles
    dry = command("run", "--target", str(file), "--dry-run", "--quick", env=variables)
    assert dry.code == 0, dry.err
    assert "Not rehearsed" not in dry.out


def test_the_page_of_the_target_file_is_fresh() -> None:
    assert target_pages.main(["--check"]) == 0


def test_the_page_spells_out_requests_of_hooks_profiles_and_the_pace_without_limits() -> None:
    text = target_pages.page()
    keys = set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))
    definitions = json.loads((ROOT / "spec" / "schemas" / "target.schema.json").read_text("utf-8"))["$defs"]
    for place, request in (
        ("balance.chat.http", definitions["balance"]["properties"]["http"]),
        ("accounts.http", definitions["request"]),
    ):
        assert {f"{place}.{name}" for name in request["properties"]} <= keys
    assert all(f'"{name}"' in text for name in catalogue.load().profiles)
    pace, at_once = target.DEFAULT_REQUESTS_PER_SECOND, target.DEFAULT_IN_FLIGHT
    assert f"rate-limit checks exceed; {pace:g} without it" in text
    assert f"at a time; {at_once} without it" in text
    assert f"at most {pace:g} times a second, {at_once} at a\ntime" in text


def test_the_page_names_every_input_and_output_of_the_action() -> None:
    text = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    told = text.partition("\nInputs: ")[2].partition("`action.yml`")[0]
    inputs, _, outputs = told.partition("outputs: ")
    assert set(re.findall(r"`([\w-]+)`", inputs)) == set(ACTION["inputs"])
    assert set(re.findall(r"`([\w-]+)`", outputs.partition(". ")[0])) == set(ACTION["outputs"])
