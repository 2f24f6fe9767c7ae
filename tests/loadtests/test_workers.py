"""Figures of worker processes: all of them, or a result that says whose are missing."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.loadtests.plain_locust import free_port, honest_code, plain_locust
from weighbridge.load.figures import Figures, Tally
from weighbridge.load.trust import check

WHOLE = json.dumps(
    {"choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}
).encode()
#: What a starved run gets of the processor: next to nothing, while both cores are busy.
_BUSY_S = 55


def serve(hostile: Any, seconds: float) -> None:
    """Every call is answered so much later."""

    def script(peer: Any) -> bool:
        threading.Event().wait(seconds)
        peer.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (len(WHOLE), WHOLE)
        )
        return True

    hostile.script = script


def locust(hostile: Any, place: Path, *arguments: str, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Plain locust with two workers."""
    port = str(free_port())
    return plain_locust(
        hostile.url,
        place,
        *("--headless", "--only-summary", "--users", "4", "--spawn-rate", "4", "--processes", "2"),
        *("--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--master-port", port),
        *arguments,
        before=before,
        WEIGHBRIDGE_MIX="plain",
        WEIGHBRIDGE_WARM_UP="100ms",
    )


def whole_calls(said: str) -> int:
    line = next(line for line in said.splitlines() if "calls whole" in line)
    return int(line.split(" calls")[0].replace(",", ""))


def until(true: Callable[[], bool], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)


#: More of them are a matter of patience: some ten seconds each.
_RUNS = int(os.environ.get("STARVED_RUNS", "2"))


@contextmanager
def starved() -> Iterator[tuple[str, ...]]:
    """Every core is busy for a while; yields what starts a command with the least right to them."""
    loop = f"import time\nend = time.monotonic() + {_BUSY_S}\nwhile time.monotonic() < end: pass"
    busy = [subprocess.Popen([sys.executable, "-c", loop]) for _ in range(os.cpu_count() or 1)]
    try:
        yield ("nice", "-n", "19")
    finally:
        for process in busy:
            process.kill()
            process.wait()


def test_calls_that_run_when_time_is_up_are_counted(hostile: Any, tmp_path: Path) -> None:
    serve(hostile, 1.5)
    process = locust(hostile, tmp_path, "--run-time", "4", "--stop-timeout", "10")
    said, errors = process.communicate(timeout=60)
    assert process.returncode == honest_code(said), errors
    assert whole_calls(said) == len(hostile.requests)


def test_plain_locust_says_so_when_a_worker_was_killed(hostile: Any, tmp_path: Path) -> None:
    serve(hostile, 0.02)
    process = locust(hostile, tmp_path, "--run-time", "6", "--stop-timeout", "1")
    until(lambda: len(hostile.requests) > 20)
    killed = psutil.Process(process.pid).children()[0].pid
    os.kill(killed, signal.SIGKILL)
    said, errors = process.communicate(timeout=60)
    assert "figures of 1 of 2 client processes are missing" in said, errors
    assert "do not trust every count" in said
    assert process.returncode == 5
    assert 0 < whole_calls(said) < len(hostile.requests)


def test_a_worker_that_is_told_to_end_hands_in_before_it_does(hostile: Any, tmp_path: Path) -> None:
    serve(hostile, 0.5)
    process = locust(hostile, tmp_path, "--run-time", "6", "--stop-timeout", "5")
    until(lambda: len(hostile.requests) > 8)
    psutil.Process(process.pid).children()[0].terminate()
    said, errors = process.communicate(timeout=60)
    assert process.returncode == honest_code(said), errors
    assert whole_calls(said) == len(hostile.requests)


def test_the_command_says_so_when_a_client_process_was_killed(hostile: Any, tmp_path: Path) -> None:
    serve(hostile, 0.02)
    process = subprocess.Popen(
        [sys.executable, "-m", "weighbridge", "load", "--target", hostile.url, "--key-env", "LOAD_TEST_KEY",
         "--model", "m", "--mix", "plain", "--users", "4", "--processes", "2", "--duration", "5s", "--warm-up", "200ms",
         "--out", str(tmp_path)],
        cwd=tmp_path, env=os.environ | {"LOAD_TEST_KEY": "sk-workers"}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until(lambda: len(hostile.requests) > 20)
    master = psutil.Process(process.pid).children()[0]
    master.children()[0].kill()
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 4
    assert "1 of 2 processes left a result" in errors


def test_a_starved_machine_loses_no_call(hostile: Any, tmp_path: Path) -> None:
    serve(hostile, 0.02)
    with starved() as before:
        for turn in range(_RUNS):
            seen = len(hostile.requests)
            process = locust(hostile, tmp_path, "--run-time", "1", "--stop-timeout", "5", before=before)
            said, errors = process.communicate(timeout=120)
            assert process.returncode == honest_code(said), (turn, errors)
            assert whole_calls(said) == len(hostile.requests) - seen, (turn, errors)


def test_missing_figures_spoil_every_count() -> None:
    trust = check(Figures.of(Tally()), missing=("box_1",), processes=3)
    assert not trust.ok
    assert trust.distrusted[0] == "every count"
    assert "figures of 1 of 3 client processes are missing (box_1)" in trust.statement
