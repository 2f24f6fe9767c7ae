"""Reads a configuration from YAML or from plain values. Every refusal names the key, the cause and the remedy."""

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from reference_gateway.config import (
    DEFAULT_GROUP,
    Address,
    AimlapiService,
    Channel,
    ChatModel,
    Dialect,
    GatewayConfig,
    Group,
    HostMode,
    Limits,
    Listen,
    LogSettings,
    MediaProvider,
    TracingSettings,
)
from reference_gateway.config_models import aimlapi_model, chat_model, money, task_model
from reference_gateway.config_section import REQUIRED, ConfigError, Section, nearest
from reference_gateway.money import pico_from_usd

_ANY_LOOPBACK = "127.0.0.1:0"
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SURFACES = ("chat", "tasks", "aimlapi", "operator")
_LEVELS = ("debug", "info", "warning", "error")
_FORMATS = ("json", "text")


def load_config(path: str | Path, environment: Mapping[str, str] | None = None) -> GatewayConfig:
    """Read a YAML file; `ConfigError` when it is missing, not YAML or not a valid configuration.

    `${NAME}` in any text stands for a variable of the environment, which is where secrets belong.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); give the path of a YAML file"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text; save it as UTF-8") from error
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: is not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must hold a mapping of configuration keys")
    return parse_config(with_environment(values, os.environ if environment is None else environment))


def with_environment(value: Any, environment: Mapping[str, str], place: str = "") -> Any:
    """The same values with every `${NAME}` replaced; `ConfigError` for a variable that is not set."""
    if isinstance(value, dict):
        return {
            key: with_environment(inner, environment, f"{place}.{key}".lstrip("."))
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [
            with_environment(inner, environment, f"{place}[{index}]") for index, inner in enumerate(value)
        ]
    if not isinstance(value, str):
        return value

    def variable(match: re.Match[str]) -> str:
        found = environment.get(match[1])
        if found is None:
            raise ConfigError(
                f"{place}: the environment variable {match[1]} is not set"
                f"{nearest(match[1], environment)}; set it, or write the value itself"
            )
        return found

    return _VARIABLE.sub(variable, value)


def parse_config(values: Mapping[str, Any]) -> GatewayConfig:
    """Check plain values, as YAML gives them, and freeze them."""
    top = Section("", values)
    channels = {name: _channel(section) for name, section in top.sections("channels")}
    groups = {name: _group(section) for name, section in top.sections("groups")}
    models = {name: chat_model(section) for name, section in top.sections("models")}
    task_models = {name: task_model(section) for name, section in top.sections("task_models")}
    listen = top.section("listen", {})
    aimlapi = _aimlapi(top.section("aimlapi", {}))
    database = top.take("database", str, None)
    config = GatewayConfig(
        listen=Listen(
            chat=_address(listen, "chat"),
            tasks=_address(listen, "tasks"),
            operator=_address(listen, "operator"),
            aimlapi=_address(listen, "aimlapi"),
            shared=_host_mode(listen),
            metrics=_address(listen, "metrics") if listen.has("metrics") else None,
        ),
        database=database if _is_url(database) else None if database is None else Path(database),
        operator_token=top.take("operator_token", str, None),
        channels=channels,
        groups=groups,
        media=_media(top.section("media")),
        models=models,
        task_models=task_models,
        aimlapi=aimlapi,
        web_search_fee=money(top, "web_search_fee", pico_from_usd, "0"),
        task_rate_limit=top.whole("task_rate_limit", 10, least=1),
        upstream_timeout_s=top.seconds("upstream_timeout_s", 600.0),
        task_poll_interval_s=top.seconds("task_poll_interval_s", 1.0),
        task_timeout_s=top.seconds("task_timeout_s", 3600.0),
        public_tasks_url=_url(top, "public_tasks_url") if "public_tasks_url" in values else None,
        files=None if (files := top.take("files", str, None)) is None else Path(files),
        database_connections=top.whole("database_connections", 8, least=1),
        lease_s=top.seconds("lease_s", 10.0),
        drain_s=top.seconds("drain_s", 2.0),
        limits=_limits(top.section("limits", {})),
        log=_log_settings(top.section("log", {})),
        tracing=_tracing(top.section("tracing")) if top.has("tracing") else None,
    )
    for section in (top, listen):
        section.finish()
    _check_references(config)
    return config


def _check_references(config: GatewayConfig) -> None:
    if config.operator_token is not None and not config.operator_token:
        raise ConfigError(
            "operator_token: must not be empty; choose a long random text, or leave it out to close the operator API"
        )
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
            raise ConfigError(f"{place}.{model}: no such model{nearest(model, models)}")
        if channel not in channels:
            raise ConfigError(f"{place}.{model}: no such channel {channel!r}{nearest(channel, channels)}")


def _is_url(database: str | None) -> bool:
    if database is None or "://" not in database:
        return False
    if not database.startswith(("postgresql://", "postgres://")):
        raise ConfigError(
            f"database: {database.partition('://')[0]!r} is not known; give postgresql://... or the path of an SQLite file"
        )
    return True


def _address(section: Section, key: str) -> Address:
    text = section.take(key, str, _ANY_LOOPBACK)
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(
            f"{section.place(key)}: {text!r} is no address; write host:port, port 0 for a free one"
        )
    return Address(host.strip("[]") or "127.0.0.1", int(port))


def _host_mode(section: Section) -> HostMode | None:
    if not section.has("shared") and not section.has("hosts"):
        return None
    address = _address(section, "shared")
    hosts = section.section("hosts", {})
    names: dict[str, tuple[str, ...]] = {}
    owners: dict[str, str] = {}
    for surface in _SURFACES:
        listed = hosts.take(surface, list, [])
        for name in listed:
            if not isinstance(name, str) or not name or name != name.lower().rstrip(".") or ":" in name:
                raise ConfigError(
                    f"{hosts.place(surface)}: {name!r} is no host name; write it in lower case, without a port"
                )
            if name in owners:
                raise ConfigError(f"{hosts.place(surface)}: {name} belongs to {owners[name]} already")
            owners[name] = surface
        if listed:
            names[surface] = tuple(listed)
    hosts.finish()
    if not names:
        raise ConfigError(
            f"{section.place('hosts')}: is missing; name the hosts of each surface that {section.place('shared')} serves"
        )
    return HostMode(address, names)


def _media(section: Section) -> MediaProvider:
    media = MediaProvider(
        url=_url(section, "url"),
        key=section.take("key", str),
        result_bytes=section.whole("result_bytes", 1024 * 1024 * 1024, least=1),
        result_timeout_s=section.seconds("result_timeout_s", 600.0),
        private_networks=section.take("private_networks", bool, default=False),
    )
    section.finish()
    return media


def _limits(section: Section) -> Limits:
    usual = Limits()
    limits = Limits(
        body_bytes=section.whole("body_bytes", usual.body_bytes, least=1),
        header_bytes=section.whole("header_bytes", usual.header_bytes, least=256),
        headers=section.whole("headers", usual.headers, least=8),
        reply_bytes=section.whole("reply_bytes", usual.reply_bytes, least=1),
    )
    section.finish()
    return limits


def _log_settings(section: Section) -> LogSettings:
    usual = LogSettings()
    settings = LogSettings(
        section.one_of("level", _LEVELS, usual.level), section.one_of("format", _FORMATS, usual.format)
    )
    section.finish()
    return settings


def _tracing(section: Section) -> TracingSettings:
    usual = TracingSettings("")
    settings = TracingSettings(_url(section, "endpoint"), section.take("service", str, usual.service))
    section.finish()
    return settings


def _url(section: Section, key: str) -> str:
    text: str = section.take(key, str)
    if not text.startswith(("http://", "https://")):
        raise ConfigError(f"{section.place(key)}: {text!r} must be an http or https URL")
    return text.rstrip("/")


def _channel(section: Section) -> Channel:
    dialect = section.choice("dialect", Dialect)
    url = _url(section, "url")
    if (dialect is Dialect.OPENAI) is not url.endswith("/v1"):
        wanted = "end in /v1" if dialect is Dialect.OPENAI else "be the bare root, without /v1"
        raise ConfigError(f"{section.place('url')}: the URL of a channel of dialect {dialect} must {wanted}")
    silence = section.seconds("timeout_s", math.inf)
    channel = Channel(
        section.name, dialect, url, section.take("key", str), None if silence == math.inf else silence
    )
    section.finish()
    return channel


def _group(section: Section) -> Group:
    group = Group(section.name, _routes(section), section.whole("requests_per_second", None, least=1))
    section.finish()
    return group


def _routes(section: Section, default: Any = REQUIRED) -> dict[str, str]:
    routes = section.take("routes", dict, default)
    for model, channel in routes.items():
        if not isinstance(model, str) or not isinstance(channel, str):
            raise ConfigError(f"{section.place('routes')}: must map model names to channel names")
    return dict(routes)


def _aimlapi(section: Section) -> AimlapiService:
    service = AimlapiService(
        models={name: aimlapi_model(model) for name, model in section.sections("models", optional=True)},
        group=Group("aimlapi", _routes(section, {}), section.whole("requests_per_second", None, least=1)),
        concurrent_requests=section.whole("concurrent_requests", None, least=1),
    )
    section.finish()
    return service
