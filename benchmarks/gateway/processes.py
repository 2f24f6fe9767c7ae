"""What the benchmark starts: simulators, gateways, peers. Each is a child process that ends with the block it is used in.

Processor time is read from the process itself and its children, so a figure per core holds on a machine that has other
things to do as well.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.gateway.wire import Endpoint

ROOT: Final = Path(__file__).resolve().parents[2]
_HERE: Final = Path(__file__).resolve().parent
_END_S: Final = 20.0
#: npm fetches about a hundred packages.
_INSTALL_S: Final = 600.0
_START_S: Final = 240.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")
#: Prints the environment that a `gateway.py with` gives its command, and stays until its input closes.
_HOLD: Final = "import json,os,sys; print(json.dumps(dict(os.environ)), flush=True); sys.stdin.read()"


class PeerMissingError(RuntimeError):
    """A peer cannot be started here; the text says why."""


@contextmanager
def child(command: Sequence[str], log: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A child process and the first line that it prints; its input is closed at the end, which ends it."""
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own programs
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT
        )
        assert process.stdin is not None  # noqa: S101 - both were asked for
        assert process.stdout is not None  # noqa: S101 - both were asked for
        try:
            line = process.stdout.readline()
            if not line:
                process.wait(_END_S)
                tail = log.read_text(encoding="utf-8", errors="replace").strip()[-400:]
                raise PeerMissingError(f"{' '.join(command[:4])} ended with {process.returncode}: {tail}")
            yield process, line
        finally:
            process.stdin.close()
            if "mock_upstreams" in command:
                process.terminate()
            _wait(process)
            process.stdout.close()


@contextmanager
def simulator(folder: Path) -> Iterator[str]:
    """The providers; the URL of their root."""
    command = [sys.executable, "-m", "mock_upstreams", "--port", "0", "--journal-capacity", "1000"]
    with child(command, folder / "simulator.log") as (_, line):
        yield line.split()[-1]


@contextmanager
def gateway(folder: Path, upstream: str, ledger: str) -> Iterator[tuple[Endpoint, int]]:
    """The reference gateway with a ledger of one kind; where it listens and its process id."""
    command = [sys.executable, str(_HERE / "serve.py"), "--upstream", upstream]
    command += ["--database", str(folder / f"{ledger}.sqlite"), "--ledger", ledger]
    with child(command, folder / f"gateway-{ledger}.log") as (process, line):
        started = json.loads(line)
        yield Endpoint(f"gateway ({ledger} ledger)", started["url"], started["key"]), process.pid


@contextmanager
def bare_relay(folder: Path, upstream: str, key: str) -> Iterator[Endpoint]:
    """A second hop that understands nothing."""
    with child([sys.executable, str(_HERE / "relay.py"), upstream], folder / "relay.log") as (_, line):
        yield Endpoint("bare relay", f"http://127.0.0.1:{json.loads(line)['port']}/v1", key)


@contextmanager
def litellm(folder: Path) -> Iterator[Endpoint]:
    """LiteLLM's proxy as the project's target script starts it, with a simulator of its own behind it."""
    script = ROOT / "targets" / "litellm" / "gateway.py"
    command = [sys.executable, str(script), "with", "--without-retries", "--", sys.executable, "-c", _HOLD]
    with child(command, folder / "litellm.log") as (_, line):
        given = json.loads(line)
        yield Endpoint("litellm", given["LITELLM_URL"], given["LITELLM_KEY"])


@contextmanager
def portkey(folder: Path, upstream: str) -> Iterator[Endpoint]:
    """Portkey's gateway as the project's target script installs it, in front of the given simulator."""
    script = ROOT / "targets" / "portkey" / "gateway.py"
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, str(script), "install"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_INSTALL_S,
        check=False,
    )
    if done.returncode != 0:
        raise PeerMissingError(f"Portkey cannot be installed: {done.stderr.strip().splitlines()[-1:]}")
    package = ROOT / ".targets" / "portkey" / "env" / "node_modules" / "@portkey-ai" / "gateway"
    start = package / "build" / "start-server.js"
    port = free_port()
    with (folder / "portkey.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(  # noqa: S603 - a program of our own installation
            ["node", str(start), f"--port={port}", "--headless"],  # noqa: S607 - Node is where the system has it
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | {"NODE_ENV": "production"},
        )
        try:
            _await(f"http://127.0.0.1:{port}/", process)
            headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"{upstream}/v1"}
            yield Endpoint("portkey", f"http://127.0.0.1:{port}/v1", "upstream-key-openai", headers)
        finally:
            process.terminate()
            _wait(process)


def _wait(process: subprocess.Popen[Any]) -> None:
    """Until it has ended; killed where it does not in time."""
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """A port that was free a moment ago."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        try:
            with opener.open(url, timeout=2):
                return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise PeerMissingError(f"nothing answers at {url}: {error}") from error
        time.sleep(0.1)


def processor_seconds(pids: Sequence[int]) -> float:
    """User and system time of processes, threads included."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def waited_seconds(pid: int) -> float:
    """How long a process was ready to run and had no processor, threads included."""
    stats = (Path(f"/proc/{pid}/task/{thread}/schedstat") for thread in _threads(pid))
    return sum(int(stat.read_text(encoding="utf-8").split()[1]) for stat in stats) / 1e9


def _threads(pid: int) -> list[int]:
    return [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()]


def serving(port: int) -> list[int]:
    """The process that listens on a port of this machine, with all its descendants. Linux only."""
    sockets = {
        fields[9]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for fields in map(str.split, Path(table).read_text(encoding="utf-8").splitlines()[1:])
        if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port
    }
    owners = {int(path.parts[2]) for path in Path("/proc").glob("[0-9]*/fd/*") if _inode(path) in sockets}
    if not owners:
        raise PeerMissingError(f"no process of ours listens on port {port}")
    parents = {int(path.name): _parent(path) for path in Path("/proc").glob("[0-9]*")}
    found = set(owners)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found)


def _inode(path: Path) -> str | None:
    try:
        target = path.readlink().name
    except OSError:
        return None
    return target[8:-1] if target.startswith("socket:[") else None


def _parent(path: Path) -> int | None:
    try:
        return int((path / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    except OSError:
        return None
