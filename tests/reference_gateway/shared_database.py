"""How gateways are configured that share one database: several workers, or several hosts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def write_configuration(folder: Path, database: str, simulator: str, **settings: Any) -> Path:
    """A configuration file for a gateway over this database and simulator; settings replace those of the same name."""
    values = {
        "operator_token": "operator-token",
        "database": database,
        "database_connections": 3,
        "files": str(folder / "files"),
        "lease_s": 30.0,
        "groups": {"default": {"routes": {"gpt-5.5": "openai"}}},
        "models": {"gpt-5.5": {"family": "openai", "rates": {"input": "5", "output": "30"}}},
        "task_models": {"gpt-image-2": {"endpoint": "images", "kind": "image", "price": 40}},
        "channels": {"openai": {"dialect": "openai", "url": f"{simulator}/v1", "key": "k"}},
        "media": {"url": simulator, "key": "k"},
        "task_poll_interval_s": 0.05,
        "task_rate_limit": 1000,
        **settings,
    }
    file = folder / "gateway.yaml"
    file.write_text(yaml.safe_dump(values))
    return file
