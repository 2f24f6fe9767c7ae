"""The simulator as a server: reads requests, asks `answers.py` what to do, and plays it.

One handler serves all paths, without a routing framework. It runs inside the event loop of whoever starts it.
"""

import asyncio
import logging
import re
import time
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from mock_upstreams.answers import Providers, Received
from mock_upstreams.config import SimulatorConfig
from mock_upstreams.control import PREFIX, Controls
from mock_upstreams.journal import Entry, Journal
from mock_upstreams.pacing import Wheel
from mock_upstreams.plans import Plan, document_plan
from mock_upstreams.player import Player
from mock_upstreams.refusals import Refusal
from mock_upstreams.routes import Place, find_place
from mock_upstreams.scenario import find_token
from mock_upstreams.wire import NOTHING_SENT, CallerLeft, Wire

_LOG: Final = logging.getLogger("mock_upstreams")
_HTTP_LOG: Final = logging.getLogger("mock_upstreams.http")
_BACKLOG: Final = 4096
_STOP_LIMIT_S: Final = 5.0
_LINGER_S: Final = 2.0
_HOST: Final = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")
_SCENARIO_HEADER: Final = "x-wb-scenario"
_CALLERS_FAULT: Final = (HttpProcessingError, web.RequestPayloadError)
_BEARER: Final = re.compile(r"bearer\s+(\S.*)", re.IGNORECASE)


def _is_our_fault(record: logging.LogRecord) -> bool:
    """Malformed HTTP is the caller's fault and is answered with 400; it is no news for the log."""
    return not (record.exc_info and isinstance(record.exc_info[1], _CALLERS_FAULT))


_HTTP_LOG.addFilter(_is_our_fault)


class Simulator:
    """A running simulator of LLM and media providers.

        async with Simulator(SimulatorConfig(port=0)) as simulator:
            ... simulator.url ...

    `journal` may be read directly by code in the same process.
    """

    def __init__(self, config: SimulatorConfig | None = None) -> None:
        self.config = config or SimulatorConfig()
        self.journal = Journal(self.config.journal_capacity, self.config.journal_bytes)
        self._providers = Providers(self.config)
        self._controls = Controls(self.journal, self._providers.cache)
        self._handlers: set[asyncio.Task[object]] = set()
        self._runner: web.ServerRunner | None = None
        self._wheel: Wheel | None = None
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
        return f"http://{f'[{host}]' if ':' in host else host}:{self._port}"

    async def start(self) -> None:
        """Listen. Raises OSError when the address is taken or not ours."""
        if self._runner is not None:
            raise RuntimeError("this simulator is running already; start a second one instead")
        self._stopping = False
        self._wheel = Wheel(asyncio.get_running_loop())
        server = web.Server(
            self._handle,
            handler_cancellation=True,
            access_log=None,
            logger=_HTTP_LOG,
            lingering_time=_LINGER_S,
        )
        runner = web.ServerRunner(server, shutdown_timeout=_STOP_LIMIT_S)
        await runner.setup()
        site = web.TCPSite(runner, self.config.host, self.config.port, backlog=_BACKLOG)
        try:
            await site.start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        self._port = int(runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening, end every open answer, and wait until their handlers are done."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        self._stopping = True
        for site in runner.sites:
            await site.stop()
        handlers = set(self._handlers)
        for handler in handlers:
            handler.cancel()
        if handlers:
            await asyncio.wait(handlers, timeout=_STOP_LIMIT_S)
        await runner.cleanup()
        if self._wheel is not None:
            self._wheel.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a request is handled outside of a task")
        self._handlers.add(task)
        try:
            wire = Wire(request)
            if request.rel_url.raw_path.startswith(PREFIX):
                await self._control(request, wire)
            else:
                await self._serve(request, wire)
            return wire.sent()
        except CallerLeft:
            return NOTHING_SENT
        finally:
            self._handlers.discard(task)

    async def _serve(self, request: web.BaseRequest, wire: Wire) -> None:
        """One request to a provider, from its body to the end of its entry in the journal."""
        place = find_place(request.rel_url.raw_path)
        entry = _entry(request, place)
        try:
            plan = await self._plan(request, wire, entry, place)
            await self._play(plan, wire, entry)
        except (CallerLeft, ConnectionError):
            entry.caller_left()
            raise CallerLeft from None
        except asyncio.CancelledError:
            if wire.is_gone and not self._stopping:
                entry.caller_left()
            raise
        except Exception:  # noqa: BLE001 - whatever it is, it is logged, and the caller must not get half an answer
            _LOG.exception("no answer to %s %s", entry.method, entry.path)
            wire.abort()
            entry.finish("internal_error")
        finally:
            if entry.seq == 0:
                self.journal.add(entry)

    async def _plan(self, request: web.BaseRequest, wire: Wire, entry: Entry, place: Place) -> Plan:
        try:
            body = await self._body(request, wire)
        except Refusal as refusal:
            self.journal.add(entry)
            return self._providers.refuse(place, refusal)
        entry.keep_body(body)
        header = request.headers.get(_SCENARIO_HEADER)
        token = find_token(
            body,
            request.rel_url.query_string.encode("utf-8", "replace") if entry.query else None,
            header.encode("utf-8", "surrogateescape") if header is not None else None,
        )
        if token is not None:
            entry.id, entry.token = token.id, token.raw
        received = Received(
            place=place,
            method=entry.method,
            body=body,
            token=token,
            credential=entry.credential,
            origin=self._origin(request),
            anthropic_version="anthropic-version" in request.headers,
        )
        try:
            return self._providers.answer(received, entry)
        finally:
            self.journal.add(entry)

    async def _play(self, plan: Plan, wire: Wire, entry: Entry) -> None:
        if self._wheel is None:
            raise RuntimeError("the simulator has not been started")
        if entry.method == "HEAD":
            plan = replace(plan, events=[])
        player = Player(plan, wire, entry, self._wheel, merge=self.config.flush == "stream")
        await player.play(self.config.stall_limit_s)

    async def _control(self, request: web.BaseRequest, wire: Wire) -> None:
        place = find_place(request.rel_url.raw_path)
        entry = _entry(request, place)
        try:
            body = await self._body(request, wire)
        except Refusal as refusal:
            plan = self._providers.refuse(place, refusal)
        else:
            document = self._controls.answer(entry.method, entry.path, entry.query, body)
            plan = document_plan(document)
        await self._play(plan, wire, entry)

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
                    raise Refusal(413, f"The request is larger than {self.config.max_body_bytes} bytes.")
                parts.append(part)
        except _CALLERS_FAULT:
            wire.keep_alive = False
            raise Refusal(
                400, "The body of the request is not framed or encoded as its headers say."
            ) from None
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _origin(self, request: web.BaseRequest) -> str:
        host = request.headers.get("host", "")
        return f"http://{host}" if _HOST.fullmatch(host) else self.url


def _entry(request: web.BaseRequest, place: Place) -> Entry:
    url = request.rel_url
    return Entry(
        upstream=place.upstream,
        provider=place.route.provider,
        operation=place.route.operation,
        method=request.method,
        path=url.raw_path,
        query=url.raw_query_string,
        raw_headers=request.raw_headers,
        credential=_credential(request),
        arrived_ns=time.monotonic_ns(),
    )


def _credential(request: web.BaseRequest) -> str | None:
    """The provider credential: a bearer token or x-api-key."""
    key = request.headers.get("x-api-key")
    if key:
        return key
    found = _BEARER.fullmatch(request.headers.get("authorization", "").strip())
    return found[1] if found else None
