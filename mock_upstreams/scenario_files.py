"""Scenario files: YAML with named scenarios, rules that bind them to calls, and outages.

    scenarios:
      flaky: {sequence: [{status: 503, retry_after: 1}, {status: 503}, {text: "back again"}]}
    rules:
      - {use: flaky, model: gpt-5.5}
    outages:
      - {upstream: beta, after_ms: 10000, for_ms: 5000, status: 503}

A mistake is told in one sentence that begins with file and line. `scenarios.schema.json` is the JSON Schema.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from mock_upstreams.config import LISTENER_KINDS, ListenerPlan
from mock_upstreams.library import MAX_NAMED, MAX_OUTAGES, Library, Match, Outage, Rule
from mock_upstreams.scenario import build, check_stated
from mock_upstreams.scenario_keys import (
    KEYS,
    NAME,
    ScenarioError,
    nearest,
    read_mapping,
    scenario_schema,
)
from mock_upstreams.yaml_files import FileTrouble, YamlFileError, line_of, read_yaml

SCHEMA_FILE: Final = Path(__file__).with_name("scenarios.schema.json")
_SECTIONS: Final = ("scenarios", "rules", "outages")
_PROVIDERS: Final = ("openai", "anthropic", "media")
_MATCH_KEYS: Final = ("id", "model", "upstream", "provider", "path", "headers")
_OUTAGE_KEYS: Final = ("after_ms", "for_ms", "status", "fault", "retry_after", "message")
_OUTAGE_FAULTS: Final = ("status", "html", "empty", "close_before_headers", "reset_before_headers")
_LONGEST_MS: Final = 86_400_000
_MAX_RULES: Final = 1000
MAX_FILE_BYTES: Final = 4 * 1024 * 1024


class ScenarioFileError(Exception):
    """A scenario file cannot be used; the message is one sentence with file, line and remedy."""


def read_match(value: Mapping[str, Any], path: str) -> Match:
    """What a call must be for a rule, binding or outage to hold. Raises ScenarioError."""
    for name in ("id", "model", "upstream", "provider", "path"):
        given = value.get(name)
        if given is not None and (not isinstance(given, str) or not given or len(given) > 512):
            raise ScenarioError(_at(path, name), "expected a text of 1 to 512 characters")
    provider = value.get("provider")
    if provider is not None and provider not in _PROVIDERS:
        raise ScenarioError(_at(path, "provider"), f"expected one of {', '.join(_PROVIDERS)}")
    headers = value.get("headers", {})
    if not isinstance(headers, dict) or not all(
        isinstance(item, str) for pair in headers.items() for item in pair
    ):
        raise ScenarioError(_at(path, "headers"), "expected texts by header name")
    return Match(
        id=value.get("id"),
        model=value.get("model"),
        upstream=value.get("upstream"),
        provider=provider,
        path=value.get("path"),
        headers=tuple(headers.items()),
    )


def read_rule(value: Any, path: str, known: Mapping[str, Any]) -> Rule:
    """A rule that binds a named scenario to calls. Raises ScenarioError."""
    _only(value, path, ("use", *_MATCH_KEYS))
    use = value.get("use")
    if not isinstance(use, str) or use not in known:
        raise ScenarioError(
            _at(path, "use"), f"unknown scenario {str(use)[:64]!r}{nearest(str(use), tuple(known))}"
        )
    match = read_match(value, path)
    if match == Match():
        raise ScenarioError(path, f"expected at least one of {', '.join(_MATCH_KEYS)}")
    return Rule(use, match)


def read_outage(value: Any, path: str, now: float) -> Outage:
    """An outage that is planned from monotonic time `now` on. Raises ScenarioError."""
    _only(value, path, (*_MATCH_KEYS, *_OUTAGE_KEYS))
    starts = _milliseconds(value, "after_ms", path, 0)
    lasts = _milliseconds(value, "for_ms", path, None)
    stated = read_mapping({name: value[name] for name in _OUTAGE_KEYS[2:] if name in value}, path)
    if "fault" not in stated and "status" not in stated:
        stated["status"] = 503
    if stated.get("fault", "status") not in _OUTAGE_FAULTS:
        raise ScenarioError(_at(path, "fault"), f"expected one of {', '.join(_OUTAGE_FAULTS)}")
    try:
        scenario = build(stated)
    except ScenarioError as exc:
        raise ScenarioError(path, exc.problem) from None
    begin = now + starts / 1000
    return Outage(read_match(value, path), scenario, begin, begin + lasts / 1000)


def read_listener(value: Any, path: str) -> ListenerPlan:
    """A listener as a configuration file or the control API states it. Raises ScenarioError."""
    _only(value, path, ("kind", "port", "upstream"))
    kind, port, upstream = value.get("kind", "http"), value.get("port", 0), value.get("upstream")
    if kind not in LISTENER_KINDS:
        raise ScenarioError(
            _at(path, "kind"), f"unknown kind {str(kind)[:64]!r}{nearest(str(kind), LISTENER_KINDS)}"
        )
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        raise ScenarioError(_at(path, "port"), "expected a number from 0 to 65535")
    if upstream is not None and (not isinstance(upstream, str) or not NAME.fullmatch(upstream)):
        raise ScenarioError(_at(path, "upstream"), "expected a name of letters, digits, . _ or -")
    return ListenerPlan(kind, port, upstream)


def read_scenario_value(value: Any, path: str) -> dict[str, Any]:
    """A named scenario as stated in a file or by the control API. Raises ScenarioError."""
    stated = read_mapping(value, path, without=("scenario",))
    check_stated(stated, path)
    return stated


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _only(value: Any, path: str, known: tuple[str, ...]) -> None:
    if not isinstance(value, dict):
        raise ScenarioError(path, "expected an object")
    for name in value:
        if name not in known:
            raise ScenarioError(
                _at(path, str(name)), f"unknown key {str(name)[:64]!r}{nearest(str(name), known)}"
            )


def _milliseconds(value: Mapping[str, Any], name: str, path: str, default: float | None) -> float:
    given = value.get(name, default)
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= _LONGEST_MS:
        raise ScenarioError(_at(path, name), f"expected milliseconds from 0 to {_LONGEST_MS}")
    return float(given)


# Files


def load_library(path: str) -> Library:
    """The library of a scenario file. Raises ScenarioFileError."""
    try:
        value, node = read_yaml(path, MAX_FILE_BYTES)
    except YamlFileError as exc:
        remedy = {
            FileTrouble.UNREADABLE: "; give the path of a scenario file",
            FileTrouble.TOO_LARGE: "; split the file",
        }
        raise ScenarioFileError(f"{exc}{remedy.get(exc.trouble, '')}") from None
    try:
        return read_library(value)
    except ScenarioError as exc:
        raise ScenarioFileError(f"{path}:{line_of(node, exc.path)}: {exc}") from None


def read_library(value: Any) -> Library:
    """The library that a parsed scenario file describes. Raises ScenarioError."""
    value = {} if value is None else value
    _only(value, "", _SECTIONS)
    library = Library()
    scenarios = _section(value, "scenarios", dict, {})
    if len(scenarios) > MAX_NAMED:
        raise ScenarioError("scenarios", f"more than {MAX_NAMED} scenarios")
    for name, stated in scenarios.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ScenarioError(f"scenarios.{name}", "expected a name of letters, digits, . _ or -")
        library.put(name, read_scenario_value(stated, f"scenarios.{name}"), stated)
    rules = _section(value, "rules", list, [])
    if len(rules) > _MAX_RULES:
        raise ScenarioError("rules", f"more than {_MAX_RULES} rules")
    library.file_rules = tuple(read_rule(rule, f"rules[{i}]", library.named) for i, rule in enumerate(rules))
    now = time.monotonic()
    outages = _section(value, "outages", list, [])
    if len(outages) > MAX_OUTAGES:
        raise ScenarioError("outages", f"more than {MAX_OUTAGES} outages")
    for i, given in enumerate(outages):
        outage = read_outage(given, f"outages[{i}]", now)
        library.announce(outage.match, outage.scenario, outage.starts, outage.ends, now)
    return library


def _section(value: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    found = value.get(name)
    if found is None:
        return default
    if not isinstance(found, kind):
        raise ScenarioError(name, "expected names with scenarios" if kind is dict else "expected a list")
    return found


# The published schema


def file_schema() -> dict[str, Any]:
    """The JSON Schema of a scenario file, made from the tables that read one."""
    step = scenario_schema()
    step["properties"] = {
        name: rule
        for name, rule in step["properties"].items()
        if name not in {"sequence", "times", "scenario"}
    }
    scenario = scenario_schema()
    del scenario["properties"]["scenario"]
    text = {"type": "string", "minLength": 1, "maxLength": 512}
    match: dict[str, Any] = {
        "id": text,
        "model": {**text, "description": "a model id; one that ends in * matches all that begin so"},
        "upstream": {**text, "description": "NAME of the base URL /u/NAME; `default` without one"},
        "provider": {"enum": list(_PROVIDERS)},
        "path": text,
        "headers": {"type": "object", "additionalProperties": {"type": "string"}},
    }
    milliseconds = {"type": "number", "minimum": 0, "maximum": _LONGEST_MS}
    outage = {
        "after_ms": {**milliseconds, "default": 0},
        "for_ms": milliseconds,
        "status": KEYS["status"].schema,
        "fault": {"enum": list(_OUTAGE_FAULTS)},
        "retry_after": KEYS["retry_after"].schema,
        "message": KEYS["message"].schema,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Scenario file of the provider simulator",
        "type": "object",
        "properties": {
            "scenarios": {
                "type": "object",
                "propertyNames": {"pattern": f"^{NAME.pattern}$"},
                "maxProperties": MAX_NAMED,
                "additionalProperties": {"$ref": "#/$defs/scenario"},
            },
            "rules": {"type": "array", "maxItems": _MAX_RULES, "items": {"$ref": "#/$defs/rule"}},
            "outages": {"type": "array", "maxItems": MAX_OUTAGES, "items": {"$ref": "#/$defs/outage"}},
        },
        "additionalProperties": False,
        "$defs": {
            "step": step,
            "scenario": scenario,
            "rule": _closed({"use": {"type": "string", "pattern": f"^{NAME.pattern}$"}, **match}, ["use"]),
            "outage": _closed({**match, **outage}, ["for_ms"]),
        },
    }


def _closed(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
