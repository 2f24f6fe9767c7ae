"""The short way from a request to its answer: on the connection itself, without a task or a request object.

The server library gives each request a task, a request, a writer and a response, which together cost more than all that
the simulator does. A connection of this module lets the library parse, if it has not parsed the same before, and answers a
request that has arrived whole right there. Whatever is out of the ordinary (an upgrade, HEAD, Expect, a long body, a request that comes before the
last one is answered, the control API) takes the library's usual way, to the handler of `server.py`, which can do
everything. The two ways differ in speed only; tests run on both.

This is the only module that touches members that the library does not promise; `is_possible` says whether they are as
this module knows them, and if they are not the simulator does without.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from aiohttp import web
from aiohttp.http import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from mock_upstreams.control import PREFIX
from mock_upstreams.exchanges import Exchanges
from mock_upstreams.heads import Head
from mock_upstreams.player import Player
from mock_upstreams.recurring import KnownHeads
from mock_upstreams.wire import Wire

_OF_CONNECTION: Final = frozenset(
    [
        "_close",
        "_force_close",
        "_keepalive_handle",
        "_keepalive_timeout",
        "_messages",
        "_next_keepalive_close_time",
        "_parser",
        "_process_keepalive",
        "_reading_paused",
        "_request_count",
        "_upgraded",
        "_waiter",
    ]
)


def is_possible() -> bool:
    """Whether the installed library is built as this module expects."""
    return _OF_CONNECTION.issubset(dir(web.RequestHandler)) and "_buffer" in dir(StreamReader)


class DirectServer(web.Server):
    """Makes connections that answer by themselves where they can."""

    def __init__(
        self,
        exchanges: Exchanges,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        **options: Any,
    ) -> None:
        super().__init__(handler, **options)
        self._options = options
        self._exchanges = exchanges
        self._turn: list[DirectConnection] = []
        self.heads = KnownHeads()

    def __call__(self) -> web.RequestHandler:
        options = {name: value for name, value in self._options.items() if name != "handler_cancellation"}
        return DirectConnection(self, self._exchanges, loop=self._loop, **options)

    def answer_soon(self, connection: "DirectConnection") -> None:
        """Answer the request that has arrived there, once all that can be read now has been read.

        Reading, thinking and writing in three steps for all connections, rather than in turns, costs a fifth less: a
        system call leaves the processor's caches and its branch predictor to others.
        """
        if not self._turn:
            self._loop.call_soon(self._answer_all)
        self._turn.append(connection)

    def _answer_all(self) -> None:
        turn, self._turn = self._turn, []
        for connection in turn:
            connection.think()
        for connection in turn:
            connection.speak()

    def break_off(self) -> None:
        """End every answer that is under way on a connection itself."""
        for connection in self.connections:
            if isinstance(connection, DirectConnection):
                connection.break_off()


@dataclass(slots=True)
class _Arriving:
    """A request whose body may not be complete yet."""

    head: Head
    arrived_ns: int
    message: RawRequestMessage
    payload: StreamReader


class _Arrived(NamedTuple):
    """A whole request, and where its answer goes."""

    head: Head
    arrived_ns: int
    body: bytes
    transport: asyncio.Transport


class DirectConnection(web.RequestHandler):
    """One connection. The library's own task waits in the background for what is not answered here.

    While a request is read or answered here, `_sleeper` holds the future by which that task would be woken, so the
    library finds nobody to wake, and what it parses meanwhile is queued. `_between` says that its parser has nothing of
    a request that is not complete, so that it may be passed by.
    """

    __slots__ = ("_arrived", "_arriving", "_between", "_exchanges", "_player", "_server", "_sleeper")

    def __init__(self, server: DirectServer, exchanges: Exchanges, **options: Any) -> None:
        super().__init__(server, **options)
        self._server = server
        self._exchanges = exchanges
        self._sleeper: asyncio.Future[None] | None = None
        self._arriving: _Arriving | None = None
        self._arrived: _Arrived | None = None
        self._player: Player | None = None
        self._between = True

    def data_received(self, data: bytes) -> None:
        is_between, self._between = self._between, False
        if self._is_busy():
            self._read_on(data)
        elif not self._is_at_rest():
            super().data_received(data)
        elif not is_between:
            self._fall_asleep()
            self._read_on(data)
        else:
            self._fall_asleep()
            self._between = self._read_first(data)

    def _read_first(self, data: bytes) -> bool:
        """Read after a request that was complete; whether this one is complete as well, and nothing follows it."""
        heads, transport = self._server.heads, self.transport
        known = heads.whole(data)
        if known is not None and transport is not None:
            self._arrived = _Arrived(known[0], time.monotonic_ns(), known[1], transport)
            self._server.answer_soon(self)
            return True
        self._read_on(data)
        return self._arrived is not None and heads.learn(data, self._arrived.head)

    def _read_on(self, data: bytes) -> None:
        super().data_received(data)
        if self._player is None and self._arrived is None:
            self._go_on()

    def _fall_asleep(self) -> None:
        if self._waiter is not None:
            self._sleeper, self._waiter = self._waiter, None

    def connection_lost(self, exc: BaseException | None) -> None:
        player, self._player = self._player, None
        arriving = self._arriving
        super().connection_lost(exc)
        by = "fin" if exc is None else "rst" if isinstance(exc, ConnectionResetError) else None
        if player is not None:
            player.caller_left(by)
        elif arriving is not None:
            self._arriving = None
            self._exchanges.left_early(self._exchanges.entry(arriving.head, arriving.arrived_ns), by)

    def break_off(self) -> None:
        """End what is read or answered here at once."""
        if self._is_busy():
            if self._player is not None:
                self._player.stop()
            self._arriving = self._arrived = None
            self._rest()
            self.force_close()

    def _is_busy(self) -> bool:
        return self._player is not None or self._arriving is not None or self._arrived is not None

    def _is_at_rest(self) -> bool:
        """Whether the library's task waits for a request, or has yet to begin and will."""
        if self._messages or self._upgraded or self._force_close or self._close:
            return False
        waiter = self._waiter
        return not waiter.done() if waiter is not None else self._request_count == 0

    def _go_on(self) -> None:
        """Answer the request if all of it is there; hand it over if it is not for here; else wait for the rest."""
        arriving = self._arriving
        if arriving is None:
            if not self._messages:
                self._rest()
                return
            message, payload = self._messages.popleft()
            if not isinstance(message, RawRequestMessage) or not _is_plain(message):
                self._messages.appendleft((message, payload))
                self._hand_over()
                return
            head = self._exchanges.placed(Head.of(message), self.transport)
            arriving = self._arriving = _Arriving(head, time.monotonic_ns(), message, payload)
        payload, transport, parser = arriving.payload, self.transport, self._parser
        if self._messages or self._upgraded or self._reading_paused or payload.exception() is not None:
            self._hand_over()
        elif payload.is_eof() and transport is not None and parser is not None:
            self._arriving = None
            self._arrived = _Arrived(arriving.head, arriving.arrived_ns, _whole(payload), transport)
            parser.message_consumed()
            self._server.answer_soon(self)

    def think(self) -> None:
        """Find the answer to the request that has arrived, if it still matters."""
        arrived, self._arrived = self._arrived, None
        if arrived is None:
            return
        head, arrived_ns, body, transport = arrived
        head = self._exchanges.placed(head, transport)
        entry = self._exchanges.entry(head, arrived_ns)
        wire = Wire(transport, is_11=head.is_11, keep_alive=head.keep_alive)
        self._player = self._exchanges.answer(head, entry, body, wire, self._over)
        if self._player is None:
            self.force_close()

    def speak(self) -> None:
        """Begin to answer; an answer that takes its time is no idle connection."""
        if self._player is not None:
            self._player.start()
        if self._player is not None and self._keepalive_handle is not None:
            self._keepalive_handle.cancel()
            self._keepalive_handle = None

    def _over(self) -> None:
        """The answer is complete, or has been broken off on purpose."""
        player, self._player = self._player, None
        if player is None:
            return
        if not player.wire.keep_alive:
            self.force_close()
            return
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(
                self._next_keepalive_close_time, self._process_keepalive
            )
        if self._messages:
            self._hand_over()
        else:
            self._rest()

    def _rest(self) -> None:
        """Let the library's task wait as it does between two requests."""
        if self._sleeper is not None:
            self._waiter, self._sleeper = self._sleeper, None

    def _hand_over(self) -> None:
        """Wake the library's task for what is in the queue."""
        arriving, self._arriving = self._arriving, None
        if arriving is not None:
            self._messages.appendleft((arriving.message, arriving.payload))
        self._rest()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _is_plain(message: RawRequestMessage) -> bool:
    return (
        message.method != "HEAD"
        and not message.upgrade
        and "expect" not in message.headers
        and not message.url.raw_path.startswith(PREFIX)
    )


def _whole(payload: StreamReader) -> bytes:
    """All of a body that has arrived; the reader's own methods would have the connection parse on before we are done."""
    if payload is EMPTY_PAYLOAD:
        return b""
    parts = payload._buffer  # noqa: SLF001 - see above
    return parts[0] if len(parts) == 1 else b"".join(parts)
