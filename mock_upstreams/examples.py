"""A value that fits a JSON schema of simple types, for tool arguments and structured replies."""

from collections.abc import Callable
from typing import Any, Final

from mock_upstreams.calls import Json

_MAX_DEPTH: Final = 8
_MAX_ITEMS: Final = 16
_MAX_TEXT: Final = 256

_FORMATS: Final = {
    "date": "2026-01-15",
    "date-time": "2026-01-15T12:00:00Z",
    "time": "12:00:00Z",
    "email": "person@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "hostname": "example.com",
}


def example(schema: Any, depth: int = 0) -> Any:
    """A value for `schema`: const, default, enum, and the plain types with their simple bounds.

    Anything beyond that (patterns, references, conditions) gets the plainest value of its type.
    """
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return {} if depth == 0 else None
    if "const" in schema:
        return schema["const"]
    choices = schema.get("enum")
    if isinstance(choices, list) and choices:
        return choices[0]
    for union in ("anyOf", "oneOf", "allOf"):
        options = schema.get(union)
        if isinstance(options, list) and options:
            return example(options[0], depth + 1)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((item for item in kind if item != "null"), "null")
    if kind is None:
        kind = "object" if depth == 0 or "properties" in schema else "string"
    maker = _MAKERS.get(kind) if isinstance(kind, str) else None
    return None if maker is None else maker(schema, depth)


def _object(schema: Json, depth: int) -> Json:
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return {}
    required = schema.get("required")
    stated = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
    wanted = [name for name in stated if name in properties]
    names = wanted or list(properties)[:_MAX_ITEMS]
    return {name: example(properties[name], depth + 1) for name in names}


def _array(schema: Json, depth: int) -> list[Any]:
    count = min(max(_bound(schema, "minItems", 1), 1), _MAX_ITEMS)
    return [example(schema.get("items"), depth + 1) for _ in range(int(count))] if "items" in schema else []


def _string(schema: Json, depth: int) -> str:
    del depth
    value = _FORMATS.get(str(schema.get("format")), "example")
    value = value.ljust(int(min(_bound(schema, "minLength", 0), _MAX_TEXT)), "x")
    return value[: int(max(0, min(_bound(schema, "maxLength", _MAX_TEXT), _MAX_TEXT)))]


def _integer(schema: Json, depth: int) -> int:
    return int(_number(schema, depth))


def _number(schema: Json, depth: int) -> float:
    del depth
    low = _bound(schema, "minimum", _bound(schema, "exclusiveMinimum", 0) + ("exclusiveMinimum" in schema))
    high = _bound(schema, "maximum", max(low, 1))
    return max(low, min(high, 1))


def _bound(schema: Json, name: str, default: float) -> float:
    value = schema.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e15:
        return default
    return value


_MAKERS: Final[dict[str, Callable[[Json, int], Any]]] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": lambda _schema, _depth: True,
    "null": lambda _schema, _depth: None,
}
