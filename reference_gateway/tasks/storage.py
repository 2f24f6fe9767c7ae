"""Our own storage of results: files on disk, fetched once from the provider and served under our own URLs.

Source: public docs, Privacy (results are mirrored, outlive the provider's link, and are readable by their URL).
"""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final

import aiohttp
from aiohttp import web

from reference_gateway.config import MediaKind
from reference_gateway.failures import Kind, refuse
from reference_gateway.identifiers import random_hex
from reference_gateway.tasks.media import MediaClient, MediaError

ROUTE: Final = "/media/tasks"
MOST_FILE_BYTES: Final = 1024 * 1024 * 1024
_BLOCK: Final = 1024 * 1024
_FOLDER: Final = re.compile(r"[0-9a-f]{32}")
_NAME: Final = re.compile(r"(?:\d+|last_frame)\.([a-z0-9]{1,5})")
_EXTENSIONS: Final[Mapping[str, str]] = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
    "video/mp4": "mp4",
    "video/webm": "webm",
    "video/quicktime": "mov",
    "audio/mpeg": "mp3",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/flac": "flac",
    "audio/aac": "aac",
    "audio/ogg": "ogg",
    "audio/mp4": "m4a",
}
_TYPES: Final = {extension: content_type for content_type, extension in reversed(list(_EXTENSIONS.items()))}
_FALLBACK: Final = {
    MediaKind.IMAGE: "png",
    MediaKind.VIDEO: "mp4",
    MediaKind.AUDIO: "mp3",
    MediaKind.TEXT: "bin",
}


class MediaStorage:
    """Keeps one folder per task."""

    def __init__(self, root: Path, most_bytes: int = MOST_FILE_BYTES) -> None:
        self._root = root
        self._most_bytes = most_bytes

    async def keep(self, client: MediaClient, url: str, folder: str, stem: str, kind: MediaKind) -> str:
        """Fetch a file and keep it; its name. Raises `MediaError`."""
        async with client.download(url) as response:
            extension = _EXTENSIONS.get(response.content_type, _FALLBACK[kind])
            target = self._root / folder / f"{stem}.{extension}"
            # A name of its own: a worker that has taken the task over may be fetching the same file.
            partial = target.with_name(f".{target.name}.{random_hex()}.part")
            try:
                await self._fetch(response, partial)
                await asyncio.to_thread(partial.replace, target)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
        return target.name

    async def _fetch(self, response: aiohttp.ClientResponse, partial: Path) -> None:
        # In this thread: a file opened in another one would be lost when the task is cancelled meanwhile.
        file = _open(partial)
        size = 0
        try:
            while block := await response.content.read(_BLOCK):
                size += len(block)
                if size > self._most_bytes:
                    raise MediaError(f"the provider's file is larger than {self._most_bytes} bytes")
                await asyncio.to_thread(file.write, block)
        finally:
            await asyncio.to_thread(file.close)
        if size == 0:
            raise MediaError("the provider's file is empty")

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer a GET for a result file; no key is asked for."""
        folder, name = request.match_info["folder"], request.match_info["name"]
        match = _NAME.fullmatch(name)
        if not _FOLDER.fullmatch(folder) or match is None:
            raise refuse(Kind.UNKNOWN_ROUTE, "There is no such file.")
        path = self._root / folder / name
        if not await asyncio.to_thread(path.is_file):
            raise refuse(Kind.UNKNOWN_ROUTE, "There is no such file.")
        headers = {
            "Content-Type": _TYPES.get(match[1], "application/octet-stream"),
            "Cache-Control": "public, max-age=31536000, immutable",
            "X-Content-Type-Options": "nosniff",
        }
        return web.FileResponse(path, headers=headers)


def _open(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("wb")
