"""The wire probe tells endings apart and keeps what arrived, whatever a peer does."""

import asyncio
import socket
import struct
import time
from collections.abc import Awaitable, Callable

import pytest

from weighbridge.evidence import Ending, Exchange, Request
from weighbridge.response_reader import Limits
from weighbridge.wire import Leave, Timeouts, exchange

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
QUICK = Timeouts(connect=2, first_byte=2, total=2)


async def _ask(
    serve: Serve, leave: Leave | None = None, limits: Limits | None = None, timeouts: Timeouts = QUICK
) -> Exchange:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        return await exchange(
            Request("GET", f"http://127.0.0.1:{port}/x", (), b""),
            id="t",
            epoch=time.perf_counter(),
            timeouts=timeouts,
            leave=leave,
            limits=limits,
        )
    finally:
        server.close()
        await server.wait_closed()


def _bytes(*parts: bytes, reset: bool = False) -> Serve:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
        if reset:
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    return serve


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("reply", "ending", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", Ending.COMPLETE, 200, b"hi"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi", Ending.CLOSED, 200, b"hi"),
        (CHUNKED + b"2\r\nhi\r\n0\r\n\r\n", Ending.COMPLETE, 200, b"hi"),
        (CHUNKED + b"2;x=y\r\nhi\r\n0\r\nTrailer: 1\r\n\r\n", Ending.COMPLETE, 200, b"hi"),
        (CHUNKED + b"2\r\nhi\r\n", Ending.CLOSED, 200, b"hi"),
        (CHUNKED + b"zz\r\nhi\r\n", Ending.INVALID, 200, b""),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil close", Ending.COMPLETE, 200, b"until close"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", Ending.COMPLETE, 204, b""),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n",
            Ending.COMPLETE,
            400,
            b"",
        ),
        (b"SSH-2.0-OpenSSH\r\n", Ending.INVALID, None, None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", Ending.INVALID, 200, b""),
        (b"", Ending.CLOSED, None, None),
    ],
)
def test_framing_decides_how_a_message_ended(
    reply: bytes, ending: Ending, status: int | None, body: bytes | None
) -> None:
    seen = asyncio.run(_ask(_bytes(reply)))
    assert seen.ending is ending
    assert seen.status == status
    assert (seen.response.body if seen.response else None) == body


def test_a_reset_is_told_from_a_close() -> None:
    seen = asyncio.run(_ask(_bytes(CHUNKED + b"2\r\nhi\r\n", reset=True)))
    assert seen.ending is Ending.RESET


def test_a_peer_that_says_nothing_times_out() -> None:
    async def silent(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async def main() -> Exchange:
        async with asyncio.timeout(5):
            return await _ask(_bounded(silent), timeouts=Timeouts(1, 0.1, 0.1))

    seen = asyncio.run(main())
    assert seen.ending is Ending.TIMEOUT
    assert "no first byte" in seen.detail


def _bounded(serve: Serve) -> Serve:
    """End a handler that would wait for ever, so that the server can close."""

    async def inner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting = asyncio.ensure_future(serve(reader, writer))
        await reader.read()
        waiting.cancel()

    return inner


def test_nothing_listening_is_refused_not_raised() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    request = Request("GET", f"http://127.0.0.1:{port}/", (), b"")
    seen = asyncio.run(exchange(request, id="t", epoch=0.0, timeouts=QUICK))
    assert seen.ending is Ending.REFUSED
    assert seen.response is None


def test_a_body_beyond_the_limit_is_cut() -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000
    seen = asyncio.run(_ask(_bytes(reply), limits=Limits(body=1000)))
    assert seen.ending is Ending.TOO_LARGE


def test_leaving_after_some_pieces_is_recorded_as_leaving() -> None:
    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED)
        while not writer.is_closing():
            writer.write(b"2\r\nhi\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    seen = asyncio.run(_ask(endless, leave=Leave(after_chunks=2)))
    assert seen.ending is Ending.LEFT


def test_every_piece_keeps_its_time_of_arrival() -> None:
    async def paced(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + b"1\r\na\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b"1\r\nb\r\n0\r\n\r\n")

    seen = asyncio.run(_ask(paced))
    assert seen.response is not None
    first, second = seen.response.chunks
    assert second.at - first.at >= 0.04
