"""The prompt cache of a provider: which marked prefixes it has seen from which credential, and until when.

A prefix is found by the digest of everything up to its mark, so changing anything before a mark is a miss and
changing anything after it is not. A hit renews the window.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from mock_upstreams.calls import LONG_WINDOW_S, CacheMark


@dataclass(frozen=True, slots=True)
class CacheUse:
    """Tokens read from the cache and tokens written to it by one call; `written_long` lives for an hour."""

    read: int = 0
    written: int = 0
    written_long: int = 0


class PromptCache:
    """Bounded; the prefix unused for longest is forgotten first. Times are monotonic seconds."""

    def __init__(self, capacity: int, window_s: float) -> None:
        self._capacity = capacity
        self._window_s = window_s
        self._expiry: OrderedDict[tuple[str, bytes], float] = OrderedDict()

    def use(self, credential: str, marks: Sequence[CacheMark], now: float) -> CacheUse:
        """Read the longest prefix that is known, write what lies beyond it, and renew every mark."""
        read = max((mark.tokens for mark in marks if self._knows(credential, mark, now)), default=0)
        reached = read
        written_long = 0
        for mark in marks:
            grown = max(0, mark.tokens - reached)
            reached += grown
            is_long = mark.window_s == LONG_WINDOW_S
            written_long += grown if is_long else 0
            self._remember(credential, mark, now + (LONG_WINDOW_S if is_long else self._window_s))
        return CacheUse(read, reached - read, written_long)

    def clear(self) -> None:
        self._expiry.clear()

    def _knows(self, credential: str, mark: CacheMark, now: float) -> bool:
        return self._expiry.get((credential, mark.digest), now) > now

    def _remember(self, credential: str, mark: CacheMark, until: float) -> None:
        key = (credential, mark.digest)
        self._expiry[key] = until
        self._expiry.move_to_end(key)
        while len(self._expiry) > self._capacity:
            self._expiry.popitem(last=False)
