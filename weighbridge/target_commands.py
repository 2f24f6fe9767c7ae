"""The commands around a target: options and texts only, as in `cli`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command("baseline")(baseline)


def baseline(
    recorded: Annotated[Path, typer.Argument(metavar="RUN", help="folder of a run, or its report.json")],
    out: Annotated[Path, typer.Option("--out", help="file to write")] = Path("weighbridge-baseline.yaml"),
    force: Annotated[bool, typer.Option("--force", help="write an existing one anew, reasons kept")] = False,
) -> None:
    """Write a baseline from a run: every finding of it, each to be given a reason."""
    from weighbridge.baseline import NOT_EXAMINED, write

    entries, unexamined = write(recorded, out, force=force)
    typer.echo(f"{out}: {entries} known findings")
    if unexamined:
        typer.echo(f"Write a reason for {unexamined} of them (now: {NOT_EXAMINED!r}), then: --baseline {out}")
