"""Bodies that surely break a schema: drawn as such, or made of a valid one by changing one thing in it.

A generator takes a request for a negative one where any part of it was changed: a header, a member that may be
anything, a number that became another good one. So what counts is what a validator says of the body, by the contract.
"""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

#: So many bodies may break a schema in one way while there are other ways.
_ALIKE = 2
#: What a value becomes, by its own type: other types, and values that few schemas allow.
_OTHERS: Mapping[type, tuple[Any, ...]] = {
    str: (7, "", "__no such value__", ["a"], {"a": 1}, None),
    bool: ("true", 2, None, []),
    int: (-1, 0, 10**12, 0.5, "12", None),
    float: (-1e9, 1e9, "0.5", [], None),
    list: ([], {}, "text", [None], 3),
    dict: ([], "text", {}, 5),
    type(None): ("text", 1),
}

#: What a schema says of members that it does not name.
_BEYOND = frozenset({"additionalProperties", "unevaluatedProperties"})

Place = tuple[str | int, ...]


class Breaches:
    """How bodies break the schema of an operation."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        from jsonschema import Draft202012Validator

        self._validator = Draft202012Validator(schema)

    def of(self, body: Any) -> str | None:
        """The way in which a body breaks the schema, the same for bodies that break it alike; None for a valid one.

        None as well for one that has nothing but members beyond the schema: most vendors pass over them, and those that
        document a refusal are held to it by checks of their own.
        """
        errors = [_innermost(error) for error in self._validator.iter_errors(body)]
        error = next((item for item in errors if item.validator not in _BEYOND), None)
        if error is None:
            return None
        place = ".".join(str(step) for step in error.absolute_path if isinstance(step, str))
        return f"{place} {error.validator}"


def _innermost(error: Any) -> Any:
    """What is wrong in the alternative that fits best, where a schema has alternatives."""
    while error.context:
        branches: dict[Any, list[Any]] = {}
        for inner in error.context:
            branches.setdefault(inner.schema_path[0], []).append(inner)
        error = min(branches.values(), key=len)[0]
    return error


class Basket:
    """Bodies that break a schema, in as many ways as can be had.

    Attributes:
        valid: how many different ones were left out, since they break nothing.
    """

    def __init__(self, breaches: Breaches, wanted: int) -> None:
        self._breaches, self._wanted = breaches, wanted
        self._found: list[bytes] = []
        self._alike: list[bytes] = []
        self._seen: set[bytes] = set()
        self._ways: Counter[str] = Counter()
        self.valid = 0

    @property
    def full(self) -> bool:
        """Whether there is enough, in enough ways."""
        return len(self._found) >= self._wanted

    def take(self, raw: bytes, body: Any) -> None:
        """Keep a body if it breaks the schema and is another than those before."""
        if raw in self._seen or self.full:
            return
        self._seen.add(raw)
        way = self._breaches.of(body)
        if way is None:
            self.valid += 1
            return
        self._ways[way] += 1
        (self._found if self._ways[way] <= _ALIKE else self._alike).append(raw)

    def bodies(self) -> tuple[bytes, ...]:
        """As many as are wanted, those first that break it in a way of their own."""
        return tuple([*self._found, *self._alike][: self._wanted])


def mutations(bodies: Sequence[Any], seed: int) -> Iterator[Any]:
    """Each body, the smallest first and round about, with one thing changed in it; ends never where there is a body."""
    chance = random.Random(seed)  # noqa: S311 - a choice, no secret
    changeable = [body for body in bodies if body]
    while changeable:
        for body in changeable:
            changed = copy.deepcopy(body)
            places = [place for place, _ in _places(changed) if place]
            # Every second change is of a member of the whole, where most rules of an API are.
            top = [place for place in places if len(place) == 1]
            yield _changed(changed, chance.choice(top if top and chance.random() < 0.5 else places), chance)


def _places(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every place of a value but the schemas of tools, which may be anything."""
    yield place, value
    members: Iterator[tuple[str | int, Any]] = iter(())
    if isinstance(value, dict):
        members = ((name, item) for name, item in value.items() if name not in {"parameters", "input_schema"})
    elif isinstance(value, list):
        members = enumerate(value)
    for name, item in members:
        yield from _places(item, (*place, name))


def _changed(body: Any, place: Place, chance: random.Random) -> Any:
    """The body with the value at a place removed or replaced."""
    holder = body
    for step in place[:-1]:
        holder = holder[step]
    name = place[-1]
    if isinstance(holder, dict) and chance.random() < 0.3:
        del holder[name]
    else:
        old = holder[name]
        holder[name] = chance.choice([item for item in _OTHERS[type(old)] if item != old] or [None])
    return body
