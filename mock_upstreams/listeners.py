"""More listeners of one simulator, each on a port of its own: for an upstream, or with a fault below HTTP.

A gateway's group or model points to one of them, so that its calls meet "connection refused" or a bad certificate
while all others go on. While a listener refuses, its port stays bound: nobody else can take it, and a connection is
answered with RST.
"""

import asyncio
import ipaddress
import itertools
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from mock_upstreams.config import ListenerPlan
from mock_upstreams.refusals import Refusal, bad_request
from mock_upstreams.tls import HangUp, untrustworthy_context

_MOST: Final = 64
_PLAIN: Final = ("http", "refused")
_BACKLOG: Final = 1024
_LONGEST_MS: Final = 86_400_000


@dataclass(slots=True)
class Listener:
    """`holder` keeps the port; `server` is None while connections are refused."""

    number: int
    port: int
    plan: ListenerPlan
    holder: socket.socket
    server: asyncio.Server | None = None
    timer: asyncio.TimerHandle | None = None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens at `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def require_token(host: str, token: str | None) -> None:
    """Refuse to serve other machines without a token for the control API. Raises ValueError."""
    if not is_loopback(host) and not token:
        raise ValueError(
            f"{host} can be reached from other machines, and the control API shows and changes everything; set "
            "control_token"
        )


class Listeners:
    """All extra listeners; `factory` makes the protocol of a connection."""

    def __init__(
        self,
        host: str,
        factory: Callable[[], asyncio.BaseProtocol],
        upstreams: dict[int, str],
        context: ssl.SSLContext | None = None,
    ) -> None:
        """`upstreams` is where the names of upstreams by port are kept; `context` is for listeners with TLS."""
        self._host = host
        self._factory = factory
        self._upstreams = upstreams
        self._context = context
        self._all: dict[int, Listener] = {}
        self._numbers = itertools.count(1)
        self._starting: set[asyncio.Task[None]] = set()

    def described(self) -> list[dict[str, Any]]:
        return [self.describe(listener) for listener in self._all.values()]

    def describe(self, listener: Listener) -> dict[str, Any]:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return {
            "number": listener.number,
            "url": f"{'http' if listener.plan.kind in _PLAIN else 'https'}://{host}:{listener.port}",
            "kind": listener.plan.kind,
            "upstream": listener.plan.upstream,
            "refusing": listener.server is None,
        }

    async def open(self, plan: ListenerPlan) -> Listener:
        """Listen at one more port; 0 takes a free one. Raises Refusal."""
        port = plan.port
        if plan.kind == "tls" and self._context is None:
            raise bad_request("kind: tls needs the simulator's own certificate; start it with --tls-cert")
        if len(self._all) >= _MOST:
            raise Refusal(409, f"there are {_MOST} listeners already; delete one first")
        try:
            holder = self._bound(port)
        except OSError as exc:
            raise bad_request(f"port: cannot listen at {port}: {exc.strerror}; choose another port") from None
        listener = Listener(next(self._numbers), int(holder.getsockname()[1]), plan, holder)
        if plan.kind != "refused":
            await self._listen(listener)
        if plan.upstream is not None:
            self._upstreams[listener.port] = plan.upstream
        self._all[listener.number] = listener
        return listener

    def refuse(self, number: int, for_ms: float) -> Listener:
        """Refuse connections from now on, for so many milliseconds. Raises Refusal (404)."""
        listener = self.find(number)
        if listener.plan.kind == "refused":
            raise Refusal(409, f"listener {number} refuses connections as long as it is there")
        if listener.timer is not None:
            listener.timer.cancel()
        if listener.server is not None:
            listener.server.close()
            listener.server = None
        loop = asyncio.get_running_loop()
        listener.timer = loop.call_later(min(for_ms, _LONGEST_MS) / 1000, self._restart, listener)
        return listener

    def close(self, number: int) -> None:
        """Give the port back. Raises Refusal (404)."""
        listener = self.find(number)
        del self._all[number]
        self._upstreams.pop(listener.port, None)
        if listener.timer is not None:
            listener.timer.cancel()
        if listener.server is not None:
            listener.server.close()
        listener.holder.close()

    async def stop(self) -> None:
        for number in list(self._all):
            self.close(number)
        if self._starting:
            await asyncio.wait(self._starting)

    def find(self, number: int) -> Listener:
        listener = self._all.get(number)
        if listener is None:
            raise Refusal(404, f"there is no listener {number}")
        return listener

    def _bound(self, port: int) -> socket.socket:
        """A socket that holds the port without listening; others of ours may share it."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.setblocking(False)  # noqa: FBT003 - named so by the socket module
            sock.bind((self._host, port))
        except OSError:
            sock.close()
            raise
        return sock

    def _restart(self, listener: Listener) -> None:
        listener.timer = None
        task = asyncio.get_running_loop().create_task(self._listen(listener))
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _listen(self, listener: Listener) -> None:
        kind = listener.plan.kind
        context = {"tls": self._context, "bad_certificate": untrustworthy_context()}.get(kind)
        listener.server = await asyncio.get_running_loop().create_server(
            HangUp if kind == "handshake_closed" else self._factory,
            sock=self._bound(listener.port),
            backlog=_BACKLOG,
            ssl=context,
        )
