"""`python -m mock_upstreams`: run a simulator until it is interrupted."""

import asyncio
import signal
import sys
from collections.abc import Sequence

from mock_upstreams.flags import read_arguments
from mock_upstreams.recordings import RecordingError
from mock_upstreams.running import serve
from mock_upstreams.scenario_files import ScenarioFileError
from mock_upstreams.settings import Settings, SettingsError
from mock_upstreams.tls import TlsError
from mock_upstreams.workers import WorkerDiedError


async def run(chosen: Settings) -> None:
    """Serve until SIGINT or SIGTERM; raises what `serve` raises."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await serve(chosen, stop, _say)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 2 for settings that cannot be used, 1 for an address that cannot or a worker that died."""
    try:
        import uvloop
    except ImportError:
        start = asyncio.run
    else:
        start = uvloop.run
    try:
        chosen = read_arguments(arguments)
    except SettingsError as exc:
        return _told(str(exc), 2)
    try:
        start(run(chosen))
    except (ScenarioFileError, RecordingError, TlsError) as exc:
        return _told(str(exc), 2)
    except WorkerDiedError as exc:
        return _told(str(exc), 1)
    except OSError as exc:
        where = f"{chosen.config.host} port {chosen.config.port}"
        return _told(f"cannot listen at {where}: {exc.strerror}; choose another --port", 1)
    return 0


def _told(problem: str, status: int) -> int:
    sys.stderr.write(f"{problem}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
