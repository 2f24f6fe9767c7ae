"""The part of the control API that changes what calls meet: scenarios, bindings, outages, listeners."""

import time
from collections.abc import Mapping
from typing import Any, Final

from mock_upstreams.calls import Json, load_object
from mock_upstreams.control_request import Asked, Controls
from mock_upstreams.library import Library, LibraryFullError, Match, Outage, Rule
from mock_upstreams.listeners import Listeners
from mock_upstreams.refusals import Refusal, bad_request
from mock_upstreams.scenario_files import read_listener, read_outage, read_rule, read_scenario_value
from mock_upstreams.scenario_keys import NAME, ScenarioError

_LONGEST_MS: Final = 86_400_000


def _library(controls: Controls) -> Library:
    return controls.providers.library


def list_scenarios(controls: Controls, asked: Asked) -> Json:
    del asked
    return {"scenarios": dict(_library(controls).sources)}


def get_scenario(controls: Controls, asked: Asked) -> Json:
    name = asked.argument
    if name not in _library(controls).sources:
        raise Refusal(404, f"there is no scenario {name[:64]!r}")
    return {"name": name, "scenario": _library(controls).sources[name]}


def put_scenario(controls: Controls, asked: Asked) -> Json:
    name = asked.argument
    if not NAME.fullmatch(name):
        raise bad_request("the name of a scenario has 1 to 64 letters, digits, . _ or -")
    source = load_object(asked.body)
    try:
        define_scenario(_library(controls), name, source)
    except ScenarioError as exc:
        raise bad_request(str(exc), exc.path or None) from None
    except LibraryFullError as exc:
        raise Refusal(409, str(exc)) from None
    return {"name": name, "scenario": source}


def define_scenario(library: Library, name: str, source: Json) -> None:
    """Define or replace a named scenario. Raises ScenarioError and LibraryFullError."""
    library.put(name, read_scenario_value(source, ""), source)


def delete_scenario(controls: Controls, asked: Asked) -> Json:
    if not _library(controls).remove(asked.argument):
        raise Refusal(404, f"there is no scenario {asked.argument[:64]!r}")
    return {"deleted": asked.argument}


def list_bindings(controls: Controls, asked: Asked) -> Json:
    del asked
    return {"bindings": [_rule(rule) for rule in _library(controls).bindings]}


def add_binding(controls: Controls, asked: Asked) -> Json:
    library = _library(controls)
    try:
        rule = read_rule(load_object(asked.body), "", library.named)
        return _rule(library.bind(rule.use, rule.match))
    except ScenarioError as exc:
        raise bad_request(str(exc), exc.path or None) from None
    except LibraryFullError as exc:
        raise Refusal(409, str(exc)) from None


def delete_binding(controls: Controls, asked: Asked) -> Json:
    if not _library(controls).unbind(asked.number):
        raise Refusal(404, f"there is no binding {asked.number}")
    return {"deleted": asked.number}


def list_outages(controls: Controls, asked: Asked) -> Json:
    del asked
    return {"outages": [_outage(outage) for outage in _library(controls).outages]}


def add_outage(controls: Controls, asked: Asked) -> Json:
    now = time.monotonic()
    try:
        planned = read_outage(load_object(asked.body), "", now)
        outage = _library(controls).announce(
            planned.match, planned.scenario, planned.starts, planned.ends, now
        )
    except ScenarioError as exc:
        raise bad_request(str(exc), exc.path or None) from None
    except LibraryFullError as exc:
        raise Refusal(409, str(exc)) from None
    return _outage(outage)


def delete_outage(controls: Controls, asked: Asked) -> Json:
    if not _library(controls).call_off(asked.number):
        raise Refusal(404, f"there is no outage {asked.number}")
    return {"deleted": asked.number}


def _match(match: Match) -> Json:
    stated = {
        "id": match.id,
        "model": match.model,
        "upstream": match.upstream,
        "provider": match.provider,
        "path": match.path,
    }
    found: dict[str, Any] = {name: value for name, value in stated.items() if value is not None}
    if match.headers:
        found["headers"] = dict(match.headers)
    return found


def _rule(rule: Rule) -> Json:
    return {"number": rule.number, "use": rule.use, **_match(rule.match)}


def _outage(outage: Outage) -> Json:
    now = time.monotonic()
    return {
        "number": outage.number,
        **_match(outage.match),
        "fault": outage.scenario.fault,
        "status": outage.scenario.status,
        "starts_in_ms": max(0, round((outage.starts - now) * 1000)),
        "ends_in_ms": max(0, round((outage.ends - now) * 1000)),
    }


# Listeners


def _listeners(controls: Controls) -> Listeners:
    if controls.listeners is None:
        raise Refusal(409, "the simulator is not serving, so it can have no listeners")
    return controls.listeners


def list_listeners(controls: Controls, asked: Asked) -> Json:
    del asked
    return {"listeners": _listeners(controls).described()}


async def add_listener(controls: Controls, asked: Asked) -> Json:
    given = load_object(asked.body) if asked.body else {}
    try:
        plan = read_listener(given, "")
    except ScenarioError as exc:
        raise bad_request(str(exc), exc.path or None) from None
    listeners = _listeners(controls)
    return listeners.describe(await listeners.open(plan))


def refuse_connections(controls: Controls, asked: Asked) -> Json:
    given = load_object(asked.body)
    _only(given, ("for_ms",))
    for_ms = given.get("for_ms")
    if isinstance(for_ms, bool) or not isinstance(for_ms, int | float) or not 0 <= for_ms <= _LONGEST_MS:
        raise bad_request(f"for_ms: expected milliseconds from 0 to {_LONGEST_MS}")
    listeners = _listeners(controls)
    return listeners.describe(listeners.refuse(asked.number, for_ms))


def delete_listener(controls: Controls, asked: Asked) -> Json:
    _listeners(controls).close(asked.number)
    return {"deleted": asked.number}


def _only(given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for name in given:
        if name not in known:
            raise bad_request(f"unknown key {name[:64]!r}; known: {', '.join(known)}")
