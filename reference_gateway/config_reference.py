"""The configuration's reference as a Markdown table, from its published schema."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

SCHEMA_FILE: Final = Path(__file__).with_name("config.schema.json")


def schema() -> dict[str, Any]:
    """The JSON Schema of a configuration."""
    value: dict[str, Any] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    return value


def reference() -> str:
    """Every key with its meaning and default; `<name>` stands for a name of your choice, a star for a required key."""
    lines = ["| key | meaning | default |", "|---|---|---|"]
    return "\n".join([*lines, *_rows(schema(), "")]) + "\n"


def _rows(node: dict[str, Any], path: str) -> Iterator[str]:
    required = set(node.get("required", ()))
    for name, inner in node.get("properties", {}).items():
        place = f"{path}{name}"
        default = f"`{json.dumps(inner['default'])}`" if "default" in inner else ""
        star = " *" if name in required else ""
        yield f"| `{place}`{star} | {inner.get('description', '')} | {default} |"
        named = inner.get("additionalProperties")
        if isinstance(named, dict):
            yield from _rows(named, f"{place}.<name>.")
        yield from _rows(inner, f"{place}.")
