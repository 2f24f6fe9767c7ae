"""The commands that read a run: judge, replay, verify, compare. Options and texts only, as in `cli`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[Path | None, typer.Option("--json", help="write report.json here too")]
Junit = Annotated[Path | None, typer.Option("--junit", help="write a JUnit file")]
Html = Annotated[Path | None, typer.Option("--html", help="write the report as one HTML file")]
Markdown = Annotated[Path | None, typer.Option("--markdown", help="write a pull-request comment")]
Sarif = Annotated[Path | None, typer.Option("--sarif", help="write a SARIF file for code scanning")]
Badge = Annotated[Path | None, typer.Option("--badge", help="write an SVG badge")]
Allure = Annotated[Path | None, typer.Option("--allure", help="write Allure results into this folder")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command("judge")(judge)
    app.command("replay")(replay)
    app.command("verify")(verify)
    app.command("compare")(compare)


def judge(
    recorded: Annotated[Path, typer.Argument(metavar="RUN", help="folder of a run, or its evidence.ndjson")],
    json_file: Json = None,
    junit: Junit = None,
    html: Html = None,
    markdown: Markdown = None,
    sarif: Sarif = None,
    badge: Badge = None,
    allure: Allure = None,
) -> None:
    """Judge recorded evidence again, offline, with the checks of this version; write views of the result."""
    from weighbridge.judgement import exit_code
    from weighbridge.recorded import judge_again
    from weighbridge.report.rejudge import rejudge_lines
    from weighbridge.report.views import ViewPaths, write_views

    paths = ViewPaths(json_file, junit, html, markdown, sarif, badge, allure)
    paths.require()
    again = judge_again(recorded)
    for line in rejudge_lines(again.judgement, again.context):
        typer.echo(line)
    if any(paths.chosen()):
        document = again.document()
        write_views(paths, document, again.evidence)
        if allure is not None:
            from weighbridge.report import allure_results

            allure_results.write(document, again.evidence, allure)
    raise typer.Exit(int(exit_code(again.judgement, require_claim=False)))


def replay(
    row: Annotated[
        str, typer.Argument(metavar="ROW", help="a requirement that is judged by generated histories")
    ],
    recorded: Annotated[
        Path,
        typer.Option("--in", metavar="RUN", help="folder of the run that found it, or its evidence.ndjson"),
    ],
    target: Annotated[
        str | None,
        typer.Option("--target", help="target file; not needed for a run of the embedded gateway"),
    ] = None,
    embedded: Annotated[
        bool, typer.Option("--embedded", help="send it to a fresh embedded pair, whatever the run judged")
    ] = False,
    allow_commands: Annotated[bool, typer.Option("--allow-commands", help="let command hooks run")] = False,
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=0.1, help="seconds for one call at most")
    ] = None,
) -> None:
    """Send the history of a generated finding again, step by step, in a fresh account, and say whether it comes again."""
    from weighbridge.engine import Settings
    from weighbridge.replay import replay as replay_history
    from weighbridge.run import resolve_target

    settings = Settings(allow_commands=allow_commands, timeout=timeout)
    chosen = resolve_target(target, (), None, None)
    code = replay_history(row, recorded, chosen, settings, typer.echo, to_embedded=embedded)
    raise typer.Exit(int(code))


def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="holds report.json and evidence.ndjson")],
) -> None:
    """Judge a published claim again and fail on any difference: proves consistency, not authorship."""
    from weighbridge.verification import verify as verify_claim

    result = verify_claim(folder)
    for line in result.lines():
        typer.echo(line)
    raise typer.Exit(int(result.exit_code))


def compare(
    reports: Annotated[
        list[Path], typer.Argument(metavar="A B...", help="folders of runs, or their report.json")
    ],
    html: Annotated[Path | None, typer.Option("--html", help="write the comparison as one HTML file")] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", help="write the comparison as Markdown")
    ] = None,
) -> None:
    """Side by side: implementations by requirements, as Markdown on standard output, or into files."""
    from weighbridge.report.comparison import compare_reports

    for line in compare_reports(reports, html, markdown):
        typer.echo(line)
