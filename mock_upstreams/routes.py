"""Which provider and operation a path means. An optional prefix /u/NAME tells upstream channels apart."""

import functools
import re
from dataclasses import dataclass
from typing import Final

from mock_upstreams.errors import ANTHROPIC, MEDIA, OPENAI

DEFAULT_UPSTREAM: Final = "default"
UNKNOWN: Final = "unknown"
_PREFIX: Final = re.compile(r"/u/([A-Za-z0-9._-]{1,64})(?=/)")


@dataclass(frozen=True, slots=True)
class Route:
    """A place in the providers' APIs. `arguments` are the variable parts of the path."""

    provider: str
    operation: str
    method: str | None
    needs_credential: bool = True
    arguments: tuple[str, ...] = ()

    @property
    def dialect(self) -> str:
        """The provider whose error bodies are used here."""
        return OPENAI if self.provider == UNKNOWN else self.provider


@dataclass(frozen=True, slots=True)
class Place:
    upstream: str
    prefix: str
    route: Route


_FIXED: Final = {
    "/v1/chat/completions": Route(OPENAI, "chat", "POST"),
    "/v1/responses": Route(OPENAI, "responses", "POST"),
    "/v1/models": Route(OPENAI, "models", "GET"),
    "/v1/messages": Route(ANTHROPIC, "messages", "POST"),
    "/v1/messages/count_tokens": Route(ANTHROPIC, "count_tokens", "POST"),
    "/media/v1/jobs": Route(MEDIA, "submit", "POST"),
}
_RESPONSE: Final = re.compile(r"/v1/responses/([^/]+)")
_JOB: Final = re.compile(r"/media/v1/jobs/([^/]+)")
_FILE: Final = re.compile(r"/media/v1/files/([^/]+)/([^/]+)")
_UNKNOWN_BY_PREFIX: Final = (("/v1/messages", ANTHROPIC), ("/media/", MEDIA))


@functools.lru_cache(maxsize=512)
def find_place(path: str) -> Place:
    """The place that a request path names; an unknown one still has an upstream and a dialect."""
    prefix = _PREFIX.match(path)
    rest = path[prefix.end() :] if prefix else path
    route = _FIXED.get(rest) or _variable(rest)
    if prefix:
        return Place(prefix[1], prefix[0], route)
    return Place(DEFAULT_UPSTREAM, "", route)


def _variable(rest: str) -> Route:
    if found := _RESPONSE.fullmatch(rest):
        return Route(OPENAI, "response", "GET, DELETE", arguments=found.groups())
    if found := _JOB.fullmatch(rest):
        return Route(MEDIA, "job", "GET", arguments=found.groups())
    if found := _FILE.fullmatch(rest):
        return Route(MEDIA, "file", "GET", needs_credential=False, arguments=found.groups())
    provider = next((name for start, name in _UNKNOWN_BY_PREFIX if rest.startswith(start)), UNKNOWN)
    return Route(provider, UNKNOWN, None)
