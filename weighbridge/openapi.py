"""The wire contract for generators: one surface of `spec/openapi.yaml`, as Schemathesis wants it."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml

from weighbridge.locate import folder


def _item_schema(chunk: Any) -> dict[str, Any]:
    """One server-sent event whose data is the terminator or one JSON chunk."""
    json_data = {"type": "string", "contentMediaType": "application/json", "contentSchema": chunk}
    return {
        "type": "object",
        "required": ["data"],
        "properties": {"data": {"anyOf": [{"const": "[DONE]"}, json_data]}},
    }


def _with_item_schema(node: Any) -> Any:
    """`x-event-schema` becomes `itemSchema`, a word that validators of 3.1 refuse and Schemathesis reads."""
    if isinstance(node, dict):
        return {
            "itemSchema" if key == "x-event-schema" else key: _item_schema(item)
            if key == "x-event-schema"
            else _with_item_schema(item)
            for key, item in node.items()
        }
    if isinstance(node, list):
        return [_with_item_schema(item) for item in node]
    return node


@cache
def _document() -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = (folder("spec") / "openapi.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.load(text, Loader=loader)  # noqa: S506 - both loaders are safe ones
    return loaded


def only(path: str) -> dict[str, Any]:
    """The description with a single path, ready for Schemathesis."""
    document = _document()
    narrowed: dict[str, Any] = _with_item_schema({**document, "paths": {path: document["paths"][path]}})
    return narrowed


def for_models(document: dict[str, Any], models: frozenset[str]) -> dict[str, Any]:
    """The description with its model enums cut to what the target serves; unchanged where none is left."""

    def cut(node: Any, name: str = "") -> Any:
        if isinstance(node, dict):
            if name == "model" and isinstance(node.get("enum"), list):
                kept = [item for item in node["enum"] if item in models]
                return {**node, "enum": kept or node["enum"]}
            return {key: cut(item, key) for key, item in node.items()}
        if isinstance(node, list):
            return [cut(item) for item in node]
        return node

    result: dict[str, Any] = cut(document)
    return result
