"""`python -m mock_upstreams`: run a simulator until it is interrupted."""

import argparse
import asyncio
import gc
import secrets
import signal
import sys
from collections.abc import Sequence

from mock_upstreams.config import SimulatorConfig
from mock_upstreams.listeners import is_loopback
from mock_upstreams.scenario_files import ScenarioFileError
from mock_upstreams.server import Simulator


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; give a number from 0 to 65535")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def read_arguments(arguments: Sequence[str] | None) -> SimulatorConfig:
    parser = argparse.ArgumentParser(
        prog="python -m mock_upstreams", description="Simulate LLM and media providers."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    parser.add_argument(
        "--port", type=_port, default=0, help="port to listen at; 0 takes a free one (default)"
    )
    parser.add_argument("--seed", type=int, default=0, help="varies ids, texts and job durations")
    parser.add_argument(
        "--journal-capacity", type=_positive, default=50_000, help="entries kept in the journal"
    )
    parser.add_argument(
        "--journal-bytes",
        type=_positive,
        default=256 * 1024 * 1024,
        help="bytes that the journal may take; it drops the oldest entries (default: %(default)s)",
    )
    parser.add_argument(
        "--flush",
        choices=("frame", "stream"),
        default="frame",
        help="one write for each event, or one for all that are due together",
    )
    parser.add_argument("--scenarios", help="YAML file with named scenarios, rules and outages")
    parser.add_argument("--strict", action="store_true", help="refuse all that the real upstreams refuse")
    parser.add_argument(
        "--control-token", help="guards /_wb/; off loopback one is made and printed if none is given"
    )
    parser.add_argument("--public-url", help="address under which callers reach the files of media jobs")
    asked = parser.parse_args(arguments)
    return SimulatorConfig(
        host=asked.host,
        port=asked.port,
        seed=asked.seed,
        journal_capacity=asked.journal_capacity,
        journal_bytes=asked.journal_bytes,
        flush=asked.flush,
        scenarios=asked.scenarios,
        strict=asked.strict,
        control_token=asked.control_token or (None if is_loopback(asked.host) else secrets.token_urlsafe(24)),
        public_url=asked.public_url.rstrip("/") if asked.public_url else None,
    )


def _calm_collector() -> None:
    """Spare streams the pauses of the garbage collector: what exists now stays, the journal holds no cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 1000)


async def run(config: SimulatorConfig) -> None:
    """Serve until SIGINT or SIGTERM. Raises OSError when the address cannot be used."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with Simulator(config) as simulator:
        sys.stdout.write(f"simulator listening on {simulator.url}\n")
        if config.control_token is not None and not is_loopback(config.host):
            sys.stdout.write(f"control API: Authorization: Bearer {config.control_token}\n")
        sys.stdout.flush()
        await stop.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    config = read_arguments(arguments)
    try:
        import uvloop
    except ImportError:
        start = asyncio.run
    else:
        start = uvloop.run
    _calm_collector()
    try:
        start(run(config))
    except ScenarioFileError as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    except OSError as exc:
        sys.stderr.write(
            f"cannot listen at {config.host} port {config.port}: {exc.strerror}; choose another --port\n"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
