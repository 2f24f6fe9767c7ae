"""A simulator as a program: in one process or in several, until it is told to stop, saying where it is."""

import asyncio
from collections.abc import Callable

from mock_upstreams.collector import calm_collector
from mock_upstreams.server import Simulator
from mock_upstreams.settings import Settings
from mock_upstreams.workers import WorkerPool

Say = Callable[[str], None]


async def serve(chosen: Settings, stop: asyncio.Event, say: Say) -> None:
    """Serve until `stop` is set; `say` is told each line of where and what.

    Raises OSError for an address that cannot be used, and for what a setting names: ScenarioFileError, RecordingError,
    TlsError; with several workers also WorkerDiedError.
    """
    if chosen.workers > 1:
        async with WorkerPool(chosen.config, chosen.workers) as pool:
            _introduce(pool.url, chosen, say)
            say(f"  {chosen.workers} workers, control API also at {pool.control_url}")
            await pool.until_stopped(stop)
        return
    async with Simulator(chosen.config) as simulator:
        calm_collector()
        _introduce(simulator.url, chosen, say)
        for listener in simulator.listeners.described() if simulator.listeners else ():
            upstream = f" (upstream {listener['upstream']})" if listener["upstream"] else ""
            say(f"  {listener['kind']} at {listener['url']}{upstream}")
        await stop.wait()


def _introduce(url: str, chosen: Settings, say: Say) -> None:
    say(f"simulator listening on {url}")
    say(f"  OpenAI base URL {url}/v1, Anthropic base URL {url}")
    say(f"  journal {url}/_wb/journal, metrics {url}/_wb/metrics")
    if chosen.made_token:
        say(f"  control API: Authorization: Bearer {chosen.config.control_token}")
