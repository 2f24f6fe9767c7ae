"""Runs a real LiteLLM proxy on loopback, with the simulator behind it, for the harness to judge.

Standard library only: the proxy's dependencies stay in `.env`, apart from those of the Python that runs this
script. `start` and `stop` leave the two running between commands; `with` runs one command between both.
"""

# ruff: noqa: INP001 - a folder of scripts, not a package
from __future__ import annotations

import argparse
import os
import secrets
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
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
from litellm_install import VERSION, Installation  # noqa: E402 - it imports from the folder above as well

#: What installing and running leaves behind: in the working folder, since this folder may be part of a package.
HOME: Final = Path(os.environ.get("WEIGHBRIDGE_TARGETS", ".targets")).resolve() / "litellm"
INSTALLATION: Final = Installation(HOME / "env", HERE / "constraints.txt")
RUNS: Final = HOME / "run"
#: The run folder of `start`; `with` has one of its own each time.
STARTED: Final = RUNS / "started"

PROXY_PORT: Final = 4000
SIMULATOR_PORT: Final = 8890
#: The proxy was seen to take 8 s on an idle machine and 60 s on a busy one.
READY_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to set LiteLLM up, with the target file that describes it."""

    config: str
    target: str


DEFAULTS: Final = Variant("config.yaml", "targets/litellm.yaml")
WITHOUT_RETRIES: Final = Variant("config-no-retries.yaml", "targets/litellm-no-retries.yaml")


@dataclass(frozen=True, slots=True)
class Pair:
    """Where proxy and simulator listen on loopback, and the proxy's one key."""

    proxy_port: int
    simulator_port: int
    key: str

    @property
    def simulator_url(self) -> str:
        """Root of the simulator."""
        return f"http://{HOST}:{self.simulator_port}"

    @property
    def root(self) -> str:
        """Root of the proxy."""
        return f"http://{HOST}:{self.proxy_port}"

    @property
    def chat_url(self) -> str:
        """Base URL of chat completions."""
        return f"{self.root}/v1"

    def variables(self) -> dict[str, str]:
        """What the target files take from the environment."""
        return {"LITELLM_URL": self.chat_url, "LITELLM_KEY": self.key, "SIMULATOR_URL": self.simulator_url}


def master_key() -> str:
    """LITELLM_KEY of the environment, or a fresh key."""
    return os.environ.get("LITELLM_KEY") or f"sk-{secrets.token_hex(16)}"


# ---------------------------------------------------------------- configuration
def render_config(template: str, simulator_url: str) -> str:
    """A LiteLLM configuration from its template.

    Raises:
        GatewayError: the template has a placeholder other than `${simulator}`.
    """
    try:
        return Template(template).substitute(simulator=simulator_url)
    except (KeyError, ValueError) as error:
        raise GatewayError(
            f"the configuration has a placeholder that cannot be filled in ({error}); use ${{simulator}} only"
        ) from error


def proxy_environment(key: str, home: Path) -> dict[str, str]:
    """The proxy's whole environment: none of the caller's keys, proxies and databases gets in."""
    return {
        "PATH": f"{INSTALLATION.litellm.parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "LITELLM_MASTER_KEY": key,
        # Without it the proxy asks the internet for a price list when it starts.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_TELEMETRY": "False",
        # In any other mode it reads variables from a file near the folder it is started in.
        "LITELLM_MODE": "PRODUCTION",
        "HF_HUB_OFFLINE": "1",
    }


# ---------------------------------------------------------------- readiness
def proxy_ready(pair: Pair) -> bool:
    """Whether the proxy lives, takes our key and has read our configuration."""
    if fetch(f"{pair.root}/health/liveliness") is None:
        return False
    answer = fetch(f"{pair.chat_url}/models", {"Authorization": f"Bearer {pair.key}"})
    listed = answer.get("data", []) if isinstance(answer, dict) else []
    return {"gpt-5.5", "claude-opus-4-8"} <= {item.get("id") for item in listed}


def start(folder: Path, pair: Pair, variant: Variant) -> None:
    """Start both and wait until they are ready; on failure nothing is left running.

    Raises:
        GatewayError: a port is taken, or a process did not become ready.
    """
    require_free(pair.proxy_port, "--port")
    require_free(pair.simulator_port, "--simulator-port")
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.yaml"
    template = (HERE / variant.config).read_text(encoding="utf-8")
    config.write_text(render_config(template, pair.simulator_url), encoding="utf-8")
    simulator = [sys.executable, "-m", "mock_upstreams", "--host", HOST, "--port", str(pair.simulator_port)]
    proxy = [
        str(INSTALLATION.litellm),
        "--config",
        str(config),
        "--host",
        HOST,
        "--port",
        str(pair.proxy_port),
    ]
    try:
        one = spawn("simulator", simulator, folder, pair.simulator_url)
        two = spawn("proxy", proxy, folder, pair.chat_url, proxy_environment(pair.key, folder))
        await_ready(one, lambda: simulator_ready(pair.simulator_url), folder, READY_S)
        say(f"waiting for LiteLLM {VERSION} at {pair.chat_url}")
        await_ready(two, lambda: proxy_ready(pair), folder, READY_S)
    except BaseException:
        stop(folder)
        raise


# ---------------------------------------------------------------- subcommands
def do_install(arguments: argparse.Namespace) -> int:
    """`install`."""
    INSTALLATION.install(record=arguments.record)
    say(f"LiteLLM {VERSION} is installed in {INSTALLATION.environment}")
    return 0


def do_start(arguments: argparse.Namespace) -> int:
    """`start`."""
    if any(alive(record) for record in records(STARTED)):
        raise GatewayError("it runs already; end it with `stop` first")
    INSTALLATION.install()
    pair = Pair(arguments.port, arguments.simulator_port, master_key())
    variant = chosen(arguments)
    start(STARTED, pair, variant)
    say("LiteLLM and the simulator are ready. Next:")
    sys.stdout.write(next_command(pair, variant) + "\n")
    return 0


def next_command(pair: Pair, variant: Variant) -> str:
    """The command that judges what was started."""
    given = " ".join(f"{name}={shlex.quote(value)}" for name, value in pair.variables().items())
    return f"{given} weighbridge run --target {variant.target}"


def do_stop(_arguments: argparse.Namespace) -> int:
    """`stop`; also what a `with` that was killed has left behind."""
    left = [path for path in sorted(RUNS.glob("with-*")) if started_at(int(path.name[5:])) is None]
    if not sum(stop(folder) for folder in (STARTED, *left)):
        say("nothing was running")
    for folder in left:
        shutil.rmtree(folder)
    return 0


def do_status(_arguments: argparse.Namespace) -> int:
    """`status`: 0 while both run, else 1."""
    found = {record: alive(record) for record in records(STARTED)}
    for record, runs in found.items():
        state = "runs" if runs else "has ended"
        sys.stdout.write(f"{record.name} (process {record.pid}) {state}: {record.url}\n")
    if not found:
        sys.stdout.write("not started\n")
    return 0 if found and all(found.values()) else 1


def do_with(arguments: argparse.Namespace) -> int:
    """`with`."""
    INSTALLATION.install()
    proxy_port, simulator_port = free_ports()
    pair = Pair(proxy_port, simulator_port, master_key())
    folder = RUNS / f"with-{os.getpid()}"
    start(folder, pair, chosen(arguments))
    try:
        return run_command(arguments.command, os.environ | pair.variables())
    finally:
        stop(folder)
        shutil.rmtree(folder, ignore_errors=True)


def chosen(arguments: argparse.Namespace) -> Variant:
    """The variant that the command line asks for."""
    return WITHOUT_RETRIES if arguments.without_retries else DEFAULTS


# ---------------------------------------------------------------- command line
def read_arguments(given: Sequence[str]) -> argparse.Namespace:
    """The command line; `command` holds what follows `--`."""
    parser = argparse.ArgumentParser(
        prog="gateway.py", description="A LiteLLM proxy on loopback, with the simulator behind it."
    )
    commands = parser.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")
    install = commands.add_parser("install", help=f"install LiteLLM {VERSION} into an environment of its own")
    install.add_argument("--record", action="store_true", help="resolve anew and rewrite constraints.txt")
    install.set_defaults(run=do_install)
    starting = commands.add_parser("start", help="start both and print the command to run next")
    starting.add_argument("--port", type=port_number, default=PROXY_PORT, help="default: %(default)s")
    starting.add_argument(
        "--simulator-port", type=port_number, default=SIMULATOR_PORT, help="default: %(default)s"
    )
    starting.set_defaults(run=do_start)
    commands.add_parser("stop", help="end both and wait until they are gone").set_defaults(run=do_stop)
    commands.add_parser("status", help="say whether they run").set_defaults(run=do_status)
    around = commands.add_parser(
        "with",
        usage="gateway.py with [--without-retries] -- COMMAND...",
        help="start both on free ports, run a command, stop them",
    )
    around.set_defaults(run=do_with)
    for command in (starting, around):
        command.add_argument("--without-retries", action="store_true", help="no retries, no cooldowns")
    at = given.index("--") if "--" in given else len(given)
    asked = parser.parse_args(given[:at])
    asked.command = list(given[at + 1 :])
    if asked.subcommand == "with" and not asked.command:
        around.error("give the command to run after --")
    if asked.subcommand != "with" and asked.command:
        parser.error("only `with` takes a command after --")
    return asked


def main(given: Sequence[str]) -> int:
    """Run a subcommand; one sentence on standard error for what goes wrong."""
    return main_of(read_arguments, given)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
