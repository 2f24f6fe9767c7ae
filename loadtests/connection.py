"""One HTTP connection for gevent, made for the truth about time.

A persistent watcher of the event loop reads the socket the moment bytes are there, in the loop's own
callback: one `recv`, one timestamp directly after it, then framing and parsing. The user's greenlet only
waits for the end. That avoids a switch and two watcher registrations per read, which is what makes the usual
gevent clients late. TLS runs over memory buffers in the same callback, so nothing there can ever block.

Endings are told apart as far as a socket can tell: FIN, RST, timeouts by kind, bytes that are no HTTP.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import gevent
import gevent.event
import gevent.socket as gsocket
import httptools

from loadtests.dialling import ConnectError, Endpoint, dial, now
from weighbridge.evidence import Ending, Headers
from weighbridge.load.figures import Failure
from weighbridge.load.plan import Bounds

_READ = 1
_RECEIVE = 65536
_SECOND = 1_000_000_000
#: Nothing is read ahead of a response head larger than this.
_MAX_HEAD = 256 * 1024


class Reader(Protocol):
    """What a connection tells about a response, in the event loop's callback: take it, never wait."""

    def on_head(self, at: int, status: int, headers: Headers) -> None:
        """The response head is whole."""

    def on_body(self, at: int, data: bytes) -> None:
        """Body bytes of one socket read, without framing."""

    def on_quick(self, at: int, data: bytes) -> bool:
        """A read that begins between two HTTP chunks, framing included; True if all of it was taken."""


@dataclass(frozen=True, slots=True)
class End:
    """How an exchange ended; `timeout` names the bound that was exceeded."""

    ending: Ending
    at: int
    detail: str = ""
    timeout: Failure | None = None


class Connection:
    """A connection that serves one exchange after the other.

    Attributes:
        connect_ns, tls_ns: how long set-up took; `tls_ns` is None for plain HTTP.
        reusable: whether another exchange may follow.
        used: exchanges so far.
    """

    def __init__(self, endpoint: Endpoint, timeout: float) -> None:
        """Connect.

        Raises:
            ConnectError: refused, timed out, or the TLS handshake failed.
        """
        self.reusable = False
        self.used = 0
        self.tls_ns: int | None = None
        self._watcher: Any = None
        self._changed = gevent.event.Event()
        self._end: End | None = None
        self._bug: Exception | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._reader: Reader | None = None
        self._session: ssl.SSLObject | None = None
        self._last_read = 0
        self._between = False
        started = now()
        self._socket = dial(endpoint, timeout)
        self.connect_ns = now() - started
        try:
            self._descriptor = self._socket.fileno()
            self._watcher = gevent.get_hub().loop.io(self._descriptor, _READ)
            if endpoint.tls is not None:
                self._handshake(endpoint.tls, endpoint.host, started + int(timeout * _SECOND))
            self.reusable = True
            self._watcher.start(self._readable)
        except BaseException:
            self.close()
            raise

    # ---------------------------------------------------------------- the user's greenlet
    def exchange(self, request: bytes, reader: Reader, bounds: Bounds) -> End:
        """Send a request and wait for the end of its response.

        Args:
            request: all of its bytes.
            reader: is told what arrives.
            bounds: in seconds, counted from now.

        Raises:
            Exception: whatever `reader` raised; that is a fault of ours, not of the peer.
        """
        self._reader = reader
        self._end = None
        self._parser = httptools.HttpResponseParser(self)
        self._status = 0
        self._headers: list[tuple[str, str]] = []
        self._framed = False
        self._headed = False
        self._complete = False
        self._between = False
        self._kept_alive = False
        self._head_bytes = 0
        self._pieces: list[bytes] = []
        self._last_read = 0
        self._changed.clear()
        self.used += 1
        started = now()
        try:
            self._send(request, started + int(bounds.total * _SECOND))
            end = self._wait(started, bounds)
        finally:
            self._reader = None
            self._parser = None
            if not self._ended_well():
                self.close()
        if self._bug is not None:
            raise self._bug
        return end

    def still_open(self) -> bool:
        """Whether another exchange may follow: the peer has neither closed nor sent what nobody asked for.

        Looks at the socket itself, since the event loop may not have come round since the peer closed.
        """
        if self.reusable:
            try:
                self._socket.recv(1, gsocket.MSG_PEEK)
            except BlockingIOError:
                return True
            except OSError:
                pass
            self.close()
        return False

    def close(self) -> None:
        """Close; safe to call again."""
        self.reusable = False
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None
        self._socket.close()

    def _ended_well(self) -> bool:
        return self._end is not None and self._end.ending is Ending.COMPLETE

    def _wait(self, started: int, bounds: Bounds) -> End:
        total = started + int(bounds.total * _SECOND)
        while self._end is None:
            last = self._last_read
            if last:
                limit, failure, bound = last + int(bounds.idle * _SECOND), Failure.TIMEOUT_IDLE, bounds.idle
            else:
                limit = started + int(bounds.first_byte * _SECOND)
                failure, bound = Failure.TIMEOUT_FIRST_BYTE, bounds.first_byte
            if total < limit:
                limit, failure, bound = total, Failure.TIMEOUT_TOTAL, bounds.total
            left = limit - now()
            if left <= 0:
                self._over(Ending.TIMEOUT, f"{MEANINGS[failure]} within {bound:g} s", failure)
            else:
                self._changed.wait(left / _SECOND)
        return self._end

    def _send(self, data: bytes, limit: int) -> None:
        if self._session is not None:
            self._session.write(data)
            data = self._outgoing.read()
        view = memoryview(data)
        while view and self._end is None:
            try:
                view = view[self._socket.send(view) :]
            except BlockingIOError:
                left = (limit - now()) / _SECOND
                try:
                    gsocket.wait_write(self._socket.fileno(), max(left, 0.001))
                except TimeoutError:
                    self._over(Ending.TIMEOUT, "the request could not be sent", Failure.TIMEOUT_TOTAL)
            except OSError:
                # The peer hung up. What it said before may still be unread, so the watcher finds out how it ended.
                return

    def _handshake(self, context: ssl.SSLContext, host: str, limit: int) -> None:
        started = now()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        while True:
            try:
                self._session.do_handshake()
            except ssl.SSLWantReadError:
                self._flush(limit)
                self._receive_for_handshake(limit)
            except (ssl.SSLError, ssl.CertificateError) as error:
                self._flush(limit)
                raise ConnectError(Failure.TLS, f"TLS: {getattr(error, 'reason', None) or error}") from error
            else:
                break
        self._flush(limit)
        self.tls_ns = now() - started

    def _flush(self, limit: int) -> None:
        data = memoryview(self._outgoing.read())
        while data:
            try:
                data = data[self._socket.send(data) :]
            except BlockingIOError:
                self._until(gsocket.wait_write, limit)
            except OSError as error:
                raise ConnectError(Failure.TLS, f"TLS: {error.strerror or error}") from error

    def _receive_for_handshake(self, limit: int) -> None:
        while True:
            try:
                data = self._socket.recv(_RECEIVE)
            except BlockingIOError:
                self._until(gsocket.wait_read, limit)
            except OSError as error:
                raise ConnectError(Failure.TLS, f"TLS: {error.strerror or error}") from error
            else:
                if not data:
                    raise ConnectError(Failure.TLS, "TLS: the connection was closed during the handshake")
                self._incoming.write(data)
                return

    def _until(self, wait: Callable[..., None], limit: int) -> None:
        try:
            wait(self._socket.fileno(), max((limit - now()) / _SECOND, 0.001))
        except TimeoutError:
            raise ConnectError(Failure.TIMEOUT_CONNECT, "the TLS handshake took too long") from None

    # ---------------------------------------------------------------- the event loop's callback
    def _readable(self) -> None:
        """Bytes, or an end, are there. Nothing here waits, and no exception leaves it: the hub would drop it."""
        try:
            # The system call itself: gevent's recv would try, catch and try again around it, once for each chunk.
            data = os.read(self._descriptor, _RECEIVE)
        except BlockingIOError:
            return
        except OSError as error:
            self._over(Ending.RESET, f"{type(error).__name__}: {error.strerror or error}")
            return
        at = now()
        try:
            if self._between and self._reader is not None and self._reader.on_quick(at, data):
                # Whole chunks leave the framing where it was: between two of them.
                self._last_read = at
                return
            self._take(at, data)
        except Exception as error:  # noqa: BLE001 - handed to the waiting greenlet, which raises it
            self._bug = error
            self._over(Ending.INVALID, f"{type(error).__name__}: {error}")

    def _take(self, at: int, data: bytes) -> None:
        if self._parser is None:
            # Between two exchanges: the peer closed an idle connection, or sent what nobody asked for.
            self.close()
            return
        eof, broken = not data, ""
        if self._session is not None:
            data, eof, broken = self._decrypted(data)
        if data:
            self._last_read = at
            if not self._parse(at, data):
                return
        if self._complete:
            keep = self._kept_alive and self.reusable and not eof and not broken
            self._over(Ending.COMPLETE, "")
            if not keep:
                self.close()
        elif broken:
            self._over(Ending.RESET, broken)
        elif eof:
            whole = self._headed and not self._framed
            self._over(
                Ending.COMPLETE if whole else Ending.CLOSED,
                "" if whole else "closed before the message was whole",
            )
            self.close()

    def _parse(self, at: int, data: bytes) -> bool:
        """HTTP framing; False where the bytes are no HTTP."""
        assert self._parser is not None and self._reader is not None  # noqa: S101, PT018 - an exchange is going on
        headed = self._headed
        try:
            self._parser.feed_data(data)
            if not data.endswith(b"\r\n"):
                self._between = False
        except httptools.HttpParserCallbackError as error:
            raise error.__context__ if isinstance(error.__context__, Exception) else error from error
        except httptools.HttpParserError as error:
            if not self._complete:
                self._deliver(at, headed=headed)
                self._over(Ending.INVALID, f"not HTTP/1.1: {error}")
                return False
            self.reusable = False
        if not self._headed:
            self._head_bytes += len(data)
            if self._head_bytes > _MAX_HEAD:
                self._over(Ending.INVALID, "a response head of more than 256 KiB")
                return False
        self._deliver(at, headed=headed)
        return True

    def _deliver(self, at: int, *, headed: bool) -> None:
        assert self._reader is not None  # noqa: S101 - an exchange is going on
        if self._headed and not headed:
            self._reader.on_head(at, self._status, tuple(self._headers))
        if self._pieces:
            body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            self._pieces.clear()
            self._reader.on_body(at, body)

    def _decrypted(self, data: bytes) -> tuple[bytes, bool, str]:
        """Plain bytes out of a read, whether the peer is done, and what broke the session (an alert, foreign bytes)."""
        assert self._session is not None  # noqa: S101 - asked by the caller
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        plain: list[bytes] = []
        while True:
            try:
                piece = self._session.read(_RECEIVE)
            except ssl.SSLWantReadError:
                return b"".join(plain), False, ""
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b"".join(plain), True, ""
            except ssl.SSLError as error:
                return b"".join(plain), False, f"TLS: {error.reason or error}"
            if not piece:
                return b"".join(plain), True, ""
            plain.append(piece)

    def _over(self, ending: Ending, detail: str, timeout: Failure | None = None) -> None:
        if self._end is None:
            self._end = End(ending, now(), detail, timeout)
            if ending is not Ending.COMPLETE:
                self.reusable = False
                if self._watcher is not None:
                    self._watcher.stop()
            self._changed.set()

    # ---------------------------------------------------------------- httptools' callbacks
    def on_header(self, name: bytes, value: bytes) -> None:
        """One header line."""
        lower = name.lower()
        if lower in {b"content-length", b"transfer-encoding"}:
            self._framed = True
        self._headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """The head is whole; an interim one (1xx) is passed over."""
        assert self._parser is not None  # noqa: S101 - it is calling
        self._status = self._parser.get_status_code()
        if self._status < 200:
            self._headers.clear()
            self._framed = False
        else:
            self._headed = True

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        self._pieces.append(data)

    def on_chunk_header(self) -> None:
        """An HTTP chunk begins."""
        self._between = False

    def on_chunk_complete(self) -> None:
        """An HTTP chunk is over; TLS has framing of its own around it, so nothing is taken quickly there."""
        self._between = self._session is None

    def on_message_complete(self) -> None:
        """The message is whole by its own framing."""
        if self._headed and self._parser is not None:
            self._complete = True
            self._between = False
            # Asked here, because behind the message the parser answers for the next one.
            self._kept_alive = self._parser.should_keep_alive()


MEANINGS = {
    Failure.TIMEOUT_FIRST_BYTE: "no first byte",
    Failure.TIMEOUT_IDLE: "nothing more",
    Failure.TIMEOUT_TOTAL: "not finished",
}
