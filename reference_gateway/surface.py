"""What the HTTP surfaces share: routes, reading bodies, turning failures into responses.

A surface is a table of routes with the renderer of its errors. `listener` puts surfaces onto addresses and host names.
"""

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import HttpVersion11, web

from reference_gateway.errors import ErrorRenderer
from reference_gateway.failures import Failure, GatewayError, Kind, refuse
from reference_gateway.identifiers import current_request

REQUEST_ID = "X-Request-Id"
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_log = logging.getLogger(__name__)


class Request(web.Request):
    """A request as the listener hands it to a surface: with the values of the route's placeholders."""

    path_values: Mapping[str, str]
    surface: "SurfaceRoutes | None" = None

    @property
    def match_info(self) -> Any:
        """The values of the route's placeholders."""
        return self.path_values

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        """Completes the headers of every response, streams and errors included."""
        response.headers[REQUEST_ID] = current_request.get()
        if self.surface is not None and self.surface.mark is not None:
            await self.surface.mark(self, response)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Mark = Callable[[web.Request, web.StreamResponse], Awaitable[None]]


async def answered(request: web.Request, handler: Handler, errors: ErrorRenderer) -> web.StreamResponse:
    """The handler's response, or its failure in the surface's envelope."""
    try:
        return await handler(request)
    except GatewayError as error:
        return errors.response(error.failure)
    except ConnectionResetError:
        # The caller has left; there is nobody to answer.
        raise
    except Exception:
        _log.exception("%s %s failed", request.method, request.path)
        if request.transport is None or request.transport.is_closing():
            raise
        return errors.response(Failure(Kind.INTERNAL, "The gateway failed; nothing was charged."))


async def read_body(request: web.Request) -> bytes:
    """The whole request body; raises `GatewayError` when it is too large."""
    if request.version >= HttpVersion11 and request.headers.get("Expect", "").lower() == "100-continue":
        # The caller waits for this before it sends the body; what is refused before needs no body.
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        limit = request.client_max_size
        size = f"{limit // 1024 // 1024} MiB" if limit >= 1024 * 1024 else f"{limit} bytes"
        raise refuse(Kind.BODY_TOO_LARGE, f"The request body is larger than {size}.") from error
    except web.RequestPayloadError as error:
        raise refuse(Kind.MALFORMED_BODY, "The request body broke off or is badly encoded.") from error


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A path with placeholders, each of which takes one segment."""

    expression: re.Pattern[str]
    handlers: Mapping[str, Handler]

    @staticmethod
    def of(path: str, handlers: Mapping[str, Handler]) -> "_Pattern":
        parts = _PLACEHOLDER.split(path)
        text = "".join(
            f"(?P<{part}>[^/]+)" if index % 2 else re.escape(part) for index, part in enumerate(parts)
        )
        return _Pattern(re.compile(text), handlers)


_NO_VALUES: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class SurfaceRoutes:
    """Handlers by (method, path), the renderer of a path's errors, and what completes a response's headers."""

    name: str
    routes: Mapping[tuple[str, str], Handler]
    errors: Callable[[str], ErrorRenderer]
    mark: Mark | None = None
    _exact: dict[str, dict[str, Handler]] = field(default_factory=dict, init=False)
    _patterns: list[_Pattern] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        patterns: dict[str, dict[str, Handler]] = {}
        for (method, path), handler in self.routes.items():
            table = patterns if "{" in path else self._exact
            table.setdefault(path, {})[method] = handler
        self._patterns.extend(_Pattern.of(path, handlers) for path, handlers in patterns.items())

    def joined(self, more: Mapping[tuple[str, str], Handler]) -> "SurfaceRoutes":
        """The same surface with further routes."""
        return SurfaceRoutes(self.name, {**self.routes, **more}, self.errors, self.mark)

    async def answer(self, request: Request) -> web.StreamResponse:
        """Serve a request; unknown routes and methods answer in the envelope of the path."""
        path = request.path
        request.surface = self
        handlers, request.path_values = self._find(path)
        handler = handlers.get(request.method)
        errors = self.errors(path)
        if handler is not None:
            return await answered(request, handler, errors)
        if handlers:
            allowed = ", ".join(sorted(handlers))
            message = f"{path[:200]} does not take {request.method}, only {allowed}."
            return errors.response(Failure(Kind.WRONG_METHOD, message, allow=allowed))
        return errors.response(
            Failure(Kind.UNKNOWN_ROUTE, f"There is no route {request.method} {path[:200]}.")
        )

    def _find(self, path: str) -> tuple[Mapping[str, Handler], Mapping[str, str]]:
        exact = self._exact.get(path)
        if exact is not None:
            return exact, _NO_VALUES
        for pattern in self._patterns:
            if match := pattern.expression.fullmatch(path):
                return pattern.handlers, match.groupdict()
        return _NO_HANDLERS, _NO_VALUES


_NO_HANDLERS: Mapping[str, Handler] = {}
