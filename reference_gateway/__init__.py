"""The reference gateway: a complete LLM and media gateway, made to be right, so that others can be held against it.

Surfaces: the chat workspace (OpenAI and Anthropic formats, billed in dollars per token), the AI/ML API (chat that tells
the cost of every call), the task gateway (asynchronous media and text tasks, billed in whole credits) and an operator
API. Money lives in a double-entry ledger on SQLite or PostgreSQL.

`Gateway(config)` is an async context manager; `load_config` reads YAML, `reapi_config` is a ready configuration.
"""

import logging

from reference_gateway.components import Components
from reference_gateway.config import GatewayConfig
from reference_gateway.config_file import load_config, parse_config
from reference_gateway.config_section import ConfigError
from reference_gateway.gateway import Gateway, GatewayStartError
from reference_gateway.presets import reapi_config

# Without a handler of the application's own, warnings stay quiet instead of landing on somebody's terminal.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__all__ = [
    "Components",
    "ConfigError",
    "Gateway",
    "GatewayConfig",
    "GatewayStartError",
    "load_config",
    "parse_config",
    "reapi_config",
]
