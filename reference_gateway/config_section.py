"""One mapping of a configuration file, read key by key; what nobody has read is an unknown key."""

from collections.abc import Mapping
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, TypeVar

E = TypeVar("E", bound=StrEnum)

REQUIRED: Any = object()
_WORDS: Mapping[type, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a mapping",
}
"""What people call a kind of value."""


class ConfigError(ValueError):
    """The configuration cannot be used; the message says where and what to write instead."""


def nearest(name: str, known: Mapping[str, object]) -> str:
    """A hint at the known name that was probably meant, or nothing."""
    close = get_close_matches(name, known, 1)
    return f"; did you mean {close[0]}?" if close else ""


class Section:
    """One mapping of the configuration; it remembers what was read, so that unknown keys can be told."""

    def __init__(self, path: str, values: Any, name: str = "") -> None:
        if not isinstance(values, Mapping):
            raise ConfigError(f"{path}: must be a mapping")
        self.path = path
        self.name = name
        self._values = values
        self._read: set[str] = set()

    def place(self, key: str) -> str:
        """The dotted name of a key, for messages."""
        return f"{self.path}.{key}".lstrip(".")

    def has(self, key: str) -> bool:
        """Whether the key is written at all."""
        return key in self._values

    def take(self, key: str, kind: type | tuple[type, ...], default: Any = REQUIRED) -> Any:
        """The value of a key, checked for its type. Decimal texts may be written as YAML integers."""
        self._read.add(key)
        value = self._values.get(key)
        if value is None:
            if default is REQUIRED:
                raise ConfigError(f"{self.place(key)}: is missing")
            return default
        if kind is str and type(value) is int:
            return str(value)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            expected = _WORDS[kind if isinstance(kind, type) else kind[-1]]
            hint = "; put quotes around decimal amounts" if isinstance(value, float) else ""
            raise ConfigError(f"{self.place(key)}: must be {expected}, found {value!r}{hint}")
        return value

    def whole(self, key: str, default: Any, *, least: int) -> Any:
        """An integer of at least `least`."""
        value = self.take(key, int, default)
        if value is not None and value < least:
            raise ConfigError(f"{self.place(key)}: must be at least {least}, found {value}")
        return value

    def seconds(self, key: str, default: float) -> float:
        """A positive number of seconds."""
        value = float(self.take(key, (int, float), default))
        if not value > 0:
            raise ConfigError(f"{self.place(key)}: must be more than 0 seconds, found {value}")
        return value

    def choice(self, key: str, values: type[E]) -> E:
        """A value of an enumeration."""
        return values(self.one_of(key, tuple(values), REQUIRED))

    def one_of(self, key: str, words: tuple[str, ...], default: Any) -> Any:
        """One of a few words."""
        text = self.take(key, str, default)
        if text is not None and text not in words:
            raise ConfigError(f"{self.place(key)}: {text!r} must be one of {', '.join(words)}")
        return text

    def section(self, key: str, default: Any = REQUIRED) -> "Section":
        """A nested mapping."""
        return Section(self.place(key), self.take(key, dict, default))

    def sections(self, key: str, *, optional: bool = False) -> list[tuple[str, "Section"]]:
        """A mapping of names to mappings."""
        outer = self.take(key, dict, {} if optional else REQUIRED)
        place = self.place(key)
        return [(str(name), Section(f"{place}.{name}", inner, str(name))) for name, inner in outer.items()]

    def finish(self) -> None:
        """Refuse what nobody has read."""
        for key in self._values:
            if key not in self._read:
                known = dict.fromkeys(self._read)
                raise ConfigError(f"{self.place(str(key))}: is not a known key{nearest(str(key), known)}")
