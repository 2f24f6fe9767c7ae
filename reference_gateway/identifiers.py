"""Opaque identifiers. Task ids carry their time of creation first (UUID version 7), so they sort by age."""

import os
import secrets
import time
from contextvars import ContextVar

_VERSION_7 = 0x7 << 76
_VARIANT = 0x2 << 62

#: The id of the request that is being served: one for its log lines, its envelope and its header.
current_request: ContextVar[str] = ContextVar("current_request", default="")


def random_hex() -> str:
    """32 hexadecimal digits of randomness."""
    return os.urandom(16).hex()


def time_ordered_hex(milliseconds: int | None = None) -> str:
    """32 hexadecimal digits laid out as a UUID of version 7."""
    moment = time.time_ns() // 1_000_000 if milliseconds is None else milliseconds
    random = int.from_bytes(os.urandom(10))
    value = (moment & (1 << 48) - 1) << 80
    value |= _VERSION_7 | ((random >> 68) & 0xFFF) << 64
    value |= _VARIANT | (random & (1 << 62) - 1)
    return f"{value:032x}"


def request_id() -> str:
    """An id in the form of the documented sample: `req_` and a dashed UUID."""
    digits = random_hex()
    return f"req_{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def secret_key(prefix: str) -> str:
    """A fresh credential; the prefix tells its workspace."""
    return prefix + secrets.token_urlsafe(32).replace("-", "A").replace("_", "B")
