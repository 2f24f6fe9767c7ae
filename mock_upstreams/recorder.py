"""Stands in front of a real provider, relays every call as it is, and records what came back and when.

What arrives is passed on at once, and the parts of an answer leave as they come. The recording is written when an
exchange is over, one line each, so that a recorder which is ended by force leaves a file that can be read.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from mock_upstreams.recordings import Part, Recorded, as_line, digest, header_line, target_of

_LOG: Final = logging.getLogger("mock_upstreams.recorder")
_OF_CONNECTION: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "host",
        "content-length",
        "expect",
    }
)
_ASKED_ANEW: Final = _OF_CONNECTION | {"accept-encoding"}
_CREDENTIALS: Final = ("x-api-key", "api-key", "x-goog-api-key")
MAX_BODY_BYTES: Final = 64 * 1024 * 1024
"""A longer answer is relayed and not recorded."""
_CONNECT_S: Final = 20.0
_SILENCE_S: Final = 600.0
_STOP_S: Final = 1.0


class Recorder:
    """A relay to `upstream` that writes what it sees to `out`; `recorded` and `skipped` count exchanges.

    `upstream` is the address that stands before the path of a call: `https://api.openai.com` for calls to `/v1/...`.
    """

    def __init__(self, upstream: str, out: str, host: str = "127.0.0.1", port: int = 0) -> None:
        self._upstream = upstream.rstrip("/")
        self._out = Path(out)
        self._host = host
        self._wanted_port = port
        self._runner: web.ServerRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._file_lock = asyncio.Lock()
        self.port = 0
        self.recorded = 0
        self.skipped = 0

    @property
    def url(self) -> str:
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{self.port}"

    async def __aenter__(self) -> Self:
        """Start to listen; an existing file is replaced. Raises OSError."""
        self._out.write_bytes(header_line(self._upstream))
        self._out.chmod(0o600)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S)
        self._session = aiohttp.ClientSession(
            timeout=timeout, auto_decompress=False, connector=aiohttp.TCPConnector(limit=0)
        )
        runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=_STOP_S)
        try:
            await runner.setup()
            await web.TCPSite(runner, self._host, self._wanted_port).start()
        except OSError:
            await runner.cleanup()
            await self._session.close()
            raise
        self._runner = runner
        self.port = int(runner.addresses[0][1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if self._session is None:
            raise RuntimeError("a request is handled before the start")
        body = await request.read()
        headers = CIMultiDict(
            (name, value) for name, value in request.headers.items() if name.lower() not in _ASKED_ANEW
        )
        headers["accept-encoding"] = "identity"
        sent_at = time.monotonic()
        try:
            answer = await self._session.request(
                request.method,
                URL(self._upstream + request.rel_url.raw_path_qs, encoded=True),
                headers=headers,
                data=body or None,
                allow_redirects=False,
                skip_auto_headers=("user-agent", "content-type", "accept"),
            )
        except (aiohttp.ClientError, TimeoutError) as exc:
            self.skipped += 1
            _LOG.warning("no answer from %s: %s", self._upstream, exc)
            message = f"weighbridge mock record: no answer from {self._upstream}: {exc}"
            return web.json_response({"error": {"message": message, "type": "relay_error"}}, status=502)
        async with answer:
            return await self._relay(request, body, answer, sent_at)

    async def _relay(
        self, request: web.BaseRequest, body: bytes, answer: aiohttp.ClientResponse, sent_at: float
    ) -> web.StreamResponse:
        head_s = time.monotonic() - sent_at
        chunked = "content-length" not in answer.headers
        kept = tuple((name.lower(), value) for name, value in answer.headers.items())
        response = web.StreamResponse(status=answer.status, reason=answer.reason)
        for name, value in answer.headers.items():
            if name.lower() not in _OF_CONNECTION or name.lower() == "content-length":
                response.headers.add(name, value)
        await response.prepare(request)
        parts: list[Part] = []
        size = 0
        ending = "complete"
        try:
            async for data, _ in answer.content.iter_chunks():
                if data:
                    size += len(data)
                    if size <= MAX_BODY_BYTES:
                        parts.append(Part(time.monotonic() - sent_at, data))
                    await response.write(data)
        except (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError, TimeoutError) as exc:
            if request.transport is None or request.transport.is_closing():
                self.skipped += 1
                raise
            ending = "rst" if _is_reset(exc) else "fin"
        exchange = Recorded(
            method=request.method,
            target=target_of(request.rel_url.raw_path, request.rel_url.raw_query_string),
            digest=digest(body),
            request_headers=tuple((name.lower(), value) for name, value in request.headers.items()),
            request_body=body,
            status=answer.status,
            headers=kept,
            chunked=chunked,
            head_s=head_s,
            parts=tuple(parts),
            ending=ending,
        )
        await self._keep(exchange, request.headers, whole=size <= MAX_BODY_BYTES)
        if ending == "complete":
            await response.write_eof()
        elif request.transport is not None:
            request.transport.abort()
        return response

    async def _keep(self, exchange: Recorded, headers: Mapping[str, str], *, whole: bool) -> None:
        encoded = dict(exchange.headers).get("content-encoding", "identity").lower() != "identity"
        if encoded or not whole:
            self.skipped += 1
            why = "compressed, though asked not to be" if encoded else f"longer than {MAX_BODY_BYTES} bytes"
            _LOG.warning("not recorded: the answer to %s %s is %s", exchange.method, exchange.target, why)
            return
        line = as_line(exchange, _credentials(headers))
        async with self._file_lock:
            await asyncio.to_thread(self._append, line)
        self.recorded += 1

    def _append(self, line: bytes) -> None:
        with self._out.open("ab") as file:
            file.write(line)


def _credentials(headers: Mapping[str, str]) -> list[str]:
    """The values that authorise a call: they are masked wherever they turn up."""
    found = [headers[name] for name in _CREDENTIALS if name in headers]
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    return [*found, *([rest.strip() or scheme] if scheme else [])]


def _is_reset(exc: BaseException) -> bool:
    """Whether the provider sent an RST; the client library says so in its message, and not as the cause."""
    return isinstance(exc, ConnectionResetError) or ConnectionResetError.__name__ in str(exc)
