"""What the scripts that run third-party gateways have in common: processes, readiness, command line.

Each started process leaves a record, so that it can be ended by its id, and only if it is still the same.

A record is process id and start time, one JSON file a process in a run folder. Ending waits until the process is
gone: whoever restarts at once must not get answers from the old one. POSIX only.
"""

# ruff: noqa: INP001 - a folder of scripts, not a package
from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

HOST: Final = "127.0.0.1"
#: Time for a process to end by itself after SIGTERM, and to vanish after SIGKILL.
END_S: Final = 20.0
KILL_S: Final = 5.0
POLL_S: Final = 0.1
_LOG_LINES: Final = 15
#: Loopback must not go through a proxy of the machine.
_DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))

#: Children of this very script: ours to reap when they end.
_children: Final[dict[int, subprocess.Popen[bytes]]] = {}


class GatewayError(Exception):
    """Something that the operator can put right; the text says how."""


@dataclass(frozen=True, slots=True)
class Record:
    """A started process. `started` tells it from a later one that was given the same process id."""

    name: str
    pid: int
    started: str
    url: str


def say(text: str) -> None:
    """Tell the operator; standard output belongs to what was asked for."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll a condition; whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def free_ports() -> tuple[int, int]:
    """Two free ports; both are held until both are known."""
    with socket.socket() as one, socket.socket() as two:
        one.bind((HOST, 0))
        two.bind((HOST, 0))
        return one.getsockname()[1], two.getsockname()[1]


def require_free(port: int, option: str) -> None:
    """Find out before the start that a port is taken: LiteLLM would move to a random one.

    Raises:
        GatewayError: something listens there.
    """
    with socket.socket() as probe:
        if probe.connect_ex((HOST, port)) == 0:
            raise GatewayError(
                f"something listens on port {port} already; stop it or choose another with {option}"
            )


def started_at(pid: int) -> str | None:
    """When a process began, as an opaque text; None if it is gone or only waits to be reaped."""
    if pid in _children:
        _children[pid].poll()
    if Path("/proc/self/stat").exists():
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] in {"Z", "X"} else fields[19]
    shown = subprocess.run(  # noqa: S603 - a number is all that varies
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],  # noqa: S607 - systems without /proc keep it in various places
        capture_output=True,
        text=True,
        check=False,
    )
    state, _, began = shown.stdout.strip().partition(" ")
    return (began.strip() or None) if state and not state.startswith("Z") else None


def alive(record: Record) -> bool:
    """Whether the recorded process, and not another of the same id, still runs."""
    return started_at(record.pid) == record.started


def spawn(
    name: str, command: Sequence[str], folder: Path, url: str, environment: Mapping[str, str] | None = None
) -> Record:
    """Start a process in a group of its own, with its log and its record in the run folder.

    Raises:
        GatewayError: it cannot be started.
    """
    with (folder / f"{name}.log").open("wb") as log:
        try:
            process = subprocess.Popen(  # noqa: S603 - our own commands
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise GatewayError(f"{command[0]} cannot be started: {error.strerror}") from error
    _children[process.pid] = process
    record = Record(name, process.pid, started_at(process.pid) or "", url)
    (folder / f"{name}.json").write_text(json.dumps(asdict(record)), encoding="utf-8")
    return record


def records(folder: Path) -> list[Record]:
    """The recorded processes of a run folder, the proxy before the simulator that it talks to.

    Raises:
        GatewayError: a record cannot be read.
    """
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(Record(**json.loads(path.read_text(encoding="utf-8"))))
        except (ValueError, TypeError) as error:
            raise GatewayError(
                f"{path} is no record of a process; end the process by hand and remove the file"
            ) from error
    return found


def end(record: Record, *, patience: float = END_S) -> None:
    """End one process and the group that it leads, and return when it is gone.

    Raises:
        GatewayError: it is still there after SIGKILL.
    """
    for number, bound in ((signal.SIGTERM, patience), (signal.SIGKILL, KILL_S)):
        if not alive(record):
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(record.pid, number)
        wait_until(lambda: not alive(record), bound)
    if alive(record):
        raise GatewayError(f"{record.name} (process {record.pid}) does not end; end it by hand")


def stop(folder: Path) -> int:
    """End all recorded processes of a run folder; how many were running."""
    running = 0
    for record in records(folder):
        if alive(record):
            running += 1
            end(record)
            say(f"{record.name} (process {record.pid}) has ended")
        (folder / f"{record.name}.json").unlink(missing_ok=True)
    return running


def await_ready(record: Record, ready: Callable[[], bool], folder: Path, seconds: float) -> None:
    """Wait until a process answers.

    Raises:
        GatewayError: it ended, or did not answer in time; the end of its log is told.
    """
    if wait_until(lambda: not alive(record) or ready(), seconds) and alive(record):
        return
    log = folder / f"{record.name}.log"
    tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:])
    what = f"was not ready after {seconds:g} s" if alive(record) else "ended before it was ready"
    raise GatewayError(f"{record.name} {what}; the end of {log}:\n{tail}")


# ---------------------------------------------------------------- what the scripts have in common
def fetch(url: str, headers: Mapping[str, str] | None = None) -> Any:
    """The JSON that a loopback URL answers with a 2xx, or None."""
    request = urllib.request.Request(url, headers=dict(headers or {}))  # noqa: S310 - loopback
    try:
        with _DIRECT.open(request, timeout=5) as response:
            return json.loads(response.read())
    except (OSError, ValueError):
        return None


def simulator_ready(url: str) -> bool:
    """Whether it is our simulator that answers there."""
    answer = fetch(f"{url}/_wb/health")
    return isinstance(answer, dict) and answer.get("service") == "weighbridge-simulator"


def run_command(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the operator's command to its end; its exit code, or 128 plus the number of the signal that ended it.

    Raises:
        GatewayError: there is no such command.
    """
    try:
        process = subprocess.Popen(command, env=dict(environment))  # noqa: S603 - the operator's own command
    except OSError as error:
        raise GatewayError(f"{command[0]} cannot be run: {error.strerror}") from error
    try:
        code = process.wait()
    except KeyboardInterrupt:
        # The terminal has told the command as well; it may have a report to write.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_S)
        raise
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    return code if code >= 0 else 128 - code


def port_number(text: str) -> int:
    """A port from the command line.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; give a number from 1 to 65535")
    return int(text)


@contextlib.contextmanager
def signals_unwind() -> Iterator[None]:
    """SIGTERM and SIGHUP unwind as Ctrl-C does, so that nothing is left running."""

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main_of(read_arguments: Callable[[Sequence[str]], argparse.Namespace], given: Sequence[str]) -> int:
    """Run a subcommand; one sentence on standard error for what goes wrong.

    Args:
        read_arguments: yields the command line with the function of its subcommand as `run`.
        given: the command line.
    """
    asked = read_arguments(given)
    try:
        with signals_unwind():
            return int(asked.run(asked))
    except GatewayError as error:
        say(f"gateway.py: {error}")
        return 1
    except KeyboardInterrupt:
        say("gateway.py: interrupted; nothing was left running")
        return 130
