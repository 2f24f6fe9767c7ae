"""The media provider: jobs are submitted once, polled, and their files fetched.

A submission is never repeated, since it may have been accepted; polls and downloads are reads and may be.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import aiohttp
from yarl import URL

from reference_gateway.config import MediaProvider
from reference_gateway.database import storable
from reference_gateway.jsonwire import JsonObject, NotJsonError, decode_object, encode
from reference_gateway.tasks.reach import public_socket

_log = logging.getLogger(__name__)
_MOST_CONNECTIONS = 64
_MOST_JSON_BYTES = 4 * 1024 * 1024


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class JobOutput:
    """One result file at the provider."""

    url: str
    type: str
    label: str | None


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the provider describes it; `moderated` tells refusals of content from other failures."""

    state: JobState
    outputs: tuple[JobOutput, ...] = ()
    last_frame_url: str | None = None
    text: str | None = None
    moderated: bool = False
    message: str = ""


class MediaError(Exception):
    """The provider refused, failed or could not be understood."""


class MediaClient:
    """Talks to one provider."""

    def __init__(self, provider: MediaProvider, timeout_s: float) -> None:
        self._provider = provider
        self._timeout_s = timeout_s
        self._origin = URL(provider.url).origin()
        self._session: aiohttp.ClientSession | None = None
        self._outside: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the sessions: one for the provider, one for results that it keeps elsewhere."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_MOST_CONNECTIONS),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self._outside = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=_MOST_CONNECTIONS,
                use_dns_cache=False,
                socket_factory=None if self._provider.private_networks else public_socket,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Close all connections."""
        for session in (self._session, self._outside):
            if session is not None:
                await session.close()

    async def submit(self, request: JsonObject) -> str:
        """Start a job; its id. Raises `MediaError`."""
        value = await self._json("POST", f"{self._provider.url}/media/v1/jobs", encode(request))
        job_id = value.get("job_id")
        if not isinstance(job_id, str) or not job_id or not storable(job_id):
            raise MediaError("the provider accepted the job without naming it")
        return job_id

    async def poll(self, job_id: str) -> Job:
        """How a job is doing; raises `MediaError`."""
        value = await self._json("GET", f"{self._provider.url}/media/v1/jobs/{job_id}", None)
        try:
            return _job(value)
        except (KeyError, TypeError, ValueError) as error:
            raise MediaError("the provider's description of the job makes no sense") from error

    @asynccontextmanager
    async def download(self, url: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """Fetch a result file; our credential goes to the provider's own host only. Raises `MediaError`.

        The provider's own origin is configured, so it is trusted; any other must have a public address. No redirects.
        """
        try:
            target = URL(self._provider.url).join(URL(url))
            own = target.is_absolute() and target.origin() == self._origin
        except ValueError as error:
            raise MediaError("the provider named a result by something that is no URL") from error
        if target.scheme not in {"http", "https"}:
            raise MediaError("the provider named a result that is not on the web")
        headers = self._headers() if own else {}
        session = self._session if own else self._outside
        limit = self._provider.result_timeout_s
        async with self._sending("GET", target, None, headers, session, limit) as response:
            yield response

    async def _json(self, method: str, url: str, body: bytes | None) -> JsonObject:
        async with self._sending(
            method, URL(url), body, self._headers(), self._session, self._timeout_s
        ) as response:
            data = await response.content.read(_MOST_JSON_BYTES)
            while part := await response.content.read(_MOST_JSON_BYTES):
                data += part
                if len(data) > _MOST_JSON_BYTES:
                    raise MediaError("the provider's answer is too large")
            return decode_object(data)

    @asynccontextmanager
    async def _sending(
        self,
        method: str,
        url: URL,
        body: bytes | None,
        headers: dict[str, str],
        session: aiohttp.ClientSession | None,
        timeout_s: float,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if session is None:
            raise MediaError("the client is not open")
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        try:
            async with session.request(
                method, url, data=body, headers=headers, allow_redirects=False, timeout=timeout
            ) as response:
                if response.status >= 300:
                    raise MediaError(f"the provider answered with status {response.status}")
                yield response
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:  # noqa: UP041 - also on 3.11
            raise MediaError("the connection to the provider failed") from error
        except NotJsonError as error:
            raise MediaError("the provider's answer is not JSON") from error

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._provider.key}", "Content-Type": "application/json"}


def _job(value: JsonObject) -> Job:
    error = value.get("error")
    error = error if isinstance(error, dict) else {"message": error}
    return Job(
        state=JobState(value["state"]),
        outputs=tuple(
            JobOutput(str(output["url"]), str(output.get("type") or ""), _text(output.get("label")))
            for output in value.get("outputs") or []
        ),
        last_frame_url=_text(value.get("last_frame_url")),
        text=_text(value.get("text")),
        moderated=error.get("reason") == "moderated",
        message=str(error.get("message") or ""),
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
