"""The commands around a target: options and texts only, as in `cli`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command("init")(init)
    app.command("check")(check)
    app.command("baseline")(baseline)


def init(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="target file to write")] = Path("target.yaml"),
    url: Annotated[str | None, typer.Option("--url", help="where the deployment is")] = None,
    key_env: Annotated[str | None, typer.Option("--key-env", help="variable that holds the key")] = None,
    model: Annotated[str | None, typer.Option("--model", help="model to call")] = None,
    force: Annotated[bool, typer.Option("--force", help="write over an existing file")] = False,
    probe: Annotated[
        bool, typer.Option("--probe/--no-probe", help="find out what the URL serves (costs nothing)")
    ] = True,
) -> None:
    """Write a commented target file; asks for what is not given: URL, key variable, model."""
    from weighbridge.initial import initial

    ask = _prompt if sys.stdin.isatty() else None
    initial(out, url=url, variable=key_env, model=model, force=force, probe=probe, ask=ask, tell=typer.echo)


def _prompt(question: str, proposal: str | None) -> str:
    return str(typer.prompt(question, default=proposal))


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="target file")],
    profile: Annotated[
        list[str] | None, typer.Option("--profile", help="profile to look at (repeatable)")
    ] = None,
    allow_commands: Annotated[bool, typer.Option("--allow-commands", help="let command hooks run")] = False,
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=0.1, help="seconds for one call at most")
    ] = None,
) -> None:
    """Validate a target file, measure what it declares, and say what each missing capability would add."""
    from weighbridge.checkup import checkup
    from weighbridge.engine import Settings
    from weighbridge.target_file import load

    settings = Settings(allow_commands=allow_commands, timeout=timeout)
    raise typer.Exit(int(checkup(load(file), tuple(profile or ()), settings, typer.echo)))


def baseline(
    recorded: Annotated[Path, typer.Argument(metavar="RUN", help="folder of a run, or its report.json")],
    out: Annotated[Path, typer.Option("--out", help="file to write")] = Path("weighbridge-baseline.yaml"),
    force: Annotated[bool, typer.Option("--force", help="write an existing one anew, reasons kept")] = False,
) -> None:
    """Write a baseline from a run: every finding of it, each to be given a reason."""
    from weighbridge.baseline import NOT_EXAMINED, write

    entries, unexamined = write(recorded, out, force=force)
    typer.echo(f"{out}: {entries} known finding{'' if entries == 1 else 's'}")
    if unexamined:
        typer.echo(f"Write a reason for {unexamined} of them (now: {NOT_EXAMINED!r}), then: --baseline {out}")
