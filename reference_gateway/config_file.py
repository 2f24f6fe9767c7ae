"""Reads a configuration from YAML or from plain values. Every refusal names the key, the cause and the remedy."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml

from reference_gateway.config import (
    DEFAULT_GROUP,
    Address,
    AimlapiService,
    Channel,
    ChatModel,
    Dialect,
    FieldRule,
    GatewayConfig,
    Group,
    Listen,
    LongContext,
    MediaKind,
    MediaProvider,
    Rates,
    Surface,
    TaskModel,
)
from reference_gateway.money import MoneyError, pico_from_usd, pico_per_token

T = TypeVar("T")

_REQUIRED: Any = object()
_ANY_LOOPBACK = "127.0.0.1:0"
_ENDPOINTS = ("images", "videos", "audio", "humanize", "detect", "essay")
_FIELD_TYPES = ("string", "integer", "number", "boolean", "array", "object")


class ConfigError(ValueError):
    """The configuration cannot be used; the message says where and what to write instead."""


def load_config(path: str | Path) -> GatewayConfig:
    """Read a YAML file; `ConfigError` when it is missing, not YAML or not a valid configuration."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); give the path of a YAML file"
        ) from error
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must hold a mapping of configuration keys")
    return parse_config(values)


def parse_config(values: Mapping[str, Any]) -> GatewayConfig:
    """Check plain values, as YAML gives them, and freeze them."""
    top = _Section("", values)
    channels = {name: _channel(section) for name, section in top.sections("channels")}
    groups = {name: _group(section) for name, section in top.sections("groups")}
    models = {name: _chat_model(section) for name, section in top.sections("models")}
    task_models = {name: _task_model(section) for name, section in top.sections("task_models")}
    media = top.section("media")
    listen = top.section("listen", {})
    aimlapi = _aimlapi(top.section("aimlapi", {}))
    database = top.take("database", str, None)
    config = GatewayConfig(
        listen=Listen(
            chat=_address(listen, "chat"),
            tasks=_address(listen, "tasks"),
            operator=_address(listen, "operator"),
            aimlapi=_address(listen, "aimlapi"),
        ),
        database=database if _is_url(database) else None if database is None else Path(database),
        operator_token=top.take("operator_token", str),
        channels=channels,
        groups=groups,
        media=MediaProvider(url=_url(media, "url"), key=media.take("key", str)),
        models=models,
        task_models=task_models,
        aimlapi=aimlapi,
        web_search_fee=_money(top, "web_search_fee", pico_from_usd, "0"),
        task_rate_limit=top.whole("task_rate_limit", 10, least=1),
        upstream_timeout_s=top.seconds("upstream_timeout_s", 600.0),
        task_poll_interval_s=top.seconds("task_poll_interval_s", 1.0),
        task_timeout_s=top.seconds("task_timeout_s", 3600.0),
        public_tasks_url=_url(top, "public_tasks_url") if "public_tasks_url" in values else None,
        files=None if (files := top.take("files", str, None)) is None else Path(files),
        database_connections=top.whole("database_connections", 8, least=1),
        lease_s=top.seconds("lease_s", 5.0),
        drain_s=top.seconds("drain_s", 2.0),
    )
    for section in (top, media, listen):
        section.finish()
    _check_references(config)
    return config


def _check_references(config: GatewayConfig) -> None:
    if not config.operator_token:
        raise ConfigError("operator_token: must not be empty; choose a long random text")
    if isinstance(config.database, str) and config.files is None:
        raise ConfigError(
            "files: is missing; with PostgreSQL name the folder of result files, one for all workers and hosts"
        )
    if DEFAULT_GROUP not in config.groups:
        raise ConfigError("groups: a group named default is needed, because calls may omit their group")
    for group in config.groups.values():
        _check_routes(group, f"groups.{group.name}.routes", config.models, config.channels)
    aimlapi = config.aimlapi
    _check_routes(aimlapi.group, "aimlapi.routes", aimlapi.models, config.channels)
    for model in aimlapi.models:
        channel = aimlapi.group.routes.get(model)
        if channel is None:
            raise ConfigError(f"aimlapi.routes: there is no channel for {model}; add one")
        if config.channels[channel].dialect is not Dialect.ANTHROPIC:
            raise ConfigError(f"aimlapi.routes.{model}: channel {channel} must be of dialect anthropic")


def _check_routes(
    group: Group, place: str, models: Mapping[str, ChatModel], channels: Mapping[str, Channel]
) -> None:
    for model, channel in group.routes.items():
        if model not in models:
            raise ConfigError(f"{place}.{model}: no such model{_nearest(model, models)}")
        if channel not in channels:
            raise ConfigError(f"{place}.{model}: no such channel {channel!r}{_nearest(channel, channels)}")


def _is_url(database: str | None) -> bool:
    if database is None or "://" not in database:
        return False
    if not database.startswith(("postgresql://", "postgres://")):
        raise ConfigError(
            f"database: {database.partition('://')[0]!r} is not known; give postgresql://... or the path of an SQLite file"
        )
    return True


def _address(section: "_Section", key: str) -> Address:
    text = section.take(key, str, _ANY_LOOPBACK)
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise ConfigError(
            f"{section.place(key)}: {text!r} is no address; write host:port, port 0 for a free one"
        )
    return Address(host.strip("[]") or "127.0.0.1", int(port))


def _url(section: "_Section", key: str) -> str:
    text: str = section.take(key, str)
    if not text.startswith(("http://", "https://")):
        raise ConfigError(f"{section.place(key)}: {text!r} must be an http or https URL")
    return text.rstrip("/")


def _channel(section: "_Section") -> Channel:
    dialect = section.choice("dialect", Dialect)
    url = _url(section, "url")
    if (dialect is Dialect.OPENAI) is not url.endswith("/v1"):
        wanted = "end in /v1" if dialect is Dialect.OPENAI else "be the bare root, without /v1"
        raise ConfigError(f"{section.place('url')}: the URL of a channel of dialect {dialect} must {wanted}")
    channel = Channel(section.name, dialect, url, section.take("key", str))
    section.finish()
    return channel


def _group(section: "_Section") -> Group:
    group = Group(section.name, _routes(section), section.whole("requests_per_second", None, least=1))
    section.finish()
    return group


def _routes(section: "_Section", default: Any = _REQUIRED) -> dict[str, str]:
    routes = section.take("routes", dict, default)
    for model, channel in routes.items():
        if not isinstance(model, str) or not isinstance(channel, str):
            raise ConfigError(f"{section.place('routes')}: must map model names to channel names")
    return dict(routes)


def _aimlapi(section: "_Section") -> AimlapiService:
    service = AimlapiService(
        models={name: _aimlapi_model(model) for name, model in section.sections("models", optional=True)},
        group=Group("aimlapi", _routes(section, {}), section.whole("requests_per_second", None, least=1)),
        concurrent_requests=section.whole("concurrent_requests", None, least=1),
    )
    section.finish()
    return service


def _aimlapi_model(section: "_Section") -> ChatModel:
    written = section.section("rates")
    model = ChatModel(
        id=section.name,
        family=Dialect.ANTHROPIC,
        rates=_rates(written, "1", "1"),
        long_context=None,
        max_output=section.whole("max_output", 128_000, least=1),
        surfaces=frozenset({Surface.AIMLAPI}),
    )
    written.finish()
    section.finish()
    return model


def _chat_model(section: "_Section") -> ChatModel:
    written = section.section("rates")
    rates = _rates(written, "1", "1")
    long_context = None
    if section.has("long_context"):
        tier = section.section("long_context")
        factors = tier.take("input_factor", str), tier.take("output_factor", str)
        long_context = LongContext(tier.whole("above", _REQUIRED, least=1), _rates(written, *factors))
        tier.finish()
    written.finish()
    surfaces = section.take("surfaces", list, [Surface.CHAT.value])
    unknown = [name for name in surfaces if name not in {Surface.CHAT, Surface.MESSAGES}]
    if unknown or not surfaces:
        raise ConfigError(f"{section.place('surfaces')}: must list chat, messages or both, found {surfaces}")
    model = ChatModel(
        id=section.name,
        family=section.choice("family", Dialect),
        rates=rates,
        long_context=long_context,
        max_output=section.whole("max_output", 128_000, least=1),
        surfaces=frozenset(Surface(name) for name in surfaces),
    )
    section.finish()
    return model


def _rates(section: "_Section", input_factor: str, output_factor: str) -> Rates:
    def rate(key: str, factor: str) -> int:
        return _money(section, key, lambda text: pico_per_token(text, factor))

    def cache_rate(key: str) -> int | None:
        return rate(key, input_factor) if section.has(key) else None

    return Rates(
        input=rate("input", input_factor),
        output=rate("output", output_factor),
        cache_read=cache_rate("cache_read"),
        cache_write=cache_rate("cache_write"),
    )


def _task_model(section: "_Section") -> TaskModel:
    endpoint = section.take("endpoint", str)
    if endpoint not in _ENDPOINTS:
        raise ConfigError(f"{section.place('endpoint')}: {endpoint!r} must be one of {', '.join(_ENDPOINTS)}")
    model = TaskModel(
        id=section.name,
        endpoint=endpoint,
        kind=section.choice("kind", MediaKind),
        required=tuple(section.take("required", list, [])),
        price=section.whole("price", _REQUIRED, least=0),
        price_per=section.take("price_per", str, None),
        fields={name: _field_rule(rule) for name, rule in section.sections("fields", optional=True)},
    )
    section.finish()
    return model


def _field_rule(section: "_Section") -> FieldRule:
    kind = section.take("type", str, None)
    if kind is not None and kind not in _FIELD_TYPES:
        raise ConfigError(f"{section.place('type')}: {kind!r} must be one of {', '.join(_FIELD_TYPES)}")
    rule = FieldRule(
        type=kind,
        enum=tuple(section.take("enum", list, [])),
        low=section.take("min", (int, float), None),
        high=section.take("max", (int, float), None),
        max_length=section.whole("max_length", None, least=0),
        max_items=section.whole("max_items", None, least=0),
        media=section.take("media", bool, default=False),
    )
    section.finish()
    return rule


def _money(section: "_Section", key: str, read: Callable[[str], int], default: str | None = None) -> int:
    text = section.take(key, str, _REQUIRED if default is None else default)
    try:
        return read(text)
    except MoneyError as error:
        raise ConfigError(f"{section.place(key)}: {error}") from error


def _nearest(name: str, known: Mapping[str, object]) -> str:
    close = get_close_matches(name, known, 1)
    return f"; did you mean {close[0]}?" if close else ""


class _Section:
    """One mapping of the configuration; it remembers what was read, so that unknown keys can be told."""

    def __init__(self, path: str, values: Any, name: str = "") -> None:
        if not isinstance(values, Mapping):
            raise ConfigError(f"{path}: must be a mapping")
        self.path = path
        self.name = name
        self._values = values
        self._read: set[str] = set()

    def place(self, key: str) -> str:
        """The dotted name of a key, for messages."""
        return f"{self.path}.{key}".lstrip(".")

    def has(self, key: str) -> bool:
        """Whether the key is written at all."""
        return key in self._values

    def take(self, key: str, kind: type | tuple[type, ...], default: Any = _REQUIRED) -> Any:
        """The value of a key, checked for its type. Decimal texts may be written as YAML integers."""
        self._read.add(key)
        value = self._values.get(key)
        if value is None:
            if default is _REQUIRED:
                raise ConfigError(f"{self.place(key)}: is missing")
            return default
        if kind is str and type(value) is int:
            return str(value)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            expected = kind.__name__ if isinstance(kind, type) else " or ".join(k.__name__ for k in kind)
            hint = "; put quotes around decimal amounts" if isinstance(value, float) else ""
            raise ConfigError(f"{self.place(key)}: must be {expected}, found {value!r}{hint}")
        return value

    def whole(self, key: str, default: Any, *, least: int) -> Any:
        """An integer of at least `least`."""
        value = self.take(key, int, default)
        if value is not None and value < least:
            raise ConfigError(f"{self.place(key)}: must be at least {least}, found {value}")
        return value

    def seconds(self, key: str, default: float) -> float:
        """A positive number of seconds."""
        value = float(self.take(key, (int, float), default))
        if value <= 0:
            raise ConfigError(f"{self.place(key)}: must be more than 0 seconds, found {value}")
        return value

    def choice(self, key: str, values: Callable[[str], T]) -> T:
        """A value of an enumeration."""
        text = self.take(key, str)
        try:
            return values(text)
        except ValueError as error:
            raise ConfigError(f"{self.place(key)}: {error}") from error

    def section(self, key: str, default: Any = _REQUIRED) -> "_Section":
        """A nested mapping."""
        return _Section(self.place(key), self.take(key, dict, default))

    def sections(self, key: str, *, optional: bool = False) -> list[tuple[str, "_Section"]]:
        """A mapping of names to mappings."""
        outer = self.take(key, dict, {} if optional else _REQUIRED)
        place = self.place(key)
        return [(str(name), _Section(f"{place}.{name}", inner, str(name))) for name, inner in outer.items()]

    def finish(self) -> None:
        """Refuse what nobody has read."""
        for key in self._values:
            if key not in self._read:
                known = dict.fromkeys(self._read)
                raise ConfigError(f"{self.place(str(key))}: is not a known key{_nearest(str(key), known)}")
