"""A value that fits a JSON schema, for tool arguments and structured replies.

References are followed, `allOf` is merged, a union takes its first member, and strings fit their length, format and
pattern. What contradicts itself, or is nested beyond reason, gets the plainest value of its type.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from mock_upstreams.calls import Json
from mock_upstreams.patterns import matching

_MAX_DEPTH: Final = 12
_MAX_ITEMS: Final = 16
_MAX_TEXT: Final = 256
_MAX_TRIES: Final = 64
_MAX_PARTS: Final = 20_000
"""Values in one example: a schema that doubles at each level is cut off here."""

_FORMATS: Final = {
    "date": "2026-01-15",
    "date-time": "2026-01-15T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "person@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "hostname": "example.com",
}


def example(schema: Any) -> Any:
    """A value for `schema`; `{}` if that is no schema at all."""
    return _Maker(schema).make(schema, 0) if isinstance(schema, dict) else {}


class _Maker:
    """Makes the parts of one example; `root` is where references start."""

    def __init__(self, root: Json) -> None:
        self._root = root
        self._parts = 0

    def make(self, schema: Any, depth: int) -> Any:
        self._parts += 1
        if not isinstance(schema, dict) or depth > _MAX_DEPTH or self._parts > _MAX_PARTS:
            return {} if depth == 0 else None
        schema = self._plain(schema)
        if "const" in schema:
            return schema["const"]
        choices = schema.get("enum")
        if isinstance(choices, list) and choices:
            return choices[0]
        for union in ("anyOf", "oneOf"):
            options = schema.get(union)
            if isinstance(options, list) and options and isinstance(options[0], dict):
                return self.make({**{k: v for k, v in schema.items() if k != union}, **options[0]}, depth + 1)
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((item for item in kind if item != "null"), "null")
        if kind is None:
            kind = _implied(schema) or ("object" if depth == 0 else "string")
        maker = _MAKERS.get(kind) if isinstance(kind, str) else None
        return None if maker is None else maker(self, schema, depth)

    def _plain(self, schema: Json) -> Json:
        """The schema with its references followed and its `allOf` merged into it."""
        for _ in range(_MAX_DEPTH):
            if "$ref" in schema:
                found = self._resolved(schema["$ref"])
                schema = {**found, **{name: rule for name, rule in schema.items() if name != "$ref"}}
            elif isinstance(schema.get("allOf"), list):
                merged = {name: rule for name, rule in schema.items() if name != "allOf"}
                for part in schema["allOf"][:_MAX_ITEMS]:
                    merged = _merged(merged, part) if isinstance(part, dict) else merged
                schema = merged
            else:
                return schema
        return {name: rule for name, rule in schema.items() if name not in {"$ref", "allOf"}}

    def _resolved(self, reference: Any) -> Json:
        found: Any = self._root
        if not isinstance(reference, str) or not reference.startswith("#"):
            return {}
        for step in reference[1:].split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else {}


def _implied(schema: Json) -> str | None:
    """The type that the other rules of a schema speak of."""
    return next((kind for name, kind in _IMPLIED.items() if name in schema), None)


def _merged(one: Json, other: Json) -> Json:
    found = {**one, **other}
    for name in ("properties", "$defs"):
        if isinstance(one.get(name), dict) and isinstance(other.get(name), dict):
            found[name] = {**one[name], **other[name]}
    if isinstance(one.get("required"), list) and isinstance(other.get("required"), list):
        found["required"] = [*one["required"], *other["required"]]
    return found


def _object(maker: _Maker, schema: Json, depth: int) -> Json:
    properties = schema.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    required = schema.get("required")
    stated = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
    names = stated[:_MAX_TEXT] or list(properties)[:_MAX_ITEMS]
    return {name: maker.make(properties.get(name, {"type": "string"}), depth + 1) for name in names}


def _array(maker: _Maker, schema: Json, depth: int) -> list[Any]:
    least = int(min(max(_bound(schema, "minItems", 0), 0), _MAX_ITEMS))
    most = int(max(0, _bound(schema, "maxItems", _MAX_ITEMS)))
    firsts = schema.get("prefixItems")
    found = [
        maker.make(item, depth + 1) for item in (firsts if isinstance(firsts, list) else [])[:_MAX_ITEMS]
    ]
    items = schema.get("items")
    if isinstance(items, dict):
        wanted = max(least, 1 if not found else 0)
        rank = 0
        while len(found) < min(wanted, most) and rank < _MAX_TRIES:
            value = maker.make(_varied(maker, items, rank), depth + 1)
            if schema.get("uniqueItems") is not True or value not in found:
                found.append(value)
            rank += 1
    return found[:most]


def _varied(maker: _Maker, items: Json, rank: int) -> Json:
    """A schema whose example is the `rank`-th of several different ones."""
    if rank == 0:
        return items
    plain = maker._plain(items)  # noqa: SLF001 - one machine in two functions
    choices = plain.get("enum")
    if isinstance(choices, list) and choices:
        return {**plain, "enum": choices[rank % len(choices) :]}
    if plain.get("type") in ("integer", "number"):
        step = _bound(plain, "multipleOf", 1) or 1
        return {**plain, "minimum": _lowest(plain) + rank * step}
    if plain.get("type") == "string" and "pattern" not in plain and "format" not in plain:
        return {**plain, "const": f"{_string(maker, plain, 0)}{rank}"}
    return plain


def _string(maker: _Maker, schema: Json, depth: int) -> str:
    del maker, depth
    least = int(max(0, min(_bound(schema, "minLength", 0), _MAX_TEXT)))
    most = int(max(0, min(_bound(schema, "maxLength", _MAX_TEXT), _MAX_TEXT)))
    pattern = schema.get("pattern")
    if isinstance(pattern, str):
        found = matching(pattern, least)
        if found is not None and len(found) <= most:
            return found
    return _FORMATS.get(str(schema.get("format")), "example").ljust(least, "x")[:most]


def _lowest(schema: Json) -> float:
    """The least number that a schema allows, and that is a multiple as wanted."""
    step = _bound(schema, "multipleOf", 0)
    unit = step if step > 0 else 1 if schema.get("type") == "integer" else 0
    low = _bound(schema, "minimum", -math.inf)
    above = _bound(schema, "exclusiveMinimum", -math.inf)
    high = min(_bound(schema, "maximum", math.inf), _bound(schema, "exclusiveMaximum", math.inf))
    start = max(low, above)
    if start == -math.inf:
        start = min(1.0, high - (unit or 0.5)) if high < math.inf else 1.0
    if unit:
        start = math.ceil(start / unit) * unit
    if start <= above:
        start += unit or min(1.0, (high - above) / 2 if high < math.inf else 1.0)
    return start


def _integer(maker: _Maker, schema: Json, depth: int) -> int:
    del maker, depth
    return int(_lowest({"type": "integer", **schema}))


def _number(maker: _Maker, schema: Json, depth: int) -> float:
    del maker, depth
    value = _lowest(schema)
    return int(value) if value == int(value) else value


def _bound(schema: Mapping[str, Any], name: str, default: float) -> float:
    value = schema.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e15:
        return default
    return value


_IMPLIED: Final = {
    "properties": "object",
    "required": "object",
    "items": "array",
    "prefixItems": "array",
    "minLength": "string",
    "pattern": "string",
    "minimum": "number",
    "maximum": "number",
}
_MAKERS: Final[dict[str, Callable[[_Maker, Json, int], Any]]] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": lambda _maker, _schema, _depth: True,
    "null": lambda _maker, _schema, _depth: None,
}
