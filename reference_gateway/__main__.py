"""Command line: `python -m reference_gateway --config FILE` runs the gateway until it is interrupted."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence

import uvloop

from reference_gateway.collector import calm_collector
from reference_gateway.config_file import load_config
from reference_gateway.config_reference import SCHEMA_FILE, reference
from reference_gateway.config_section import ConfigError
from reference_gateway.gateway import Gateway, GatewayStartError, serve_until
from reference_gateway.observation.logs import configure_logging


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; the exit code is 2 for a bad configuration, 1 when the gateway cannot start."""
    parser = argparse.ArgumentParser(prog="reference_gateway", description="Run the reference gateway.")
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--config", metavar="FILE", help="configuration in YAML")
    wanted.add_argument("--schema", action="store_true", help="print the JSON Schema of the configuration")
    wanted.add_argument("--reference", action="store_true", help="print every key of the configuration")
    options = parser.parse_args(arguments)
    if options.schema or options.reference:
        sys.stdout.write(SCHEMA_FILE.read_text(encoding="utf-8") if options.schema else reference())
        return 0
    try:
        config = load_config(options.config)
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the program's output
        return 2
    configure_logging(config)
    calm_collector()
    try:
        uvloop.run(_run(Gateway(config)))
    except GatewayStartError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the program's output
        return 1
    return 0


async def _run(gateway: Gateway) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
    await serve_until(stop, gateway)


if __name__ == "__main__":
    sys.exit(main())
