"""A short text that a regular expression matches, for schemas that give a pattern.

The expression is read by Python's own parser; what it has no plain answer for (look-around, back references to what
is not there yet) gives None, and the caller does without the pattern. A caller's expression is never searched with:
some take for ever.
"""

import importlib
import re
from collections.abc import Callable
from typing import Any, Final

_CODES: Final = importlib.import_module("re._constants")
_PARSER: Final = importlib.import_module("re._parser")
"""The library has no public reader of expressions; these are its own, as of 3.11."""

_MAX_LENGTH: Final = 256
_MAX_PATTERN: Final = 512
_COMMON: Final = "a0A _-.x1"


class _NoPlainAnswerError(Exception):
    """The expression holds something that is not worth an answer."""


def matching(pattern: str, least: int) -> str | None:
    """A text of at least `least` characters that `pattern` is found in; None if none is found easily."""
    if len(pattern) > _MAX_PATTERN:
        return None
    try:
        tree = _PARSER.parse(pattern)
        for extra in (0, least):
            found = _sequence(tree, extra)
            if len(found) >= least:
                return found
        if not pattern.endswith("$"):
            return found.ljust(least, "x")
    except (re.error, _NoPlainAnswerError, RecursionError, OverflowError):
        return None
    return None


def _sequence(tree: Any, extra: int) -> str:
    """The text of one branch; a repetition repeats `extra` times more than it must, if it may."""
    text = ""
    for code, argument in tree:
        maker = _MAKERS.get(code)
        if maker is None:
            raise _NoPlainAnswerError
        text += maker(argument, extra)
        if len(text) > _MAX_LENGTH:
            raise _NoPlainAnswerError
    return text


def _repeat(argument: Any, extra: int) -> str:
    low, high, tree = argument
    count = min(int(low) + extra, int(high), _MAX_LENGTH)
    once = _sequence(tree, 0)
    if len(once) * count > _MAX_LENGTH:
        raise _NoPlainAnswerError
    return once * count


def _set(argument: Any, extra: int) -> str:
    del extra
    if argument[0][0] is _CODES.NEGATE:
        inner = re.compile(_class_of(argument[1:]))
        return next(char for char in _COMMON + "#~" if not inner.fullmatch(char))
    code, value = argument[0]
    if code is _CODES.LITERAL:
        return chr(value)
    if code is _CODES.RANGE:
        return chr(value[0])
    return _category(value, 0)


def _class_of(items: Any) -> str:
    parts: list[str] = []
    for code, value in items:
        if code is _CODES.LITERAL:
            parts.append(re.escape(chr(value)))
        elif code is _CODES.RANGE:
            parts.append(f"{re.escape(chr(value[0]))}-{re.escape(chr(value[1]))}")
        else:
            raise _NoPlainAnswerError
    return f"[{''.join(parts)}]"


def _category(value: Any, extra: int) -> str:
    del extra
    found = _CATEGORIES.get(value)
    if found is None:
        raise _NoPlainAnswerError
    return found


_CATEGORIES: Final = {
    _CODES.CATEGORY_DIGIT: "0",
    _CODES.CATEGORY_WORD: "a",
    _CODES.CATEGORY_SPACE: " ",
    _CODES.CATEGORY_NOT_DIGIT: "a",
    _CODES.CATEGORY_NOT_WORD: "-",
    _CODES.CATEGORY_NOT_SPACE: "a",
}
_MAKERS: Final[dict[Any, Callable[[Any, int], str]]] = {
    _CODES.LITERAL: lambda value, _extra: chr(value),
    _CODES.NOT_LITERAL: lambda value, _extra: "a" if value != ord("a") else "b",
    _CODES.ANY: lambda _value, _extra: "a",
    _CODES.AT: lambda _value, _extra: "",
    _CODES.IN: _set,
    _CODES.CATEGORY: _category,
    _CODES.BRANCH: lambda value, extra: _sequence(value[1][0], extra),
    _CODES.SUBPATTERN: lambda value, extra: _sequence(value[3], extra),
    _CODES.MAX_REPEAT: _repeat,
    _CODES.MIN_REPEAT: _repeat,
}
