"""The embedded simulator and reference gateway in a process of their own, for `weighbridge load`.

Prints the variables of `targets/embedded.yaml` as one JSON line and serves until standard input ends, so
it never outlives its parent.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

import uvloop

from weighbridge.embed import serving


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()

    def readable() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            loop.remove_reader(sys.stdin.fileno())
            over.set()

    async with serving() as pair:
        sys.stdout.write(json.dumps(dict(pair.variables)) + "\n")
        sys.stdout.flush()
        loop.add_reader(sys.stdin.fileno(), readable)
        await over.wait()


def main() -> None:
    """Serve until standard input ends."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())


if __name__ == "__main__":
    main()
