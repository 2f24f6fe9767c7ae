"""Starts gateways fast: one process that has everything loaded, and forks a gateway for each line it reads.

What it forks are processes of their own that die like any other. It keeps their remains until it is told to reap them,
so that no process id is used twice meanwhile.
"""

import asyncio
import gc
import json
import logging
import os
import signal
import sys
from dataclasses import replace
from typing import Any

import uvloop

import reference_gateway.postgresql_database  # noqa: F401 - loaded before the first fork
from reference_gateway import Components, Gateway, load_config
from reference_gateway.running import serve_until
from tests.crash.defects import components
from tests.crash.stages import Trigger, mortal


def main() -> None:
    """Serve orders until standard input ends."""
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        order = json.loads(line)
        if "reap" in order:
            _, status = os.waitpid(order["reap"], 0)
            answer = {"code": os.waitstatus_to_exitcode(status)}
        else:
            answer = {"pid": _fork(order)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _fork(order: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        _become_gateway(order)
        code = 0
    except Exception:
        logging.getLogger(__name__).exception("the gateway failed")
    finally:
        sys.stdout.flush()
        os._exit(code)


def _become_gateway(order: dict[str, Any]) -> None:
    output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    errors = os.open(order["errors"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for source, target in ((os.open(os.devnull, os.O_RDONLY), 0), (output, 1), (errors, 2)):
        os.dup2(source, target)
    logging.basicConfig(level=logging.WARNING)
    config = load_config(order["config"])
    parts = replace(Components.default(), **components(config, order["defect"]))
    parts = replace(parts, **mortal(parts, Trigger(order["stage"], order["nth"])))
    uvloop.run(_serve(Gateway(config, parts)))


async def _serve(gateway: Gateway) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await serve_until(stop, gateway)


if __name__ == "__main__":
    main()
