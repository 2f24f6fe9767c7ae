"""A byte relay that counts HTTP requests: every tool is counted at the same place, and its bytes stay as they are."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

_REQUEST = re.compile(rb"(?:^|\n)(?:GET|POST|PUT|DELETE|HEAD|OPTIONS|PATCH) \S+ HTTP/1\.1\r\n")


@dataclass(slots=True)
class Relay:
    """Where it listens, and how many requests passed since `calls` was last set to nought."""

    port: int
    calls: int = 0


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter, relay: Relay | None) -> None:
    try:
        while data := await source.read(1 << 16):
            if relay is not None:
                relay.calls += len(_REQUEST.findall(data))
            sink.write(data)
            await sink.drain()
    except ConnectionError:
        pass  # either side may leave; the other side is told by the close below
    finally:
        sink.close()


@asynccontextmanager
async def counting(host: str, port: int) -> AsyncIterator[Relay]:
    """Relay a free loopback port to `host:port`, counting what clients ask for."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(host, port)
        await asyncio.gather(_copy(reader, up_writer, relay), _copy(up_reader, writer, None))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    relay = Relay(server.sockets[0].getsockname()[1])
    async with server:
        yield relay
