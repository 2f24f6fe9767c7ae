"""A relay that forwards bytes and understands nothing: what a second hop costs on this machine, whoever makes it.

Says on one line where it listens, and ends when its standard input closes.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import cast
from urllib.parse import urlsplit

import uvloop


class _Side(asyncio.Protocol):
    """One of two connections; what comes in here goes out there at once."""

    def __init__(self, other: asyncio.Transport | None = None) -> None:
        self.other = other
        self.early: list[bytes] = []
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self.early.append(data)
        else:
            self.other.write(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - either way the other side ends too
        if self.other is not None:
            self.other.close()


async def _serve(host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    joining: set[asyncio.Task[None]] = set()

    class Caller(_Side):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            task = loop.create_task(self._join())
            joining.add(task)
            task.add_done_callback(joining.discard)

        async def _join(self) -> None:
            upstream, _ = await loop.create_connection(lambda: _Side(self.transport), host, port)
            self.other = upstream
            upstream.writelines(self.early)

    server = await loop.create_server(Caller, "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    target = urlsplit(sys.argv[1])
    uvloop.run(_serve(target.hostname or "127.0.0.1", target.port or 80))
