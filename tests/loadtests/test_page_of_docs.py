"""The page docs/load.md: its options, gates, shapes, mixes and variables exist. tests/docs runs its examples."""

import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from weighbridge.cli import app
from weighbridge.embed import EMBEDDED_SHAPE
from weighbridge.load import gates, shapes
from weighbridge.load.document import FORMAT, FORMAT_VERSION, figures_document
from weighbridge.load.figures import Failure, Figures, Tally
from weighbridge.load.lanes import parse_mix
from weighbridge.load.planning import DEFAULT_SCRIPT, make_plan, parse_script
from weighbridge.load.trust import check
from weighbridge.locate import folder

PAGE = (folder("loadtests").parent / "docs" / "load.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line.removeprefix("$ "), comments=True)
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]
OURS = [words[2:] for words in COMMANDS if words[:2] == ["weighbridge", "load"]]
LOCUST = [words[1:] for words in COMMANDS if words[0] == "locust"]


def known_options() -> set[str]:
    command = get_command(app).commands["load"]  # type: ignore[attr-defined]  # the app is a group
    return {name for item in command.params for name in (*item.opts, *item.secondary_opts)}


def test_the_page_shows_what_the_other_tests_here_look_at() -> None:
    assert len(OURS) >= 3
    assert len(LOCUST) >= 3


def test_every_option_on_the_page_exists() -> None:
    ours = PAGE.split("## With locust itself")[0]
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", ours))
    assert len(named) > 15
    assert named <= known_options()


def test_every_option_is_on_the_page() -> None:
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE.split("## With locust itself")[0]))
    assert known_options() - named == set()


def test_every_gate_metric_is_on_the_page() -> None:
    table = PAGE.split("## Metrics")[1].split("A failed call has one class")[0]
    described = {name.partition(".")[0] for name in re.findall(r"`([a-z0-9_.]+)", table)}
    described |= {
        name for name in ("added", "relative", "goodput") if f"`{name}" in PAGE.split("## Gates")[1]
    }
    assert set(gates.METRICS) - described == set()


def test_the_members_of_load_json_are_those_on_the_page() -> None:
    plan = make_plan(EMBEDDED_SHAPE, parse_mix("chat"), wired=True, users=1, duration=1)
    empty = Figures.of(Tally())
    written = set(figures_document(plan, empty, check(empty), direct=empty)) | {
        "money",
        "capacity",
        "exit_code",
    }
    table = PAGE.split("`load.json` has the format")[1].split("Exit codes")[0]
    rows = re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == written
    assert f"`{FORMAT}`, version {FORMAT_VERSION}" in PAGE


def test_the_folders_of_a_wheel_are_printed_by_the_command_on_the_page() -> None:
    (program,) = re.findall(r"`python -c '([^']+)'`", PAGE)
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert shown.split() == [str(folder("loadtests")), str(folder("suites"))]


def test_the_default_script_is_the_one_on_the_page() -> None:
    (written,) = re.findall(r"Without it: `([^`]+)`", PAGE)
    assert parse_script(written) == DEFAULT_SCRIPT == parse_script("chunks=24")


@pytest.mark.parametrize("words", OURS, ids=" ".join)
def test_gates_and_mixes_of_the_commands_parse(words: list[str]) -> None:
    for option, value in pairwise(words):
        if option == "--gate":
            assert gates.parse(value).text == value
        elif option == "--mix":
            assert parse_mix(value)


def test_the_gates_file_parses(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "gates.yaml").write_text(block)
    assert [item.text for item in gates.read_file(tmp_path / "gates.yaml")] == yaml.safe_load(block)


def test_the_mix_and_the_shapes_on_the_page_parse() -> None:
    (mix,) = re.findall(r"--mix '([^']+)'", PAGE)
    assert len(parse_mix(mix)) == mix.count(",") + 1
    named = re.findall(r"^\| `([a-z]+)(?:\[:[A-Z]+\])?` \|", PAGE.split("## Metrics")[0], re.MULTILINE)
    assert set(named) == {"ramp", "step", "spike", "soak"}
    for text in [*named, "0s:0.1,30s:1,60s:1"]:
        assert shapes.parse(text, 60.0)
    assert "`0s:0.1,30s:1,60s:1`" in PAGE


def test_every_class_of_failure_is_on_the_page() -> None:
    listed = PAGE.split("A failed call has one class:")[1].split("Every stream")[0]
    assert set(re.findall(r"`([a-z_0-9]+)`", listed)) == {item.value for item in Failure}


def test_locust_knows_the_options_of_its_commands() -> None:
    shown = subprocess.run(
        [sys.executable, "-P", "-m", "locust", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    for words in LOCUST:
        for word in words:
            if word.startswith("-"):
                assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", shown), word


def test_every_variable_on_the_page_is_read() -> None:
    settings = (folder("loadtests") / "settings.py").read_text(encoding="utf-8")
    for name in set(re.findall(r"WEIGHBRIDGE_[A-Z_]+", PAGE)):
        assert f'"{name}"' in settings
