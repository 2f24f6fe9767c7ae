"""The limit for one Python process: a bare protocol on uvloop that understands nothing but the load client.

No HTTP library, no JSON, no journal. `wheel` paces; `frame` does not.
"""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import cast

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks.simulator import frames
from benchmarks.simulator.wheel import SlotTimer

_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


class Answers:
    """What all connections send, and their timer."""

    def __init__(self, chunks: int, gap_s: float) -> None:
        first, *rest = frames.chunked(frames.events(chunks))
        self.writes = [_STREAM_HEAD + first, *rest]
        body = frames.document(chunks)
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.whole = head + body
        self.gap_s = gap_s
        self.timer = SlotTimer()
        self.loop = asyncio.get_running_loop()


class Connection(asyncio.Protocol):
    __slots__ = ("_answers", "_received", "_sent", "_start", "_transport")

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._received = b""
        self._sent = 0
        self._start = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.rpartition(b"content-length: ")[2].partition(b"\r\n")[0]):
            return
        self._received = b""
        answers, write = self._answers, self._transport.write
        if b'"stream":true' not in body:
            write(answers.whole)
        elif answers.gap_s:
            self._start = answers.loop.time()
            self._sent = 0
            self._next()
        else:
            for frame in answers.writes:
                write(frame)

    def _next(self) -> None:
        answers = self._answers
        if self._transport.is_closing():
            return
        self._transport.write(answers.writes[self._sent])
        self._sent += 1
        if self._sent < len(answers.writes):
            answers.timer.call(self._start + self._sent * answers.gap_s, self._next)


async def serve(chunks: int, gap_s: float) -> None:
    answers = Answers(chunks, gap_s)
    server = await answers.loop.create_server(lambda: Connection(answers), "127.0.0.1", 0, backlog=4096)
    print(f"listening on {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=64)
    parser.add_argument("--gap-ms", type=float, default=0.0)
    asked = parser.parse_args()
    uvloop.run(serve(asked.chunks, asked.gap_ms / 1000))
