"""Health, readiness and metrics over HTTP.

`/healthz` says that the process answers. `/readyz` says that calls can be served now: the database takes an operation and
every listener is open. Both are on every listener, without a credential, and tell nothing else.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from aiohttp import web

from reference_gateway.errors import ChatErrorRenderer
from reference_gateway.jsonwire import JsonObject, encode
from reference_gateway.ledger import Ledger
from reference_gateway.listener import Listener
from reference_gateway.observation.metrics import CONTENT_TYPE, Metrics
from reference_gateway.surface import SurfaceRoutes

HEALTH_PATH: Final = "/healthz"
READY_PATH: Final = "/readyz"
METRICS_PATH: Final = "/metrics"
_DATABASE_S: Final = 2.0


class Health:
    """Answers the questions of an orchestrator."""

    def __init__(self, ledger: Ledger, listeners: Callable[[], Sequence[Listener]]) -> None:
        self._ledger = ledger
        self._listeners = listeners

    async def alive(self, request: web.Request) -> web.StreamResponse:  # noqa: ARG002 - a handler
        """GET /healthz."""
        return _json({"status": "ok"}, 200)

    async def ready(self, request: web.Request) -> web.StreamResponse:  # noqa: ARG002 - a handler
        """GET /readyz."""
        parts = {"database": await self._database(), "listeners": self._listening()}
        ready = all(parts.values())
        states = {name: "ok" if fine else "failed" for name, fine in parts.items()}
        return _json({"status": "ok" if ready else "failed", **states}, 200 if ready else 503)

    async def _database(self) -> bool:
        try:
            async with asyncio.timeout(_DATABASE_S):
                await self._ledger.ping()
        except Exception:  # noqa: BLE001 - whatever is wrong with it, it is not ready
            return False
        return True

    def _listening(self) -> bool:
        listeners = self._listeners()
        return bool(listeners) and all(listener.listening for listener in listeners)


def metrics_routes(metrics: Metrics) -> SurfaceRoutes:
    """The metrics listener, for scrapers that have no credential."""
    errors = ChatErrorRenderer()

    async def show(request: web.Request) -> web.StreamResponse:  # noqa: ARG001 - a handler
        return exposition(metrics)

    return SurfaceRoutes("metrics", {("GET", METRICS_PATH): show}, lambda _path: errors)


def exposition(metrics: Metrics) -> web.Response:
    """The metrics as Prometheus wants them."""
    return web.Response(body=metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})


def _json(value: JsonObject, status: int) -> web.Response:
    return web.Response(body=encode(value), status=status, content_type="application/json")
