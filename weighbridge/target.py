"""The target file: one YAML document that says what a deployment is and what it lets us see.

Parsed once, at the border, into frozen values. Anything wrong is one `TargetFileError` that names the
file, the place and the remedy. The schema is `spec/schemas/target.schema.json`; its checks run first,
so the code below only converts.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from yaml.composer import ComposerError

from weighbridge.errors import TargetFileError, UsageError, nearest
from weighbridge.locate import folder
from weighbridge.money import pico_from_usd, pico_per_token

_VARIABLE = re.compile(r"\$\{([A-Z_][A-Z0-9_]*)(?::-([^}]*))?\}")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)\Z")
#: What no header can carry: control characters (a line break ends it), and what is not latin-1.
_NOT_IN_HEADER = re.compile(r"[\x00-\x1f\x7f]|[^\x00-\xff]")
_NOT_IN_URL = re.compile(r"[^\x21-\x7e]")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}

#: Where each surface puts its main POST, below the surface's URL.
CHAT_PATH = "/chat/completions"
MESSAGES_PATH = "/v1/messages"

#: What we allow ourselves against a target that declares no limit.
DEFAULT_REQUESTS_PER_SECOND = 5.0
DEFAULT_IN_FLIGHT = 4


@dataclass(frozen=True, slots=True)
class Surface:
    """One API of the deployment. `url` ends in `/v1` for chat and is the bare root for messages."""

    name: str
    url: str
    auth: str = "bearer"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Principal:
    """A credential with a role on a surface.

    Attributes:
        ids: what hooks may need beside the key: `account`, `key_id`, ...
    """

    surface: str
    role: str
    key: str
    requests_per_second: float = DEFAULT_REQUESTS_PER_SECOND
    in_flight: int = DEFAULT_IN_FLIGHT
    ids: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """`surface.role`, as in the target file."""
        return f"{self.surface}.{self.role}"


@dataclass(frozen=True, slots=True)
class Hook:
    """How to read or steer something: an HTTP request template or a command, and what to pick from its JSON."""

    method: str = ""
    url: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: str | None = None
    command: str | None = None
    pick: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Balance:
    """How an account's money is read.

    Attributes:
        settle: seconds within which a charge becomes visible.
        resolution: smallest visible change, in pico-dollars or credits.
    """

    hook: Hook
    unit: str
    settle: float = 2.0
    resolution: int = 1


@dataclass(frozen=True)
class Target:
    """A deployment, as its file describes it.

    Attributes:
        variables: values of the variables in the file whose names say that they are secret.
    """

    name: str
    profiles: tuple[str, ...]
    surfaces: Mapping[str, Surface]
    principals: Mapping[str, Principal]
    models: Mapping[str, str]
    rates: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    task_prices: Mapping[str, int] = field(default_factory=dict)
    task_price_per: Mapping[str, str] = field(default_factory=dict)
    balance: Mapping[str, Balance] = field(default_factory=dict)
    accounts: Mapping[str, Hook] = field(default_factory=dict)
    hooks: Mapping[tuple[str, str], Hook] = field(default_factory=dict)
    simulator: str | None = None
    upstream_timeout: float | None = None
    impatient_group: str | None = None
    unreachable_group: str | None = None
    features: Mapping[str, bool] = field(default_factory=dict)
    groups: Mapping[str, float | None] = field(default_factory=dict)
    assets: Mapping[str, str] = field(default_factory=dict)
    retry_policy: str = ""
    usage: str | None = None
    dialects: Mapping[str, str] = field(default_factory=dict)
    max_output: tuple[str, int] | None = None
    credit_usd: int | None = None
    timeouts: Mapping[str, float] = field(default_factory=dict)
    verify_tls: bool = True
    ca_file: str | None = None
    identity: Mapping[str, str] = field(default_factory=dict)
    place: str = ""
    variables: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def by_options(self) -> bool:
        """Whether a URL on the command line named it, rather than a target file."""
        return "://" in self.place

    def uses_commands(self) -> list[str]:
        """The names of hooks that run a command on this machine."""
        hooks = {f"accounts.{name}": hook for name, hook in self.accounts.items()}
        hooks |= {f"hooks.{what}.{name}": hook for (what, name), hook in self.hooks.items()}
        hooks |= {f"balance.{name}": balance.hook for name, balance in self.balance.items()}
        return sorted(name for name, hook in hooks.items() if hook.command)

    def secrets(self) -> frozenset[str]:
        """Every secret of the file, so that evidence can be redacted when it is written."""
        keys = {principal.key for principal in self.principals.values()}
        hooks = [*self.accounts.values(), *self.hooks.values(), *(b.hook for b in self.balance.values())]
        headers = [pair for hook in hooks for pair in hook.headers]
        headers += [pair for surface in self.surfaces.values() for pair in surface.headers]
        keys |= {value.rpartition(" ")[2] for name, value in headers if _is_secret(name)}
        keys |= {value for name, value in headers if "cookie" in name.lower()} | self.variables
        return frozenset(key for key in keys if len(key) >= 4)


def _is_secret(header: str) -> bool:
    return any(word in header.lower() for word in ("auth", "key", "token", "secret", "cookie"))


@cache
def _validator() -> Draft202012Validator:
    schema = json.loads((folder("spec") / "schemas" / "target.schema.json").read_text(encoding="utf-8"))
    return Draft202012Validator(schema)


def _place(path: str, error: ValidationError) -> str:
    inside = ".".join(str(part) for part in error.absolute_path)
    return f"{path}, {inside}" if inside else path


def _explain(path: str, error: ValidationError) -> TargetFileError:
    """A schema error as one sentence with the nearest known name."""
    if error.validator == "additionalProperties" and isinstance(error.schema, dict):
        known = list(error.schema.get("properties", {}))
        unknown = sorted(set(cast("dict[str, Any]", error.instance)) - set(known))
        names = ", ".join(repr(name) for name in unknown)
        return TargetFileError(
            f"{_place(path, error)}: unknown key {names}{nearest(unknown[0], known)} (known here: {', '.join(sorted(known))})"
        )
    if error.validator == "required":
        return TargetFileError(f"{_place(path, error)}: {error.message}; add it")
    return TargetFileError(f"{_place(path, error)}: {error.message}")


def _expand(value: Any, path: str, place: str, variables: Mapping[str, str]) -> Any:
    """`${VAR}` and `${VAR:-default}` in every string."""
    if isinstance(value, dict):
        return {
            key: _expand(item, path, f"{place}.{key}" if place else str(key), variables)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_expand(item, path, f"{place}.{index}", variables) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def one(match: re.Match[str]) -> str:
        found = variables.get(match[1], match[2])
        if found is None:
            raise TargetFileError(
                f"{path}, {place}: the environment has no variable {match[1]}; export it first"
            )
        return found

    return _VARIABLE.sub(one, value)


def _refuse_literal_secrets(document: Mapping[str, Any], path: str) -> None:
    for name, principal in (document.get("principals") or {}).items():
        if isinstance(principal, dict) and "${" not in str(principal.get("key", "${")):
            raise TargetFileError(
                f"{path}, principals.{name}.key: a key stands in the file itself; "
                f"put it into an environment variable and write ${{{name.replace('.', '_').upper()}_KEY}}"
            )


def seconds(text: str | float) -> float:
    """A duration such as `250ms`, `2s`, `5m`, or a plain number of seconds.

    Raises:
        ValueError: the text is none of these.
    """
    if isinstance(text, int | float):
        return float(text)
    match = _DURATION.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration; write 250ms, 2s or 5m")
    return float(match[1]) * _UNITS[match[2]]


def _text_keys(value: Any) -> Any:
    """YAML reads a bare `on:` as true and `4:` as a number; keys of a target file are names."""
    if isinstance(value, dict):
        return {
            ("on" if key is True else "off" if key is False else str(key)): _text_keys(item)
            for key, item in value.items()
        }
    return [_text_keys(item) for item in value] if isinstance(value, list) else value


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping: the first value would be lost without a word."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise ComposerError(
                        None, None, f"the key {key.value!r} stands here twice", key.start_mark
                    )
                seen.add(key.value)
        return node


def load(path: Path, variables: Mapping[str, str] | None = None) -> Target:
    """Read a target file; `variables` stand in for the environment.

    Raises:
        TargetFileError: unreadable, no YAML, unknown or missing keys, an unset variable, a literal secret.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise TargetFileError(f"the target file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TargetFileError(f"the target file {path} is not UTF-8 text") from error
    try:
        document = _text_keys(yaml.load(text, _Loader))  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise TargetFileError(
            f"{path}{where}: not valid YAML: {problem}; complete or correct that line"
        ) from error
    except RecursionError as error:
        raise TargetFileError(
            f"{path}: not valid YAML: nested without end; write a mapping that does not contain itself"
        ) from error
    except ValueError as error:
        raise TargetFileError(f"{path}: not valid YAML: {error}; correct or quote that value") from error
    if not isinstance(document, dict):
        raise TargetFileError(
            f"{path}: a target file is a mapping that begins with `name:`; see docs/target-file.md"
        )
    return from_document(document, str(path), os.environ if variables is None else variables)


def from_document(document: Mapping[str, Any], path: str, variables: Mapping[str, str]) -> Target:
    """A target from parsed YAML; `path` is used in messages only.

    Raises:
        TargetFileError: as for `load`.
    """
    errors = sorted(
        _validator().iter_errors(document), key=lambda e: (len(e.absolute_path), str(e.absolute_path))
    )
    if errors:
        raise _explain(path, errors[0])
    _refuse_literal_secrets(document, path)
    try:
        target = _convert(_expand(document, path, "", variables), path)
    except ValueError as error:
        raise TargetFileError(f"{path}: {error}") from error
    return replace(target, variables=_secret_values(document, variables))


_SECRET_WORDS = frozenset({"KEY", "TOKEN", "SECRET", "PASSWORD", "COOKIE", "CREDENTIAL", "AUTH"})


def _secret_values(document: Mapping[str, Any], variables: Mapping[str, str]) -> frozenset[str]:
    """What the file's variables stand for whose names hold a word such as KEY or TOKEN."""
    used = _VARIABLE.findall(json.dumps(document, ensure_ascii=False))
    return frozenset(
        variables.get(name, default) for name, default in used if _SECRET_WORDS & set(name.split("_"))
    )


def _pairs(mapping: Mapping[str, Any] | None) -> tuple[tuple[str, str], ...]:
    return tuple((str(key), str(value)) for key, value in (mapping or {}).items())


def _hook(raw: Mapping[str, Any]) -> Hook:
    if "command" in raw:
        return Hook(command=raw["command"], pick=_pairs(raw.get("pick")))
    http = raw["http"]
    method = next(name for name in ("get", "post", "put", "delete") if name in http)
    body = json.dumps(http["body"]) if "body" in http else None
    pick = dict(http.get("pick") or {})
    pick |= {name: http[name] for name in ("json", "key", "account") if name in http}
    return Hook(method.upper(), http[method], _pairs(http.get("headers")), body, None, _pairs(pick))


def _by_surface(raw: Mapping[str, Any] | None, surfaces: Mapping[str, Surface]) -> dict[str, Hook]:
    """One action for all surfaces, or one for each."""
    if not raw:
        return {}
    if "command" in raw or "http" in raw:
        return dict.fromkeys(surfaces, _hook(raw))
    return {name: _hook(item) for name, item in raw.items()}


def url_problem(url: str) -> str | None:
    """What is wrong with an http(s) URL, as the end of a sentence, or None if calls can be sent to it."""
    if _NOT_IN_URL.search(url):
        return "has a space or a character beyond ASCII; percent-encode it (a host name: as xn--...)"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"is no URL ({error}); write http://host:port/v1"
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return "is no http(s) URL; write http://host:port/v1"
    if port == 0:
        return "has the port 0; write one from 1 to 65535"
    try:
        parts.hostname.encode("idna")
    except UnicodeError:
        return "has a host name with an empty part or one of more than 63 characters; correct it"
    return None


def key_problem(key: str) -> str | None:
    """Why a key cannot be sent in a header, as the end of a sentence that does not tell it, or None."""
    if _NOT_IN_HEADER.search(key):
        return "has a line break, a control character or one beyond latin-1; no header can carry it, so correct the key"
    return None


def _surface(name: str, raw: Mapping[str, Any], shared: tuple[tuple[str, str], ...], path: str) -> Surface:
    url = str(raw["url"]).rstrip("/")
    if problem := url_problem(url):
        raise TargetFileError(f"{path}, surfaces.{name}.url: {raw['url']!r} {problem}")
    headers = shared + _pairs(raw.get("headers"))
    for header, value in headers:
        if _NOT_IN_HEADER.search(header + value):
            raise TargetFileError(
                f"{path}, the header {header!r} of surfaces.{name} has a line break, a control character or "
                "one beyond latin-1; correct it"
            )
    return Surface(name, url, raw.get("auth", "bearer"), headers)


def _beside(path: str, file: str | None) -> str | None:
    """A file that a target file names: relative to it."""
    return None if file is None else str(Path(path).parent / file)


def _simulator(raw: Mapping[str, Any], path: str) -> str | None:
    url = str(raw.get("simulator") or "").rstrip("/")
    if url and (problem := url_problem(url)):
        raise TargetFileError(f"{path}, upstream.simulator: {url!r} {problem}")
    return url or None


def _convert(raw: Mapping[str, Any], path: str) -> Target:
    shared = _pairs(raw.get("headers"))
    surfaces = {name: _surface(name, item, shared, path) for name, item in raw["surfaces"].items()}
    principals = {}
    for name, item in (raw.get("principals") or {}).items():
        surface, _, role = name.partition(".")
        if surface not in surfaces:
            raise TargetFileError(
                f"{path}, principals.{name}: there is no surface {surface!r}{nearest(surface, surfaces)}; name it <surface>.<role>"
            )
        if problem := key_problem(item["key"]):
            raise TargetFileError(f"{path}, principals.{name}.key: the key {problem}")
        principals[name] = Principal(
            surface,
            role,
            item["key"],
            float(item.get("requests_per_second", DEFAULT_REQUESTS_PER_SECOND)),
            int(item.get("in_flight", DEFAULT_IN_FLIGHT)),
            _pairs(item.get("ids")),
        )
    rates = {
        str(model): {
            kind: pico_from_usd(rate) if kind == "web_search" else pico_per_token(rate)
            for kind, rate in card.items()
        }
        for model, card in (raw.get("rates") or {}).items()
    }
    balance = {}
    for name, item in (raw.get("balance") or {}).items():
        unit = item.get("unit", "credits" if name == "tasks" else "usd")
        raw_resolution = item.get("resolution")
        if raw_resolution is None:
            resolution = 1
        else:
            resolution = int(raw_resolution) if unit == "credits" else pico_from_usd(raw_resolution)
        balance[name] = Balance(_hook(item), unit, seconds(item.get("settle", 2.0)), resolution)
    retry = raw.get("retry_policy") or {}
    return Target(
        name=str(raw["name"]),
        profiles=tuple(raw.get("profiles") or ()),
        surfaces=surfaces,
        principals=principals,
        models={role: str(model) for role, model in (raw.get("models") or {}).items()},
        rates=rates,
        task_prices={
            str(model): int(price["credits"] if isinstance(price, dict) else price)
            for model, price in (raw.get("task_prices") or {}).items()
        },
        task_price_per={
            str(model): str(price["per"])
            for model, price in (raw.get("task_prices") or {}).items()
            if isinstance(price, dict)
        },
        balance=balance,
        accounts=_by_surface(raw.get("accounts"), surfaces),
        hooks={
            (what, name): hook
            for what, item in (raw.get("hooks") or {}).items()
            for name, hook in _by_surface(item, surfaces).items()
        },
        simulator=_simulator(raw.get("upstream") or {}, path),
        upstream_timeout=seconds(raw["upstream"]["timeout"])
        if "timeout" in (raw.get("upstream") or {})
        else None,
        impatient_group=(raw.get("upstream") or {}).get("impatient_group"),
        unreachable_group=(raw.get("upstream") or {}).get("unreachable_group"),
        features={str(k): bool(v) for k, v in (raw.get("features") or {}).items()},
        groups={str(k): (v or {}).get("requests_per_second") for k, v in (raw.get("groups") or {}).items()},
        assets=dict(_pairs(raw.get("assets"))),
        retry_policy=f"{retry['max_attempts']} attempts" if retry else "",
        usage=raw.get("usage"),
        dialects=dict(_pairs((raw.get("upstream") or {}).get("dialects"))),
        max_output=next(((name, int(bound)) for name, bound in (raw.get("max_output") or {}).items()), None),
        credit_usd=None if "credit_usd" not in raw else pico_from_usd(raw["credit_usd"]),
        timeouts={name: seconds(value) for name, value in (raw.get("timeouts") or {}).items()},
        verify_tls=bool((raw.get("tls") or {}).get("verify", True)),
        ca_file=_beside(path, (raw.get("tls") or {}).get("ca_file")),
        identity=dict(_pairs(raw.get("identity"))),
        place=path,
    )


def from_url(url: str, *, key: str, model: str, profiles: tuple[str, ...] = ()) -> Target:
    """A target from a bare URL: the generic profile, one key, one model, nothing else known.

    Raises:
        UsageError: the URL is no http(s) URL, a chat URL does not end in `/v1`, or no header can carry the key.
    """
    anthropic = profiles == ("anthropic-messages",)
    surface, role = ("messages", "anthropic") if anthropic else ("chat", "openai")
    if problem := url_problem(url):
        raise UsageError(f"--target {url!r} {problem}")
    if problem := key_problem(key):
        raise UsageError(f"--target {url}: the key {problem}")
    parts = urlsplit(url)
    if not anthropic and not parts.path.rstrip("/").endswith("/v1"):
        raise UsageError(f"--target {url}: a chat URL ends in /v1; write {url.rstrip('/')}/v1")
    return Target(
        name=parts.netloc.rpartition("@")[2],
        profiles=profiles or ("openai-chat",),
        surfaces={surface: Surface(surface, url.rstrip("/"))},
        principals={f"{surface}.funded": Principal(surface, "funded", key)},
        models={role: model},
        place=url,
    )
