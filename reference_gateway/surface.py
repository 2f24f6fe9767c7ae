"""What the HTTP surfaces share: reading bodies, turning failures into responses, and answering unknown routes."""

import logging
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from reference_gateway.errors import ErrorRenderer
from reference_gateway.failures import Failure, GatewayError, Kind, refuse

MOST_BODY_BYTES = 64 * 1024 * 1024

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = logging.getLogger(__name__)


def guarded(handler: Handler, errors: ErrorRenderer) -> Handler:
    """Render every failure of a handler in the surface's envelope."""

    async def guard(request: web.Request) -> web.StreamResponse:
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

    return guard


async def read_body(request: web.Request) -> bytes:
    """The whole request body; raises `GatewayError` when it is too large."""
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise refuse(
            Kind.BODY_TOO_LARGE, f"The request body is larger than {MOST_BODY_BYTES // 1024 // 1024} MiB."
        ) from error
    except web.RequestPayloadError as error:
        raise refuse(Kind.MALFORMED_BODY, "The request body broke off or is badly encoded.") from error


def application(
    routes: Mapping[tuple[str, str], Handler], errors: Callable[[str], ErrorRenderer]
) -> web.Application:
    """An application of (method, path) routes whose unknown routes and methods answer in the envelope of the path."""
    app = web.Application(client_max_size=MOST_BODY_BYTES)
    methods: dict[str, list[str]] = {}
    for (method, path), handler in routes.items():
        app.router.add_route(method, path, guarded(handler, errors(path)))
        methods.setdefault(path, []).append(method)
    for path, allowed in methods.items():
        app.router.add_route("*", path, _wrong_method(errors(path), ", ".join(sorted(allowed))))

    async def unknown(request: web.Request) -> web.StreamResponse:
        failure = Failure(Kind.UNKNOWN_ROUTE, f"There is no route {request.method} {request.path[:200]}.")
        return errors(request.path).response(failure)

    app.router.add_route("*", "/{anything:.*}", unknown)
    return app


def _wrong_method(errors: ErrorRenderer, allowed: str) -> Handler:
    async def refuse_method(request: web.Request) -> web.StreamResponse:
        message = f"{request.path[:200]} does not take {request.method}, only {allowed}."
        return errors.response(Failure(Kind.WRONG_METHOD, message, allow=allowed))

    return refuse_method
