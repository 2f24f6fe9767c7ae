"""Reading typed fields of a JSON object; each function raises a Refusal that names the field.

`within` is the place of the object in the request, such as "messages[0].".
"""

from typing import Any

from mock_upstreams.calls import Json
from mock_upstreams.refusals import bad_request


def no_others(body: Json, known: frozenset[str]) -> None:
    """Refuse a member that the provider does not know, naming it."""
    for name in body:
        if name not in known:
            raise bad_request(f"unknown parameter: {name!r}", name)


def text(body: Json, name: str, within: str = "") -> str:
    value = body.get(name)
    if value is None:
        raise bad_request(f"you must provide a {within}{name} parameter", within + name)
    if not isinstance(value, str) or not value:
        raise bad_request(f"{within}{name}: expected a non-empty string", within + name)
    return value


def flag(body: Json, name: str, within: str = "") -> bool:
    value = body.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise bad_request(f"{within}{name}: expected a boolean", within + name)
    return value


def integer(body: Json, name: str, low: int, high: int, within: str = "") -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 4.0 is an integer to JSON Schema and to providers
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise bad_request(f"{within}{name}: expected an integer from {low} to {high}", within + name)
    return value


def number(body: Json, name: str, low: float, high: float) -> None:
    value = body.get(name)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise bad_request(f"{name}: expected a number from {low:g} to {high:g}", name)


def array(body: Json, name: str) -> list[Any]:
    """The array of that name, empty if absent."""
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise bad_request(f"{name}: expected an array", name)
    return value


def messages(body: Json) -> list[Json]:
    found = array(body, "messages")
    if not found:
        raise bad_request("messages: at least one message is required", "messages")
    for i, message in enumerate(found):
        if not isinstance(message, dict):
            raise bad_request(f"messages[{i}]: expected an object", f"messages[{i}]")
    return found


def strings(body: Json, name: str, limit: int) -> tuple[str, ...]:
    """One string or an array of strings (stop sequences); empty ones are refused."""
    value = body.get(name)
    if value is None:
        return ()
    values = [value] if isinstance(value, str) else value
    if (
        not isinstance(values, list)
        or len(values) > limit
        or not all(isinstance(item, str) and item for item in values)
    ):
        raise bad_request(f"{name}: expected at most {limit} non-empty strings", name)
    return tuple(values)


def json_object(value: Any, name: str) -> Json:
    if not isinstance(value, dict):
        raise bad_request(f"{name}: expected an object", name)
    return value
