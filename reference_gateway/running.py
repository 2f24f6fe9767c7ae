"""A gateway as a program: in one process or in several, until it is told to stop, saying where it is and logging."""

import asyncio
from pathlib import Path

from reference_gateway.collector import calm_collector
from reference_gateway.config import GatewayConfig
from reference_gateway.gateway import Gateway
from reference_gateway.observation.logs import configure_logging
from reference_gateway.supervisor import Supervisor


async def serve(path: Path, config: GatewayConfig, workers: int, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; `path` is the file that the configuration was read from, for the workers.

    Raises GatewayStartError.
    """
    prepare(config)
    if workers > 1:
        await Supervisor(path, config, workers).run(stop)
    else:
        await serve_until(stop, Gateway(config))


def prepare(config: GatewayConfig) -> None:
    """Let this process log as configured, and its garbage wait."""
    configure_logging(config)
    calm_collector()


async def serve_until(stop: asyncio.Event, gateway: Gateway) -> None:
    """Run a gateway until the event is set, saying where it listens."""
    async with gateway:
        for name, url in (
            ("chat", gateway.chat_url),
            ("messages", gateway.messages_url),
            ("tasks", gateway.tasks_url),
            ("aimlapi", gateway.aimlapi_url),
            ("operator", gateway.operator_url),
        ):
            print(f"{name:9}{url}", flush=True)  # noqa: T201 - the program's output
        await stop.wait()
