"""JSON at the border: one decoder and one encoder for everything that crosses the wire."""

from typing import Any

import orjson

JsonObject = dict[str, Any]


class NotJsonError(ValueError):
    """Bytes that are not JSON, or not the kind of JSON value that was expected."""


def decode(data: bytes | str) -> Any:
    """Parse JSON strictly (UTF-8, no NaN); `NotJsonError` says where it stopped."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise NotJsonError(str(error)) from error


def decode_object(data: bytes | str) -> JsonObject:
    """Parse JSON that must be an object."""
    value = decode(data)
    if not isinstance(value, dict):
        raise NotJsonError(f"expected a JSON object, found {kind_of(value)}")
    return value


def encode(value: Any) -> bytes:
    """Compact UTF-8 JSON."""
    return orjson.dumps(value)


def kind_of(value: Any) -> str:
    """The JSON word for a decoded value, for messages."""
    table: dict[type, str] = {
        dict: "an object",
        list: "an array",
        str: "a string",
        bool: "a boolean",
        int: "an integer",
        float: "a number",
        type(None): "null",
    }
    return table.get(type(value), type(value).__name__)
