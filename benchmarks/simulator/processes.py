"""Servers on one core, the load client on another, and what each of them cost.

Linux only: cores are assigned with sched_setaffinity and costs read from /proc.
"""

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[1]
BUILT: Final = ROOT / ".targets" / "simulator-benchmark"
"""What is compiled and installed for the benchmark; ignored by git."""

SERVER_CORE: Final = 0
CLIENT_CORE: Final = 1
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class NotMeasured(Exception):  # noqa: N818 - an outcome, not a failure
    """A peer or a tool is missing; the message says which."""


def load_client() -> Path:
    """The compiled load client. Raises NotMeasured without a C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise NotMeasured("no C compiler (cc) for the load client")
    BUILT.mkdir(parents=True, exist_ok=True)
    source = HERE / "load.c"
    program = BUILT / f"load-{zlib.crc32(source.read_bytes()):08x}"
    if not program.exists():
        subprocess.run([compiler, "-O2", "-Wall", "-o", program, source], check=True)  # noqa: S603 - our own file
    return program


def aimock() -> Path:
    """The folder with aimock in node_modules, installed when needed. Raises NotMeasured."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise NotMeasured("node and npm are not installed")
    folder = BUILT / "npm"
    if not (folder / "node_modules" / "@copilotkit" / "aimock").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(HERE / name, folder / name)
        done = subprocess.run(  # noqa: S603 - the pinned peer
            [npm, "ci"], cwd=folder, capture_output=True, text=True, timeout=180, check=False
        )
        if done.returncode:
            raise NotMeasured(
                f"npm ci failed: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}"
            )
    return folder


@dataclass(frozen=True, slots=True)
class Load:
    """What the load client is asked for: `gap_ms` 0 is unpaced; runs of @ in `body` and `header` are for its counter.

    Frames from number `paced` on are not timed.
    """

    connections: int
    body: str
    warm_s: float
    seconds: float
    gap_ms: float = 0.0
    paced: int = 1 << 30
    header: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the client saw, and the shares of a core that server, client and others took meanwhile."""

    seen: dict[str, Any]
    server_cpu: float
    others: float


class Server:
    """A running server of the benchmark; its first line of output ends in its port."""

    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        self.pid = process.pid
        self.port = port

    def resident_kib(self) -> float:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE / 1024

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def under(self, load: Load) -> Outcome:
        """Put load on it. The client's warm-up is not counted in anything."""
        with started_load(self.port, load) as client:
            _pause(client, load.warm_s)
            cpu, core = self.cpu_s(), _core_busy_s()
            output = client.communicate(timeout=load.seconds + 60)[0]
            used, busy = self.cpu_s() - cpu, _core_busy_s() - core
        if client.returncode:
            raise NotMeasured(f"the load client ended with status {client.returncode}")
        return Outcome(json.loads(output), used / load.seconds, max(0.0, busy - used) / load.seconds)


def _pause(process: "subprocess.Popen[str]", seconds: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def _core_busy_s() -> float:
    line = next(
        line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{SERVER_CORE} ")
    )
    user, nice, system, _, _, irq, softirq, *_ = map(int, line.split()[1:])
    return (user + nice + system + irq + softirq) / _TICKS


def _on(core: int, command: Sequence[str | Path]) -> "subprocess.Popen[str]":
    return subprocess.Popen(  # noqa: S603 - the servers of this folder
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        preexec_fn=functools.partial(os.sched_setaffinity, 0, {core}),  # noqa: PLW1509 - one thread here
    )


@contextlib.contextmanager
def started_load(port: int, load: Load) -> "Iterator[subprocess.Popen[str]]":
    """The load client at work."""
    arguments = [port, load.connections, load.warm_s, load.seconds, load.gap_ms, load.body]
    command: list[str | Path] = [load_client(), *map(str, arguments), str(load.paced), load.header]
    process = _on(CLIENT_CORE, command)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@contextlib.contextmanager
def running(command: Sequence[str | Path]) -> Iterator[Server]:
    """The server that `command` starts, until the block ends."""
    process = _on(SERVER_CORE, command)
    try:
        line = process.stdout.readline() if process.stdout else ""
        port = line.strip().rpartition(":")[2].rpartition(" ")[2].rstrip("/")
        if not port.isdigit():
            raise NotMeasured(f"{Path(command[1]).name} did not start")
        yield Server(process, int(port))
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()


PYTHON: Final = sys.executable
