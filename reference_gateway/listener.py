"""Listeners: HTTP servers that hand requests to surfaces, one each or several by the name in the Host header.

What cannot even be parsed (oversized headers, shapes that two parsers could read as different requests) is refused here,
in the envelope of the listener's first surface, and the connection is closed. Every request gets its id here.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from reference_gateway.config import Address, Limits
from reference_gateway.failures import Failure, Kind
from reference_gateway.identifiers import current_request, request_id
from reference_gateway.observation.watch import Watch
from reference_gateway.surface import Request, SurfaceRoutes

_BACKLOG: Final = 1024
_ANY_HOST: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - compared with, not listened on

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HostTable:
    """Which surface a Host header selects. Without names, the one surface takes every host."""

    default: SurfaceRoutes
    by_name: Mapping[str, SurfaceRoutes] | None = None

    def find(self, host: str) -> SurfaceRoutes | None:
        """The surface of a host, its port and case aside; None for a name that nobody has."""
        if self.by_name is None:
            return self.default
        return self.by_name.get(host_name(host))


def host_name(host: str) -> str:
    """The name in a Host header: lower case, without port and final dot."""
    host = host.strip().lower()
    name = host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
    return name.rstrip(".")


def root_url(host: str, port: int) -> str:
    """How callers on this machine reach a listener."""
    return f"http://{_ANY_HOST.get(host, f'[{host}]' if ':' in host else host)}:{port}"


class _Protocol(web.RequestHandler):  # type: ignore[misc,unused-ignore]
    """Renders what is wrong below a request in the envelope of the listener."""

    listener: "Listener"

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's words quote what was sent
    ) -> web.StreamResponse:
        current_request.set(current_request.get() or request_id())
        if request.writer.output_size > 0:
            raise ConnectionError("the response has begun; nothing can be said any more")
        if isinstance(exc, LineTooLong):
            failure = Failure(
                Kind.HEADERS_TOO_LARGE,
                f"The request line or a header is larger than {self.listener.limits.header_bytes} bytes.",
            )
        elif status < 500:
            failure = Failure(Kind.MALFORMED_BODY, "The request is not well-formed HTTP/1.1.")
        else:
            _log.error("a request failed outside of its surface", exc_info=exc)
            failure = Failure(Kind.INTERNAL, "The gateway failed; nothing was charged.")
        response = self.listener.hosts.default.errors("/").response(failure)
        response.force_close()
        return response


class _Server(web.Server):
    def __init__(self, listener: "Listener", **settings: Any) -> None:
        super().__init__(
            cast("Any", listener.handle), request_factory=listener.request, handler_cancellation=True
        )
        self._listener = listener
        self._settings = settings

    def __call__(self) -> web.RequestHandler:
        protocol = _Protocol(self, loop=asyncio.get_running_loop(), **self._settings)
        protocol.listener = self._listener
        return protocol


class Listener:
    """One address. A stop is `stop_accepting` on all of them, then `close`, which waits within the bound.

    `before` runs ahead of every request.
    """

    def __init__(
        self,
        hosts: HostTable,
        limits: Limits,
        drain_s: float,
        watch: Watch,
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.hosts = hosts
        self.limits = limits
        self._drain_s = drain_s
        self._watch = watch
        self._before = before
        self._runner: web.ServerRunner | None = None
        self._host = ""
        self._port = 0

    async def start(self, address: Address, inherited: socket.socket | None = None) -> None:
        """Listen at an address, or on a socket that listens already; raises `OSError` when it cannot be had."""
        limits = self.limits
        server = _Server(
            self,
            access_log=None,
            max_line_size=limits.header_bytes,
            max_field_size=limits.header_bytes,
            max_headers=limits.headers,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=self._drain_s, handle_signals=False)
        await self._runner.setup()
        site: web.BaseSite = (
            web.TCPSite(self._runner, address.host, address.port, backlog=_BACKLOG)
            if inherited is None
            else web.SockSite(self._runner, inherited, backlog=_BACKLOG)
        )
        try:
            await site.start()
        except OSError:
            await self.close()
            raise
        self._host, self._port = address.host, self._runner.addresses[0][1]

    async def stop_accepting(self) -> None:
        """Take no more connections; what is open goes on."""
        self._port = 0
        if self._runner is not None:
            for site in list(self._runner.sites):
                await site.stop()

    async def close(self) -> None:
        """Wait for what is running, for as long as is allowed, and end the rest."""
        runner, self._runner, self._port = self._runner, None, 0
        if runner is not None:
            await runner.cleanup()

    @property
    def listening(self) -> bool:
        """Whether connections are taken."""
        return self._runner is not None and self._port != 0

    @property
    def port(self) -> int:
        """The port in use, once started."""
        return self._port

    @property
    def root(self) -> str:
        """The URL of the listener without a path."""
        return root_url(self._host, self._port)

    def request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> Request:
        """The request as surfaces see it."""
        loop = asyncio.get_running_loop()
        return Request(message, payload, protocol, writer, task, loop, client_max_size=self.limits.body_bytes)

    async def handle(self, request: Request) -> web.StreamResponse:
        """Answer one request, and have it watched."""
        current_request.set(request_id())
        began = time.perf_counter()
        if self._before is not None:
            await self._before()
        host = request.headers.get("Host", "")
        surface = self.hosts.find(host)
        if surface is None:
            failure = Failure(Kind.MISDIRECTED, f"There is no surface at host {host[:100]!r}.")
            response: web.StreamResponse = self.hosts.default.errors("/").response(failure)
        else:
            response = await self._traced(request, surface)
        name = "none" if surface is None else surface.name
        self._watch.answered(name, response.status, time.perf_counter() - began)
        return response

    async def _traced(self, request: Request, surface: SurfaceRoutes) -> web.StreamResponse:
        tracing = self._watch.tracing
        if tracing is None:
            return await surface.answer(request)
        with tracing.request(request.method, surface.name, request.headers, current_request.get()) as span:
            response = await surface.answer(request)
            span.set_attribute("http.response.status_code", response.status)
            return response
