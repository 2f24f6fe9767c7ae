"""Long-running commands: the simulator, the reference gateway, or both, until interrupted."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import typer
import uvloop

from mock_upstreams import (
    Recorder,
    RecordingError,
    ScenarioFileError,
    Simulator,
    is_loopback,
    write_scenarios,
)
from mock_upstreams.settings import Settings as SimulatorSettings
from mock_upstreams.settings import SettingsError, listener_of, settings
from mock_upstreams.tls import TlsError
from mock_upstreams.workers import WorkerDiedError, WorkerPool
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
    flags: Mapping[str, object], listeners: tuple[str, ...], config_file: str | None
) -> ExitCode:
    """The simulator alone; off loopback its control API gets a token, made here if none is given.

    Raises:
        TargetFileError: a setting, or a file that one names, cannot be used.
    """
    try:
        stated = {**flags, "listeners": [listener_of(text) for text in listeners] or None}
        chosen = settings(stated, config_file)
        if chosen.workers > 1:
            return _serve_workers(chosen)
        prepared = Simulator(chosen.config)
    except (SettingsError, ScenarioFileError, RecordingError) as error:
        raise TargetFileError(str(error)) from error

    async def body(stop: asyncio.Event) -> None:
        async with prepared as simulator:
            _introduce(simulator.url, chosen)
            for listener in simulator.listeners.described() if simulator.listeners else ():
                upstream = f" (upstream {listener['upstream']})" if listener["upstream"] else ""
                typer.echo(f"  {listener['kind']} at {listener['url']}{upstream}")
            await stop.wait()

    try:
        return _serve(body)
    except TlsError as error:
        raise TargetFileError(str(error)) from error


def _serve_workers(chosen: SimulatorSettings) -> ExitCode:
    """Several processes behind one control API; one that dies ends them all."""

    async def body(stop: asyncio.Event) -> None:
        async with WorkerPool(chosen.config, chosen.workers) as pool:
            _introduce(pool.url, chosen)
            typer.echo(f"  {chosen.workers} workers, control API also at {pool.control_url}")
            await pool.until_stopped(stop)

    try:
        return _serve(body)
    except TlsError as error:
        raise TargetFileError(str(error)) from error
    except WorkerDiedError as error:
        raise HarnessError(str(error)) from error


def _introduce(url: str, chosen: SimulatorSettings) -> None:
    typer.echo(f"simulator listening on {url}")
    typer.echo(f"  OpenAI base URL {url}/v1, Anthropic base URL {url}")
    typer.echo(f"  journal {url}/_wb/journal, metrics {url}/_wb/metrics")
    if chosen.made_token:
        typer.echo(f"  control API: Authorization: Bearer {chosen.config.control_token}")


def record_provider(upstream: str, out: str, host: str, port: int, scenarios: str | None = None) -> ExitCode:
    """Relay to a real provider and record it, until interrupted; then make a scenario file of it, if one is named.

    Raises:
        TargetFileError: the upstream is no URL, or the recording cannot be written.
    """
    if not upstream.startswith(("http://", "https://")):
        raise TargetFileError(f"--upstream: {upstream!r} is no URL; give one like https://api.openai.com")
    if not is_loopback(host):
        typer.echo(f"careful: who reaches {host} can use this relay", err=True)
    try:
        Path(out).touch(mode=0o600)
    except OSError as error:
        raise TargetFileError(f"{out}: {error.strerror}; give a file that can be written to --out") from error

    async def body(stop: asyncio.Event) -> None:
        async with Recorder(upstream, out, host, port) as recorder:
            typer.echo(f"recording {upstream} at {recorder.url} to {out}; end with Ctrl-C")
            await stop.wait()
        typer.echo(f"{recorder.recorded} exchanges recorded, {recorder.skipped} not")
        typer.echo(f"play them: weighbridge mock --replay {out}")

    ended = _serve(body)
    return ended if scenarios is None else script_recording(out, scenarios, None)


def script_recording(recording: str, out: str, name: str | None) -> ExitCode:
    """Turn a recording into a scenario file.

    Raises:
        TargetFileError: the recording cannot be used, or the file cannot be written.
    """
    try:
        found = write_scenarios(recording, out, name)
    except RecordingError as error:
        raise TargetFileError(str(error)) from error
    for line in found.made:
        typer.echo(line)
    for line in found.left_out:
        typer.echo(f"left out: {line}", err=True)
    typer.echo(
        f"use them: weighbridge mock --scenarios {out}, with the model wb-{found.made[0].partition(':')[0]}"
    )
    return ExitCode.OK


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
