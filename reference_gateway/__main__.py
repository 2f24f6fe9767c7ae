"""Command line: `python -m reference_gateway --config FILE [--workers N]` runs the gateway until it is interrupted."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from reference_gateway.config import GatewayConfig
from reference_gateway.config_file import load_config
from reference_gateway.config_reference import SCHEMA_FILE, reference
from reference_gateway.config_section import ConfigError
from reference_gateway.gateway import GatewayStartError
from reference_gateway.observation.metrics import count_together
from reference_gateway.running import prepare, serve
from reference_gateway.supervisor import WorkersError, check_workers, inherited_sockets, serve_worker


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; the exit code is 2 for a bad configuration, 1 when the gateway cannot start."""
    parser = argparse.ArgumentParser(prog="reference_gateway", description="Run the reference gateway.")
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--config", metavar="FILE", help="configuration in YAML")
    wanted.add_argument("--schema", action="store_true", help="print the JSON Schema of the configuration")
    wanted.add_argument("--reference", action="store_true", help="print every key of the configuration")
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes; more than one need PostgreSQL"
    )
    parser.add_argument("--inherit", help=argparse.SUPPRESS)
    parser.add_argument("--count-into", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.schema or options.reference:
        sys.stdout.write(SCHEMA_FILE.read_text(encoding="utf-8") if options.schema else reference())
        return 0
    try:
        config = load_config(options.config)
        check_workers(config, options.workers)
    except (ConfigError, WorkersError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - the program's output
        return 2
    if options.count_into is not None:
        folder, _, worker = options.count_into.rpartition(":")
        count_together(Path(folder), int(worker))
    try:
        uvloop.run(_run(Path(options.config), config, options.workers, options.inherit))
    except GatewayStartError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the program's output
        return 1
    return 0


async def _run(path: Path, config: GatewayConfig, workers: int, inherit: str | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
    if inherit is None:
        await serve(path, config, workers, stop)
    else:
        prepare(config)
        await serve_worker(stop, config, inherited_sockets(inherit))


if __name__ == "__main__":
    sys.exit(main())
