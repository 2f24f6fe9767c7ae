"""The head of a request: its line and headers as the HTTP parser understood them, and what follows from them alone.

Nothing in a head belongs to one request only, so requests that repeat a head byte for byte share it.
"""

import re
from dataclasses import dataclass
from typing import Final, Self

from aiohttp import HttpVersion11
from aiohttp.http import HttpVersion, RawRequestMessage
from multidict import CIMultiDictProxy
from yarl import URL

from mock_upstreams.journal import headers_weight
from mock_upstreams.routes import Place, find_place

_BEARER: Final = re.compile(r"bearer\s+(\S.*)", re.IGNORECASE)

RawHeaders = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Head:
    """`credential` is the provider's: a bearer token or x-api-key. `weight` is that of the headers in the journal."""

    method: str
    url: URL
    path: str
    query: str
    headers: CIMultiDictProxy[str]
    raw_headers: RawHeaders
    is_11: bool
    keep_alive: bool
    place: Place
    credential: str | None
    weight: int

    @classmethod
    def read(
        cls,
        method: str,
        url: URL,
        headers: CIMultiDictProxy[str],
        raw_headers: RawHeaders,
        version: HttpVersion,
        *,
        keep_alive: bool,
    ) -> Self:
        path = url.raw_path
        return cls(
            method=method,
            url=url,
            path=path,
            query=url.raw_query_string,
            headers=headers,
            raw_headers=raw_headers,
            is_11=version >= HttpVersion11,
            keep_alive=keep_alive,
            place=find_place(path),
            credential=_credential(headers),
            weight=headers_weight(raw_headers),
        )

    @classmethod
    def of(cls, message: RawRequestMessage) -> Self:
        return cls.read(
            message.method,
            message.url,
            message.headers,
            message.raw_headers,
            message.version,
            keep_alive=not message.should_close,
        )


def _credential(headers: CIMultiDictProxy[str]) -> str | None:
    key = headers.get("x-api-key")
    if key:
        return key
    given = headers.get("authorization", "")
    if given.startswith("Bearer ") and given[7:8].strip():
        return given[7:].rstrip()
    found = _BEARER.fullmatch(given.strip())
    return found[1] if found else None
