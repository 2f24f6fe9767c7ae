"""Asks the control API of another process of the same simulator."""

from collections.abc import Mapping
from typing import Final

import aiohttp
from yarl import URL

from mock_upstreams.plans import Document

_TIMEOUT_S: Final = 20.0
_PASSED_ON: Final = ("authorization", "content-type")


class Asker:
    """One address, by TCP or by a Unix socket; made inside an event loop, and closed there."""

    def __init__(self, base: str, unix_socket: str | None = None) -> None:
        self._base = base
        connector = None if unix_socket is None else aiohttp.UnixConnector(unix_socket)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)
        )

    async def ask(self, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Document:
        """The answer to one control request. Raises aiohttp.ClientError when nobody is there."""
        passed = {name: headers[name] for name in _PASSED_ON if name in headers}
        url = URL(self._base + target, encoded=True)
        async with self._session.request(method, url, data=body or None, headers=passed) as answer:
            kind = ("content-type", answer.headers.get("content-type", "application/json"))
            return Document(answer.status, await answer.read(), (kind,))

    async def close(self) -> None:
        await self._session.close()
