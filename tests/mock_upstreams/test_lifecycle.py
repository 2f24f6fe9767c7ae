"""Starting and stopping: in a loop with others, with open streams, and as a program."""

import asyncio
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable

import aiohttp
import pytest
import uvloop

from mock_upstreams import Simulator, SimulatorConfig
from mock_upstreams.__main__ import main, read_arguments

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


def test_arguments_become_a_configuration() -> None:
    config = read_arguments(
        [
            "--port",
            "8",
            "--seed",
            "3",
            "--flush",
            "stream",
            "--journal-capacity",
            "9",
            "--journal-bytes",
            "70000",
            "--public-url",
            "http://a/",
        ]
    )
    assert config == SimulatorConfig(
        port=8, seed=3, flush="stream", journal_capacity=9, journal_bytes=70_000, public_url="http://a"
    )


@pytest.mark.parametrize("arguments", [["--port", "x"], ["--port", "70000"], ["--journal-capacity", "0"]])
def test_impossible_arguments_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert "error: argument" in capsys.readouterr().err
