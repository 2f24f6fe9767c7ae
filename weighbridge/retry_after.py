"""What a Retry-After announces, in seconds from its answer: a number, or a date against the answer's own. Pure."""

from __future__ import annotations

from datetime import datetime
from email.utils import parsedate_to_datetime

from weighbridge.evidence import Exchange, header


def announced_wait(seen: Exchange) -> float | None:
    """Seconds to wait after an answer, or None where it says nothing that can be read (RFC 9110, Retry-After)."""
    if seen.response is None:
        return None
    text = header(seen.response.headers, "retry-after")
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        until, said = _moment(text), _moment(header(seen.response.headers, "date") or "")
        return None if until is None or said is None else max(0.0, (until - said).total_seconds())
    return seconds if 0 <= seconds < float("inf") else None


def _moment(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
