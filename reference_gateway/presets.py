"""A ready configuration: the models of reAPI and of the AI/ML API, with channels of your choice."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import yaml

from reference_gateway.config import DEFAULT_GROUP, GatewayConfig
from reference_gateway.config_file import parse_config


def reapi_config(
    *,
    openai_url: str,
    anthropic_url: str,
    media_url: str,
    upstream_key: str,
    operator_token: str | None,
    groups: Mapping[str, Any] | None = None,
    channels: Mapping[str, Any] | None = None,
    aimlapi: Mapping[str, Any] | None = None,
    **settings: Any,
) -> GatewayConfig:
    """Configure the documented models over one OpenAI, one Anthropic and one media upstream.

    `openai_url` ends in /v1, `anthropic_url` and `media_url` are bare roots. The channels are named `openai` and
    `anthropic`; further groups and channels, and any other key of the configuration file, may be added. `aimlapi` takes
    the keys of that section which shall differ: its limits, its routes.
    Raises `ConfigError`.
    """
    values: dict[str, Any] = yaml.safe_load(
        files("reference_gateway").joinpath("reapi.yaml").read_text("utf-8")
    )
    routes = {name: model["family"] for name, model in values["models"].items()}
    values |= {
        "operator_token": operator_token,
        "channels": {
            "openai": {"dialect": "openai", "url": openai_url, "key": upstream_key},
            "anthropic": {"dialect": "anthropic", "url": anthropic_url, "key": upstream_key},
            **(channels or {}),
        },
        "groups": {DEFAULT_GROUP: {"routes": routes}, **(groups or {})},
        "aimlapi": {
            **values["aimlapi"],
            "routes": dict.fromkeys(values["aimlapi"]["models"], "anthropic"),
            **(aimlapi or {}),
        },
        "media": {"url": media_url, "key": upstream_key},
        **settings,
    }
    return parse_config(values)
