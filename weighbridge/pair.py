"""The embedded simulator and reference gateway in a process of their own, for `weighbridge run` and `weighbridge load`.

Says one JSON line when it is ready, with the variables of `targets/embedded.yaml`, or why it is not; after that, a line
for each standstill of its event loop. Serves until standard input ends, so it never outlives its parent, and leaves
nothing in the folder that it was given, even where nobody is left to tidy up behind it.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from weighbridge.collection import rare_collections
from weighbridge.errors import WeighbridgeError
from weighbridge.lag import LagMeter
from weighbridge.loops import new_event_loop

#: What gateway and simulator get to close in order once nobody wants them any more.
_END_S = 5.0


def _only_channel() -> int:
    """Our standard output, for ourselves alone: whatever else is printed goes to standard error."""
    channel = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # A parent that does not read loses lines, and never holds up who serves it.
    os.set_blocking(channel, False)
    return channel


def _say(channel: int, **told: object) -> None:
    with suppress(BlockingIOError, BrokenPipeError):
        os.write(channel, json.dumps(told).encode() + b"\n")


def _wait_for_the_end(over: Callable[[], object], scratch: str) -> None:
    """Wait for standard input to end, then see to it that this process does, even if its event loop hangs."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    with suppress(RuntimeError):  # the loop has ended already
        over()
    time.sleep(_END_S)
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(1)


async def _serve(channel: int, scratch: str) -> None:
    # Loaded here, where garbage is collected rarely: there is none in what is loaded.
    from weighbridge.embed import serving

    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    threading.Thread(
        target=_wait_for_the_end, args=(lambda: loop.call_soon_threadsafe(over.set), scratch), daemon=True
    ).start()
    meter = LagMeter(lambda start, end: _say(channel, stood=[start, end]))
    try:
        async with serving() as pair, meter.running():
            _say(channel, variables=dict(pair.variables))
            await over.wait()
    except OSError as error:
        _say(channel, error=f"cannot listen on a port of 127.0.0.1: {error.strerror or error}")
    except WeighbridgeError as error:
        _say(channel, error=str(error))


def main() -> None:
    """Serve until standard input ends; the argument is a folder for everything that is kept meanwhile."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    scratch = sys.argv[1]
    tempfile.tempdir = scratch
    channel = _only_channel()
    with rare_collections(), asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve(channel, scratch))
    shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
