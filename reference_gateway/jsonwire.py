"""JSON at the border: one decoder and one encoder for everything that crosses the wire.

What passes through keeps its numbers by value: one that a double cannot hold exactly carries its own text along.
"""

import json
import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Self

import orjson

JsonObject = dict[str, Any]
MOST_NESTING: Final = 100

# A number outside of a text that may not survive a double: sixteen digits and more, or an exponent.
_LONG_NUMBER: Final = re.compile(rb"[:,\[\s]-?[0-9][0-9.]*(?:[0-9.]{15}|[eE])")
_LEAST, _MOST = -(2**63), 2**64 - 1


class ExactNumber(float):
    """A number whose text says more than its double; it is written as it was read."""

    __slots__ = ("text",)

    def __new__(cls, text: str) -> Self:
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str


class NotJsonError(ValueError):
    """Bytes that are not JSON, or not the kind of JSON value that was expected."""


def decode(data: bytes | str) -> Any:
    """Parse JSON strictly (UTF-8, no NaN); `NotJsonError` says where it stopped."""
    value = glance(data)
    raw = data.encode() if isinstance(data, str) else data
    if _LONG_NUMBER.search(raw) is None:
        return value
    try:
        return json.loads(raw, parse_int=_integer, parse_float=_fraction)
    except RecursionError as error:
        raise NotJsonError("it is nested too deeply") from error


def glance(data: bytes | str) -> Any:
    """Parse JSON to look at it: as `decode`, in less time, but long numbers lose digits and shall not be passed on."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise NotJsonError(str(error)) from error


def _integer(text: str) -> int | ExactNumber:
    # Long texts of digits take quadratic time to convert, and could not be written again.
    value = int(text) if len(text) <= 20 else _MOST + 1
    return value if _LEAST <= value <= _MOST else ExactNumber(text)


def _fraction(text: str) -> float:
    value = float(text)
    try:
        exact = Decimal(text)
    except InvalidOperation:
        # An exponent of twenty digits is too much for decimals as well.
        return ExactNumber(text)
    return value if Decimal(repr(value)) == exact else ExactNumber(text)


def check_nesting(value: Any, most: int = MOST_NESTING) -> None:
    """Raise `NotJsonError` when arrays and objects lie deeper inside each other than is allowed."""
    layer: list[Any] = [value]
    for _ in range(most):
        layer = [inner for outer in layer for inner in _inside(outer) if isinstance(inner, dict | list)]
        if not layer:
            return
    raise NotJsonError(f"it is nested more than {most} levels deep")


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def decode_object(data: bytes | str) -> JsonObject:
    """Parse JSON that must be an object."""
    value = decode(data)
    if not isinstance(value, dict):
        raise NotJsonError(f"expected a JSON object, found {kind_of(value)}")
    return value


def encode(value: Any) -> bytes:
    """Compact UTF-8 JSON."""
    return orjson.dumps(value, default=_exact)


def _exact(value: Any) -> orjson.Fragment:
    if isinstance(value, ExactNumber):
        return orjson.Fragment(value.text.encode())
    raise TypeError(f"{type(value).__name__} is no JSON value")


def kind_of(value: Any) -> str:
    """The JSON word for a decoded value, for messages."""
    table: dict[type, str] = {
        dict: "an object",
        list: "an array",
        str: "a string",
        bool: "a boolean",
        int: "an integer",
        float: "a number",
        ExactNumber: "a number",
        type(None): "null",
    }
    return table.get(type(value), type(value).__name__)
