"""Starting and stopping: in a loop with others, with open streams, and as a program."""

import asyncio
import itertools
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
import typer
import uvloop

from mock_upstreams import Simulator, SimulatorConfig
from mock_upstreams.config import ListenerPlan
from mock_upstreams.flags import FLAGS, read_arguments
from mock_upstreams.settings import SETTINGS, Settings
from weighbridge import mock_commands

LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop, uvloop.new_event_loop]
KEY = {"authorization": "Bearer k"}


def body(scenario: str, *, stream: bool = True) -> dict[str, object]:
    return {"model": "m", "stream": stream, "messages": [{"role": "user", "content": scenario}]}


@pytest.mark.parametrize("loops", LOOPS)
def test_it_runs_in_the_loop_of_its_caller_and_leaves_nothing_behind(
    loops: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def run() -> None:
        before = asyncio.all_tasks()
        async with Simulator() as first, Simulator() as second, aiohttp.ClientSession() as session:
            assert first.port != second.port
            for simulator in (first, second):
                url = f"{simulator.url}/v1/chat/completions"
                async with session.post(url, json=body("[[wb:x;text=hello]]"), headers=KEY) as answer:
                    assert (await answer.text()).endswith("data: [DONE]\n\n")
                assert [entry.ending for entry in simulator.journal.with_ids(["x"])] == ["complete"]
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before

    with asyncio.Runner(loop_factory=loops) as runner:
        runner.run(run())


@pytest.mark.parametrize("loops", LOOPS)
@pytest.mark.parametrize("scenario", ["fault=stall", "chunks=1000;gap_ms=100", "ttft_ms=60000"])
def test_stop_ends_open_answers_at_once(
    loops: Callable[[], asyncio.AbstractEventLoop], scenario: str
) -> None:
    async def run() -> None:
        simulator = Simulator()
        await simulator.start()
        url = f"{simulator.url}/v1/chat/completions"
        call = body(f"[[wb:x;{scenario}]]")
        async with aiohttp.ClientSession() as session, session.post(url, json=call, headers=KEY) as answer:
            began = time.monotonic()
            await simulator.stop()
            assert time.monotonic() - began < 2
            with pytest.raises(aiohttp.ClientError):
                await answer.read()
        assert [entry.caller_left_ns for entry in simulator.journal.with_ids(["x"])] == [None]

    with asyncio.Runner(loop_factory=loops) as runner:
        runner.run(run())


def test_it_can_be_started_again_and_not_twice_at_once() -> None:
    async def run() -> None:
        simulator = Simulator()
        for _ in range(2):
            await simulator.start()
            with pytest.raises(RuntimeError, match="running already"):
                await simulator.start()
            await simulator.stop()
            await simulator.stop()

    asyncio.run(run())


def test_equal_seeds_give_equal_ids() -> None:
    async def ids(seed: int) -> list[str]:
        found = []
        async with Simulator(SimulatorConfig(seed=seed)) as simulator, aiohttp.ClientSession() as session:
            for _ in range(3):
                url = f"{simulator.url}/v1/chat/completions"
                async with session.post(url, json=body("hi", stream=False), headers=KEY) as answer:
                    found.append((await answer.json())["id"])
        return found

    first, again, other = (asyncio.run(ids(seed)) for seed in (1, 1, 2))
    assert first == again
    assert not set(first) & set(other)
    assert len(set(first)) == 3


def test_a_taken_port_is_told_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    async def run() -> int:
        async with Simulator() as simulator:
            return await asyncio.to_thread(main_in_thread, simulator.port)

    def main_in_thread(port: int) -> int:
        found = subprocess.run(
            [sys.executable, "-m", "mock_upstreams", "--port", str(port)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        sys.stderr.write(found.stderr)
        return found.returncode

    assert asyncio.run(run()) == 1
    error = capsys.readouterr().err
    assert re.fullmatch(r"cannot listen at 127\.0\.0\.1 port \d+: .*; choose another --port\n", error)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_program_says_where_it_listens_and_ends_on_a_signal(number: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "mock_upstreams", "--port", "0"], stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        line = program.stdout.readline()
        found = re.fullmatch(r"simulator listening on (http://127\.0\.0\.1:\d+)\n", line)
        assert found
        with urllib.request.urlopen(f"{found[1]}/_wb/health", timeout=10) as answer:
            assert answer.status == 200
        program.send_signal(number)
        assert program.wait(10) == 0


def test_arguments_become_settings(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("seed: 5\nstall_limit_s: 3\n")
    arguments = {
        "--config": str(file),
        "--host": "0.0.0.0",
        "--port": "8",
        "--workers": "1",
        "--scenarios": "s.yaml",
        "--seed": "3",
        "--flush": "stream",
        "--tls-cert": "c.pem",
        "--tls-key": "k.pem",
        "--listener": "beta:8891",
        "--control-token": "t",
        "--public-url": "http://a/",
        "--journal-capacity": "9",
        "--journal-bytes": "70000",
    }
    found = read_arguments(["--strict", *itertools.chain.from_iterable(arguments.items())])
    assert found == Settings(
        SimulatorConfig(
            host="0.0.0.0",
            port=8,
            scenarios="s.yaml",
            strict=True,
            seed=3,
            stall_limit_s=3.0,
            flush="stream",
            tls_cert="c.pem",
            tls_key="k.pem",
            listeners=(ListenerPlan("http", 8891, "beta"),),
            control_token="t",
            public_url="http://a",
            journal_capacity=9,
            journal_bytes=70_000,
        )
    )
    assert read_arguments(["--replay", "r", "--speed", "0.5x"]).config.replay_speed == 0.5
    assert read_arguments(["--workers", "3"]).workers == 3
    assert read_arguments([]) == Settings(SimulatorConfig(port=8890))


def test_both_commands_have_the_same_flags() -> None:
    command = typer.main.get_command(mock_commands.app)
    options = [option for option in command.params if option.name != "help"]
    theirs = {option.opts[0].removeprefix("--"): getattr(option, "help", None) for option in options}
    assert theirs == {flag.name: flag.says for flag in FLAGS}
    assert {flag.setting for flag in FLAGS} - {"config"} <= set(SETTINGS)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--port", "x"], "argument --port: invalid int value: 'x'"),
        (["--port", "70000"], "--port: 70000 is impossible; give a whole number from 0 to 65535"),
        (["--journal-capacity", "0"], "--journal-capacity: 0 is impossible"),
        (["--workers", "2", "--listener", "beta:0"], "several workers can neither replay"),
        (["--prot", "1"], "unrecognized arguments: --prot 1"),
        (["--scenarios", "/nowhere/s.yaml", "--port", "0"], "/nowhere/s.yaml: No such file or directory"),
        (["--replay", "/nowhere/r", "--port", "0"], "/nowhere/r: No such file or directory"),
        (["--tls-cert", "/nowhere/c.pem", "--port", "0"], "/nowhere/c.pem: no such file"),
    ],
)
def test_impossible_arguments_are_refused_in_a_sentence_with_status_2(
    arguments: list[str], problem: str
) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "mock_upstreams", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.returncode == 2
    assert problem in found.stderr
    assert "Traceback" not in found.stderr


def test_the_program_has_workers_tls_and_more_ports_like_the_command(tmp_path: Path) -> None:
    config = tmp_path / "s.yaml"
    config.write_text("port: 0\nlisteners: [{upstream: beta}]\n")
    for arguments, lines in (
        (("--config", str(config), "--strict"), ("simulator listening on http://", "(upstream beta)")),
        (
            ("--port", "0", "--workers", "2"),
            ("simulator listening on http://", "2 workers, control API also at"),
        ),
    ):
        command = [sys.executable, "-u", "-m", "mock_upstreams", *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
            try:
                assert program.stdout is not None
                said = [program.stdout.readline() for _ in range(4)]
                assert lines[0] in said[0]
                assert lines[1] in said[3]
                program.send_signal(signal.SIGTERM)
                assert program.wait(20) == 0
            finally:
                program.kill()
