"""The script that runs a LiteLLM proxy: arguments, configuration, and processes that are gone after `stop`.

No network and no LiteLLM: small stand-in processes take the proxy's place.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from weighbridge.target_file import load

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "targets" / "litellm"

#: Answers like the proxy as far as the script asks: it lives, and lists the models to the master key.
STAND_IN = f"""#!{sys.executable}
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        allowed = self.headers.get("Authorization") == "Bearer " + os.environ["LITELLM_MASTER_KEY"]
        models = [{{"id": "gpt-5.5"}}, {{"id": "claude-opus-4-8"}}]
        body = json.dumps({{"data": models}} if "models" in self.path else "alive").encode()
        self.send_response(200 if allowed or "models" not in self.path else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments):
        pass
port = int(sys.argv[sys.argv.index("--port") + 1])
HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def _module(name: str) -> ModuleType:
    """A file of the script's folder under a name that no other target's script takes."""
    known = f"target_litellm_{name}"
    if known not in sys.modules:
        spec = importlib.util.spec_from_file_location(known, FOLDER / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[known] = importlib.util.module_from_spec(spec)
        sys.path.insert(0, str(FOLDER))
        try:
            spec.loader.exec_module(sys.modules[known])
        finally:
            sys.path.remove(str(FOLDER))
    return sys.modules[known]


gateway: Any = _module("gateway")
processes: Any = sys.modules["gateway_processes"]
installing: Any = sys.modules["litellm_install"]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A run folder; whatever a test leaves running in it is ended."""
    path = tmp_path / "run"
    path.mkdir()
    yield path
    processes.stop(path)


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation whose proxy is a stand-in; gives the path of its command."""
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("litellm==0\n", encoding="utf-8")
    made = installing.Installation(tmp_path / "env", constraints)
    made.litellm.parent.mkdir(parents=True)
    made.litellm.write_text(STAND_IN, encoding="utf-8")
    made.litellm.chmod(0o755)
    (made.environment / "installed.txt").write_text(made.stamp(), encoding="utf-8")
    monkeypatch.setattr(gateway, "INSTALLATION", made)
    monkeypatch.setattr(gateway, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(gateway, "STARTED", tmp_path / "runs" / "started")
    monkeypatch.delenv("LITELLM_KEY", raising=False)
    return Path(made.litellm)


def _spawn(folder: Path, code: str, name: str = "proxy") -> Any:
    """A Python process that has said `ready` in its log before this returns."""
    record = processes.spawn(name, [sys.executable, "-u", "-c", code], folder, "http://127.0.0.1:1")
    log = folder / f"{name}.log"
    assert processes.wait_until(lambda: "ready" in log.read_text(encoding="utf-8"), 10)
    return record


SLEEPS = "import time\nprint('ready')\ntime.sleep(60)"


# ------------------------------------------------------------------ arguments
def test_ports_have_the_documented_defaults() -> None:
    asked = gateway.read_arguments(["start"])
    assert (asked.port, asked.simulator_port, asked.without_retries) == (4000, 8890, False)


def test_the_command_of_with_keeps_its_own_options() -> None:
    asked = gateway.read_arguments(["with", "--without-retries", "--", "run", "--without-retries", "--", "x"])
    assert asked.without_retries
    assert asked.command == ["run", "--without-retries", "--", "x"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "COMMAND"),
        (["launch"], "invalid choice"),
        (["start", "--port", "0"], "give a number from 1 to 65535"),
        (["start", "--port", "http"], "give a number from 1 to 65535"),
        (["with"], "give the command to run after --"),
        (["with", "--"], "give the command to run after --"),
        (["stop", "--", "ls"], "only `with` takes a command"),
    ],
)
def test_a_wrong_command_line_is_told_and_runs_nothing(
    given: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        gateway.main(given)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_the_next_command_names_the_target_of_the_chosen_variant() -> None:
    pair = gateway.Pair(4001, 8891, "sk-one")
    told = gateway.next_command(pair, gateway.WITHOUT_RETRIES)
    assert "LITELLM_URL=http://127.0.0.1:4001/v1" in told
    assert "SIMULATOR_URL=http://127.0.0.1:8891" in told
    assert told.endswith("weighbridge run --target targets/litellm-no-retries.yaml")


def test_a_key_of_the_environment_is_used_and_else_a_fresh_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_KEY", "sk-mine")
    assert gateway.master_key() == "sk-mine"
    monkeypatch.delenv("LITELLM_KEY")
    fresh = gateway.master_key()
    assert fresh.startswith("sk-")
    assert fresh != gateway.master_key()


# ------------------------------------------------------------------ configuration
@pytest.mark.parametrize("variant", [gateway.DEFAULTS, gateway.WITHOUT_RETRIES])
def test_both_models_lead_to_the_simulator_in_their_own_dialect(variant: Any) -> None:
    template = (FOLDER / variant.config).read_text(encoding="utf-8")
    config = yaml.safe_load(gateway.render_config(template, "http://127.0.0.1:8890"))
    models = {item["model_name"]: item["litellm_params"] for item in config["model_list"]}
    assert models["gpt-5.5"]["model"] == "openai/gpt-5.5"
    assert models["gpt-5.5"]["api_base"] == "http://127.0.0.1:8890/v1"
    assert models["claude-opus-4-8"]["model"] == "anthropic/claude-opus-4-8"
    assert models["claude-opus-4-8"]["api_base"] == "http://127.0.0.1:8890"
    assert config["general_settings"]["master_key"] == "os.environ/LITELLM_MASTER_KEY"


def test_only_the_second_configuration_turns_retries_and_cooldowns_off() -> None:
    plain, quiet = (
        yaml.safe_load((FOLDER / variant.config).read_text(encoding="utf-8"))
        for variant in (gateway.DEFAULTS, gateway.WITHOUT_RETRIES)
    )
    assert quiet.pop("router_settings") == {"num_retries": 0, "disable_cooldowns": True}
    assert quiet["litellm_settings"].pop("num_retries") == 0
    assert quiet == plain


def test_an_unknown_placeholder_is_told() -> None:
    with pytest.raises(processes.GatewayError, match="simulatr"):
        gateway.render_config("api_base: ${simulatr}", "http://127.0.0.1:1")


def test_the_proxy_sees_nothing_of_the_callers_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "DATABASE_URL", "HTTPS_PROXY", "LITELLM_LOG"):
        monkeypatch.setenv(name, "of-the-caller")
    given = gateway.proxy_environment("sk-one", tmp_path)
    assert "of-the-caller" not in given.values()
    assert given["LITELLM_MASTER_KEY"] == "sk-one"
    assert given["LITELLM_LOCAL_MODEL_COST_MAP"] == "True"
    assert given["LITELLM_TELEMETRY"] == "False"


@pytest.mark.parametrize(
    ("variant", "policy"),
    [(gateway.DEFAULTS, "3 attempts on 429, 500, 503, reset"), (gateway.WITHOUT_RETRIES, "1 attempts")],
)
def test_the_target_files_need_a_key_alone_and_follow_the_script(variant: Any, policy: str) -> None:
    path = REPOSITORY / variant.target
    alone = load(path, {"LITELLM_KEY": "sk-one"})
    assert alone.surfaces["chat"].url == f"http://127.0.0.1:{gateway.PROXY_PORT}/v1"
    assert alone.simulator == f"http://127.0.0.1:{gateway.SIMULATOR_PORT}"
    pair = gateway.Pair(4321, 8765, "sk-two")
    moved = load(path, pair.variables())
    assert (moved.surfaces["chat"].url, moved.simulator) == (pair.chat_url, pair.simulator_url)
    assert moved.principals["chat.funded"].key == "sk-two"
    assert moved.retry_policy == policy
    assert installing.VERSION in moved.name


# ------------------------------------------------------------------ installing
def test_the_recorded_constraints_hold_versions_and_no_address() -> None:
    lines = (FOLDER / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert f"litellm=={installing.VERSION}" in pins
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+", pin) for pin in pins)


def test_constraints_are_sorted_and_leave_out_the_tools_of_every_environment() -> None:
    listing = json.dumps(
        [{"name": name, "version": "1"} for name in ("zipp", "pip", "Aiohttp", "setuptools")]
    )
    written = installing.constraints_text(listing).splitlines()
    assert [line for line in written if not line.startswith("#")] == ["Aiohttp==1", "zipp==1"]


def test_a_whole_installation_is_left_alone(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installing, "_run", lambda *_: pytest.fail("something was run"))
    gateway.INSTALLATION.install()
    assert stand_in.exists()


def test_other_constraints_make_an_installation_stale(stand_in: Path) -> None:
    assert gateway.INSTALLATION.is_whole()
    gateway.INSTALLATION.constraints.write_text("litellm==1\n", encoding="utf-8")
    assert not gateway.INSTALLATION.is_whole()


def test_a_failing_pip_is_told_in_one_sentence() -> None:
    with pytest.raises(processes.GatewayError, match=r"no luck \(exit code 3\)"):
        installing._run([sys.executable, "-c", "raise SystemExit(3)"], "no luck")


# ------------------------------------------------------------------ processes
def test_stop_returns_when_the_process_is_gone(folder: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    code = f"""
import signal, sys, time
def leave(*_):
    time.sleep(0.5)
    open({str(trace)!r}, "w").close()
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
{SLEEPS}"""
    record = _spawn(folder, code)
    assert processes.alive(record)
    assert processes.stop(folder) == 1
    assert trace.exists()
    assert not processes.alive(record)
    assert processes.records(folder) == []
    assert processes.stop(folder) == 0


def test_a_process_that_ignores_the_request_is_killed(folder: Path) -> None:
    record = _spawn(folder, f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{SLEEPS}")
    processes.end(record, patience=0.2)
    assert not processes.alive(record)


def test_the_proxy_is_ended_before_the_simulator_behind_it(folder: Path) -> None:
    _spawn(folder, SLEEPS, "simulator")
    _spawn(folder, SLEEPS, "proxy")
    assert [record.name for record in processes.records(folder)] == ["proxy", "simulator"]
    assert processes.stop(folder) == 2


def test_another_process_with_the_recorded_id_is_left_alone(folder: Path) -> None:
    record = _spawn(folder, SLEEPS)
    other = json.loads((folder / "proxy.json").read_text(encoding="utf-8")) | {"started": "long ago"}
    (folder / "proxy.json").write_text(json.dumps(other), encoding="utf-8")
    assert processes.stop(folder) == 0
    assert processes.alive(record)
    processes.end(record)


def test_a_damaged_record_is_told(folder: Path) -> None:
    (folder / "proxy.json").write_text("{", encoding="utf-8")
    with pytest.raises(processes.GatewayError, match="no record of a process"):
        processes.stop(folder)
    (folder / "proxy.json").unlink()


def test_a_process_that_ends_early_is_told_with_its_log(folder: Path) -> None:
    record = _spawn(folder, "print('ready')\nraise SystemExit('the port is taken')")
    with pytest.raises(processes.GatewayError, match=r"(?s)ended before it was ready.*the port is taken"):
        processes.await_ready(record, lambda: False, folder, 10)


def test_waiting_for_readiness_is_bounded(folder: Path) -> None:
    record = _spawn(folder, SLEEPS)
    with pytest.raises(processes.GatewayError, match=r"not ready after 0\.2 s"):
        processes.await_ready(record, lambda: False, folder, 0.2)


def test_a_taken_port_is_told_before_anything_starts() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(processes.GatewayError, match="choose another with --port"):
            processes.require_free(taken.getsockname()[1], "--port")


def test_two_free_ports_differ() -> None:
    one, two = processes.free_ports()
    assert one != two


# ------------------------------------------------------------------ the whole way, with a stand-in
def test_with_gives_the_command_its_variables_and_its_exit_code_back(
    stand_in: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = (
        "import os, urllib.request as u\n"
        "print(u.urlopen(os.environ['SIMULATOR_URL'] + '/_wb/health').status)\n"
        "print(os.environ['LITELLM_URL'], os.environ['LITELLM_KEY'])\n"
        "raise SystemExit(7)"
    )
    assert gateway.main(["with", "--", sys.executable, "-c", code]) == 7
    seen = capfd.readouterr()
    assert re.fullmatch(r"200\nhttp://127\.0\.0\.1:\d+/v1 sk-[0-9a-f]{32}\n", seen.out)
    ended = [int(pid) for pid in re.findall(r"\(process (\d+)\) has ended", seen.err)]
    assert len(ended) == 2
    assert [processes.started_at(pid) for pid in ended] == [None, None]
    assert list((tmp_path / "runs").iterdir()) == []


def test_start_status_and_stop_belong_together(stand_in: Path, capfd: pytest.CaptureFixture[str]) -> None:
    one, two = processes.free_ports()
    ports = ["--port", str(one), "--simulator-port", str(two)]
    assert gateway.main(["status"]) == 1
    try:
        assert gateway.main(["start", *ports]) == 0
        assert "weighbridge run --target targets/litellm.yaml" in capfd.readouterr().out
        assert gateway.main(["status"]) == 0
        assert gateway.main(["start", *ports]) == 1
        assert "it runs already" in capfd.readouterr().err
    finally:
        assert gateway.main(["stop"]) == 0
    assert gateway.main(["status"]) == 1
    processes.require_free(one, "--port")
    processes.require_free(two, "--simulator-port")


def test_a_proxy_that_does_not_start_leaves_nothing_running(
    stand_in: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stand_in.write_text(f"#!{sys.executable}\nraise SystemExit('no such configuration')\n", encoding="utf-8")
    assert gateway.main(["with", "--", "true"]) == 1
    told = capfd.readouterr().err
    assert "no such configuration" in told
    ended = [int(pid) for pid in re.findall(r"\(process (\d+)\) has ended", told)]
    assert len(ended) == 1
    assert processes.started_at(ended[0]) is None
    assert list((tmp_path / "runs").glob("*/*.json")) == []


def test_a_terminated_with_ends_both_and_its_command(stand_in: Path, tmp_path: Path) -> None:
    code = (
        "import importlib.util, pathlib, sys\n"
        f"sys.path.insert(0, {str(FOLDER)!r})\n"
        "import gateway, litellm_install\n"
        f"home = pathlib.Path({str(tmp_path)!r})\n"
        "gateway.INSTALLATION = litellm_install.Installation(home / 'env', home / 'constraints.txt')\n"
        "gateway.RUNS = home / 'runs'\n"
        "said = 'import time; print(\"running\", flush=True); time.sleep(60)'\n"
        "sys.exit(gateway.main(['with', '--', sys.executable, '-c', said]))\n"
    )
    script = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert script.stdout is not None
    assert script.stdout.readline() == "running\n"
    script.send_signal(signal.SIGTERM)
    _, told = script.communicate(timeout=30)
    assert script.returncode == 128 + signal.SIGTERM
    ended = [int(pid) for pid in re.findall(r"\(process (\d+)\) has ended", told)]
    assert len(ended) == 2
    assert [processes.started_at(pid) for pid in ended] == [None, None]


def test_a_command_that_does_not_exist_is_told() -> None:
    with pytest.raises(processes.GatewayError, match="cannot be run"):
        gateway.run_command(["/no/such/command"], os.environ)


def test_a_command_that_a_signal_ended_has_the_shells_exit_code() -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    began = time.monotonic()
    assert gateway.run_command([sys.executable, "-c", code], os.environ) == 128 + signal.SIGKILL
    assert time.monotonic() - began < 10
