"""The token groups of a deployment, as its own list names them: what `hooks.group_list` of the target file yields.

A list of names, a list of objects with a name and perhaps a limit, or an object from name to limit will do. What
the file declares under `groups` is held against the list and adds the limits that the list does not tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weighbridge.errors import nearest
from weighbridge.hooks import HookError

_NAMES = ("name", "group", "id")
_LIMITS = ("requests_per_second", "limit")


def groups_in(answer: Mapping[str, Any]) -> dict[str, float | None]:
    """Groups with their limits, from what the hook picked as `groups`, or from its whole answer. Pure.

    Raises:
        HookError: the answer is no list of groups, or names none.
    """
    found = answer.get("groups", answer["*"])
    if isinstance(found, dict) and isinstance(found.get("groups"), list | dict):
        found = found["groups"]
    if isinstance(found, dict):
        groups = {str(name): _limit(item) for name, item in found.items()}
    elif isinstance(found, list):
        groups = dict(map(_group, found))
    else:
        raise HookError("it yielded no list of groups; name its place with `pick: {groups: $.path}`")
    if not groups:
        raise HookError("it yielded an empty list of groups")
    return groups


def _group(item: Any) -> tuple[str, float | None]:
    if isinstance(item, str):
        return item, None
    name = next((item[key] for key in _NAMES if key in item), None) if isinstance(item, dict) else None
    if not isinstance(name, str) or not name:
        raise HookError(f"a group of its list has no name (one of {', '.join(_NAMES)})")
    return name, _limit(item)


def _limit(item: Any) -> float | None:
    """Requests per second, where a group tells them; 0 and less stand for no limit."""
    value = next((item[key] for key in _LIMITS if key in item), None) if isinstance(item, dict) else item
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if value > 0 else None


def merged(
    declared: Mapping[str, float | None], listed: Mapping[str, float | None]
) -> dict[str, float | None]:
    """The listed groups; a declared limit counts more than a listed one. Pure.

    Raises:
        HookError: the file declares a group that the list does not name.
    """
    for name in declared:
        if name not in listed:
            raise HookError(
                f"groups.{name} is declared, and the deployment's own list does not name it{nearest(name, listed)}"
            )
    return {name: declared.get(name) or limit for name, limit in listed.items()}
