"""Removes secrets from evidence at the moment it is made, so that no file can ever hold one."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import AnyStr
from urllib.parse import quote, quote_plus

from weighbridge.evidence import Chunk, Exchange, Headers, Request, Response, UpstreamCall

#: What stands in the place of a secret; checks look for it to see whether a reply echoed a key.
MARK = "<redacted>"
#: What a target's own words are kept as that are the same, since they hide a key and echo none.
_THEIRS = "<redacted by the target>"

_SECRET_HEADERS = frozenset({"authorization", "x-api-key", "cookie", "set-cookie", "proxy-authorization"})


#: Those that name a scheme before the secret.
_SCHEME_HEADERS = frozenset({"authorization", "proxy-authorization"})
#: A cookie shorter than this is no session, and its value would be found inside innocent words.
_MIN_COOKIE = 8
#: Characters by which secrets are looked for first: the keys of one maker have so many in common, as `sk-`.
_BEGINNING = 3
#: Nothing shorter is taken for a secret.
_MIN_SECRET = 4
#: Texts up to so many characters, and so many of them, are looked at once: headers repeat themselves.
_SHORT, _REMEMBERED = 100, 5_000


def _spellings(secret: str) -> frozenset[str]:
    """A secret as it may stand in a body, a URL or a header: plain, escaped, percent-encoded, in Base64."""
    escaped = json.dumps(secret)[1:-1]
    encoded = base64.b64encode(secret.encode()).decode()
    return frozenset({secret, escaped, quote(secret, safe=""), quote_plus(secret), encoded.rstrip("=")})


def _held(known: Mapping[AnyStr, Sequence[AnyStr]], text: AnyStr) -> list[AnyStr]:
    """The secrets that stand in a text, by their beginnings.

    Longest first: a secret may hold a shorter one, and its rest would stay behind.
    """
    held = [
        secret
        for beginning, secrets in known.items()
        if beginning in text
        for secret in secrets
        if secret in text
    ]
    return sorted(held, key=len, reverse=True)


class Secrets:
    """The secrets of a run; grows as accounts are made and cookies are set."""

    def __init__(self, known: frozenset[str] = frozenset()) -> None:
        self._known: set[str] = set()
        # Keys of one maker begin alike, so few beginnings tell that a text holds none of many keys.
        self._texts: dict[str, list[str]] = {}
        self._bytes: dict[bytes, list[bytes]] = {}
        self._cleaned: dict[str, str] = {}
        for secret in known:
            self.add(secret)

    def add(self, secret: str) -> None:
        """Redact this from now on."""
        if len(secret) < _MIN_SECRET or secret in self._known:
            return
        self._cleaned.clear()
        for text in _spellings(secret) - self._known:
            self._known.add(text)
            self._texts.setdefault(text[:_BEGINNING], []).append(text)
            raw = text.encode("utf-8", "surrogateescape")
            self._bytes.setdefault(raw[:_BEGINNING], []).append(raw)

    def text(self, text: str) -> str:
        """The text without any secret."""
        if len(text) > _SHORT:
            return self._without(text)
        cleaned = self._cleaned.get(text)
        if cleaned is None:
            if len(self._cleaned) >= _REMEMBERED:
                self._cleaned.clear()
            cleaned = self._cleaned[text] = self._without(text)
        return cleaned

    def _without(self, text: str) -> str:
        for secret in _held(self._texts, text):
            text = text.replace(secret, MARK)
        return text

    def data(self, data: bytes) -> bytes:
        """The bytes without any secret."""
        for secret in _held(self._bytes, data):
            data = data.replace(secret, MARK.encode())
        return data

    def headers(self, headers: Headers) -> Headers:
        """The headers without any secret; a scheme such as Bearer stays readable."""
        return tuple((name, self._header(name, value)) for name, value in headers)

    def _header(self, name: str, value: str) -> str:
        if name.lower() not in _SECRET_HEADERS:
            return self.text(value)
        scheme, space, credential = value.partition(" ")
        # A cookie has a space too, behind its first value.
        if space and credential and name.lower() in _SCHEME_HEADERS and scheme.isalpha():
            return f"{scheme} {MARK}"
        return MARK if value else ""

    def _learn_cookies(self, response: Response) -> None:
        for name, value in response.headers:
            if name.lower() == "set-cookie":
                cookie = value.partition(";")[0].partition("=")[2].strip().strip('"')
                if len(cookie) >= _MIN_COOKIE:
                    self.add(cookie)

    def upstream(self, call: UpstreamCall) -> UpstreamCall:
        """An upstream call as it may be kept: a gateway may send on what its client gave it."""
        return replace(
            call, headers=self.headers(call.headers), body=self.text(call.body), path=self.text(call.path)
        )

    def exchange(self, seen: Exchange) -> Exchange:
        """The exchange as it may be kept."""
        if seen.response is not None:
            self._learn_cookies(seen.response)
        request = Request(
            seen.request.method,
            self.text(seen.request.url),
            self.headers(seen.request.headers),
            self.data(seen.request.body),
        )
        response = seen.response
        if response is not None:
            chunks = _reworded(response.chunks)
            body = b"".join(chunk.data for chunk in chunks)
            if self.data(body) != body:
                chunks = self._chunks(chunks)
            response = Response(response.status, self.headers(response.headers), chunks)
        return replace(seen, request=request, response=response)

    def _chunks(self, chunks: tuple[Chunk, ...]) -> tuple[Chunk, ...]:
        """The chunks without any secret, each with its own time; chunks that cut a secret in two become one."""
        cleaned = tuple(Chunk(chunk.at, self.data(chunk.data)) for chunk in chunks)
        whole = b"".join(chunk.data for chunk in cleaned)
        if self.data(whole) == whole:
            return cleaned
        last = chunks[-1].at if chunks else 0.0
        return (Chunk(last, self.data(b"".join(chunk.data for chunk in chunks))),)


def _reworded(chunks: tuple[Chunk, ...]) -> tuple[Chunk, ...]:
    """The chunks with another mark in the place of one like ours; chunks that cut one in two become one."""
    ours, theirs = MARK.encode(), _THEIRS.encode()
    if ours not in b"".join(chunk.data for chunk in chunks):
        return chunks
    changed = tuple(Chunk(chunk.at, chunk.data.replace(ours, theirs)) for chunk in chunks)
    whole = b"".join(chunk.data for chunk in changed)
    return changed if ours not in whole else (Chunk(chunks[-1].at, whole.replace(ours, theirs)),)
