"""The simulator inside other programs: without an event loop, and as a pytest plugin."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import urllib.request
from typing import TYPE_CHECKING

import pytest

from mock_upstreams import SimulatorConfig, running_simulator
from mock_upstreams.scenario_keys import ScenarioError

if TYPE_CHECKING:
    from pathlib import Path

SUITE = """
import json, urllib.request

import pytest

pytest_plugins = ["mock_upstreams.pytest_plugin"]


def ask(simulator, text, model="gpt-5.5"):
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    request = urllib.request.Request(
        simulator.openai_url + "/chat/completions", json.dumps(body).encode(), {"authorization": "Bearer k"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)["choices"][0]["message"]["content"]


def test_a_reply_is_scripted(simulator):
    simulator.scenario("greeting", text="Good day")
    assert ask(simulator, "Hi", model="wb-greeting") == "Good day"
    assert [entry["status"] for entry in simulator.entries()] == [200]


def test_what_an_earlier_test_did_is_forgotten(simulator):
    assert simulator.entries() == []
    ask(simulator, "[[wb:a;text=one]]")
    assert len(simulator.entries("a")) == 1
    assert simulator.entries("b") == []
"""


def test_the_plugin_gives_each_test_an_empty_simulator(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["mock_upstreams.pytest_plugin"]\n')
    (tmp_path / "test_it.py").write_text(
        SUITE.replace('pytest_plugins = ["mock_upstreams.pytest_plugin"]', "")
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTEST_ADDOPTS": ""}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert ran.returncode == 0, ran.stdout
    assert "2 passed" in ran.stdout


def test_it_runs_beside_a_program_without_a_loop_and_ends_with_the_block() -> None:
    before = threading.active_count()
    with running_simulator() as simulator:
        with urllib.request.urlopen(f"{simulator.url}/_wb/health", timeout=5) as response:
            assert response.status == 200
        assert simulator.cursor == 0
    assert threading.active_count() == before
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{simulator.url}/_wb/health", timeout=5)


def test_a_failure_to_start_is_raised_where_it_was_started() -> None:
    with (
        running_simulator() as first,
        pytest.raises(OSError, match="in use"),
        running_simulator(SimulatorConfig(port=first.port)),
    ):
        pytest.fail("two simulators at one port")


def test_a_wrong_scenario_is_refused_with_its_nearest_key() -> None:
    with running_simulator() as simulator, pytest.raises(ScenarioError, match="did you mean 'text'"):
        simulator.scenario("x", txt="hello")
