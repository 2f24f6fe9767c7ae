"""Removes secrets from evidence at the moment it is made, so that no file can ever hold one."""

from __future__ import annotations

from dataclasses import replace

from weighbridge.evidence import Chunk, Exchange, Headers, Request, Response

#: What stands in the place of a secret; checks look for it to see whether a reply echoed a key.
MARK = "<redacted>"

_SECRET_HEADERS = frozenset({"authorization", "x-api-key", "cookie", "set-cookie", "proxy-authorization"})


class Secrets:
    """The secrets of a run; grows as accounts are made."""

    def __init__(self, known: frozenset[str] = frozenset()) -> None:
        self._known = set(known)

    def add(self, secret: str) -> None:
        """Redact this from now on."""
        if len(secret) >= 4:
            self._known.add(secret)

    def text(self, text: str) -> str:
        """The text without any secret."""
        for secret in self._known:
            if secret in text:
                text = text.replace(secret, MARK)
        return text

    def data(self, data: bytes) -> bytes:
        """The bytes without any secret."""
        for secret in self._known:
            raw = secret.encode()
            if raw in data:
                data = data.replace(raw, MARK.encode())
        return data

    def headers(self, headers: Headers) -> Headers:
        """The headers without any secret; a scheme such as Bearer stays readable."""
        return tuple((name, self._header(name, value)) for name, value in headers)

    def _header(self, name: str, value: str) -> str:
        if name.lower() not in _SECRET_HEADERS:
            return self.text(value)
        scheme, space, credential = value.partition(" ")
        if space and credential:
            return f"{scheme} {MARK}"
        return MARK if value else ""

    def exchange(self, seen: Exchange) -> Exchange:
        """The exchange as it may be kept."""
        request = Request(
            seen.request.method,
            self.text(seen.request.url),
            self.headers(seen.request.headers),
            self.data(seen.request.body),
        )
        response = seen.response
        if response is not None:
            body = response.body
            chunks = response.chunks
            if self.data(body) != body:
                # A secret may be cut by a read, so the whole body is cleaned as one piece.
                last = chunks[-1].at if chunks else 0.0
                chunks = (Chunk(last, self.data(body)),)
            response = Response(response.status, self.headers(response.headers), chunks)
        return replace(seen, request=request, response=response)
