"""Results on our own disk: whole under their name, whoever fetches them at the same time, and nothing beside them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from reference_gateway.config import MediaKind
from reference_gateway.tasks.media import MediaClient, MediaError
from reference_gateway.tasks.storage import MediaStorage

FOLDER = "0" * 32


class Slow:
    """A provider's file in pieces, each of which comes when it is allowed to."""

    content_type = "image/png"

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces
        self.go = asyncio.Event()
        self.content = self

    async def read(self, _size: int) -> bytes:
        if len(self._pieces) == 1:
            await self.go.wait()
        return self._pieces.pop(0) if self._pieces else b""

    @asynccontextmanager
    async def download(self, _url: str) -> AsyncIterator[Any]:
        yield self


def parts(root: Path) -> list[Path]:
    """What is being fetched."""
    return list(root.glob(f"{FOLDER}/.*.part"))


def test_two_workers_that_fetch_the_same_file_do_not_write_into_each_others(
    tmp_path: Path, wait_for: Any
) -> None:
    async def main() -> None:
        storage = MediaStorage(tmp_path)
        files = [Slow([b"first half ", b"second half"]) for _ in range(2)]
        keeping = [
            asyncio.create_task(
                storage.keep(cast("MediaClient", file), "http://x/f", FOLDER, "0", MediaKind.IMAGE)
            )
            for file in files
        ]

        async def both_begun() -> bool:
            return len(parts(tmp_path)) == len(files)

        assert await wait_for(both_begun)
        files[0].go.set()
        assert await keeping[0] == "0.png"
        assert (tmp_path / FOLDER / "0.png").read_bytes() == b"first half second half"
        files[1].go.set()
        assert await keeping[1] == "0.png"
        assert [path.name for path in (tmp_path / FOLDER).iterdir()] == ["0.png"]
        assert (tmp_path / FOLDER / "0.png").read_bytes() == b"first half second half"

    asyncio.run(main())


def test_a_file_that_is_too_large_or_empty_leaves_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        storage = MediaStorage(tmp_path, 10)
        for pieces in ([b"x" * 8, b"x" * 8], [b""]):
            file = Slow(pieces)
            file.go.set()
            with pytest.raises(MediaError):
                await storage.keep(cast("MediaClient", file), "http://x/f", FOLDER, "0", MediaKind.IMAGE)
            assert list((tmp_path / FOLDER).iterdir()) == []

    asyncio.run(main())
