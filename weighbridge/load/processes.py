"""The child processes of a load test: locust, and the embedded pair where no target is named.

gevent patches a process for good, so it never enters ours. A child gets a session of its own (Ctrl-C
reaches us alone, and a whole group can be ended), and its standard input is our lifeline to it: it ends
when that pipe does, even if we were killed. Whatever happens, a child is waited for.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import math
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weighbridge.errors import HarnessError, UsageError
from weighbridge.load.figures import Tally
from weighbridge.load.plan import PLAN_VARIABLE, LoadPlan
from weighbridge.locate import folder

#: What a child may need to end by itself after it was asked.
_END_S = 8.0
#: Start-up of the embedded pair or of locust on a busy machine.
_START_S = 60.0
#: At the end of the load, running streams get this long to end by themselves.
DRAIN_S = 10
_LOG_LINES = 5
_LOOK_S = 0.05

Progress = Callable[[float, Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many users, for how long.

    Attributes:
        users: of a closed load; of an open one its schedule keepers, one in each process.
        spawn_rate: users started a second.
        duration: whole seconds from the first user to the end.
        processes: client processes; locust's master is one more beyond one.
    """

    users: int
    duration: int
    spawn_rate: float
    processes: int = 1


def require_locust() -> None:
    """Make sure that the load client can be started.

    Raises:
        UsageError: the extra is not installed.
    """
    for name in ("locust", "httptools"):
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"a load test needs {name}; install the extra: pip install 'weighbridge[load]'")


def environment(home: Path) -> dict[str, str]:
    """Ours without locust's variables and configuration files, with this very weighbridge importable."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST")}
    package = str(Path(__file__).resolve().parent.parent.parent)
    paths = [package, *filter(None, [kept.get("PYTHONPATH")])]
    return kept | {"PYTHONPATH": os.pathsep.join(paths), "HOME": str(home)}


@asynccontextmanager
async def _child(
    arguments: Sequence[str], *, home: Path, log: Path, extra: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A child that is ended and waited for in every case."""
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            cwd=home,
            env=environment(home) | dict(extra or {}),
            start_new_session=True,
        )
    try:
        yield process
    finally:
        await asyncio.shield(_reap(process))


async def _reap(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    if process.returncode is None:
        try:
            async with asyncio.timeout(_END_S):
                await process.wait()
        except TimeoutError:
            _signal(process.pid, signal.SIGKILL)
            await process.wait()
    # Workers that locust forked live in the same group; none may stay behind.
    _signal(process.pid, signal.SIGKILL)


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _last_words(log: Path) -> str:
    try:
        lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    except OSError:
        return "it left no log"
    return " | ".join(lines[-_LOG_LINES:]) or "it said nothing"


@asynccontextmanager
async def embedded_pair(scratch: Path) -> AsyncIterator[Mapping[str, str]]:
    """Simulator and reference gateway in a child; yields the variables of `targets/embedded.yaml`.

    Raises:
        HarnessError: they did not start.
    """
    log = scratch / "pair.log"
    async with _child(("-m", "weighbridge.pair", str(scratch)), home=scratch, log=log) as process:
        assert process.stdout is not None  # noqa: S101 - piped above
        try:
            async with asyncio.timeout(_START_S):
                line = await process.stdout.readline()
            variables = json.loads(line)["variables"]
        except (TimeoutError, ValueError, KeyError) as error:
            raise HarnessError(
                f"the embedded simulator and gateway did not start: {_last_words(log)}"
            ) from error
        yield {str(name): str(value) for name, value in variables.items()}


def _locust_arguments(plan: LoadPlan, crowd: Crowd) -> list[str]:
    arguments = [
        "-m", "locust",
        "-f", str(folder("loadtests") / "locustfile.py"),
        "--headless",
        "--only-summary",
        "--loglevel", "ERROR",
        "--stop-timeout", str(DRAIN_S),
    ]  # fmt: skip
    if plan.arrivals is not None or not plan.shape:
        # With a shape, users and the end are the shape's business.
        arguments += ["--users", str(crowd.users), "--spawn-rate", f"{crowd.spawn_rate:g}"]
        arguments += ["--run-time", f"{crowd.duration}s"]
    if crowd.processes > 1:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        arguments += ["--processes", str(crowd.processes)]
        arguments += ["--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--master-port", port]
    return arguments


async def run_locust(plan: LoadPlan, crowd: Crowd, progress: Progress) -> Tally:
    """Run the load in a child; returns the counters that it left.

    Args:
        plan: what to send; its folder is one that only we can read.
        crowd: users and duration.
        progress: called with the seconds since the load began and what the child says about itself.

    Raises:
        HarnessError: locust did not start, died, or left no result.
    """
    scratch = Path(plan.folder)
    file, log = scratch / "plan.json", scratch / "locust.log"
    plan.write(file)
    bound = _START_S + crowd.duration + 3 * DRAIN_S + 2 * _END_S
    try:
        async with (
            _child(
                _locust_arguments(plan, crowd), home=scratch, log=log, extra={PLAN_VARIABLE: str(file)}
            ) as process,
            asyncio.timeout(bound),
        ):
            await _follow(process, progress)
            code = await process.wait()
            await _handed_over(scratch, plan.processes, process.pid)
    except TimeoutError:
        raise HarnessError(
            f"the load client did not end within {math.ceil(bound)} s: {_last_words(log)}"
        ) from None
    files = _handed_in(scratch)
    if len(files) < plan.processes:
        raise HarnessError(
            f"the load client ended with code {code} and {len(files)} of {plan.processes} processes left a result: {_last_words(log)}"
        )
    merged = Tally()
    for part in files:
        merged.merge(json.loads(part.read_text(encoding="utf-8")))
    return merged


async def _handed_over(scratch: Path, processes: int, group: int) -> None:
    """Wait (bounded) for workers that are still ending while locust's master has already left."""
    deadline = time.monotonic() + DRAIN_S + _END_S
    while len(_handed_in(scratch)) < processes and _lives(group) and time.monotonic() < deadline:  # noqa: ASYNC110 - other processes' files
        await asyncio.sleep(_LOOK_S)


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _handed_in(scratch: Path) -> list[Path]:
    return sorted(scratch.glob("figures-*.json"))


async def _follow(process: asyncio.subprocess.Process, progress: Progress) -> None:
    """Read the child's lines until it closes its output."""
    assert process.stdout is not None  # noqa: S101 - piped by _child
    began: float | None = None
    async for line in process.stdout:
        if not line.startswith(b'{"progress"'):
            continue
        told = json.loads(line)["progress"]
        if began is None and (told["users"] or told["completed"]):
            began = time.monotonic()
        if began is not None:
            progress(time.monotonic() - began, told)
