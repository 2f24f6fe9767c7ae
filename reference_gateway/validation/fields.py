"""Checks one field against its rule. Every refusal names the field, what it may be and what it was."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from reference_gateway.config import FieldRule
from reference_gateway.failures import GatewayError, Kind, refuse
from reference_gateway.jsonwire import JsonObject, NotJsonError, check_nesting, decode_object, kind_of

_PUBLIC_URL = re.compile(r"https?://[^\s/?#]+\S*", re.IGNORECASE)


def _is_integer(value: Any) -> bool:
    """JSON Schema counts by value: 2.0 is an integer, true is not."""
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "string": ("a string", lambda value: isinstance(value, str)),
    "integer": ("an integer", _is_integer),
    "number": ("a number", _is_number),
    "boolean": ("true or false", lambda value: isinstance(value, bool)),
    "array": ("an array", lambda value: isinstance(value, list)),
    "object": ("an object", lambda value: isinstance(value, dict)),
    "string or array": ("a string or an array", lambda value: isinstance(value, str | list)),
    "string or object": ("a string or an object", lambda value: isinstance(value, str | dict)),
}


def read_object(body: bytes) -> JsonObject:
    """The request body as a JSON object; raises `GatewayError` (malformed body)."""
    try:
        value = decode_object(body)
        check_nesting(value)
    except NotJsonError as error:
        raise refuse(
            Kind.MALFORMED_BODY, f"The request body cannot be read as a JSON object: {error}."
        ) from error
    return value


def check_rules(body: JsonObject, rules: Mapping[str, FieldRule]) -> None:
    """Check every field that has a rule; null counts as not sent."""
    for name, value in body.items():
        rule = rules.get(name)
        if rule is not None and value is not None:
            check(name, value, rule)


def check(name: str, value: Any, rule: FieldRule) -> None:
    """Check one value; raises `GatewayError` (invalid field)."""
    if rule.type is not None:
        expected, holds = _TYPES[rule.type]
        if not holds(value):
            raise invalid(name, f"`{name}` must be {expected}, found {kind_of(value)}.")
    if rule.enum and value not in rule.enum:
        allowed = ", ".join(str(choice) for choice in rule.enum)
        raise invalid(name, f"`{name}` must be one of {allowed}; found {_short(value)}.")
    if _is_number(value):
        _check_range(name, value, rule)
    if rule.max_length is not None and isinstance(value, str) and len(value) > rule.max_length:
        raise invalid(name, f"`{name}` must have at most {rule.max_length} characters, found {len(value)}.")
    if rule.max_items is not None and isinstance(value, list) and len(value) > rule.max_items:
        raise invalid(name, f"`{name}` must have at most {rule.max_items} entries, found {len(value)}.")
    if rule.media:
        _check_media(name, value)


def _check_range(name: str, value: float, rule: FieldRule) -> None:
    if (rule.low is not None and value < rule.low) or (rule.high is not None and value > rule.high):
        bounds = " and ".join(
            text
            for text, bound in ((f"at least {rule.low}", rule.low), (f"at most {rule.high}", rule.high))
            if bound is not None
        )
        raise invalid(name, f"`{name}` must be {bounds}, found {value}.")


def _check_media(name: str, value: Any) -> None:
    for url in value if isinstance(value, list) else [value]:
        if isinstance(url, dict):
            continue
        if not isinstance(url, str) or not _PUBLIC_URL.fullmatch(url):
            raise invalid(name, f"`{name}` must hold public http or https URLs, found {_short(url)}.")


def check_known(body: JsonObject, known: Mapping[str, object] | frozenset[str]) -> None:
    """Refuse fields that nobody knows, with the nearest known name."""
    for name in body:
        if name not in known:
            close = get_close_matches(name[:80], list(known), 1)
            hint = f" Did you mean `{close[0]}`?" if close else ""
            raise refuse(Kind.UNKNOWN_FIELD, f"Unknown field `{name[:80]}`.{hint}", name[:80])


def check_texts(body: JsonObject, name: str) -> None:
    """A field that is an array must hold strings only."""
    value = body.get(name)
    if isinstance(value, list) and not all(isinstance(entry, str) for entry in value):
        raise invalid(name, f"`{name}` must hold strings only.")


def require(body: JsonObject, name: str) -> Any:
    """A field that must be sent; raises `GatewayError` (missing field)."""
    value = body.get(name)
    if value is None:
        raise refuse(Kind.MISSING_FIELD, f"`{name}` is required.", name)
    return value


def conversation(messages: list[Any]) -> Iterator[tuple[str, JsonObject]]:
    """Place and body of each message; raises `GatewayError` where there is none, or one that is no object."""
    if not messages:
        raise invalid("messages", "`messages` must hold at least one message.")
    for index, message in enumerate(messages):
        place = f"messages[{index}]"
        if not isinstance(message, dict):
            raise invalid(place, f"`{place}` must be an object, found {kind_of(message)}.")
        yield place, message


def check_role(message: JsonObject, place: str, roles: Collection[str]) -> str:
    """The role of a message; raises `GatewayError` unless it is one of these."""
    role = message.get("role")
    if not isinstance(role, str) or role not in roles:
        raise invalid(f"{place}.role", f"`{place}.role` must be one of {', '.join(sorted(roles))}.")
    return role


def whole(value: Any) -> int | None:
    """An integer by value as Python's own, however it was written; None when it is none."""
    return int(value) if _is_integer(value) else None


def is_web_url(text: str) -> bool:
    """Whether the text is an absolute http or https URL."""
    return _PUBLIC_URL.fullmatch(text) is not None


def invalid(name: str, message: str) -> GatewayError:
    """A refusal of one field's value."""
    return refuse(Kind.INVALID_FIELD, message, name)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
