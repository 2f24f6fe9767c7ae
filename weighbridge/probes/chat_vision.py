"""Pictures in chat completions: every documented format, by URL and inside the call, and one that is none."""

from __future__ import annotations

import asyncio
from typing import Any

from weighbridge.lab import Lab, probe
from weighbridge.probes.pictures import BMP, GIF, JPEG, WEBP, data_url, png
from weighbridge.target import Principal

#: 15 by 10 and 750 by 200 pixels: two sizes that no rule of counting takes for the same.
SMALL, LARGE = (15, 10), (750, 200)
#: A URL is enough where our simulator is the provider: nothing is fetched there.
_PLACEHOLDER = "https://example.com/chart.png"


@probe("chat")
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
    async with lab.sharing("chat") as who:
        roles = [role for role in lab.roles("chat") if role.startswith("anthropic")]
        await asyncio.gather(
            *(
                _with_picture(lab, role, name, picture, who)
                for role in roles
                for name, picture in formats.items()
            ),
            *(_with_picture(lab, role, "image-none", None, who) for role in roles),
        )


async def _with_picture(lab: Lab, role: str, situation: str, url: str | None, who: Principal) -> None:
    id_ = lab.shared.ids()
    # The reference is padded, so that calls differ by their picture only and never by the length of an id.
    parts: list[dict[str, Any]] = [{"type": "text", "text": f"What is this? {lab.mark(id_, None):<64}"}]
    if url is not None:
        parts.append({"type": "image_url", "image_url": {"url": url}})
    await lab.chat(
        role, situation, who, change={"messages": [{"role": "user", "content": parts}]}, correlation_id=id_
    )
