"""Long-running commands: the simulator, the reference gateway, or both, until interrupted."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import typer
import uvloop

from mock_upstreams import ScenarioFileError, Simulator, SimulatorConfig, is_loopback
from reference_gateway import ConfigError, Gateway, GatewayStartError, load_config
from reference_gateway.supervisor import Supervisor, WorkersError, check_workers
from weighbridge.embed import serving
from weighbridge.errors import ExitCode, HarnessError, TargetFileError


async def _until_interrupted(body: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await body(stop)


def _serve(body: Callable[[asyncio.Event], Awaitable[None]]) -> ExitCode:
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_interrupted(body))
    except OSError as error:
        raise HarnessError(
            f"cannot listen: {error.strerror or error}; choose another port, or --port 0"
        ) from error
    except (ConfigError, GatewayStartError) as error:
        raise HarnessError(str(error)) from error
    return ExitCode.OK


def serve_pair(database: str | None = None) -> ExitCode:
    """Simulator and reference gateway on free ports; prints the variables of `targets/embedded.yaml`.

    Args:
        database: URL of a PostgreSQL database or path of an SQLite file; without it the books go away at the end.
    """

    async def body(stop: asyncio.Event) -> None:
        async with serving(database=database) as pair:
            for name, value in pair.variables.items():
                typer.echo(f"export {name}={value}")
            typer.echo("# in another shell: weighbridge run --target targets/embedded.yaml; end with Ctrl-C")
            await stop.wait()

    return _serve(body)


def serve_simulator(
    host: str, port: int, scenarios: Path | None, control_token: str | None, *, strict: bool, seed: int
) -> ExitCode:
    """The simulator alone; off loopback its control API gets a token, made here if none is given.

    Raises:
        TargetFileError: the scenario file cannot be used.
    """
    token = control_token or (None if is_loopback(host) else secrets.token_urlsafe(24))
    config = SimulatorConfig(
        host=host,
        port=port,
        seed=seed,
        strict=strict,
        scenarios=str(scenarios) if scenarios else None,
        control_token=token,
    )
    try:
        prepared = Simulator(config)
    except ScenarioFileError as error:
        raise TargetFileError(str(error)) from error

    async def body(stop: asyncio.Event) -> None:
        async with prepared as simulator:
            typer.echo(f"simulator listening on {simulator.url}")
            typer.echo(f"  OpenAI base URL {simulator.url}/v1, Anthropic base URL {simulator.url}")
            typer.echo(f"  journal {simulator.url}/_wb/journal")
            if token is not None and token != control_token:
                typer.echo(f"  control API: Authorization: Bearer {token}")
            await stop.wait()

    return _serve(body)


def serve_gateway(config: Path, workers: int = 1) -> ExitCode:
    """The reference gateway alone, in one process or in several.

    Raises:
        TargetFileError: the configuration cannot be used.
    """
    try:
        parsed = load_config(config)
        check_workers(parsed, workers)
    except (ConfigError, WorkersError) as error:
        raise TargetFileError(str(error)) from error

    async def body(stop: asyncio.Event) -> None:
        if workers > 1:
            await Supervisor(config, parsed, workers).run(stop)
            return
        async with Gateway(parsed) as gateway:
            typer.echo(f"chat     {gateway.chat_url}\nmessages {gateway.messages_url}")
            typer.echo(
                f"tasks    {gateway.tasks_url}\naimlapi  {gateway.aimlapi_url}\noperator {gateway.operator_url}"
            )
            await stop.wait()

    return _serve(body)
