"""The simulator as a server: reads requests, asks `answers.py` what to do, and plays it.

One handler serves all paths, without a routing framework; most requests do not even come this far, because their
connection answers them (`direct.py`). It runs inside the event loop of whoever starts it.
"""

import asyncio
import functools
import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from mock_upstreams import direct
from mock_upstreams.answers import Providers
from mock_upstreams.asking import Asker
from mock_upstreams.callbacks import Callbacks
from mock_upstreams.config import SimulatorConfig
from mock_upstreams.control import FOLLOW, NDJSON_TYPE, PREFIX, answer, authorise, read_since, refused
from mock_upstreams.control_request import Controls
from mock_upstreams.exchanges import Exchanges, too_large
from mock_upstreams.heads import Head
from mock_upstreams.journal import Follower, Journal
from mock_upstreams.listeners import Listeners, require_token
from mock_upstreams.pacing import Wheel
from mock_upstreams.plans import chunk, document_plan
from mock_upstreams.player import Player
from mock_upstreams.refusals import Refusal
from mock_upstreams.routes import find_place
from mock_upstreams.tls import server_context
from mock_upstreams.wire import NOTHING_SENT, CallerLeft, Wire

_HTTP_LOG: Final = logging.getLogger("mock_upstreams.http")
_BACKLOG: Final = 4096
_STOP_LIMIT_S: Final = 5.0
_LINGER_S: Final = 2.0
_FOLLOW_S: Final = 0.02
_CALLERS_FAULT: Final = (HttpProcessingError, web.RequestPayloadError)


def _is_our_fault(record: logging.LogRecord) -> bool:
    """Malformed HTTP is the caller's fault and is answered with 400; it is no news for the log."""
    return not (record.exc_info and isinstance(record.exc_info[1], _CALLERS_FAULT))


_HTTP_LOG.addFilter(_is_our_fault)


class Simulator:
    """A running simulator of LLM and media providers.

        async with Simulator(SimulatorConfig(port=0)) as simulator:
            ... simulator.url ...

    `journal` and `providers` may be used directly by code in the same event loop.
    """

    def __init__(self, config: SimulatorConfig | None = None) -> None:
        self.config = config or SimulatorConfig()
        self.journal = Journal(self.config.journal_capacity, self.config.journal_bytes)
        self.providers = Providers(self.config)
        self._controls = Controls(self.journal, self.providers, self.config.control_token)
        self._handlers: set[asyncio.Task[object]] = set()
        self._runner: web.ServerRunner | None = None
        self._wheel: Wheel | None = None
        self._exchanges: Exchanges | None = None
        self.listeners: Listeners | None = None
        self._forwarder: Asker | None = None
        self._port = 0
        self._stopping = False

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def port(self) -> int:
        """The port in use, once started."""
        return self._port

    @property
    def url(self) -> str:
        host = self.config.host
        scheme = "http" if self.config.tls_cert is None else "https"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self._port}"

    async def start(self) -> None:
        """Listen. Raises OSError when an address is taken or not ours, TlsError for a bad certificate."""
        if self._runner is not None:
            raise RuntimeError("this simulator is running already; start a second one instead")
        config = self.config
        require_token(config.host, config.control_token)
        context = None if config.tls_cert is None else server_context(config.tls_cert, config.tls_key)
        self._stopping = False
        self._wheel = Wheel(asyncio.get_running_loop())
        self._exchanges = Exchanges(self.config, self.journal, self.providers, self._wheel, lambda: self.url)
        server = self._server(self._exchanges)
        runner = web.ServerRunner(server, shutdown_timeout=_STOP_LIMIT_S)
        await runner.setup()
        site = web.TCPSite(
            runner,
            config.host,
            config.port,
            backlog=_BACKLOG,
            ssl_context=context,
            reuse_port=True if config.worker is not None else None,
        )
        try:
            await site.start()
            if config.control_socket is not None:
                await web.UnixSite(runner, config.control_socket).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        if config.control_url is not None:
            self._forwarder = Asker(config.control_url)
        self.providers.media.callbacks = Callbacks(self.config.callback_secret)
        self._port = int(runner.addresses[0][1])
        self.listeners = Listeners(config.host, server, self._exchanges.upstreams, context)
        self._controls.listeners = self.listeners
        try:
            for plan in config.listeners:
                await self.listeners.open(plan)
        except Refusal as refusal:
            await self.stop()
            raise OSError(0, refusal.message.removeprefix("port: ")) from None

    def _server(self, exchanges: Exchanges) -> web.Server:
        make: Callable[..., web.Server] = web.Server
        if self.config.direct and direct.is_possible():
            make = functools.partial(direct.DirectServer, exchanges)
        return make(
            self._handle,
            handler_cancellation=True,
            access_log=None,
            logger=_HTTP_LOG,
            lingering_time=_LINGER_S,
        )

    async def stop(self) -> None:
        """Stop listening, end every open answer, and wait until their handlers are done."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        self._stopping = True
        for site in runner.sites:
            await site.stop()
        if isinstance(runner.server, direct.DirectServer):
            runner.server.break_off()
        handlers = set(self._handlers)
        for handler in handlers:
            handler.cancel()
        if handlers:
            await asyncio.wait(handlers, timeout=_STOP_LIMIT_S)
        if self.listeners is not None:
            await self.listeners.stop()
        if self.providers.media.callbacks is not None:
            await self.providers.media.callbacks.stop()
        if self._forwarder is not None:
            await self._forwarder.close()
        await runner.cleanup()
        if self._wheel is not None:
            self._wheel.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        task = asyncio.current_task()
        exchanges = self._exchanges
        if task is None or exchanges is None:
            raise RuntimeError("a request is handled outside of a task, or before the start")
        if request.transport is None:
            return NOTHING_SENT
        self._handlers.add(task)
        try:
            head = exchanges.placed(_head(request), request.transport)
            wire = Wire(request.transport, is_11=head.is_11, keep_alive=head.keep_alive)
            if self._forwarder is not None and head.path.startswith(PREFIX) and _is_public(request.transport):
                await self._forward(request, head, wire, exchanges)
            elif head.path == FOLLOW and head.method == "GET":
                await self._follow(head, wire, head.credential)
            elif head.path.startswith(PREFIX):
                await self._control(request, head, wire, exchanges)
            else:
                await self._serve(request, head, wire, exchanges)
            return wire.sent()
        except CallerLeft:
            return NOTHING_SENT
        finally:
            self._handlers.discard(task)

    async def _serve(self, request: web.BaseRequest, head: Head, wire: Wire, exchanges: Exchanges) -> None:
        """One request to a provider, from its body to the end of its entry in the journal."""
        entry = exchanges.entry(head, time.monotonic_ns())
        over = asyncio.Event()
        try:
            try:
                body = await self._body(request, wire)
            except Refusal as refusal:
                plan = exchanges.refuse(entry, refusal)
                player: Player | None = exchanges.player(plan, wire, entry, over.set)
            else:
                player = exchanges.answer(head, entry, body, wire, over.set)
        except (CallerLeft, ConnectionError):
            exchanges.left_early(entry)
            raise CallerLeft from None
        except asyncio.CancelledError:
            if wire.is_gone and not self._stopping:
                exchanges.left_early(entry)
            raise
        if player is not None:
            await self._played(player, over)

    async def _played(self, player: Player, over: asyncio.Event) -> None:
        try:
            player.start()
            await over.wait()
        except asyncio.CancelledError:
            if player.wire.is_gone and not self._stopping:
                player.caller_left()
            player.stop()
            raise

    async def _control(self, request: web.BaseRequest, head: Head, wire: Wire, exchanges: Exchanges) -> None:
        entry = exchanges.entry(head, time.monotonic_ns())
        try:
            body = await self._body(request, wire)
        except Refusal as refusal:
            plan = self.providers.refuse(find_place(entry.path), refusal)
        else:
            credential = entry.credential
            found = await answer(self._controls, entry.method, entry.path, entry.query, body, credential)
            plan = document_plan(found)
        over = asyncio.Event()
        await self._played(exchanges.player(plan, wire, entry, over.set), over)

    async def _forward(self, request: web.BaseRequest, head: Head, wire: Wire, exchanges: Exchanges) -> None:
        """A control request that belongs to all workers goes to the process that speaks for them."""
        entry = exchanges.entry(head, time.monotonic_ns())
        body = await self._body(request, wire)
        if self._forwarder is None:
            raise RuntimeError("there is nobody to forward to")
        found = await self._forwarder.ask(head.method, str(head.url), body, request.headers)
        over = asyncio.Event()
        await self._played(exchanges.player(document_plan(found), wire, entry, over.set), over)

    async def _follow(self, head: Head, wire: Wire, credential: str | None) -> None:
        """The journal as it grows, until the reader leaves or the simulator stops."""
        try:
            authorise(self._controls, credential)
            follower = Follower(self.journal, read_since(head.url.raw_query_string))
        except Refusal as refusal:
            body = refused(refusal)
            wire.write(wire.head(body.status, body.headers, len(body.body)) + body.body)
            return
        wire.write(wire.head(200, (NDJSON_TYPE,), None))
        while True:
            lines = follower.lines() if not wire.is_clogged() else []
            if lines:
                data = b"".join(lines)
                wire.write(chunk(data) if wire.chunked else data)
            elif wire.is_gone:
                raise CallerLeft
            await asyncio.sleep(_FOLLOW_S)

    async def _body(self, request: web.BaseRequest, wire: Wire) -> bytes:
        """The whole body. Raises Refusal (413, or 400 for broken framing) and CallerLeft."""
        if request.headers.get("expect", "").lower() == "100-continue":
            wire.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        content = request.content
        parts: list[bytes] = []
        size = 0
        try:
            while not content.at_eof():
                part = await content.readany()
                size += len(part)
                if size > self.config.max_body_bytes:
                    raise too_large(self.config.max_body_bytes)
                parts.append(part)
        except _CALLERS_FAULT:
            wire.keep_alive = False
            raise Refusal(
                400, "The body of the request is not framed or encoded as its headers say."
            ) from None
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _is_public(transport: asyncio.BaseTransport | None) -> bool:
    """Whether a connection came by a port, and not by the socket that the workers' speaker uses."""
    return transport is None or not isinstance(transport.get_extra_info("sockname"), str)


def _head(request: web.BaseRequest) -> Head:
    return Head.read(
        request.method,
        request.rel_url,
        request.headers,
        request.raw_headers,
        request.version,
        keep_alive=request.keep_alive,
    )
