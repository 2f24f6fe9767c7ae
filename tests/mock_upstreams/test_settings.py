"""`weighbridge mock`: flags and configuration file, TLS, more ports, and what is said of a mistake."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import ssl
import stat
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from mock_upstreams import Simulator, SimulatorConfig, running_simulator
from mock_upstreams.config import ListenerPlan
from mock_upstreams.settings import SCHEMA_FILE, SettingsError, file_schema, listener_of, read_file, settings
from mock_upstreams.tls import TlsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mock_upstreams import RunningSimulator


@contextmanager
def mock(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """`weighbridge mock ...` as a program of its own, and the lines with which it began."""
    command = [sys.executable, "-m", "weighbridge", "mock", *arguments]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as program:
        try:
            assert program.stdout is not None
            output, said = program.stdout.fileno(), b""
            while select.select([output], [], [], 0.5 if said else 30)[0]:
                part = os.read(output, 65536)
                if not part:
                    break
                said += part
            lines = said.decode().splitlines()
            yield program, lines
        finally:
            program.kill()


def call(url: str, text: str, *, context: ssl.SSLContext | None = None) -> dict[str, object]:
    body = {"model": "gpt-5.5", "messages": [{"role": "user", "content": text}]}
    request = urllib.request.Request(
        f"{url}/v1/chat/completions", json.dumps(body).encode(), {"authorization": "Bearer k"}
    )
    with urllib.request.urlopen(request, timeout=10, context=context) as response:
        found: dict[str, object] = json.load(response)
    return found


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
            "-keyout", folder / "key.pem", "-out", folder / "cert.pem",
        ],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return folder


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "port: 1\nseed: 5\nscenarios: here.yaml\nlisteners: [{upstream: beta}, {kind: refused}]\n"
    )
    found = settings({"port": 2, "seed": None}, str(path)).config
    assert found == SimulatorConfig(
        port=2,
        seed=5,
        scenarios=str(tmp_path / "here.yaml"),
        listeners=(ListenerPlan("http", 0, "beta"), ListenerPlan("refused", 0, None)),
    )


def test_off_loopback_a_token_is_made_unless_one_is_given() -> None:
    made = settings({"host": "0.0.0.0"})
    assert made.made_token
    assert made.config.control_token
    given = settings({"host": "0.0.0.0", "control_token": "mine"})
    assert (given.made_token, given.config.control_token) == (False, "mine")
    assert settings({}).config.control_token is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("prot: 1", ":1: prot: unknown setting; did you mean 'port'?"),
        ("seed: 1\nport: high", ":2: port: 'high' is impossible; give a whole number from 0 to 65535"),
        (
            "listeners:\n  - port: 1\n  - {kind: refsued}",
            ":3: listeners[1].kind: unknown kind 'refsued'; did you mean",
        ),
        ("strict: 1", ":1: strict: 1 is impossible; give true or false"),
        ("- a", ":1: expected settings by name"),
        ("a: [", ":1: not YAML"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_its_line(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(content)
    with pytest.raises(SettingsError) as caught:
        read_file(str(path))
    assert f"{path}{problem}" in str(caught.value).replace(":2: not YAML", ":1: not YAML")


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (
            {"replay": "x", "replay_speed": "fast"},
            "--replay-speed: 'fast' is impossible; give a factor like 2x",
        ),
        ({"replay_speed": "2x"}, "give --replay too"),
        ({"tls_key": "k"}, "give --tls-cert too"),
        ({"replay": "a", "scenarios": "b"}, "give one of them"),
        (
            {"workers": 2, "listeners": [{}]},
            "several workers can neither replay a recording nor have more ports",
        ),
        ({"listeners": [{"upstream": "a b"}]}, "--listener: expected a name of letters"),
    ],
)
def test_a_mistake_in_the_flags_is_told_in_one_sentence(flags: dict[str, object], problem: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(problem)):
        settings(flags)


def test_speeds_are_read_as_they_are_said() -> None:
    for said, speed in (("2x", 2.0), ("0", 0.0), ("0.5x", 0.5), ("1", 1.0)):
        assert settings({"replay": "f", "replay_speed": said}).config.replay_speed == speed


def test_listeners_are_read_as_they_are_said() -> None:
    assert listener_of("beta:8891") == {"upstream": "beta", "port": 8891}
    assert listener_of("refused:0") == {"kind": "refused", "port": 0}
    assert listener_of("bad_certificate:gamma:1") == {
        "kind": "bad_certificate",
        "upstream": "gamma",
        "port": 1,
    }
    with pytest.raises(SettingsError, match="has two names, refsued and beta"):
        listener_of("refsued:beta:1")


def test_the_published_schema_is_that_of_the_table() -> None:
    assert json.loads(SCHEMA_FILE.read_text()) == file_schema()


def listener(simulator: RunningSimulator, kind: str) -> str:
    with urllib.request.urlopen(f"{simulator.url}/_wb/listeners", timeout=5) as response:
        found = json.load(response)["listeners"]
    (url,) = [item["url"] for item in found if item["kind"] == kind]
    return str(url)


def test_a_port_stands_for_an_upstream() -> None:
    for direct in (True, False):
        plan = ListenerPlan("http", 0, "beta")
        with running_simulator(SimulatorConfig(listeners=(plan,), direct=direct)) as simulator:
            at = listener(simulator, "http")
            call(at, "[[wb:one]]")
            call(f"{at}/u/gamma", "[[wb:two]]")
            call(simulator.url, "[[wb:three]]")
            seen = [simulator.entries(name)[0]["upstream"] for name in ("one", "two", "three")]
        assert seen == ["beta", "gamma", "default"]


def test_rules_know_the_upstream_of_a_port(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("scenarios: {x: {text: from beta}}\nrules: [{use: x, upstream: beta}]\n")
    config = SimulatorConfig(scenarios=str(path), listeners=(ListenerPlan("http", 0, "beta"),))
    with running_simulator(config) as simulator:
        assert "from beta" in json.dumps(call(listener(simulator, "http"), "hello"))
        assert "from beta" not in json.dumps(call(simulator.url, "hello"))


def test_a_refusing_port_is_held_and_refuses() -> None:
    with running_simulator(SimulatorConfig(listeners=(ListenerPlan("refused"),))) as simulator:
        port = int(listener(simulator, "refused").rpartition(":")[2])
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), 5)
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))


def test_the_main_port_speaks_tls(certificate: Path) -> None:
    config = SimulatorConfig(
        tls_cert=str(certificate / "cert.pem"),
        tls_key=str(certificate / "key.pem"),
        listeners=(ListenerPlan("tls", 0, "beta"), ListenerPlan("http")),
    )
    trusting = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
    with running_simulator(config) as simulator:
        assert simulator.url.startswith("https://")
        assert call(simulator.url, "[[wb:a]]", context=trusting)["object"] == "chat.completion"
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            call(simulator.url, "[[wb:b]]", context=ssl.create_default_context())
        with urllib.request.urlopen(
            f"{simulator.url}/_wb/listeners", timeout=5, context=trusting
        ) as response:
            tls, plain = (item["url"] for item in json.load(response)["listeners"])
        assert call(tls, "[[wb:c]]", context=trusting)["object"] == "chat.completion"
        assert call(plain, "[[wb:d]]")["object"] == "chat.completion"
        assert simulator.entries("c")[0]["upstream"] == "beta"


def test_faults_of_tls_have_listeners_of_their_own() -> None:
    plans = (ListenerPlan("bad_certificate"), ListenerPlan("handshake_closed"))
    with running_simulator(SimulatorConfig(listeners=plans)) as simulator:
        bad = int(listener(simulator, "bad_certificate").rpartition(":")[2])
        careless = ssl.create_default_context()
        careless.check_hostname = False
        careless.verify_mode = ssl.CERT_NONE
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            call(f"https://127.0.0.1:{bad}", "a", context=ssl.create_default_context())
        assert call(f"https://127.0.0.1:{bad}", "[[wb:a]]", context=careless)["object"] == "chat.completion"
        closed = int(listener(simulator, "handshake_closed").rpartition(":")[2])
        with pytest.raises(OSError, match=r"EOF|reset|closed"):
            call(f"https://127.0.0.1:{closed}", "a", context=careless)


def test_a_certificate_that_cannot_be_used_is_told_in_one_sentence(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for path, problem in ((tmp_path / "none.pem", "no such file"), (empty, "no certificate with its key")):
        with pytest.raises(TlsError, match=problem), running_simulator(SimulatorConfig(tls_cert=str(path))):
            pytest.fail("it started")


def test_a_listener_that_cannot_be_opened_stops_the_start() -> None:
    with running_simulator() as first:
        taken = SimulatorConfig(listeners=(ListenerPlan("http", first.port),))
        with pytest.raises(OSError, match="cannot listen at"), running_simulator(taken):
            pytest.fail("it started")


def test_the_command_serves_what_its_file_says_and_ends_cleanly(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("port: 0\nlisteners:\n  - {upstream: beta}\n  - {kind: refused}\n")
    with mock("--config", str(path)) as (program, lines):
        urls = re.findall(r"http://127\.0\.0\.1:\d+", "\n".join(lines))
        assert lines[0].startswith("simulator listening on http://127.0.0.1:")
        assert "(upstream beta)" in lines[3]
        assert lines[4].startswith("  refused at ")
        assert call(urls[0], "[[wb:a]]")["object"] == "chat.completion"
        program.send_signal(signal.SIGINT)
        assert program.wait(20) == 0


def test_the_command_records_and_plays(tmp_path: Path) -> None:
    out = tmp_path / "r.ndjson"
    with (
        running_simulator() as provider,
        mock("record", "--upstream", provider.url, "--port", "0", "--out", str(out)) as (program, lines),
    ):
        (url,) = re.findall(r"at (http://127\.0\.0\.1:\d+)", lines[0])
        original = call(url, "[[wb:a;text=Hello]]")
        program.send_signal(signal.SIGINT)
        rest, _ = program.communicate(timeout=20)
        assert "1 exchanges recorded, 0 not" in rest
        assert program.returncode == 0
    with mock("--replay", str(out), "--speed", "0", "--port", "0") as (program, lines):
        assert call(lines[0].rpartition(" ")[2], "[[wb:b;text=Hello]]") == original


def test_the_command_turns_a_recording_into_scenarios_that_it_serves(tmp_path: Path) -> None:
    recording, file, again = tmp_path / "story.ndjson", tmp_path / "s.yaml", tmp_path / "again.yaml"
    options = ("--port", "0", "--out", str(recording), "--scenarios", str(file))
    with (
        running_simulator() as provider,
        mock("record", "--upstream", provider.url, *options) as (program, lines),
    ):
        (url,) = re.findall(r"at (http://127\.0\.0\.1:\d+)", lines[0])
        call(url, "[[wb:a;text=Once%20upon%20a%20time]]")
        program.send_signal(signal.SIGINT)
        rest, _ = program.communicate(timeout=20)
        assert "story-1: POST /v1/chat/completions, a whole answer" in rest
        assert "with the model wb-story-1" in rest
        assert program.returncode == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with mock("scenarios", str(recording), "--out", str(again), "--name", "tale") as (program, lines):
        assert program.wait(20) == 0
        assert lines[0] == "tale-1: POST /v1/chat/completions, a whole answer"
    with mock("--scenarios", str(again), "--port", "0") as (program, lines):
        found = call(lines[0].rpartition(" ")[2], "[[wb:b;scenario=tale-1;speed=4x]]")
        assert found["choices"][0]["message"]["content"] == "Once upon a time"  # type: ignore[index]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("scenarios", "/nowhere/r"), "/nowhere/r: No such file or directory"),
        (("--replay", "/nowhere/r"), "/nowhere/r: No such file or directory"),
        (("--config", "/nowhere/c"), "/nowhere/c: No such file or directory"),
        (("--tls-cert", "/nowhere/c.pem", "--port", "0"), "/nowhere/c.pem: no such file"),
        (("--listener", "a:b:1"), "has two names"),
        (("--replay", "x", "--speed", "fast"), "--replay-speed: 'fast' is impossible"),
        (("record", "--upstream", "api.openai.com"), "'api.openai.com' is no URL"),
        (("record", "--upstream", "http://x", "--out", "/nowhere/r"), "/nowhere/r: No such file"),
    ],
)
def test_the_command_says_what_is_wrong_and_ends_with_2(arguments: tuple[str, ...], problem: str) -> None:
    with mock(*arguments) as (program, lines):
        assert program.wait(20) == 2
    assert problem in " ".join(lines)


def test_a_simulator_has_no_extra_listeners_by_default() -> None:
    assert Simulator().listeners is None
