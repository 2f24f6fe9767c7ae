"""Recognises the chunk that most of a stream is made of: one that is as a chunk before it, but for its piece of text.

Whether a chunk may pass as the bytes that came depends on its members, never on its text. So once a chunk was taken apart
and has passed, another that has the same bytes on both sides of a text needs no taking apart, if its text is one.
"""

import re
from typing import Final, NamedTuple, Self

_TEXT: Final = re.compile(rb'"content": ?"')
# The inside of a JSON text; escapes by number are left to a parser, which knows the pairs that make no character.
_INSIDE: Final = re.compile(rb'[^"\\\x00-\x1f]*(?:\\["\\/bfnrt][^"\\\x00-\x1f]*)*')


class Likeness(NamedTuple):
    """What stands on both sides of the text: in the upstream's chunk, and in the event that the caller gets."""

    begin: bytes
    end: bytes
    our_begin: bytes
    our_end: bytes

    @classmethod
    def of(cls, data: bytes, passed: bytes) -> Self | None:
        """The likeness of a chunk and the event that it passed as; None if it has not one text, the same in both."""
        theirs, ours = _around(data), _around(passed)
        if theirs is None or ours is None or theirs[1] != ours[1]:
            return None
        return cls(theirs[0], theirs[2], ours[0], ours[2])

    def passed(self, data: bytes) -> bytes:
        """The event of a chunk that is alike; empty if it is not."""
        begin, end, our_begin, our_end = self
        if not data.startswith(begin) or not data.endswith(end):
            return b""
        text = data[len(begin) : -len(end)]
        if len(data) < len(begin) + len(end) or _INSIDE.fullmatch(text) is None:
            return b""
        if not text.isascii():
            try:
                text.decode()
            except UnicodeDecodeError:
                return b""
        return our_begin + text + our_end


def _around(data: bytes) -> tuple[bytes, bytes, bytes] | None:
    """What stands before, in, and behind the one text of a chunk. Inside of a text, quotes have escapes before them."""
    found = [match.end() for match in _TEXT.finditer(data)]
    if len(found) != 1:
        return None
    inside = _INSIDE.match(data, found[0])
    if inside is None or data[inside.end() : inside.end() + 1] != b'"':
        return None
    return data[: found[0]], inside[0], data[inside.end() :]
