"""Runs a real Portkey gateway on loopback, with the simulator behind it, for the harness to judge.

Standard library and node only. `start` and `stop` leave the two running between commands; `with` runs one command
between both. The gateway keeps no configuration: `PORTKEY_CONFIG`, which every call carries in a header, tells it
where each model is.
"""

# ruff: noqa: INP001 - a folder of scripts, not a package
from __future__ import annotations

import argparse
import json
import os
import secrets
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from gateway_processes import (  # noqa: E402 - the folder above is no package
    HOST,
    GatewayError,
    alive,
    await_ready,
    fetch,
    free_ports,
    main_of,
    port_number,
    records,
    require_free,
    run_command,
    say,
    simulator_ready,
    spawn,
    started_at,
    stop,
)

VERSION: Final = "1.15.2"
#: What installing and running leaves behind: in the working folder, since this folder may be part of a package.
HOME: Final = Path(os.environ.get("WEIGHBRIDGE_TARGETS", ".targets")).resolve() / "portkey"
ENVIRONMENT: Final = HOME / "env"
RUNS: Final = HOME / "run"
#: The run folder of `start`; `with` has one of its own each time.
STARTED: Final = RUNS / "started"
#: Name, pins and transitive versions of what is installed; npm reads all three.
MANIFEST: Final = ("package.json", "package-lock.json", ".npmrc")
TARGET: Final = "targets/portkey.yaml"

GATEWAY_PORT: Final = 8787
SIMULATOR_PORT: Final = 8890
#: It was seen to take less than a second on an idle machine.
READY_S: Final = 60.0
INSTALL_S: Final = 600


@dataclass(frozen=True, slots=True)
class Pair:
    """Where gateway and simulator listen on loopback, and a key; the gateway looks at none."""

    gateway_port: int
    simulator_port: int
    key: str

    @property
    def simulator_url(self) -> str:
        """Root of the simulator."""
        return f"http://{HOST}:{self.simulator_port}"

    @property
    def root(self) -> str:
        """Root of the gateway."""
        return f"http://{HOST}:{self.gateway_port}"

    def config(self) -> str:
        """The gateway's configuration for one call: Claude models at one provider, all others at the other."""
        simulator = f"{self.simulator_url}/v1"
        return json.dumps(
            {
                "strategy": {
                    "mode": "conditional",
                    "conditions": [{"query": {"params.model": {"$regex": "^claude"}}, "then": "anthropic"}],
                    "default": "openai",
                },
                "targets": [
                    {
                        "name": name,
                        "provider": name,
                        "custom_host": simulator,
                        "api_key": f"upstream-key-{name}",
                    }
                    for name in ("openai", "anthropic")
                ],
            },
            separators=(",", ":"),
        )

    def variables(self) -> dict[str, str]:
        """What the target file takes from the environment."""
        return {
            "PORTKEY_URL": self.root,
            "PORTKEY_KEY": self.key,
            "PORTKEY_CONFIG": self.config(),
            "SIMULATOR_URL": self.simulator_url,
        }


# ---------------------------------------------------------------- installation
def program(name: str) -> str:
    """The path of node or npm.

    Raises:
        GatewayError: it is not installed.
    """
    found = shutil.which(name)
    if found is None:
        raise GatewayError(f"{name} is not installed; the Portkey gateway needs node 20 or newer with npm")
    return found


def installed() -> bool:
    """Whether what is in the environment was made from the manifest of today; the copy of it is made last."""
    return all(
        (ENVIRONMENT / ".whole" / name).is_file()
        and (ENVIRONMENT / ".whole" / name).read_bytes() == (HERE / name).read_bytes()
        for name in MANIFEST
    )


def install() -> None:
    """Install the recorded versions into a folder of their own, once; no package may run scripts of its own.

    Raises:
        GatewayError: npm failed.
    """
    if installed():
        return
    say(f"installing Portkey {VERSION} into {ENVIRONMENT}")
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    ENVIRONMENT.mkdir(parents=True)
    for name in MANIFEST:
        shutil.copyfile(HERE / name, ENVIRONMENT / name)
    done = subprocess.run(  # noqa: S603 - our own command
        [program("npm"), "ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund"],
        cwd=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=INSTALL_S,
        check=False,
    )
    if done.returncode != 0:
        tail = "\n".join(done.stderr.strip().splitlines()[-8:])
        raise GatewayError(f"npm ci failed with {done.returncode}:\n{tail}")
    (ENVIRONMENT / ".whole").mkdir()
    for name in MANIFEST:
        shutil.copyfile(HERE / name, ENVIRONMENT / ".whole" / name)


# ---------------------------------------------------------------- running
def gateway_ready(pair: Pair) -> bool:
    """Whether the gateway relays to our simulator."""
    headers = {"x-portkey-config": pair.config(), "Authorization": f"Bearer {pair.key}"}
    return fetch(f"{pair.root}/v1/models", headers) is not None


def start(folder: Path, pair: Pair) -> None:
    """Start both and wait until they are ready; on failure nothing is left running.

    Raises:
        GatewayError: a port is taken, or a process did not become ready.
    """
    require_free(pair.gateway_port, "--port")
    require_free(pair.simulator_port, "--simulator-port")
    folder.mkdir(parents=True, exist_ok=True)
    server = ENVIRONMENT / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    simulator = [sys.executable, "-m", "mock_upstreams", "--host", HOST, "--port", str(pair.simulator_port)]
    gateway = [program("node"), str(server), f"--port={pair.gateway_port}", "--headless"]
    # Its whole environment: none of the caller's keys and proxies gets in.
    clean = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(folder), "NODE_ENV": "production"}
    try:
        one = spawn("simulator", simulator, folder, pair.simulator_url)
        two = spawn("gateway", gateway, folder, pair.root, clean)
        await_ready(one, lambda: simulator_ready(pair.simulator_url), folder, READY_S)
        say(f"waiting for Portkey {VERSION} at {pair.root}")
        await_ready(two, lambda: gateway_ready(pair), folder, READY_S)
    except BaseException:
        stop(folder)
        raise


# ---------------------------------------------------------------- subcommands
def do_install(_arguments: argparse.Namespace) -> int:
    """`install`."""
    install()
    say(f"Portkey {VERSION} is installed in {ENVIRONMENT}")
    return 0


def do_start(arguments: argparse.Namespace) -> int:
    """`start`."""
    if any(alive(record) for record in records(STARTED)):
        raise GatewayError("it runs already; end it with `stop` first")
    install()
    pair = Pair(arguments.port, arguments.simulator_port, f"sk-{secrets.token_hex(16)}")
    start(STARTED, pair)
    say("Portkey and the simulator are ready. Next:")
    given = " ".join(f"{name}={shlex.quote(value)}" for name, value in pair.variables().items())
    sys.stdout.write(f"{given} weighbridge run --target {TARGET}\n")
    return 0


def do_stop(_arguments: argparse.Namespace) -> int:
    """`stop`; also what a `with` that was killed has left behind."""
    left = [path for path in sorted(RUNS.glob("with-*")) if started_at(int(path.name[5:])) is None]
    if not sum(stop(folder) for folder in (STARTED, *left)):
        say("nothing was running")
    for folder in left:
        shutil.rmtree(folder)
    return 0


def do_with(arguments: argparse.Namespace) -> int:
    """`with`."""
    install()
    gateway_port, simulator_port = free_ports()
    pair = Pair(gateway_port, simulator_port, f"sk-{secrets.token_hex(16)}")
    folder = RUNS / f"with-{os.getpid()}"
    start(folder, pair)
    try:
        return run_command(arguments.command, os.environ | pair.variables())
    finally:
        stop(folder)
        shutil.rmtree(folder, ignore_errors=True)


def read_arguments(given: Sequence[str]) -> argparse.Namespace:
    """The command line; `command` holds what follows `--`."""
    parser = argparse.ArgumentParser(
        prog="gateway.py", description="A Portkey gateway on loopback, with the simulator behind it."
    )
    commands = parser.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")
    commands.add_parser("install", help=f"install Portkey {VERSION} into a folder of its own").set_defaults(
        run=do_install
    )
    starting = commands.add_parser("start", help="start both and print the command to run next")
    starting.add_argument("--port", type=port_number, default=GATEWAY_PORT, help="default: %(default)s")
    starting.add_argument(
        "--simulator-port", type=port_number, default=SIMULATOR_PORT, help="default: %(default)s"
    )
    starting.set_defaults(run=do_start)
    commands.add_parser("stop", help="end both and wait until they are gone").set_defaults(run=do_stop)
    around = commands.add_parser(
        "with",
        usage="gateway.py with -- COMMAND...",
        help="start both on free ports, run a command, stop them",
    )
    around.set_defaults(run=do_with)
    at = given.index("--") if "--" in given else len(given)
    asked = parser.parse_args(given[:at])
    asked.command = list(given[at + 1 :])
    if asked.subcommand == "with" and not asked.command:
        around.error("give the command to run after --")
    if asked.subcommand != "with" and asked.command:
        parser.error("only `with` takes a command after --")
    return asked


if __name__ == "__main__":
    sys.exit(main_of(read_arguments, sys.argv[1:]))
