"""Command line: `python -m reference_gateway --config FILE` runs the gateway until it is interrupted."""

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence

import uvloop

from reference_gateway.config_file import ConfigError, load_config
from reference_gateway.gateway import Gateway, GatewayStartError, serve_until


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; the exit code is 2 for a bad configuration, 1 when the gateway cannot start."""
    parser = argparse.ArgumentParser(prog="reference_gateway", description="Run the reference gateway.")
    parser.add_argument("--config", required=True, metavar="FILE", help="configuration in YAML")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        config = load_config(options.config)
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the program's output
        return 2
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
