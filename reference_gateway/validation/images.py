"""Image parts of Claude requests: which URLs and media types are accepted.

Source: public docs, Vision input (PNG, JPEG, GIF, WebP; http(s) URL or base64 data URL).
"""

import base64
import binascii
import re
from dataclasses import dataclass

from reference_gateway.validation.fields import invalid, is_web_url

MEDIA_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_DATA_URL = re.compile(r"data:([^;,]*)((?:;[^;,]*)*),", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class WebImage:
    """An image to be fetched by the provider."""

    url: str


@dataclass(frozen=True, slots=True)
class InlineImage:
    """An image inside the request; `data` is base64 text."""

    media_type: str
    data: str


def read_image_url(url: str, place: str) -> WebImage | InlineImage:
    """Sort an image URL; raises `GatewayError` (400) naming `place` when it is neither kind, or of another type."""
    if url[:5].lower() != "data:":
        if is_web_url(url):
            return WebImage(url)
        raise invalid(place, f"`{place}` must be an http(s) URL or a base64 data URL of an image.")
    head = _DATA_URL.match(url)
    if head is None or not head[2].lower().endswith(";base64"):
        raise invalid(place, f"`{place}` must be written as data:image/png;base64,... .")
    media_type = head[1].lower().replace("image/jpg", "image/jpeg")
    check_inline(media_type, data := url[head.end() :], place)
    return InlineImage(media_type, data)


def check_inline(media_type: str, data: str, place: str) -> None:
    """Check type and base64 of an inline image."""
    if media_type not in MEDIA_TYPES:
        raise invalid(
            place, f"`{place}` has the type {media_type or 'none'!r}; supported are PNG, JPEG, GIF and WebP."
        )
    try:
        decoded = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid(place, f"`{place}` does not hold valid base64.") from error
    if not decoded:
        raise invalid(place, f"`{place}` holds an empty image.")
