"""The task gateway's HTTP surface under /api/v1, and the result files under /media.

Sources: public docs, API Overview, Quickstart, Tasks, Balance.
"""

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from reference_gateway.accounts import Account
from reference_gateway.authentication import Authenticator
from reference_gateway.config import MediaKind
from reference_gateway.errors import ErrorRenderer
from reference_gateway.jsonwire import JsonObject, encode
from reference_gateway.limits import UserLimiter
from reference_gateway.observation.metrics import Metrics
from reference_gateway.surface import Handler, SurfaceRoutes, read_body
from reference_gateway.tasks.model import Task, TaskOutput
from reference_gateway.tasks.service import TaskService
from reference_gateway.tasks.storage import ROUTE, MediaStorage
from reference_gateway.validation.fields import read_object

BASE: Final = "/api/v1"
# Path of each submission endpoint.
PATHS: Final[Mapping[str, str]] = {
    "images": "/images/generations",
    "videos": "/videos/generations",
    "audio": "/audio/generations",
    "humanize": "/humanize",
    "detect": "/detect",
    "essay": "/essay",
}
_URLS: Final[Mapping[MediaKind, str]] = {
    MediaKind.IMAGE: "image_urls",
    MediaKind.VIDEO: "video_urls",
    MediaKind.AUDIO: "audio_urls",
}


class TaskView:
    """Tasks as callers see them."""

    def __init__(self) -> None:
        self.media_base = ""

    def submitted(self, task: Task) -> JsonObject:
        """The answer to a submission."""
        return {
            "id": task.id,
            "model": task.model,
            "status": task.status.value,
            "created_at": task.created_at,
        }

    def polled(self, task: Task) -> JsonObject:
        """The answer to a poll; output and error are null until they are known."""
        error = task.error
        return {
            **self.submitted(task),
            "output": None if task.output is None else self.output(task, task.output),
            "error": None
            if error is None
            else {"code": int(error.code), "message": error.message, "request_id": error.request_id},
        }

    def output(self, task: Task, output: TaskOutput) -> JsonObject:
        """The output by kind of media."""
        if task.kind is MediaKind.TEXT:
            return {"text": output.text}
        urls = [self.url(task, file.name) for file in output.files]
        shown: JsonObject = {_URLS[task.kind]: urls}
        if output.last_frame is not None:
            shown["last_frame_url"] = self.url(task, output.last_frame)
        if task.kind is MediaKind.AUDIO and any(file.label is not None for file in output.files):
            shown["tracks"] = [
                {"type": file.type, "label": file.label, "url": url}
                for file, url in zip(output.files, urls, strict=True)
            ]
        return shown

    def url(self, task: Task, name: str) -> str:
        """The public URL of a result file."""
        return f"{self.media_base}{ROUTE}/{task.folder}/{name}"


class TasksSurface:
    """Every request: key first, then the user's rate limit, then the rest."""

    def __init__(
        self,
        authenticator: Authenticator,
        limiter: UserLimiter,
        service: TaskService,
        storage: MediaStorage,
        view: TaskView,
        errors: ErrorRenderer,
        metrics: Metrics | None = None,
    ) -> None:
        self._authenticator = authenticator
        self._limiter = limiter
        self._service = service
        self._storage = storage
        self._view = view
        self._errors = errors
        self._metrics = metrics or Metrics()

    async def admit(self, request: web.Request) -> Account:
        """Who is calling, if they may call now."""
        account = self._authenticator.authenticate(request.headers)
        await self._limiter.admit(account)
        return account

    def submit(self, endpoint: str) -> Handler:
        """The handler of one submission endpoint."""

        async def handle(request: web.Request) -> web.StreamResponse:
            account = await self.admit(request)
            body = read_object(await read_body(request))
            task = await self._service.submit(account, endpoint, body, _header(request, "Idempotency-Key"))
            self._metrics.tasks.labels(task.model).inc()
            self._metrics.credits.labels(task.model).inc(task.price)
            return _json(self._view.submitted(task))

        return handle

    async def poll(self, request: web.Request) -> web.StreamResponse:
        """GET /tasks/{id}."""
        account = await self.admit(request)
        return _json(self._view.polled(await self._service.find(account, request.match_info["task"])))

    async def balance(self, request: web.Request) -> web.StreamResponse:
        """GET /balance."""
        return _json({"balance": await self._service.balance(await self.admit(request))})

    def routes(self) -> SurfaceRoutes:
        """What this surface serves."""
        routes: dict[tuple[str, str], Handler] = {
            ("POST", BASE + path): self.submit(endpoint) for endpoint, path in PATHS.items()
        }
        routes["GET", BASE + "/tasks/{task}"] = self.poll
        routes["GET", BASE + "/balance"] = self.balance
        for method in ("GET", "HEAD"):
            routes[method, ROUTE + "/{folder}/{name}"] = self._storage.serve
        return SurfaceRoutes("tasks", routes, lambda _path: self._errors)


def _header(request: web.Request, name: str) -> str | None:
    """A header as text that can be stored; bytes that are no UTF-8 are escaped."""
    value = request.headers.get(name)
    return (
        None
        if value is None
        else value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    )


def _json(value: JsonObject) -> web.Response:
    return web.Response(body=encode(value), content_type="application/json")
