"""The command line. Options and texts only: each command hands over to the module that does the work."""

from __future__ import annotations

import atexit
import errno
import json
import signal
import sys
import threading
import time
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from weighbridge import __version__, mock_commands, report_commands, target_commands
from weighbridge.collection import no_more_collections, rare_collections
from weighbridge.errors import ExitCode, UsageError, WeighbridgeError
from weighbridge.load.options import load
from weighbridge.pair_process import embedded_pair
from weighbridge.report_commands import Allure, Badge, Html, Junit, Markdown, Sarif
from weighbridge.terminal import mute_standard_output, open_standard_streams

app = typer.Typer(
    name="weighbridge",
    help="Says, requirement by requirement and with evidence, what an LLM gateway gets right.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


#: What the system says where standard output is full or gone; a place that a file was to be written to is named.
_SAID_NOWHERE = {errno.ENOSPC, errno.EIO, errno.EBADF}


class LevelWord(StrEnum):
    """The lowest level to judge."""

    must = "must"
    should = "should"
    may = "may"


Target = Annotated[
    str | None, typer.Option("--target", help="target file, or URL with --key-env and --model")
]
KeyEnv = Annotated[str | None, typer.Option("--key-env", help="with a URL: variable that holds the key")]
Model = Annotated[str | None, typer.Option("--model", help="with a URL: model to use")]


@app.command()
def run(
    context: typer.Context,
    target: Target = None,
    profile: Annotated[
        list[str] | None, typer.Option("--profile", help="profile to judge (repeatable)")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="what replies alone show, without waiting; claims nothing")
    ] = False,
    explore: Annotated[
        bool, typer.Option("--explore", help="every shape on every model, and many times the generated calls")
    ] = False,
    level: Annotated[LevelWord, typer.Option("--level", help="lowest level to judge")] = LevelWord.may,
    requirement: Annotated[
        list[str] | None, typer.Option("--requirement", help="judge only this row (repeatable)")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="seed of the generators")] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="print calls, worst-case cost and duration; send nothing")
    ] = False,
    max_spend: Annotated[
        float | None,
        typer.Option("--max-spend", metavar="USD", min=0, help="refuse a run that could cost more"),
    ] = None,
    require_claim: Annotated[
        bool, typer.Option("--require-claim", help="anything but conformant exits 3")
    ] = False,
    concurrency: Annotated[
        int | None,
        typer.Option(
            "--concurrency", min=1, help="calls in flight at most; 64, and 200 where calls are to meet"
        ),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=0.1, help="seconds for one call at most")
    ] = None,
    allow_commands: Annotated[bool, typer.Option("--allow-commands", help="let command hooks run")] = False,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", help="known findings; see `weighbridge baseline`")
    ] = None,
    diff: Annotated[
        Path | None, typer.Option("--diff", metavar="PREVIOUS", help="earlier run: say what changed")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="folder for report and evidence")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="write report.json here too")] = None,
    junit: Junit = None,
    html: Html = None,
    markdown: Markdown = None,
    sarif: Sarif = None,
    badge: Badge = None,
    allure: Allure = None,
    key_env: KeyEnv = None,
    model: Model = None,
) -> None:
    """Judge a deployment; without --target the embedded simulator and reference gateway."""
    # Started first, so that it starts while we load.
    with rare_collections(), embedded_pair(wanted=target is None and not quick and not dry_run) as pair:
        from weighbridge.engine import Settings
        from weighbridge.plan import Selection
        from weighbridge.report.views import ViewPaths
        from weighbridge.run import resolve_target
        from weighbridge.run import run as run_options
        from weighbridge.session import RunOptions
        from weighbridge.verdict import Level

        profiles = tuple(profile or ())
        options = RunOptions(
            target=resolve_target(target, profiles, key_env, model),
            profiles=profiles,
            selection=Selection(Level(level.value.upper()), tuple(requirement or ()), quick),
            settings=Settings(
                concurrency=concurrency or Settings().concurrency,
                crowd=concurrency or Settings().crowd,
                seed=seed,
                allow_commands=allow_commands,
                timeout=timeout,
                explore=explore,
                max_spend=max_spend,
            ),
            require_claim=require_claim,
            out=out,
            json_file=json_file,
            allure=allure,
            views=ViewPaths(junit=junit, html=html, markdown=markdown, sarif=sarif, badge=badge),
            baseline=baseline,
            diff=diff,
            dry_run=dry_run,
        )
        code = run_options(options, pair, context.obj)
    raise typer.Exit(int(code))


@app.command()
def explain(
    requirement_id: Annotated[
        str, typer.Argument(metavar="ID", help="id of a requirement, as `list requirements` shows it")
    ],
) -> None:
    """One requirement: statement, source, how it is observed, which checks judge it, which defects prove it."""
    from weighbridge.describe import explain_lines

    for line in explain_lines(requirement_id):
        typer.echo(line)


class Listing(StrEnum):
    """What can be listed."""

    requirements = "requirements"
    profiles = "profiles"
    capabilities = "capabilities"
    scenarios = "scenarios"
    faults = "faults"
    defects = "defects"


@app.command("list")
def list_(
    what: Annotated[Listing, typer.Argument(help="what to list")] = Listing.requirements,
    as_json: Annotated[bool, typer.Option("--json", help="print a list of objects")] = False,
) -> None:
    """List requirements, profiles, capabilities, scenarios, faults or defects."""
    from weighbridge.describe import listing

    rows = listing(what.value)
    if as_json:
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    width = max((len(str(row["id"])) for row in rows), default=0)
    for row in rows:
        typer.echo(f"{row['id']:<{width}}  {row['title']}")


@app.command()
def prove(
    defect: Annotated[
        list[str] | None, typer.Option("--defect", help="prove only this defect (repeatable)")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the kill matrix here")] = None,
    clean_runs: Annotated[
        int, typer.Option("--clean-runs", min=0, help="instead: so many whole runs of the right gateway")
    ] = 0,
) -> None:
    """Judge deliberately wrong gateways: each defect must be caught by the requirement it breaks."""
    from weighbridge.prove import prove as prove_defects
    from weighbridge.soak import soak

    if clean_runs:
        raise typer.Exit(int(soak(clean_runs)))
    raise typer.Exit(int(prove_defects(tuple(defect or ()), json_file)))


@app.command()
def serve(
    database: Annotated[
        str | None,
        typer.Option("--database", help="where the gateway keeps its books: postgresql://... or a file"),
    ] = None,
) -> None:
    """Start simulator and reference gateway on free ports; print URLs and keys; run until interrupted."""
    from weighbridge.serve import serve_pair

    raise typer.Exit(int(serve_pair(database)))


app.add_typer(mock_commands.app, name="mock")


@app.command()
def gateway(
    config: Annotated[Path | None, typer.Option("--config", help="the gateway's YAML file")] = None,
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="processes; more than one need PostgreSQL")
    ] = 1,
    schema: Annotated[
        bool, typer.Option("--schema", help="instead: print the JSON Schema of the YAML file")
    ] = False,
    reference: Annotated[
        bool, typer.Option("--reference", help="instead: print every key of the YAML file")
    ] = False,
) -> None:
    """Start the reference gateway; run until interrupted."""
    from weighbridge.serve import gateway_texts, serve_gateway

    if [config is not None, schema, reference].count(True) != 1:
        raise UsageError("give one of --config FILE, --schema and --reference")
    if config is None:
        typer.echo(gateway_texts(schema=schema), nl=False)
        return
    raise typer.Exit(int(serve_gateway(config, workers)))


app.command()(load)
target_commands.register(app)
report_commands.register(app)


@app.callback(invoke_without_command=True)
def _top(
    version: Annotated[bool, typer.Option("--version", help="print the version")] = False,
) -> None:
    if version:
        typer.echo(f"weighbridge {__version__}")
        raise typer.Exit


def main(arguments: list[str] | None = None) -> Any:
    """Entry point: every error of ours is one sentence on standard error, and the right exit code."""
    open_standard_streams()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)
    # A process of our own was loading until now, which its operator waited for as well.
    began = time.monotonic() - (time.process_time() if arguments is None else 0.0)
    try:
        app(args=arguments, standalone_mode=True, obj=began)
    except WeighbridgeError as error:
        sys.stderr.write(f"weighbridge: {error}\n")
        sys.exit(int(error.exit_code))
    except OSError as error:
        if error.errno not in _SAID_NOWHERE or error.filename is not None:
            raise
        mute_standard_output()
        sys.stderr.write(f"weighbridge: standard output cannot be written: {error.strerror}\n")
        sys.exit(int(ExitCode.UNREACHABLE))
    except KeyboardInterrupt:
        _tell_interrupted()
        sys.exit(int(ExitCode.INTERRUPTED))
    except SystemExit as leaving:
        # Typer answers an interruption itself, with this code and without a word.
        if leaving.code == ExitCode.INTERRUPTED:
            _tell_interrupted()
        raise
    finally:
        if arguments is None:
            no_more_collections()


def _tell_interrupted() -> None:
    sys.stderr.write("weighbridge: interrupted\n")
    if hasattr(signal, "pthread_sigmask"):
        # Python takes an interruption inside `exec`, as where a dataclass is being made, for one that nobody handled,
        # and would in the end send itself the signal in place of leaving with our code.
        atexit.register(signal.pthread_sigmask, signal.SIG_BLOCK, {signal.SIGINT})


def _interrupt(_number: int, frame: FrameType | None) -> None:
    """SIGTERM as Ctrl-C, so that everything that tidies up after Ctrl-C does so here.

    Raises:
        KeyboardInterrupt: unless the running event loop takes the interruption over.
    """
    handler = signal.getsignal(signal.SIGINT)
    if callable(handler):
        handler(signal.SIGINT, frame)
    else:  # ignored, as in a shell's background job
        raise KeyboardInterrupt
