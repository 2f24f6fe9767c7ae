"""An exchange as plain text, for readers that show attachments: how to repeat it, and what came back."""

from __future__ import annotations

from weighbridge.evidence import Call
from weighbridge.report.curl import curl

_MAX_BODY = 16 * 1024


def told(call: Call) -> str:
    """The exchange, its body cut at 16 KiB with the cut stated."""
    seen = call.exchange
    lines = [curl(call), "", f"ending: {seen.ending} {seen.detail}".rstrip()]
    if seen.response is not None:
        lines.append(f"HTTP {seen.response.status}")
        lines += [f"{name}: {value}" for name, value in seen.response.headers]
        text = seen.response.text
        lines += ["", text[:_MAX_BODY]]
        if len(text) > _MAX_BODY:
            lines.append(f"... cut: {len(text) - _MAX_BODY} further characters are in the evidence file")
    return "\n".join(lines)
