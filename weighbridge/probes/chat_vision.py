"""Pictures in chat completions: every documented format, by URL and inside the call, and one that is none."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from weighbridge.evidence import Call
from weighbridge.lab import Lab, probe
from weighbridge.probes.pictures import BMP, GIF, JPEG, WEBP, data_url, png
from weighbridge.target import Principal

#: 15 by 10 and 750 by 200 pixels: two sizes that no rule of counting takes for the same.
SMALL, LARGE = (15, 10), (750, 200)
#: Accepted or not is all that is asked of these, so one message carries them.
_TOGETHER = ("image-jpeg", "image-gif", "image-webp", "image-url")
#: A URL is enough where our simulator is the provider: nothing is fetched there.
_PLACEHOLDER = "https://example.com/chart.png"


@probe("chat", quick=True)
async def chat_vision(lab: Lab) -> None:
    """One picture of each kind on the Claude models, and the same text without any."""
    formats = {
        "image-png": data_url("png", png(*SMALL)),
        "image-png-large": data_url("png", png(*LARGE)),
        "image-jpeg": data_url("jpeg", JPEG),
        "image-gif": data_url("gif", GIF),
        "image-webp": data_url("webp", WEBP),
        "image-bmp": data_url("bmp", BMP),
    }
    url = lab.target.assets.get("image") or (_PLACEHOLDER if lab.wired else None)
    if url is None:
        lab.miss("image-url", "assets.image")
    else:
        formats["image-url"] = url
    async with lab.sharing("chat") as who, asyncio.TaskGroup() as group:
        for role in (name for name in lab.roles("chat") if name.startswith("anthropic")):
            send = partial(_with_pictures, lab, role, who)
            group.create_task(send("image-none", {}))
            for name in formats.keys() - set(_TOGETHER):
                group.create_task(send(name, {name: formats[name]}))
            shapes = {name: {name: formats[name]} for name in _TOGETHER if name in formats}
            group.create_task(lab.combined(shapes, send))


async def _with_pictures(
    lab: Lab, role: str, who: Principal, situation: str, urls: dict[str, str], *, keep: bool = True
) -> Call:
    id_ = lab.shared.ids()
    # The reference is padded, so that calls differ by their picture only and never by the length of an id.
    parts: list[dict[str, Any]] = [{"type": "text", "text": f"What is this? {lab.mark(id_, None):<64}"}]
    parts += [{"type": "image_url", "image_url": {"url": url}} for url in urls.values()]
    change = {"messages": [{"role": "user", "content": parts}]}
    return await lab.chat(role, situation, who, change=change, correlation_id=id_, keep=keep)
