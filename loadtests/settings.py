"""The plan of a plain `locust -f loadtests/locustfile.py`, from variables; the same on master and workers.

WEIGHBRIDGE_TARGET      a target file, or a chat URL with WEIGHBRIDGE_KEY and WEIGHBRIDGE_MODEL
WEIGHBRIDGE_MIX         the kinds of calls, as for --mix
WEIGHBRIDGE_ARRIVALS    constant, poisson or trace:FILE, with WEIGHBRIDGE_RATE; without: a closed load
WEIGHBRIDGE_WARM_UP     as for --warm-up (1s)
WEIGHBRIDGE_IN_FLIGHT   cap of an open load in one process (1000)
WEIGHBRIDGE_PROCESSES   how many workers share an open load, where --processes does not say so
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from weighbridge.errors import UsageError
from weighbridge.load.arrivals import parse as parse_arrivals
from weighbridge.load.lanes import default_mix, parse_mix
from weighbridge.load.plan import LoadPlan
from weighbridge.load.planning import make_plan
from weighbridge.target import from_url, seconds
from weighbridge.target_file import load


def _number(variables: Mapping[str, str], name: str, default: float) -> float:
    try:
        value = float(variables.get(name, default))
    except ValueError:
        value = 0.0
    if value <= 0:
        raise UsageError(f"{name} is {variables[name]!r}; write a number above 0")
    return value


def _processes(variables: Mapping[str, str], arguments: Sequence[str]) -> int:
    """How many client processes there are, as far as this process can know."""
    words = list(arguments)
    told = next(
        (
            words[place + 1]
            for place, word in enumerate(words[:-1])
            if word in {"--processes", "--expect-workers"}
        ),
        next((word.partition("=")[2] for word in words if word.startswith("--processes=")), "1"),
    )
    given = variables.get("WEIGHBRIDGE_PROCESSES", variables.get("LOCUST_PROCESSES", told))
    if not (given.isascii() and given.isdigit() and int(given)):
        raise UsageError(f"WEIGHBRIDGE_PROCESSES: say how many workers share the load, not {given!r}")
    return int(given)


def plan_from_variables(variables: Mapping[str, str], arguments: Sequence[str]) -> LoadPlan:
    """The plan.

    Raises:
        WeighbridgeError: a variable is missing or says something impossible.
    """
    place = variables.get("WEIGHBRIDGE_TARGET")
    if not place:
        raise UsageError(
            "export WEIGHBRIDGE_TARGET: a target file, or a chat URL with WEIGHBRIDGE_KEY and WEIGHBRIDGE_MODEL"
        )
    if "://" in place:
        key, model = variables.get("WEIGHBRIDGE_KEY"), variables.get("WEIGHBRIDGE_MODEL")
        if not key or not model:
            raise UsageError("a URL also needs the variables WEIGHBRIDGE_KEY and WEIGHBRIDGE_MODEL")
        target = from_url(place, key=key, model=model)
    else:
        target = load(Path(place))
    try:
        warm_up = seconds(variables.get("WEIGHBRIDGE_WARM_UP", "1s"))
    except ValueError as error:
        raise UsageError(f"WEIGHBRIDGE_WARM_UP: {error}") from error
    mix, model_of_arrivals = variables.get("WEIGHBRIDGE_MIX"), variables.get("WEIGHBRIDGE_ARRIVALS")
    arrivals = None
    if model_of_arrivals:
        rate = _number(variables, "WEIGHBRIDGE_RATE", 0) if "WEIGHBRIDGE_RATE" in variables else None
        cap = int(_number(variables, "WEIGHBRIDGE_IN_FLIGHT", 1000))
        arrivals = parse_arrivals(model_of_arrivals, rate, seed=0, shape=(), in_flight=cap)
    return make_plan(
        target,
        parse_mix(mix) if mix else default_mix(target, None),
        wired=target.simulator is not None,
        arrivals=arrivals,
        warm_up=warm_up,
        slice_s=2,
        processes=_processes(variables, arguments),
    )
