"""The embedded target in a process of its own: it serves, it is told apart from a fault of the target, it never stays."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.core.running import ROOT, rows
from weighbridge.embedded_target import FILE, started
from weighbridge.errors import HarnessError
from weighbridge.pair_process import PairProcess
from weighbridge.target_file import load

pytestmark = pytest.mark.xdist_group("pair-process")


def _until(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


def _gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@contextmanager
def _run(tmp_path: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], psutil.Process]]:
    """A run at work, and its child; what keeps temporary files keeps them in a folder of the test."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with subprocess.Popen(
        [sys.executable, "-m", "weighbridge", "run", "--out", str(tmp_path / "out"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(scratch), "NO_COLOR": "1"},
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if "probes: preflight" in line:
                    break
            (child,) = psutil.Process(process.pid).children()
            yield process, child
        finally:
            process.kill()
            assert _gone(process.pid) or process.wait(30) is not None
            if "child" in locals():
                _until(lambda: _gone(child.pid))


def _report(tmp_path: Path) -> Any:
    return json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))


def test_the_file_of_the_embedded_target_is_one_that_anybody_could_have_written() -> None:
    variables = dict.fromkeys(
        re.findall(r"\$\{([A-Z_]+)\}", FILE.read_text(encoding="utf-8")), "http://127.0.0.1:1"
    )
    assert started(variables).target == replace(load(FILE, variables), place="the embedded target")


def test_it_serves_and_is_taken_away_with_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    async def main(pair: PairProcess) -> None:
        async with pair.running() as target:
            assert target.simulator is not None
            assert target.surfaces["chat"].url.endswith("/v1")
            assert os.listdir(tmp_path)  # noqa: PTH208 - asked inside the loop, of a folder in memory

    with PairProcess() as pair:
        asyncio.run(main(pair))
    assert _gone(pair.pid)
    assert list(tmp_path.iterdir()) == []
    pair.close()


def test_one_that_is_not_needed_is_taken_away_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    pair = PairProcess()
    began = time.monotonic()
    pair.close()
    assert time.monotonic() - began < 5
    assert _gone(pair.pid)
    assert list(tmp_path.iterdir()) == []


def test_its_standstills_are_known_here() -> None:
    async def main(pair: PairProcess) -> float:
        async with pair.running():
            began = time.perf_counter()
            async with asyncio.timeout(20):
                # Ready is said before its first look at the clock, so the first standstill may come too early for it.
                while pair.lag.longest(began) <= 0.3:
                    os.kill(pair.pid, signal.SIGSTOP)
                    await asyncio.sleep(0.4)
                    os.kill(pair.pid, signal.SIGCONT)
                    await asyncio.sleep(0.2)
            return pair.lag.longest(began)

    with PairProcess() as pair:
        assert asyncio.run(main(pair)) > 0.3


def test_an_interpreter_that_is_not_there_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere"))
    with pytest.raises(HarnessError, match=r"cannot be started: .*nowhere: No such file"):
        PairProcess()
    assert list(tmp_path.iterdir()) == []


def test_one_that_breaks_while_it_starts_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "reference_gateway"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise RuntimeError('half of an installation')\n", encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    async def main(pair: PairProcess) -> None:
        async with pair.running():
            pytest.fail("it started")

    with (
        PairProcess() as pair,
        pytest.raises(HarnessError, match=r"did not start: exit code 1, RuntimeError: half of"),
    ):
        asyncio.run(main(pair))
    assert _gone(pair.pid)


def test_one_that_dies_before_the_first_answer_is_named_as_the_cause() -> None:
    async def main(pair: PairProcess) -> None:
        async with pair.running():
            os.kill(pair.pid, signal.SIGKILL)
            raise HarnessError("nothing listens there")

    with PairProcess() as pair, pytest.raises(HarnessError, match=r"gateway died: ended by SIGKILL"):
        asyncio.run(main(pair))


def test_a_run_whose_target_dies_leaves_a_truncated_report_and_code_4(tmp_path: Path) -> None:
    with _run(tmp_path) as (process, child):
        assert process.stdout is not None
        assert "probes: " in process.stdout.readline()  # some are done, most are not
        child.kill()
        began = time.monotonic()
        out, err = process.communicate(timeout=60)
        assert process.returncode == 4, out + err
        assert "Traceback" not in err
        assert time.monotonic() - began < 30
    told = _report(tmp_path)
    assert (
        "the process of the embedded simulator and gateway died: ended by SIGKILL" in told["run"]["truncated"]
    )
    assert rows(told, "fail", "warn", "harness_error") == []
    assert list((tmp_path / "scratch").iterdir()) == []


def test_ctrl_c_ends_both_and_still_writes_the_report(tmp_path: Path) -> None:
    with _run(tmp_path) as (process, child):
        assert process.stdout is not None
        assert "probes: " in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130, out + err
        assert "Traceback" not in err
        assert _gone(child.pid)
    assert _report(tmp_path)["run"]["truncated"] == "interrupted"
    assert list((tmp_path / "scratch").iterdir()) == []


def test_ctrl_c_at_the_start_leaves_no_process(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    with subprocess.Popen(
        [sys.executable, "-m", "weighbridge", "run", "--out", str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path / "scratch")},
    ) as process:
        _until(lambda: psutil.Process(process.pid).children())
        (child,) = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
        assert "Traceback" not in err
    _until(lambda: _gone(child.pid))
    _until(lambda: not list((tmp_path / "scratch").iterdir()))


def test_it_ends_and_tidies_up_when_the_run_is_killed(tmp_path: Path) -> None:
    with _run(tmp_path) as (process, child):
        place = Path(child.cmdline()[-1])
        assert place.is_dir()
        process.kill()
        process.wait(30)
        _until(lambda: _gone(child.pid))
    assert not place.exists()


def test_a_quick_run_stays_in_one_process_and_loads_no_generator(tmp_path: Path) -> None:
    told = """
import subprocess, sys
from weighbridge.cli import main
started = []
class Watched(subprocess.Popen):
    def __init__(self, *arguments, **options):
        started.append(arguments)
        super().__init__(*arguments, **options)
subprocess.Popen = Watched
try:
    main(["run", "--quick", "--out", sys.argv[1]])
except SystemExit as end:
    assert end.code == 0, end.code
assert not started, started
loaded = {"hypothesis", "schemathesis", "requests", "locust"} & set(sys.modules)
assert not loaded, loaded
"""
    done = subprocess.run(
        [sys.executable, "-c", told, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
