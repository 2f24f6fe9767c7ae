"""How many input tokens a picture counts: by its size where the size can be read, else a flat figure.

Providers count by resolution; Anthropic's public rule of thumb is width times height over 750. Only a PNG
sent inside the call is measured; a picture behind a URL is never fetched.
"""

import base64
import binascii
from typing import Any, Final

#: Media types of pictures that providers read.
PICTURE_TYPES: Final = ("image/png", "image/jpeg", "image/gif", "image/webp")
#: A picture whose size is unknown: about one of 760 by 760 pixels.
FLAT_TOKENS: Final = 765
_PIXELS_PER_TOKEN: Final = 750
#: The largest size that providers count before they scale a picture down.
_MOST_TOKENS: Final = 1600
_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_HEAD_LENGTH: Final = 24


def picture_tokens(part: Any) -> int:
    """Tokens of one picture: an OpenAI `image_url` value or an Anthropic `source`."""
    text = part.get("data") or part.get("url") if isinstance(part, dict) else None
    if not isinstance(text, str):
        return FLAT_TOKENS
    if text.startswith("data:"):
        text = text.partition(",")[2]
    elif text.startswith("http"):
        return FLAT_TOKENS
    try:
        head = base64.b64decode(text[: _HEAD_LENGTH * 4 // 3], validate=True)
    except (binascii.Error, ValueError):
        return FLAT_TOKENS
    if len(head) < _HEAD_LENGTH or not head.startswith(_SIGNATURE):
        return FLAT_TOKENS
    width, height = int.from_bytes(head[16:20]), int.from_bytes(head[20:24])
    return max(1, min(_MOST_TOKENS, -(-width * height // _PIXELS_PER_TOKEN)))
