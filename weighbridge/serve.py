"""Long-running commands: the simulator, the reference gateway, or both, until interrupted."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import typer
import uvloop

from mock_upstreams import Recorder, RecordingError, ScenarioFileError, is_loopback, write_scenarios
from mock_upstreams.flags import from_flags
from mock_upstreams.running import serve
from mock_upstreams.settings import SettingsError
from mock_upstreams.tls import TlsError
from mock_upstreams.workers import WorkerDiedError
from reference_gateway import ConfigError, GatewayStartError, load_config
from reference_gateway.config_reference import SCHEMA_FILE, reference
from reference_gateway.running import serve as run_gateway
from reference_gateway.supervisor import WorkersError, check_workers
from weighbridge.embed import serving
from weighbridge.errors import ExitCode, HarnessError, TargetFileError


async def _until_interrupted(body: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await body(stop)


def _serve(
    body: Callable[[asyncio.Event], Awaitable[None]],
    remedy: str = "choose another address, or --port 0 for a free one",
) -> ExitCode:
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_interrupted(body))
    except OSError as error:
        raise HarnessError(f"cannot listen: {error.strerror or error}; {remedy}") from error
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


def serve_simulator(given: Mapping[str, object]) -> ExitCode:
    """The simulator alone, in one process or in several; off loopback its control API gets a token if none is given.

    Args:
        given: flags by the names of their settings.

    Raises:
        TargetFileError: a setting, or a file that one names, cannot be used.
    """
    try:
        chosen = from_flags(given)
        return _serve(lambda stop: serve(chosen, stop, typer.echo))
    except (SettingsError, ScenarioFileError, RecordingError, TlsError) as error:
        raise TargetFileError(str(error)) from error
    except WorkerDiedError as error:
        raise HarnessError(str(error)) from error


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


def gateway_texts(*, schema: bool) -> str:
    """The JSON Schema of the gateway's configuration, or a table of its keys."""
    return SCHEMA_FILE.read_text(encoding="utf-8") if schema else reference()


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
    return _serve(
        lambda stop: run_gateway(config, parsed, workers, stop),
        f"choose another address in {config}, or port 0 for a free one",
    )
