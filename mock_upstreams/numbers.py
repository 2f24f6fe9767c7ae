"""How many calls there have been of each id; bounded, the id unused for longest is forgotten."""

from collections import OrderedDict
from typing import Final

_MAX_IDS: Final = 65_536


class CallNumbers:
    def __init__(self) -> None:
        self._calls_of: OrderedDict[str, int] = OrderedDict()

    def next(self, name: str) -> int:
        """The number of one more call of this id, from 1."""
        number = self._calls_of.pop(name, 0) + 1
        self._calls_of[name] = number
        if len(self._calls_of) > _MAX_IDS:
            self._calls_of.popitem(last=False)
        return number

    def clear(self) -> None:
        self._calls_of.clear()
