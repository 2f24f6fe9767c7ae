"""The wire contract for generators: one operation of `spec/openapi.yaml`, as Schemathesis wants it.

The contract names each vendor's own hosts. A target file names the URL of a surface, which for some surfaces
is a host and for others ends in /v1 or /api/v1; `for_surface` puts the operations of a surface on that URL.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import yaml

from weighbridge.errors import HarnessError
from weighbridge.locate import folder

Document = dict[str, Any]


def _item_schema(chunk: Any) -> Document:
    """One server-sent event whose data is the terminator or one JSON chunk."""
    json_data = {"type": "string", "contentMediaType": "application/json", "contentSchema": chunk}
    return {
        "type": "object",
        "required": ["data"],
        "properties": {"data": {"anyOf": [{"const": "[DONE]"}, json_data]}},
    }


def _for_generators(node: Any) -> Any:
    """Narrower schemas for what is generated, and one schema for each event of a stream.

    `x-event-schema` becomes `itemSchema`, a word that validators of 3.1 refuse and Schemathesis reads. It
    stands for the `schema` beside it, which describes the stream as text.
    """
    if isinstance(node, list):
        return [_for_generators(item) for item in node]
    if not isinstance(node, dict):
        return node
    if isinstance(node.get("x-generated-as"), dict):
        return _for_generators(node["x-generated-as"])
    if "x-event-schema" in node:
        kept = {key: item for key, item in node.items() if key not in {"x-event-schema", "schema"}}
        return {**_for_generators(kept), "itemSchema": _item_schema(_for_generators(node["x-event-schema"]))}
    return {key: _for_generators(item) for key, item in node.items() if not _left_out(item)}


def _left_out(item: Any) -> bool:
    return isinstance(item, dict) and item.get("x-generated-as") is False


@cache
def _read(name: str) -> Document:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = (folder("spec") / name).read_text(encoding="utf-8")
    loaded: Document = yaml.load(text, Loader=loader)  # noqa: S506 - both loaders are safe ones
    return loaded


@cache
def _narrowed() -> Document:
    narrowed: Document = _for_generators(_read("openapi.yaml"))
    return narrowed


def surface_urls() -> Mapping[str, str]:
    """The documented URL of each surface, in the form in which a target file writes it."""
    vendors = _read("models.yaml")["vendors"].values()
    return {surface: url for vendor in vendors for surface, url in vendor["surfaces"].items()}


def for_surface(surface: str, url: str) -> Document:
    """The description of one surface's operations, placed on a target's URL of that surface.

    Args:
        surface: `chat`, `messages`, `tasks` or `aimlapi`.
        url: as the target file has it, such as http://127.0.0.1:8080/v1 for chat.

    Raises:
        HarnessError: a path of the description does not belong to the documented URL of its surface.
    """
    document = _narrowed()
    documented = surface_urls()[surface].rstrip("/")
    paths: Document = {}
    for path, item in document["paths"].items():
        if item["x-surface"] == surface:
            whole = item["servers"][0]["url"].rstrip("/") + path
            if not whole.startswith(f"{documented}/"):
                raise HarnessError(f"spec/openapi.yaml: {whole} is no address of {surface}, {documented}")
            rest = {key: value for key, value in item.items() if key != "servers"}
            paths[whole.removeprefix(documented)] = rest
    return {**document, "servers": [{"url": url.rstrip("/")}], "paths": paths}


def request_schema(surface: str, path: str) -> Document:
    """The schema of the body that an operation of a surface takes, as the contract has it: not narrowed for generators.

    Args:
        surface: as for `for_surface`.
        path: of the operation, below the surface's URL.

    Raises:
        HarnessError: the surface has no such operation with a body.
    """
    document = _read("openapi.yaml")
    documented = surface_urls()[surface].rstrip("/")
    for below, item in document["paths"].items():
        whole = item["servers"][0]["url"].rstrip("/") + below
        if item["x-surface"] == surface and whole.removeprefix(documented) == path and "post" in item:
            schema = item["post"]["requestBody"]["content"]["application/json"]["schema"]
            return {**schema, "components": document["components"]}
    raise HarnessError(f"spec/openapi.yaml: {surface} has no operation {path} that takes a body")


def for_models(document: Document, models: frozenset[str]) -> Document:
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

    result: Document = cut(document)
    return result
