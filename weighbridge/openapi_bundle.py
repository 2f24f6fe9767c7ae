"""Joins the sources of the wire contract, one file a surface, into the one document that tools read.

`python -m weighbridge.openapi_bundle` writes `spec/openapi.yaml` from `spec/openapi/*.yaml`; with `--check`
it writes nothing and fails when the file is not what the sources give. A reference into another source
(`shared.yaml#/components/...`) becomes a reference within the whole; a name that two sources define is an error.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from weighbridge.locate import folder

SOURCES = ("chat.yaml", "messages.yaml", "tasks.yaml", "aimlapi.yaml", "shared.yaml")
_ORDER = ("securitySchemes", "headers", "responses", "schemas")
_HEAD = """\
# The wire contract of all surfaces as one OpenAPI 3.1 document.
# Written by `python -m weighbridge.openapi_bundle` from spec/openapi/; change the sources, not this file.
#
# Requests are generated from it, and answers are held against it. Extensions:
#   x-surface         the surface of a target file that a path belongs to
#   x-requirements    ids of the catalogue rows that an operation, a response or a schema is about
#   x-event-schema    schema of the JSON document in the data of each event of a text/event-stream answer
#   x-event-end       data of the event that ends a complete stream and is no JSON
#   x-generated-as    a narrower schema for generators, where a rule cannot be written as a schema (a tool result
#                     names an earlier call); false: a generator leaves the property out
"""


class BundleError(ValueError):
    """The sources do not fit together."""


def _local(reference: str, names: Mapping[str, Any]) -> str:
    place, mark, pointer = reference.partition("#")
    if place and place not in names:
        raise BundleError(f"{reference}: there is no source {place!r}; the sources are {', '.join(names)}")
    return mark + pointer


def _rewritten(node: Any, names: Mapping[str, Any]) -> Any:
    if isinstance(node, dict):
        return {
            key: _local(value, names) if key == "$ref" else _rewritten(value, names)
            for key, value in node.items()
        }
    return [_rewritten(value, names) for value in node] if isinstance(node, list) else node


def _add(whole: dict[str, Any], part: Mapping[str, Any], place: str) -> None:
    for name, value in part.items():
        if name in whole:
            raise BundleError(f"{place} {name!r} is defined by two sources; rename one")
        whole[name] = value


def bundle(root: Mapping[str, Any], sources: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The whole document.

    Args:
        root: what stands outside paths and components.
        sources: parsed sources by file name.

    Raises:
        BundleError: a name is defined twice, or a reference names no source.
    """
    paths: dict[str, Any] = {}
    components: dict[str, dict[str, Any]] = {kind: {} for kind in _ORDER}
    for source in sources.values():
        part = _rewritten(source, sources)
        _add(paths, part.get("paths", {}), "the path")
        for kind, named in part["components"].items():
            _add(components[kind], named, f"components/{kind}:")
    return {**root, "paths": paths, "components": components}


class _Dumper(yaml.SafeDumper):
    """Plain YAML: no aliases, text of several lines as a block."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def rendered(document: Mapping[str, Any]) -> str:
    """The document as the text of its file."""
    body = yaml.dump(dict(document), Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)
    return f"{_HEAD}\n{body}"


def from_sources(spec: Path) -> str:
    """The text that `openapi.yaml` is to have, from the sources in a specification folder."""

    def read(name: str) -> dict[str, Any]:
        parsed: dict[str, Any] = yaml.safe_load((spec / "openapi" / name).read_text(encoding="utf-8"))
        return parsed

    return rendered(bundle(read("root.yaml"), {name: read(name) for name in SOURCES}))


def main(arguments: Sequence[str]) -> int:
    """Write the file, or with `--check` say whether it is fresh."""
    spec = folder("spec")
    path, text = spec / "openapi.yaml", from_sources(spec)
    if "--check" in arguments:
        if path.read_text(encoding="utf-8") == text:
            return 0
        sys.stderr.write(f"{path} is not what its sources give; run python -m weighbridge.openapi_bundle\n")
        return 1
    path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
