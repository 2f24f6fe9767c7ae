"""Unusual behaviour that the documents leave open, and that must not be accused."""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import ClassVar

from aiohttp import web

from defects.definition import Variant, chat_with
from reference_gateway import Components
from reference_gateway.accounts import Account
from reference_gateway.chat_surface import MessagesSurface
from reference_gateway.config import DEFAULT_GROUP, Channel, ChatModel, FieldRule, Group
from reference_gateway.errors import ChatErrorRenderer, MessagesErrorRenderer, TaskErrorRenderer
from reference_gateway.failures import Failure, GatewayError, Kind
from reference_gateway.jsonwire import JsonObject, encode
from reference_gateway.limits import GroupLimiter, UserLimiter, limited
from reference_gateway.pricing import Pricing, Tier, Usage
from reference_gateway.routing import Router
from reference_gateway.sse import frame
from reference_gateway.surface import Handler
from reference_gateway.tasks.model import Task
from reference_gateway.tasks.surface import TasksSurface, TaskView
from reference_gateway.translation.anthropic_streams import ChatStreamFromAnthropic
from reference_gateway.translation.replies import ChatReplyFromOpenAI, Reply
from reference_gateway.upstream import UpstreamClient
from reference_gateway.validation.chat import ChatRequest, ClaudeChatValidator, OpenAIChatValidator
from reference_gateway.validation.fields import invalid

_BINARY_272K = 272 * 1024


class BinaryBoundary(Pricing):
    """Reads 272K as 272 times 1,024."""

    def tier(self, model: ChatModel, usage: Usage) -> Tier:
        tier = super().tier(model, usage)
        return Tier.STANDARD if usage.input <= _BINARY_272K else tier


class LeavesMaxTokensToTheProvider(OpenAIChatValidator):
    """Does not look at max_tokens, which passes through; the provider's 400 becomes the gateway's."""

    rules: ClassVar[Mapping[str, FieldRule]] = {**OpenAIChatValidator.rules, "max_tokens": FieldRule()}

    def validate(self, body: JsonObject, model: ChatModel) -> ChatRequest:
        return replace(super().validate(body, model), max_output=None)

    def check_max_output(self, body: JsonObject, model: ChatModel) -> None:
        """No check at all."""


class FillsInMaxTokens(ClaudeChatValidator):
    """Takes the 4096 of the parameter's heading as a default."""

    def check_max_output(self, body: JsonObject, model: ChatModel) -> None:
        body.setdefault("max_tokens", 4096)
        super().check_max_output(body, model)


class CapsMaxTokens(ClaudeChatValidator):
    """Lowers a max_tokens above the cap to the cap."""

    def check_max_output(self, body: JsonObject, model: ChatModel) -> None:
        if type(body.get("max_tokens")) is int and body["max_tokens"] > model.max_output:
            body["max_tokens"] = model.max_output
        super().check_max_output(body, model)


class UuidReplies(ChatReplyFromOpenAI):
    """Ids without the prefix of the samples."""

    def translate(self, body: JsonObject) -> Reply:
        reply = super().translate(body)
        return Reply({**reply.body, "id": reply.body["id"].removeprefix("chatcmpl-")}, reply.usage)


class UsageOnClaude(ChatStreamFromAnthropic):
    """Usage in the final chunk of Claude streams, asked for or not."""

    def delta(self, delta: JsonObject, finish: str | None = None) -> bytes:
        if finish is None or self.usage is None:
            return super().delta(delta, finish)
        chunk = self.chunk([{"index": 0, "delta": delta, "finish_reason": finish}])
        return frame(encode({**chunk, "usage": self.shown_usage(self.usage)}))


class FallsBackToDefaultGroup(Router):
    """Serves an unknown group by the default one."""

    def group(self, name: str | None) -> Group:
        return super().group(name if name in self._groups else DEFAULT_GROUP)


class BadGateway(ChatErrorRenderer):
    """502 where the provider is at fault."""

    statuses: ClassVar[Mapping[Kind, int]] = {**ChatErrorRenderer.statuses, Kind.UPSTREAM_FAILED: 502}
    types: ClassVar[Mapping[int, str]] = {**ChatErrorRenderer.types, 502: "api_error"}


class RateLimitIsAFailure(UpstreamClient):
    """The provider's 429 is the provider's failure, and so a 500."""

    def failure_for_status(self, channel: Channel, status: int, text: str) -> Failure:
        failure = super().failure_for_status(channel, status, text)
        return replace(failure, kind=Kind.UPSTREAM_FAILED) if status == 429 else failure


class OpenAIEnvelopeOnMessages(MessagesErrorRenderer):
    """The one documented envelope on both routes."""

    def envelope(self, failure: Failure, request: str) -> JsonObject:
        return ChatErrorRenderer().envelope(failure, request)


class InsistsOnVersion(MessagesSurface):
    """Refuses calls without anthropic-version, as the provider itself does."""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self._authenticator.authenticate(request.headers)
        if "anthropic-version" not in request.headers:
            raise invalid("anthropic-version", "anthropic-version: header is required.")
        return await super().serve(request)


class HttpDateRetryAfter(ChatErrorRenderer):
    """Retry-After as a date."""

    def headers(self, failure: Failure, request: str) -> dict[str, str]:
        headers = super().headers(failure, request)
        if failure.retry_after is not None:
            moment = time.gmtime(time.time() + failure.retry_after)
            headers["Retry-After"] = time.strftime("%a, %d %b %Y %H:%M:%S GMT", moment)
        return headers


class SlidingWindow(UserLimiter):
    """Counts the last second instead of the current one."""

    @cached_property
    def _times(self) -> dict[str, deque[float]]:
        return {}

    async def admit(self, account: Account) -> None:
        now = time.monotonic()
        times = self._times.setdefault(self.key(account), deque())
        while times and times[0] <= now - 1.0:
            times.popleft()
        if len(times) >= self.limit_for(account):
            raise limited("Limited.", times[0] + 1.0 - now)
        times.append(now)


class WithAlias(TaskView):
    """`task_id` beside `id`, and more members."""

    def submitted(self, task: Task) -> JsonObject:
        return {"task_id": task.id, **super().submitted(task), "object": "task", "progress": 0}


class SignedUrls(TaskView):
    """Result URLs with a signature that is new in each poll; the file is the same."""

    def url(self, task: Task, name: str) -> str:
        return f"{super().url(task, name)}?signature={time.monotonic_ns():x}"


class Accepted(TasksSurface):
    """202 for a submission."""

    def submit(self, endpoint: str) -> Handler:
        handle = super().submit(endpoint)

        async def accept(request: web.Request) -> web.StreamResponse:
            response = await handle(request)
            response.set_status(202)
            return response

        return accept


class AnnouncesLonger(UserLimiter):
    """Announces two seconds where one would do."""

    async def admit(self, account: Account) -> None:
        try:
            await super().admit(account)
        except GatewayError as refusal:
            raise GatewayError(replace(refusal.failure, retry_after=2)) from refusal


class PausesGroup(GroupLimiter):
    """Shuts a group for some seconds to an account that went over its limit, and announces how long."""

    pause_s: ClassVar[int] = 3

    @cached_property
    def _until(self) -> dict[tuple[str, str], float]:
        return {}

    async def admit(self, account: Account, group: Group) -> None:
        key, now = self.key(account, group), time.monotonic()
        if now < self._until.get(key, 0.0):
            raise limited("Paused.", self._until[key] - now)
        try:
            await super().admit(account, group)
        except GatewayError as refusal:
            self._until[key] = now + self.pause_s
            raise GatewayError(replace(refusal.failure, retry_after=self.pause_s)) from refusal


class TimedErrors(TaskErrorRenderer):
    """Errors tell when they came about."""

    def envelope(self, failure: Failure, request: str) -> JsonObject:
        return {**super().envelope(failure, request), "timestamp": time.time_ns()}


VARIANTS = (
    Variant("binary-272k", "272K is read as 278,528", lambda: Components(pricing=BinaryBoundary)),
    Variant(
        "max-tokens-4096-by-default",
        "Claude without max_tokens is served with 4096",
        lambda: Components(claude_validator=FillsInMaxTokens),
    ),
    Variant(
        "max-tokens-capped",
        "max_tokens above the cap is lowered to it",
        lambda: Components(claude_validator=CapsMaxTokens),
    ),
    Variant(
        "ids-without-prefix",
        "Reply ids have no chatcmpl- prefix",
        lambda: chat_with(openai_reply=UuidReplies),
    ),
    Variant(
        "usage-in-claude-stream",
        "Claude streams have usage in their final chunk, unasked",
        lambda: chat_with(anthropic_stream=UsageOnClaude),
    ),
    Variant(
        "unknown-group-falls-back",
        "An unknown group is served by the default one",
        lambda: Components(router=FallsBackToDefaultGroup),
    ),
    Variant(
        "upstream-failure-502",
        "A failure of the provider is answered with 502",
        lambda: Components(chat_errors=BadGateway),
    ),
    Variant(
        "upstream-429-as-500",
        "The provider's 429 is answered with 500",
        lambda: Components(upstream=RateLimitIsAFailure),
    ),
    Variant(
        "openai-envelope-on-messages",
        "/v1/messages has the OpenAI envelope",
        lambda: Components(messages_errors=OpenAIEnvelopeOnMessages),
    ),
    Variant(
        "version-header-required",
        "/v1/messages without anthropic-version is refused",
        lambda: Components(messages_surface=InsistsOnVersion),
    ),
    Variant(
        "max-tokens-left-to-provider",
        "A max_tokens of the wrong type is sent on for the provider to refuse",
        lambda: Components(openai_validator=LeavesMaxTokensToTheProvider),
    ),
    Variant(
        "retry-after-as-date",
        "Retry-After of chat is a date",
        lambda: Components(chat_errors=HttpDateRetryAfter),
    ),
    Variant(
        "sliding-window",
        "The task gateway's limit is a sliding window",
        lambda: Components(user_limiter=SlidingWindow),
    ),
    Variant(
        "longer-retry-after",
        "Retry-After is longer than needed",
        lambda: Components(user_limiter=AnnouncesLonger),
    ),
    Variant(
        "group-paused-as-announced",
        "A group that was taken beyond its limit is shut for the three seconds that Retry-After says",
        lambda: Components(group_limiter=PausesGroup),
    ),
    Variant(
        "task-errors-with-time",
        "Errors of the task gateway carry the time beside the error",
        lambda: Components(task_errors=TimedErrors),
    ),
    Variant("task-id-alias", "Submissions have task_id beside id", lambda: Components(task_view=WithAlias)),
    Variant(
        "signed-result-urls",
        "Result URLs are signed anew in each poll",
        lambda: Components(task_view=SignedUrls),
    ),
    Variant(
        "submission-202", "Submissions are answered with 202", lambda: Components(tasks_surface=Accepted)
    ),
)
