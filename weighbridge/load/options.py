"""The options of `weighbridge load`: declared here, checked by the modules that know them, handed to `command`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weighbridge.errors import UsageError

if TYPE_CHECKING:
    from weighbridge.load.processes import Crowd

#: A day; whoever needs longer runs several.
_LONGEST_S = 86_400


def parse_duration(text: str, option: str) -> float:
    """Seconds from `10s`, `2m` or a plain number.

    Raises:
        UsageError: it is none of these.
    """
    from weighbridge.target import seconds

    try:
        value = seconds(f"{text}s" if text.replace(".", "", 1).isdigit() else text)
    except ValueError as error:
        raise UsageError(f"{option} {error}") from error
    if value > _LONGEST_S:
        raise UsageError(f"{option} {text}: at most {_LONGEST_S // 3600} hours")
    return value


def make_crowd(
    users: int,
    duration: str,
    spawn_rate: float | None,
    processes: int,
    warm_up: float,
    *,
    open_load: bool = False,
) -> Crowd:
    """Users and duration, checked.

    Args:
        users: how many at the same time.
        duration: text of the option, whole seconds.
        spawn_rate: users started a second; all within a second if None.
        processes: client processes.
        warm_up: seconds; must leave something to measure.
        open_load: calls arrive by themselves, users play no part.

    Raises:
        UsageError: values that do not fit together.
    """
    from weighbridge.load.processes import Crowd

    length = parse_duration(duration, "--duration")
    if length < 1 or length != int(length):
        raise UsageError(f"--duration {duration}: write whole seconds, at least 1s")
    if warm_up >= length:
        raise UsageError(f"--warm-up {warm_up:g}s leaves nothing of --duration {duration}; choose less")
    if processes > users and not open_load:
        raise UsageError(f"--processes {processes} is more than --users {users}; lower it")
    return Crowd(users, int(length), spawn_rate if spawn_rate is not None else float(users), processes)


def load(
    target: Annotated[
        str | None, typer.Option("--target", help="target file, or a chat URL ending in /v1")
    ] = None,
    surface: Annotated[
        str | None, typer.Option("--surface", help="chat or messages (default: the first the target has)")
    ] = None,
    mix: Annotated[
        str | None,
        typer.Option("--mix", help="kinds of calls: 'chat=3,messages,plain:MODEL@GROUP,tasks:image'"),
    ] = None,
    users: Annotated[
        int, typer.Option("--users", min=1, max=20000, help="concurrent users (closed load)")
    ] = 10,
    arrivals: Annotated[
        str | None, typer.Option("--arrivals", help="open load: constant, poisson or trace:FILE")
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", min=0.01, max=1e6, help="open load: starts a second (poisson)")
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option("--shape", help="ramp[:FROM], step[:N], spike[:BASE], soak, or points 0s:0.1,10s:1"),
    ] = None,
    max_in_flight: Annotated[
        int,
        typer.Option(
            "--max-in-flight",
            min=1,
            max=20000,
            help="open load: calls at once in one process; starts beyond are dropped",
        ),
    ] = 1000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="of Poisson arrivals")] = 1,
    duration: Annotated[str, typer.Option("--duration", help="whole seconds: 10s, 2m")] = "10s",
    spawn_rate: Annotated[
        float | None,
        typer.Option("--spawn-rate", min=0.1, help="users started a second (default: all at once)"),
    ] = None,
    warm_up: Annotated[
        str, typer.Option("--warm-up", help="latencies of calls that start this early do not count")
    ] = "1s",
    gate: Annotated[
        list[str] | None,
        typer.Option(
            "--gate", help="'ttft.p99<400ms', 'tokens_per_s>=900', 'added.ttft.p50<2ms', ... (repeatable)"
        ),
    ] = None,
    gates: Annotated[Path | None, typer.Option("--gates", help="YAML file with gates")] = None,
    baseline: Annotated[
        bool,
        typer.Option(
            "--baseline", help="measure the provider itself in the same run (implied by added. gates)"
        ),
    ] = False,
    direct: Annotated[
        str | None,
        typer.Option("--direct", help="the provider's URL (default: the simulator of a wired target)"),
    ] = None,
    direct_key_env: Annotated[
        str | None, typer.Option("--direct-key-env", help="variable with the provider's key")
    ] = None,
    direct_model: Annotated[
        str | None, typer.Option("--direct-model", help="the model's name at the provider")
    ] = None,
    capacity: Annotated[
        str | None,
        typer.Option(
            "--capacity", help="LOW..HIGH: find the highest --rate (or --users) that meets the gates"
        ),
    ] = None,
    processes: Annotated[int, typer.Option("--processes", min=1, max=64, help="client processes")] = 1,
    keep_alive: Annotated[
        bool, typer.Option("--keep-alive/--no-keep-alive", help="one connection a user, or one a call")
    ] = True,
    script: Annotated[
        str | None,
        typer.Option("--script", help="for a wired target: 'chunks=50,ttft_ms=100,gap_ms=20', faults too"),
    ] = None,
    usage: Annotated[
        bool, typer.Option("--usage/--no-usage", help="ask chat streams for their token counts")
    ] = True,
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=0.1, help="seconds for one call at most")
    ] = None,
    allow_commands: Annotated[
        bool, typer.Option("--allow-commands", help="run commands of the target file's hooks")
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", help="folder for report, figures and evidence")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="write report.json here too")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="write the plots here too")] = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="write JUnit XML here")] = None,
    markdown: Annotated[Path | None, typer.Option("--markdown", help="write a Markdown summary here")] = None,
    key_env: Annotated[
        str | None, typer.Option("--key-env", help="with a URL: variable with the key")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="with a URL: the model to load")] = None,
) -> None:
    """Put load on a deployment and judge it; without --target the embedded simulator and reference gateway."""
    from weighbridge.load import arrivals as open_load
    from weighbridge.load import capacity as search
    from weighbridge.load import direct as provider
    from weighbridge.load import gates as service_levels
    from weighbridge.load import shapes
    from weighbridge.load.command import LoadOptions, load_test
    from weighbridge.load.lanes import parse_mix
    from weighbridge.load.planning import parse_script
    from weighbridge.load.report import Places
    from weighbridge.run import resolve_target

    if mix is not None and surface is not None:
        raise UsageError("--mix names the kinds of calls itself; leave --surface out")
    if seed >= 2**63:
        raise UsageError(f"--seed {seed}: at most 9223372036854775807")
    bounds = None if capacity is None else search.parse_range(capacity)
    if arrivals is None and rate is not None:
        arrivals = "poisson"
    if bounds is not None and arrivals is not None:
        if arrivals.startswith("trace"):
            raise UsageError("--capacity searches a rate; --arrivals trace has its own moments")
        rate = rate or bounds[1]
    elif bounds is not None and not all(level.is_integer() for level in bounds):
        raise UsageError(
            f"--capacity {capacity}: without --rate or --arrivals it counts users; write whole numbers"
        )
    warm_up_s = parse_duration(warm_up, "--warm-up")
    crowd = make_crowd(users, duration, spawn_rate, processes, warm_up_s, open_load=arrivals is not None)
    points = () if shape is None else shapes.parse(shape, crowd.duration)
    wanted = tuple(service_levels.parse(text) for text in gate or ())
    if gates is not None:
        wanted = (*wanted, *service_levels.read_file(gates))
    compared = baseline or direct is not None or service_levels.needs_direct(wanted)
    if compared and bounds is not None:
        raise UsageError(
            "--capacity takes no direct baseline; leave --baseline and added. or relative. gates out"
        )
    key = None
    if direct_key_env is not None:
        key = os.environ.get(direct_key_env)
        if key is None:
            raise UsageError(
                f"--direct-key-env: the environment has no variable {direct_key_env}; export it first"
            )
    load_options = LoadOptions(
        crowd=crowd,
        target=resolve_target(
            target, ("anthropic-messages",) if surface == "messages" else (), key_env, model
        ),
        surface=surface,
        mix=() if mix is None else parse_mix(mix),
        arrivals=None
        if arrivals is None
        else open_load.parse(arrivals, rate, seed=seed, shape=points, in_flight=max_in_flight),
        shape=() if arrivals is not None else points,
        direct=provider.parse(direct, key, direct_model) if compared else None,
        search=bounds,
        gates=wanted,
        warm_up=warm_up_s,
        script=None if script is None else parse_script(script),
        timeout=timeout,
        usage=usage,
        keep_alive=keep_alive,
        allow_commands=allow_commands,
        places=Places(out, json_file, html, junit, markdown),
    )
    raise typer.Exit(int(load_test(load_options)))
