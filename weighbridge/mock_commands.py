"""`weighbridge mock` and its sub-commands: options and texts; `serve.py` does the work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Start the provider simulator, or record a real provider.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_Port = Annotated[
    int | None, typer.Option("--port", min=0, max=65535, help="default: 8890; 0 takes a free one")
]


@app.callback(invoke_without_command=True)
def mock(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", help="YAML with the same settings; flags win")
    ] = None,
    host: Annotated[str | None, typer.Option("--host", help="default: 127.0.0.1")] = None,
    port: _Port = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, max=64, help="processes that share the port")
    ] = None,
    scenarios: Annotated[
        Path | None, typer.Option("--scenarios", help="YAML with named scenarios, rules and outages")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="refuse all that the real upstreams refuse")
    ] = False,
    seed: Annotated[int | None, typer.Option("--seed", help="the same seed gives the same bytes")] = None,
    replay: Annotated[
        Path | None, typer.Option("--replay", help="play what `mock record` has written")
    ] = None,
    speed: Annotated[
        str | None, typer.Option("--speed", help="how fast to play it: 2x, 0.5x, or 0 without any wait")
    ] = None,
    flush: Annotated[
        str | None,
        typer.Option("--flush", help="frame: one write an event; stream: one for all due together"),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", help="certificate (PEM): the port then speaks TLS")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", help="its key, if in another file")] = None,
    listener: Annotated[
        list[str] | None,
        typer.Option(
            "--listener",
            help="one more port, as [KIND:][UPSTREAM:]PORT (repeatable); KIND: http, tls, refused, bad_certificate, "
            "handshake_closed",
        ),
    ] = None,
    control_token: Annotated[
        str | None,
        typer.Option(
            "--control-token", help="guards /_wb/; off loopback one is made and printed if not given"
        ),
    ] = None,
    public_url: Annotated[
        str | None, typer.Option("--public-url", help="where callers reach the files of media jobs")
    ] = None,
    journal_capacity: Annotated[
        int | None,
        typer.Option("--journal-capacity", help="entries kept in the journal (default: 50000)"),
    ] = None,
    journal_bytes: Annotated[
        int | None,
        typer.Option("--journal-bytes", help="bytes kept in the journal (default: 268435456)"),
    ] = None,
) -> None:
    """Start the provider simulator; run until interrupted."""
    if context.invoked_subcommand is not None:
        return
    from weighbridge.serve import serve_simulator

    given = {
        "config": _text(config),
        "host": host,
        "port": port,
        "workers": workers,
        "scenarios": _text(scenarios),
        "strict": strict,
        "seed": seed,
        "replay": _text(replay),
        "replay_speed": speed,
        "flush": flush,
        "tls_cert": _text(tls_cert),
        "tls_key": _text(tls_key),
        "listeners": listener,
        "control_token": control_token,
        "public_url": public_url,
        "journal_capacity": journal_capacity,
        "journal_bytes": journal_bytes,
    }
    raise typer.Exit(int(serve_simulator(given)))


@app.command()
def record(
    upstream: Annotated[
        str, typer.Option("--upstream", help="what stands before the path: https://api.openai.com")
    ],
    out: Annotated[Path, typer.Option("--out", help="the recording; an existing file is replaced")] = Path(
        "recording.ndjson"
    ),
    host: Annotated[str, typer.Option("--host", help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one")] = 8890,
    scenarios: Annotated[
        Path | None, typer.Option("--scenarios", help="at the end, also turn it into this scenario file")
    ] = None,
) -> None:
    """Stand in front of a real provider and record it, secrets masked, for `weighbridge mock --replay`."""
    from weighbridge.serve import record_provider

    raise typer.Exit(int(record_provider(upstream, str(out), host, port, _text(scenarios))))


@app.command()
def scenarios(
    recording: Annotated[Path, typer.Argument(help="what `mock record` has written")],
    out: Annotated[Path, typer.Option("--out", help="the scenario file; an existing one is replaced")] = Path(
        "scenarios.yaml"
    ),
    name: Annotated[
        str | None, typer.Option("--name", help="what names begin with (default: the recording's own name)")
    ] = None,
) -> None:
    """Turn a recording into a scenario file: its answers by name, for any call, at any speed."""
    from weighbridge.serve import script_recording

    raise typer.Exit(int(script_recording(str(recording), str(out), name)))


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
