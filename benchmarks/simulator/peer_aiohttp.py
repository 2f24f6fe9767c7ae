"""Plain aiohttp servers, as one would write them for speed: everything encoded before, no routing to speak of.

`write` awaits resp.write for each event; `transport` writes a whole stream to the transport at once; `wheel` writes to
the transport event by event when the timer says so. All of them read the JSON body, none keeps a journal.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path

import uvloop
from aiohttp import web

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks.simulator import frames
from benchmarks.simulator.wheel import SlotTimer


class Peer:
    def __init__(self, mode: str, chunks: int, gap_s: float) -> None:
        self._mode = mode
        self._events = frames.events(chunks)
        self._chunked = frames.chunked(self._events)
        self._stream = b"".join(self._chunked)
        self._document = frames.document(chunks)
        self._gap_s = gap_s
        self._timer = SlotTimer()
        self._loop = asyncio.get_running_loop()

    async def chat(self, request: web.Request) -> web.StreamResponse:
        asked = json.loads(await request.read())
        if not asked.get("stream"):
            return web.Response(body=self._document, content_type="application/json")
        response = web.StreamResponse(
            headers={"content-type": "text/event-stream", "cache-control": "no-cache"}
        )
        response.enable_chunked_encoding()
        if self._mode == "write":
            await response.prepare(request)
            for event in self._events:
                await response.write(event)
            await response.write_eof()
            return response
        await self._around(request, response)
        return response

    async def _around(self, request: web.Request, response: web.StreamResponse) -> None:
        """Past the library's writer: its head is taken out of its buffer, and it is told that all has been sent."""
        response._send_headers_immediately = False  # noqa: SLF001 - what this peer is about
        writer = await response.prepare(request)
        transport = request.transport
        if writer is None or transport is None:
            return
        head, writer._headers_buf, writer._headers_written = writer._headers_buf, None, True  # type: ignore[attr-defined]  # noqa: SLF001
        if self._mode == "transport":
            transport.write(head + self._stream)
        else:
            await self._paced(transport, head)
        writer._eof = True  # type: ignore[attr-defined]  # noqa: SLF001
        response._eof_sent = True  # noqa: SLF001

    async def _paced(self, transport: asyncio.Transport, head: bytes) -> None:
        done = self._loop.create_future()
        start = self._loop.time()
        sent = 0

        def step() -> None:
            nonlocal sent
            if not transport.is_closing():
                transport.write(head + self._chunked[0] if sent == 0 else self._chunked[sent])
                sent += 1
                if sent < len(self._chunked):
                    self._timer.call(start + sent * self._gap_s, step)
                    return
            if not done.done():
                done.set_result(None)

        step()
        await done


async def serve(mode: str, chunks: int, gap_s: float) -> None:
    application = web.Application()
    application.router.add_post("/v1/chat/completions", Peer(mode, chunks, gap_s).chat)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    print(f"listening on {runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=("write", "transport", "wheel"), required=True)
    parser.add_argument("--chunks", type=int, default=64)
    parser.add_argument("--gap-ms", type=float, default=0.0)
    asked = parser.parse_args()
    uvloop.run(serve(asked.mode, asked.chunks, asked.gap_ms / 1000))
