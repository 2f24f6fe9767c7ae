"""Log probabilities of a reply's tokens, plausible and the same each time: they depend on the token alone.

The tokens are the pieces in which a stream sends the text, so that a streamed and a whole reply agree.
"""

import functools
import math
import zlib
from collections.abc import Sequence
from typing import Any, Final

import orjson

_ALTERNATIVES: Final = (" the", " a", " and", " is", " of", " to", " in", " it", " that", " for") * 2
MOST_ALTERNATIVES: Final = 20


@functools.lru_cache(maxsize=4096)
def token_logprob(token: str, top: int) -> dict[str, Any]:
    """One entry of `logprobs.content`, with `top` alternatives, the token itself first among them."""
    share = 0.5 + zlib.crc32(token.encode("utf-8", "replace")) % 4500 / 10_000
    ranked = [(token, share)]
    rest = 1 - share
    for i, other in enumerate(_ALTERNATIVES):
        rest /= 2
        ranked.append((other if i < len(_ALTERNATIVES) // 2 else other.upper(), rest))
    listed = [_entry(text, share) for text, share in ranked if text != token or share is ranked[0][1]]
    return {**listed[0], "top_logprobs": listed[:top]}


def _entry(text: str, share: float) -> dict[str, Any]:
    return {
        "token": text,
        "logprob": round(math.log(share), 6),
        "bytes": list(text.encode("utf-8", "replace")),
    }


def text_logprobs(pieces: Sequence[bytes], top: int) -> list[dict[str, Any]]:
    """Entries for a text that is given as JSON strings, one a token."""
    return [token_logprob(orjson.loads(piece), top) for piece in pieces]
