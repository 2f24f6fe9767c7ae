"""Calls to providers: how many there are, when they are made, and when they are given up.

Source of the rule that all of these break: one customer call is one upstream POST (public docs, Errors).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import cached_property
from typing import ClassVar

import aiohttp
from aiohttp import web

from defects.definition import Defect
from reference_gateway import Components
from reference_gateway.calls import CallPlan, CallService
from reference_gateway.config import Channel
from reference_gateway.failures import GatewayError, Kind, refuse
from reference_gateway.relay import EventSink, StreamRelay
from reference_gateway.upstream import UpstreamClient, UpstreamReply


class _RetriesStatus(UpstreamClient):
    """Sends once more when the first answer has a certain status."""

    status = 0

    async def send(
        self, channel: Channel, body: bytes, extra_headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        response = await super().send(channel, body, extra_headers)
        if response.status != self.status:
            return response
        response.release()
        return await super().send(channel, body, extra_headers)


class RetriesServerErrors(_RetriesStatus):
    """Tries again after a 500; the default of most HTTP client libraries."""

    status = 500


class RetriesRateLimits(_RetriesStatus):
    """Tries again after a 429, at once."""

    status = 429


class RetriesResets(UpstreamClient):
    """Tries again when the connection broke before an answer, though the provider may be at work already."""

    async def send(
        self, channel: Channel, body: bytes, extra_headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        try:
            return await super().send(channel, body, extra_headers)
        except GatewayError:
            return await super().send(channel, body, extra_headers)


class RetriesSilence(UpstreamClient):
    """Tries again when the provider did not answer in time, though it may be at work."""

    async def send(
        self, channel: Channel, body: bytes, extra_headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        try:
            return await super().send(channel, body, extra_headers)
        except GatewayError as failure:
            if isinstance(failure.__cause__, TimeoutError):
                return await super().send(channel, body, extra_headers)
            raise


class SilenceIsTheCallersFault(UpstreamClient):
    """Answers 400 when the provider did not answer in time."""

    async def send(
        self, channel: Channel, body: bytes, extra_headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        try:
            return await super().send(channel, body, extra_headers)
        except GatewayError as failure:
            if isinstance(failure.__cause__, TimeoutError):
                raise refuse(Kind.INVALID_FIELD, "The request takes too long; shorten it.") from failure
            raise


class RefusedIsTheCallersFault(UpstreamClient):
    """Answers 404 when the provider takes no connection: the model seems not to exist."""

    async def send(
        self, channel: Channel, body: bytes, extra_headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        try:
            return await super().send(channel, body, extra_headers)
        except GatewayError as failure:
            if isinstance(failure.__cause__, aiohttp.ClientConnectorError):
                raise refuse(Kind.UNKNOWN_MODEL, "There is no such model here.") from failure
            raise


class AsksTwo(UpstreamClient):
    """Sends every call twice and takes the first answer, to be fast at twice the cost."""

    async def send(
        self, channel: Channel, body: bytes, extra_headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        first, second = await asyncio.gather(
            super().send(channel, body, extra_headers), super().send(channel, body, extra_headers)
        )
        second.close()
        return first


class _ResumedReply(UpstreamReply):
    """A reply that goes on with a second call where the first one breaks."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        timeout_s: float,
        again: Callable[[], Awaitable[aiohttp.ClientResponse]],
    ) -> None:
        super().__init__(response, timeout_s)
        self._again: Callable[[], Awaitable[aiohttp.ClientResponse]] | None = again

    async def read_some(self) -> bytes:
        try:
            return await super().read_some()
        except GatewayError:
            if self._again is None:
                raise
            again, self._again = self._again, None
            self._response.close()
            self._response = await again()
            return await super().read_some()


class ResumesStreams(UpstreamClient):
    """Calls again when a stream breaks in the middle, and sends what comes then behind what came before."""

    @asynccontextmanager
    async def post(
        self, channel: Channel, body: bytes, extra_headers: Mapping[str, str]
    ) -> AsyncIterator[UpstreamReply]:
        response = await self.send(channel, body, extra_headers)
        try:
            if response.status != 200:
                raise await self._failure_of(channel, response)
            yield _ResumedReply(response, self._timeout_s, lambda: self.send(channel, body, extra_headers))
        finally:
            response.release()


class RemembersReplies(CallService):
    """Answers a repeated request from memory; nobody asked for a cache."""

    most = 1000

    @cached_property
    def _known(self) -> dict[bytes, bytes]:
        return {}

    async def serve(self, request: web.Request, plan: CallPlan) -> web.StreamResponse:
        if plan.stream:
            return await super().serve(request, plan)
        known = self._known
        if plan.upstream_body not in known:
            response = await super().serve(request, plan)
            if not isinstance(response, web.Response) or not isinstance(response.body, bytes):
                return response
            if len(known) < self.most:
                known[plan.upstream_body] = response.body
            return response
        return web.Response(body=known[plan.upstream_body], content_type="application/json")


class MergesCalls(CallService):
    """Identical calls in flight share one POST, as web caches do with pages."""

    @cached_property
    def _flying(self) -> dict[bytes, asyncio.Task[web.StreamResponse]]:
        return {}

    async def serve(self, request: web.Request, plan: CallPlan) -> web.StreamResponse:
        if plan.stream:
            return await super().serve(request, plan)
        flying = self._flying
        call = flying.get(plan.upstream_body)
        if call is None:
            call = flying[plan.upstream_body] = asyncio.create_task(super().serve(request, plan))
            call.add_done_callback(lambda _done: flying.pop(plan.upstream_body, None))
        response = await call
        return web.Response(body=getattr(response, "body", b""), content_type="application/json")


class _ChecksAfterwards(CallService):
    """Finds out that a call is to be refused when the provider has been called."""

    kind: ClassVar[Kind]

    async def serve(self, request: web.Request, plan: CallPlan) -> web.StreamResponse:
        try:
            return await super().serve(request, plan)
        except GatewayError as refusal:
            if refusal.failure.kind is self.kind:
                async with self._upstream.post(plan.channel, plan.upstream_body, plan.extra_headers):
                    raise
            raise


class ChecksBalanceAfterwards(_ChecksAfterwards):
    """Looks at the account's money afterwards."""

    kind = Kind.INSUFFICIENT_BALANCE


class ChecksLimitAfterwards(_ChecksAfterwards):
    """Counts a call against the limit of its group afterwards."""

    kind = Kind.RATE_LIMITED


class FinishesForNobody(CallService):
    """Runs every call in a task of its own, which does not hear that the caller has left."""

    @cached_property
    def _running(self) -> set[asyncio.Task[web.StreamResponse]]:
        return set()

    async def serve(self, request: web.Request, plan: CallPlan) -> web.StreamResponse:
        call = asyncio.create_task(super().serve(request, plan))
        self._running.add(call)
        call.add_done_callback(self._running.discard)
        call.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(call)


class WritesToNobody(StreamRelay):
    """The other half: writing to a caller who has left is no reason to stop reading."""

    async def emit(self, sink: EventSink, data: bytes) -> None:
        with suppress(ConnectionResetError):
            await super().emit(sink, data)


DEFECTS = (
    Defect(
        "retries-500",
        "A 500 of the provider is retried",
        ("CERR-NR-2", "PRAC-12"),
        lambda: Components(upstream=RetriesServerErrors),
    ),
    Defect(
        "retries-429",
        "A 429 of the provider is retried",
        ("CERR-NR-3", "PRAC-12"),
        lambda: Components(upstream=RetriesRateLimits),
    ),
    Defect(
        "retries-reset",
        "A call is repeated when the connection breaks",
        ("CERR-NR-4", "PRAC-12"),
        lambda: Components(upstream=RetriesResets),
    ),
    Defect(
        "retries-timeout",
        "A call is repeated when the provider is silent for too long",
        ("CERR-NR-4", "PRAC-12"),
        lambda: Components(upstream=RetriesSilence),
    ),
    Defect(
        "timeout-is-400",
        "A provider that is silent for too long becomes a 400",
        ("CERR-500-2",),
        lambda: Components(upstream=SilenceIsTheCallersFault),
    ),
    Defect(
        "refused-connection-is-unknown-model",
        "A provider that takes no connection becomes an unknown model",
        ("CERR-500-2",),
        lambda: Components(upstream=RefusedIsTheCallersFault),
    ),
    Defect(
        "resumes-broken-stream",
        "A broken stream is continued with a second call",
        ("CERR-NR-5", "PRAC-12"),
        lambda: Components(upstream=ResumesStreams),
    ),
    Defect(
        "asks-two-providers",
        "Every call is sent twice and the faster answer used",
        ("CERR-NR-1", "CERR-NR-5", "CERR-NR-6", "CERR-NR-7", "PRAC-11", "MERR-04"),
        lambda: Components(upstream=AsksTwo),
    ),
    Defect(
        "answers-from-memory",
        "A repeated request is answered from a hidden cache",
        ("CERR-NR-6", "PRAC-04"),
        lambda: Components(calls=RemembersReplies),
    ),
    Defect(
        "merges-calls",
        "Identical calls in flight share one upstream POST",
        ("PRAC-04",),
        lambda: Components(calls=MergesCalls),
    ),
    Defect(
        "upstream-called-before-balance-check",
        "The provider is called for an account without money",
        ("CERR-402-2",),
        lambda: Components(calls=ChecksBalanceAfterwards),
    ),
    Defect(
        "upstream-called-before-limit-check",
        "The provider is called for a call that is then answered 429",
        ("CERR-429-5",),
        lambda: Components(calls=ChecksLimitAfterwards),
    ),
    Defect(
        "upstream-kept-after-client-left",
        "The provider goes on working for a client that has left",
        ("PRAC-02",),
        lambda: Components(calls=FinishesForNobody, relay=WritesToNobody),
    ),
)
