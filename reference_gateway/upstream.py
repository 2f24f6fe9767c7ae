"""Calls upstream providers: exactly one POST per customer call, no retry, no redirect, whatever happens.

Source: public docs, Errors of the chat pages, last paragraph ("every customer call maps to exactly one upstream POST").
"""

import asyncio
import io
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from reference_gateway.config import Channel, Dialect
from reference_gateway.failures import Failure, GatewayError, Kind, refuse
from reference_gateway.jsonwire import JsonObject, NotJsonError, decode_object
from reference_gateway.upstream_connection import DirectConnection, Take, connector

ANTHROPIC_VERSION = "2023-06-01"
MOST_REPLY_BYTES = 256 * 1024 * 1024
_MOST_ERROR_BYTES = 64 * 1024
# The body of an error is for the log only; nobody's answer waits longer for it.
_ERROR_BODY_S = 2.0
_MOST_CONNECTIONS = 2000
_CONNECT_S = 10.0
_MOST_AT_ONCE = 256 * 1024
_MOST_DRAINED_BYTES = 64 * 1024
_DRAIN_S = 1.0

_log = logging.getLogger(__name__)


class UpstreamReply:
    """A reply whose head has arrived with status 200; the body is read as the caller wishes."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        timeout_s: float,
        most_bytes: int = MOST_REPLY_BYTES,
        waited_s: float = 0.0,
    ) -> None:
        self._response = response
        self._timeout_s = timeout_s
        self._left = most_bytes
        self._read = 0
        self._direct: DirectConnection | None = None
        self._waiting_since: float | None = None
        self._watchdog: asyncio.TimerHandle | None = None
        #: Seconds spent waiting for the upstream so far.
        self.waited_s = waited_s

    @property
    def content_type(self) -> str:
        """The media type without parameters."""
        return self._response.content_type

    async def read_object(self) -> JsonObject:
        """The whole body as a JSON object; raises `GatewayError` when it breaks off or is something else."""
        body = await self.read_some()
        if body:
            # Most replies come in one read.
            parts = [body]
            while part := await self.read_some():
                parts.append(part)
            body = b"".join(parts) if len(parts) > 1 else body
        try:
            return decode_object(body)
        except NotJsonError as error:
            raise upstream_failed("The upstream's reply is not a JSON object.") from error

    async def read_some(self) -> bytes:
        """The next bytes as they arrive, empty at the clean end; raises `GatewayError` when the wire breaks."""
        self._waiting_since = began = time.perf_counter()
        if self._watchdog is None:
            self._watch(self._timeout_s)
        try:
            part = await self._response.content.readany()
        except TimeoutError as error:
            raise upstream_failed("The upstream fell silent.") from error
        except (aiohttp.ClientError, OSError) as error:
            raise upstream_failed("The connection to the upstream broke.") from error
        finally:
            self._waiting_since = None
            self.waited_s += time.perf_counter() - began
        self._left -= len(part)
        self._read += len(part)
        if self._left < 0:
            raise upstream_failed("The upstream's reply is too large.")
        return part

    async def pass_on(self, take: Take) -> None:
        """Give what arrives to `take` at once, until it returns False, or the reply ends or breaks.

        Returns without having done anything where that cannot be done. What was not taken is there for `read_some`,
        which also tells of an end or a break. Raises what `take` raises.
        """
        content = self._response.content
        # Not by truth: a connection is a queue of replies as well, and an empty one is false.
        direct = self._taken_over() if self._direct is None else self._direct
        if direct is None or content.total_bytes > self._read or content.is_eof() or content.exception():
            return
        self._direct = direct

        def taken(data: bytes) -> bool:
            if len(data) > self._left or not take(data):
                return False
            self._left -= len(data)
            self._waiting_since = time.perf_counter()
            return True

        self._waiting_since = began = time.perf_counter()
        if self._watchdog is None:
            self._watch(self._timeout_s)
        try:
            await direct.pass_on(taken)
        finally:
            self._waiting_since = None
            self.waited_s += time.perf_counter() - began

    def stop_passing(self) -> None:
        """Let `pass_on` return; for use inside of `take`."""
        if self._direct is not None:
            self._direct.stop()

    def _taken_over(self) -> DirectConnection | None:
        connection = self._response.connection
        protocol = None if connection is None else connection.protocol
        if not isinstance(protocol, DirectConnection) or not protocol.take_over(self._response):
            return None
        return protocol

    # One timer looks after all waits of a reply, because a timer for each chunk costs as much as reading the chunk.
    def _watch(self, seconds: float) -> None:
        self._watchdog = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        self._watchdog = None
        if self._waiting_since is None:
            return
        left = self._waiting_since + self._timeout_s - time.perf_counter()
        if left > 0:
            self._watch(left)
        else:
            self._response.content.set_exception(TimeoutError())
            self.stop_passing()

    def close(self) -> None:
        """Look after it no longer."""
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None

    async def drain(self) -> None:
        """Read a finished body to its end, so that the connection can serve again; trouble no longer matters."""
        left = _MOST_DRAINED_BYTES
        try:
            async with asyncio.timeout(_DRAIN_S):
                while left > 0 and (part := await self._response.content.readany()):
                    left -= len(part)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            _log.info("a finished stream did not end: %r", error)

    def abort(self) -> None:
        """Drop the connection at once, so that the upstream stops working for nobody."""
        self._response.close()


class UpstreamClient:
    """Owns the connections to all chat channels."""

    def __init__(self, timeout_s: float, most_reply_bytes: int = MOST_REPLY_BYTES) -> None:
        self._timeout_s = timeout_s
        self._most_reply_bytes = most_reply_bytes
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the session."""
        self._session = aiohttp.ClientSession(
            connector=connector(_MOST_CONNECTIONS),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity", "Content-Type": "application/json"},
            auto_decompress=False,
        )

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def post(
        self, channel: Channel, body: bytes, extra_headers: Mapping[str, str]
    ) -> AsyncIterator[UpstreamReply]:
        """Send the one POST of a call; raises `GatewayError` when no reply with status 200 comes of it."""
        began = time.perf_counter()
        response = await self.send(channel, body, extra_headers)
        waited = time.perf_counter() - began
        reply = UpstreamReply(response, self.patience(channel), self._most_reply_bytes, waited)
        try:
            if response.status != 200:
                raise await self._failure_of(channel, response)
            yield reply
        finally:
            reply.close()
            # Puts the connection back when the body was read to its end, and drops it otherwise.
            response.release()

    async def send(
        self, channel: Channel, body: bytes, extra_headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        """The POST itself, until the head of the reply; raises `GatewayError` for trouble on the wire."""
        if self._session is None:
            raise GatewayError(Failure(Kind.INTERNAL, "The gateway is not ready yet."))
        headers = {**self.credentials(channel), **extra_headers}
        # Small bodies leave together with the head; large ones in pieces, so that other calls are not held up.
        data = body if len(body) <= _MOST_AT_ONCE else io.BytesIO(body)
        try:
            async with asyncio.timeout(self.patience(channel)):
                return await self._session.post(
                    self.url(channel), data=data, headers=headers, allow_redirects=False
                )
        except TimeoutError as error:
            raise upstream_failed("The upstream did not answer in time.") from error
        except (aiohttp.ClientError, OSError) as error:
            raise upstream_failed(
                "The upstream could not be reached, or hung up without an answer."
            ) from error

    def patience(self, channel: Channel) -> float:
        """How many seconds a channel may be silent."""
        return self._timeout_s if channel.timeout_s is None else channel.timeout_s

    def url(self, channel: Channel) -> URL:
        """Where a channel takes its calls."""
        return URL(channel.url + _PATHS[channel.dialect])

    def credentials(self, channel: Channel) -> dict[str, str]:
        """The gateway's own credential at the provider; the caller's never leaves the gateway."""
        if channel.dialect is Dialect.OPENAI:
            return {"Authorization": f"Bearer {channel.key}"}
        return {"x-api-key": channel.key, "anthropic-version": ANTHROPIC_VERSION}

    async def _failure_of(self, channel: Channel, response: aiohttp.ClientResponse) -> GatewayError:
        text = ""
        try:
            async with asyncio.timeout(min(self.patience(channel), _ERROR_BODY_S)):
                body = bytearray()
                while len(body) < _MOST_ERROR_BYTES and (part := await response.content.readany()):
                    body += part
                text = _message_in(bytes(body))
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            _log.info("channel %s: error body unreadable (%s)", channel.name, error)
        _log.warning("channel %s answered %d: %.200s", channel.name, response.status, text)
        return GatewayError(self.failure_for_status(channel, response.status, text))

    def failure_for_status(self, channel: Channel, status: int, text: str) -> Failure:  # noqa: ARG002 - for deployments that map by channel or text
        """What an upstream status means to the caller. Its 401 and 403 are ours to mend, not the caller's.

        The words are always ours: the provider's text may hold a key, or a part of one.
        """
        if status in {400, 413, 422}:
            return Failure(
                Kind.UPSTREAM_REFUSED,
                "The model's provider refused the request as invalid or too large; check it against the model's documentation.",
            )
        if status == 429:
            return Failure(Kind.UPSTREAM_RATE_LIMITED, "The model's provider is limiting requests; back off.")
        return Failure(
            Kind.UPSTREAM_FAILED, "The model's provider failed; it is safe to retry, nothing was charged."
        )


_PATHS: Mapping[Dialect, str] = {Dialect.OPENAI: "/chat/completions", Dialect.ANTHROPIC: "/v1/messages"}


def upstream_failed(message: str) -> GatewayError:
    """A failure of the upstream that the caller sees as a 500."""
    return refuse(Kind.UPSTREAM_FAILED, f"{message} It is safe to retry, nothing was charged.")


def _message_in(body: bytes) -> str:
    try:
        error = decode_object(body).get("error")
    except NotJsonError:
        return ""
    message = error.get("message") if isinstance(error, dict) else error
    return message[:1000] if isinstance(message, str) else ""
