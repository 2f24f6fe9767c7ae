"""Opens TCP connections: every address of a host within one bound, and why none came about."""

from __future__ import annotations

import _socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import gevent
import gevent.socket as gsocket

from weighbridge.load.figures import Failure
from weighbridge.load.plan import Lane, LoadPlan

#: The one clock of the load client, in nanoseconds.
now: Callable[[], int] = time.perf_counter_ns
_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect; `tls` is None for plain HTTP."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None


def endpoint_of(plan: LoadPlan, lane: Lane) -> Endpoint:
    """Where the calls of a lane go."""
    parts = urlsplit(lane.url)
    secure = parts.scheme == "https"
    return Endpoint(
        parts.hostname or "", parts.port or (443 if secure else 80), _context(plan) if secure else None
    )


def _context(plan: LoadPlan) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=plan.ca_file)
    if not plan.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class ConnectError(Exception):
    """No connection came about."""

    def __init__(self, failure: Failure, detail: str) -> None:
        super().__init__(detail)
        self.failure = failure


def _addresses(endpoint: Endpoint) -> list[Any]:
    """What to try; an address in figures needs no resolver, and no thread for one."""
    try:
        return _socket.getaddrinfo(
            endpoint.host, endpoint.port, 0, gsocket.SOCK_STREAM, 0, gsocket.AI_NUMERICHOST
        )
    except gsocket.gaierror:
        found: list[Any] = gsocket.getaddrinfo(endpoint.host, endpoint.port, 0, gsocket.SOCK_STREAM)
        return found


def dial(endpoint: Endpoint, timeout: float) -> Any:
    """A connected, non-blocking socket; every address of the host is tried within the bound."""
    limit = now() + int(timeout * _SECOND)
    try:
        with gevent.Timeout(timeout, TimeoutError):
            addresses = _addresses(endpoint)
    except TimeoutError:
        raise ConnectError(
            Failure.TIMEOUT_CONNECT, f"no address of {endpoint.host} within {timeout:g} s"
        ) from None
    except OSError as error:
        raise ConnectError(
            Failure.CONNECT, f"no address of {endpoint.host}: {error.strerror or error}"
        ) from error
    problem = ConnectError(Failure.CONNECT, f"{endpoint.host} has no address")
    for family, kind, protocol, _, address in addresses:
        made = gsocket.socket(family, kind, protocol)
        try:
            made.settimeout(max((limit - now()) / _SECOND, 0.001))
            made.connect(address)
            made.setsockopt(gsocket.IPPROTO_TCP, gsocket.TCP_NODELAY, 1)
            made.settimeout(0.0)
        except TimeoutError:
            made.close()
            problem = ConnectError(
                Failure.TIMEOUT_CONNECT,
                f"no connection to {endpoint.host}:{endpoint.port} within {timeout:g} s",
            )
        except OSError as error:
            made.close()
            problem = ConnectError(
                Failure.CONNECT,
                f"no connection to {endpoint.host}:{endpoint.port}: {error.strerror or error}",
            )
        except BaseException:
            made.close()
            raise
        else:
            return made
    raise problem
