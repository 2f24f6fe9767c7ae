"""The settings of a simulator that is started from a command line: flags over a configuration file over defaults.

    # simulator.yaml
    port: 8890
    scenarios: scenarios.yaml
    listeners:
      - {upstream: beta, port: 8891}
      - {kind: refused, port: 8892}

One table has the keys of the file, how a value is read and what it is for; `simulator.schema.json` is made from it. A
mistake is told in one sentence that begins with file and line.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mock_upstreams.config import LISTENER_KINDS, SimulatorConfig
from mock_upstreams.listeners import is_loopback
from mock_upstreams.scenario_files import read_listener
from mock_upstreams.scenario_keys import NAME, ScenarioError, nearest
from mock_upstreams.timings import SPEED_SCHEMA, read_speed
from mock_upstreams.yaml_files import FileTrouble, YamlFileError, line_of, read_yaml

SCHEMA_FILE: Final = Path(__file__).with_name("simulator.schema.json")
DEFAULT_PORT: Final = 8890
MAX_WORKERS: Final = 64
_MAX_FILE_BYTES: Final = 1024 * 1024
_MAX_LISTENERS: Final = 64
_PATHS: Final = ("scenarios", "replay", "tls_cert", "tls_key")
"""Settings that are paths; in a file they start from the folder of that file."""


class SettingsError(Exception):
    """The settings cannot be used; the message is one sentence with the place and what to give instead."""


@dataclass(frozen=True, slots=True)
class Setting:
    """`read` raises ValueError with what to give instead."""

    read: Callable[[Any], Any]
    schema: Mapping[str, Any]
    says: str


@dataclass(frozen=True, slots=True)
class Settings:
    """What to start: `workers` processes with this configuration; `made_token` says that its token is a new one."""

    config: SimulatorConfig
    workers: int = 1
    made_token: bool = False


def _whole(low: int, high: int) -> tuple[Callable[[Any], int], Mapping[str, Any]]:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return value

    return read, {"type": "integer", "minimum": low, "maximum": high}


def _seconds(high: float) -> tuple[Callable[[Any], float], Mapping[str, Any]]:
    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= high:
            raise ValueError(f"seconds, more than 0 and at most {high:g}")
        return float(value)

    return read, {"type": "number", "exclusiveMinimum": 0, "maximum": high}


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a text")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")  # noqa: TRY004 - readers speak of values, whatever their type
    return value


def _flush(value: Any) -> str:
    if value not in ("frame", "stream"):
        raise ValueError("frame or stream")
    return str(value)


def _url(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith(("http://", "https://")):
        raise ValueError("an http(s) URL")
    return value.rstrip("/")


def _models(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(item, str) and item for item in value):
        raise ValueError("a list of model ids")
    return tuple(value)


_TEXT: Final = (_text, {"type": "string", "minLength": 1})
_LISTENER: Final = {
    "type": "object",
    "properties": {
        "kind": {"enum": list(LISTENER_KINDS), "default": "http"},
        "port": {"type": "integer", "minimum": 0, "maximum": 65535, "default": 0},
        "upstream": {"type": "string", "pattern": f"^{NAME.pattern}$"},
    },
    "additionalProperties": False,
}


def _listeners(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list) or len(value) > _MAX_LISTENERS:
        raise ValueError(f"a list of at most {_MAX_LISTENERS} listeners")
    return tuple(read_listener(item, f"listeners[{i}]") for i, item in enumerate(value))


SETTINGS: Final[Mapping[str, Setting]] = {
    "host": Setting(*_TEXT, "address to listen at; off loopback the control API needs a token"),
    "port": Setting(*_whole(0, 65535), "port to listen at; 0 takes a free one"),
    "workers": Setting(*_whole(1, MAX_WORKERS), "processes that share the port, behind one control API"),
    "seed": Setting(*_whole(-(2**53), 2**53), "the same seed gives the same bytes and the same schedule"),
    "scenarios": Setting(*_TEXT, "file with named scenarios, rules and outages"),
    "strict": Setting(_flag, {"type": "boolean"}, "refuse all that the real upstreams refuse"),
    "replay": Setting(*_TEXT, "recording of `weighbridge mock record`: its answers and nothing else"),
    "replay_speed": Setting(read_speed, SPEED_SCHEMA, "how fast: 2x, 0.5x, or 0"),
    "flush": Setting(
        _flush, {"enum": ["frame", "stream"]}, "one write for each event, or for all due together"
    ),
    "tls_cert": Setting(*_TEXT, "certificate (PEM): the main port then speaks TLS"),
    "tls_key": Setting(*_TEXT, "its key, if it is in a file of its own"),
    "listeners": Setting(
        _listeners, {"type": "array", "items": _LISTENER, "maxItems": _MAX_LISTENERS}, "more ports"
    ),
    "control_token": Setting(*_TEXT, "guards /_wb/; off loopback one is made and printed if none is given"),
    "callback_secret": Setting(*_TEXT, "signs the callbacks of media jobs"),
    "public_url": Setting(
        _url, {"type": "string", "pattern": "^https?://"}, "where callers reach the files of media jobs"
    ),
    "clock": Setting(*_whole(0, 2**40), "the Unix second that every answer bears"),
    "models": Setting(
        _models, {"type": "array", "items": {"type": "string"}, "minItems": 1}, "what the model list names"
    ),
    "journal_capacity": Setting(*_whole(1, 10_000_000), "entries kept in the journal"),
    "journal_bytes": Setting(*_whole(65_536, 2**40), "bytes kept in the journal"),
    "max_body_bytes": Setting(*_whole(1, 2**31), "a longer request is answered with 413"),
    "cache_window_s": Setting(*_seconds(86_400), "life of a cached prompt"),
    "stall_limit_s": Setting(*_seconds(3600), "after which a stalled answer is closed"),
}


def settings(flags: Mapping[str, Any], file: str | None = None) -> Settings:
    """Flags (by the names of the table, None for those not given) over the file. Raises SettingsError."""
    stated = {} if file is None else read_file(file)
    for name, value in flags.items():
        if value is None:
            continue
        try:
            stated[name] = SETTINGS[name].read(value)
        except ValueError as exc:
            raise SettingsError(f"--{name.replace('_', '-')}: {value!r} is impossible; give {exc}") from None
        except ScenarioError as exc:
            raise SettingsError(f"--listener: {exc.problem}") from None
    if "tls_key" in stated and "tls_cert" not in stated:
        raise SettingsError("a TLS key was given and no certificate; give --tls-cert too")
    if "replay_speed" in stated and "replay" not in stated:
        raise SettingsError("a speed was given and no recording; give --replay too")
    if "replay" in stated and "scenarios" in stated:
        raise SettingsError(
            "a recording and scenarios were given; a replay knows no scenarios, so give one of them"
        )
    stated.setdefault("port", DEFAULT_PORT)
    workers = stated.pop("workers", 1)
    if workers > 1 and ("replay" in stated or "listeners" in stated):
        raise SettingsError(
            "several workers can neither replay a recording nor have more ports; give --workers 1, or start one "
            "simulator for each port"
        )
    host = stated.get("host", "127.0.0.1")
    made = "control_token" not in stated and not is_loopback(host)
    if made:
        stated["control_token"] = secrets.token_urlsafe(24)
    return Settings(SimulatorConfig(**stated), workers, made)


def listener_of(text: str) -> dict[str, Any]:
    """A listener as a flag states it: [KIND:][UPSTREAM:]PORT or any part of it, as in `refused:8892`, `beta:0`.

    Raises SettingsError.
    """
    found: dict[str, Any] = {}
    for part in text.split(":"):
        if part.isascii() and part.isdigit() and len(part) < 6:
            found["port"] = int(part)
        elif part in LISTENER_KINDS:
            found["kind"] = part
        elif "upstream" in found:
            words = f"{found['upstream']} and {part}"
            raise SettingsError(
                f"--listener: {text!r} has two names, {words}; give [KIND:][UPSTREAM:]PORT with KIND one of "
                f"{', '.join(LISTENER_KINDS)}"
            )
        else:
            found["upstream"] = part
    return found


def read_file(path: str) -> dict[str, Any]:
    """The settings that a configuration file states. Raises SettingsError."""
    try:
        value, node = read_yaml(path, _MAX_FILE_BYTES)
    except YamlFileError as exc:
        remedy = {
            FileTrouble.UNREADABLE: "; give the path of a configuration file",
            FileTrouble.TOO_LARGE: "; is it the right file?",
        }
        raise SettingsError(f"{exc}{remedy.get(exc.trouble, '')}") from None
    try:
        stated = _read({} if value is None else value)
    except ScenarioError as exc:
        raise SettingsError(f"{path}:{line_of(node, exc.path)}: {exc}") from None
    for name in _PATHS:
        if name in stated:
            stated[name] = str(Path(path).parent / stated[name])
    return stated


def _read(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ScenarioError("", "expected settings by name, as in `port: 8890`")
    stated: dict[str, Any] = {}
    for name, given in value.items():
        setting = SETTINGS.get(name) if isinstance(name, str) else None
        if setting is None:
            raise ScenarioError(str(name), f"unknown setting{nearest(str(name), tuple(SETTINGS))}")
        try:
            stated[name] = setting.read(given)
        except ValueError as exc:
            raise ScenarioError(name, f"{given!r:.80} is impossible; give {exc}") from None
    return stated


def file_schema() -> dict[str, Any]:
    """The JSON Schema of a configuration file, made from the table that reads one."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration file of the provider simulator",
        "type": "object",
        "properties": {
            name: {"description": setting.says, **setting.schema} for name, setting in SETTINGS.items()
        },
        "additionalProperties": False,
    }
