"""Every key of the target file does something: it is converted, and what it becomes is used."""

from __future__ import annotations

import ast
import dataclasses
import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from tests.core.running import ROOT
from weighbridge.evidence import RunFacts
from weighbridge.target import Balance, Hook, Principal, Surface, Target
from weighbridge.target_file import _validator
from weighbridge.target_parts import convert

SCHEMA: dict[str, Any] = json.loads((ROOT / "spec" / "schemas" / "target.schema.json").read_text("utf-8"))
Path_ = tuple[str, ...]
#: Where schemas leave values open: something that fits, by title.
_VALUES: dict[str, Any] = {"URL": "http://127.0.0.1:9/v1", "Simulator": "http://127.0.0.1:9"}
_BY_PATTERN = {r"^\$": "$.a", r"^(timeout|reset|connect)$": "timeout", r"^[0-9]+(\.[0-9]+)?$": "5"}


class Recorded(dict[str, Any]):
    """A mapping that notes which of its keys are read."""

    def __init__(self, path: Path_, seen: set[Path_], content: dict[str, Any]) -> None:
        super().__init__(content)
        self.path, self.seen = path, seen

    def _note(self, *keys: Any) -> None:
        self.seen |= {(*self.path, str(key)) for key in keys if super(Recorded, self).__contains__(key)}

    def __getitem__(self, key: str) -> Any:
        self._note(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self._note(key)
        return super().get(key, default)

    def __iter__(self) -> Iterator[str]:
        """Makes `dict(...)` and `**` read key by key rather than copy the memory."""
        return super().__iter__()

    def items(self) -> Any:
        self._note(*self)
        return super().items()

    def values(self) -> Any:
        self._note(*self)
        return super().values()


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with its reference followed."""
    if "$ref" not in schema:
        return schema
    return {**SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], **schema}


def example(schema: dict[str, Any], path: Path_, seen: set[Path_], turn: int) -> Any:
    """A value with every key of its schema; of keys that exclude each other the one whose turn it is."""
    schema = resolved(schema)
    if "anyOf" in schema:
        return example(schema["anyOf"][turn % len(schema["anyOf"])], path, seen, turn)
    if "enum" in schema:
        return schema["enum"][0]
    if "properties" in schema or "additionalProperties" in schema:
        known = dict(schema.get("properties", {}))
        exclusive = [one["required"][0] for one in schema.get("oneOf", ())]
        exclusive = list(known) if schema.get("maxProperties") == 1 else exclusive
        known = {
            name: item
            for name, item in known.items()
            if name not in exclusive or name == exclusive[turn % len(exclusive)]
        }
        if isinstance(more := schema.get("additionalProperties"), dict):
            known["some"] = more
        content = {name: example(item, (*path, name), seen, turn) for name, item in known.items()}
        return Recorded(path, seen, content)
    kind = schema.get("type", "object")
    if kind == "array":
        return [example(schema["items"], path, seen, turn)]
    kinds = [kind] if isinstance(kind, str) else kind
    if "string" in kinds:
        pattern = schema.get("pattern", "")
        default = "http://127.0.0.1:9" if schema.get("title") in {"GET", "POST", "PUT", "DELETE"} else "2s"
        return _VALUES.get(schema.get("title", ""), _BY_PATTERN.get(pattern, default))
    if "boolean" in kinds:
        return True
    return {} if "object" in kinds else schema.get("minimum", 1) or 1


def keys_of(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """All places of a document."""
    if isinstance(value, dict):
        for name in list(value):
            yield (*path, name)
            yield from keys_of(dict.__getitem__(value, name), (*path, name))


def plain(value: Any) -> Any:
    """A copy whose reading is not noted."""
    if isinstance(value, dict):
        return {name: plain(dict.__getitem__(value, name)) for name in list(value)}
    return [plain(item) for item in value] if isinstance(value, list) else value


def test_every_key_of_the_schema_is_converted() -> None:
    seen: set[Path_] = set()
    written: set[Path_] = set()
    for turn in range(4):
        document = example(SCHEMA, (), seen, turn)
        # Actions are for all surfaces or for each; a document shows one way at a time.
        for holder in (document["accounts"], *document["hooks"].values()):
            alone = ("command", "http", "pick") if turn % 2 else ("chat", "messages", "tasks", "aimlapi")
            for name in [
                name for name in list(holder) if name not in alone or (turn == 1 and name == "http")
            ]:
                dict.__delitem__(holder, name)
            if turn == 3:
                dict.__delitem__(holder, "command")
        assert [error.message for error in _validator().iter_errors(plain(document))] == []
        seen.clear()
        convert(document, "some.yaml")
        found = set(keys_of(document))
        assert sorted(".".join(path) for path in found - seen) == []
        written |= found
    assert len(written) > 200


def test_a_key_that_nobody_reads_would_be_noticed() -> None:
    seen: set[Path_] = set()
    document = example(SCHEMA, (), seen, 0)
    dict.__setitem__(document, "cache_windows", "5m")
    for holder in (document["accounts"], *document["hooks"].values()):
        for name in ("command", "http", "pick"):
            dict.__delitem__(holder, name)
    convert(document, "some.yaml")
    assert set(keys_of(document)) - seen == {("cache_windows",)}


@cache
def attributes() -> frozenset[str]:
    """The names of all attributes that the package reads, the conversion itself left out."""
    own = {"target.py", "target_parts.py", "target_file.py"}
    files = [path for path in (ROOT / "weighbridge").rglob("*.py") if path.name not in own]
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    return frozenset(node.attr for node in nodes if isinstance(node, ast.Attribute))


@pytest.mark.parametrize("kind", [Target, Surface, Principal, Hook, Balance, RunFacts])
def test_what_a_key_becomes_is_used(kind: Any) -> None:
    # The values of variables are read by Target.secrets; limits stand in records for those who read them.
    inside = {"variables", "limits"}
    names = {field.name for field in dataclasses.fields(kind)} - inside
    assert names - attributes() == set()
