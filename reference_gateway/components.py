"""The replaceable parts of a gateway: one class each. `Components.default()` are the right ones.

Another behaviour is a subclass with one method overridden, put in with `dataclasses.replace`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from reference_gateway.accounts import AccountDirectory
from reference_gateway.aimlapi.costs import CostReport
from reference_gateway.aimlapi.errors import AimlapiErrorRenderer
from reference_gateway.aimlapi.replies import AimlapiReply, AimlapiStream
from reference_gateway.aimlapi.requests import AimlapiRequestToAnthropic
from reference_gateway.aimlapi.surface import AimlapiSurface
from reference_gateway.aimlapi.tracing import RequestTracing
from reference_gateway.aimlapi.validation import AimlapiValidator
from reference_gateway.authentication import Authenticator
from reference_gateway.calls import CallService
from reference_gateway.chat_surface import ChatSurface, MessagesSurface, ModelShelf, Translators
from reference_gateway.config import Dialect
from reference_gateway.errors import ChatErrorRenderer, MessagesErrorRenderer, TaskErrorRenderer
from reference_gateway.ledger import Ledger
from reference_gateway.limits import AccountLimiter, GroupLimiter, UserLimiter
from reference_gateway.payment import Payment
from reference_gateway.pricing import Pricing
from reference_gateway.relay import StreamRelay
from reference_gateway.routing import Router
from reference_gateway.tasks.media import MediaClient
from reference_gateway.tasks.service import TaskService
from reference_gateway.tasks.storage import MediaStorage
from reference_gateway.tasks.store import TaskStore
from reference_gateway.tasks.surface import TasksSurface, TaskView
from reference_gateway.tasks.validation import TaskValidator
from reference_gateway.tasks.worker import TaskOutcomes, TaskWorker
from reference_gateway.translation.anthropic_streams import (
    ChatStreamFromAnthropic,
    MessagesStreamFromAnthropic,
)
from reference_gateway.translation.messages_stream import MessagesStreamFromOpenAI
from reference_gateway.translation.replies import (
    ChatReplyFromAnthropic,
    ChatReplyFromOpenAI,
    MessagesReplyFromAnthropic,
    MessagesReplyFromOpenAI,
)
from reference_gateway.translation.streams import ChatStreamFromOpenAI
from reference_gateway.translation.to_anthropic import RequestToAnthropic
from reference_gateway.translation.to_openai import RequestToOpenAI
from reference_gateway.upstream import UpstreamClient
from reference_gateway.validation.chat import ClaudeChatValidator, OpenAIChatValidator
from reference_gateway.validation.messages import MessagesValidator


def _chat_translators() -> Mapping[Dialect, Translators]:
    return MappingProxyType(
        {
            Dialect.OPENAI: Translators(ChatReplyFromOpenAI, ChatStreamFromOpenAI),
            Dialect.ANTHROPIC: Translators(ChatReplyFromAnthropic, ChatStreamFromAnthropic),
        }
    )


def _messages_translators() -> Mapping[Dialect, Translators]:
    return MappingProxyType(
        {
            Dialect.OPENAI: Translators(MessagesReplyFromOpenAI, MessagesStreamFromOpenAI),
            Dialect.ANTHROPIC: Translators(MessagesReplyFromAnthropic, MessagesStreamFromAnthropic),
        }
    )


@dataclass(frozen=True, slots=True)
class Components:
    """The classes a gateway is made of, from the outside in."""

    chat_surface: type[ChatSurface] = ChatSurface
    messages_surface: type[MessagesSurface] = MessagesSurface
    tasks_surface: type[TasksSurface] = TasksSurface
    task_view: type[TaskView] = TaskView
    chat_errors: type[ChatErrorRenderer] = ChatErrorRenderer
    messages_errors: type[MessagesErrorRenderer] = MessagesErrorRenderer
    task_errors: type[TaskErrorRenderer] = TaskErrorRenderer
    chat_authenticator: type[Authenticator] = Authenticator
    messages_authenticator: type[Authenticator] = Authenticator
    tasks_authenticator: type[Authenticator] = Authenticator
    directory: type[AccountDirectory] = AccountDirectory
    models: type[ModelShelf] = ModelShelf
    openai_validator: type[OpenAIChatValidator] = OpenAIChatValidator
    claude_validator: type[ClaudeChatValidator] = ClaudeChatValidator
    messages_validator: type[MessagesValidator] = MessagesValidator
    task_validator: type[TaskValidator] = TaskValidator
    router: type[Router] = Router
    group_limiter: type[GroupLimiter] = GroupLimiter
    user_limiter: type[UserLimiter] = UserLimiter
    pricing: type[Pricing] = Pricing
    ledger: type[Ledger] = Ledger
    payment: type[Payment] = Payment
    calls: type[CallService] = CallService
    upstream: type[UpstreamClient] = UpstreamClient
    relay: type[StreamRelay] = StreamRelay
    request_to_anthropic: type[RequestToAnthropic] = RequestToAnthropic
    request_to_openai: type[RequestToOpenAI] = RequestToOpenAI
    chat_translators: Mapping[Dialect, Translators] = field(default_factory=_chat_translators)
    messages_translators: Mapping[Dialect, Translators] = field(default_factory=_messages_translators)
    task_service: type[TaskService] = TaskService
    task_store: type[TaskStore] = TaskStore
    task_outcomes: type[TaskOutcomes] = TaskOutcomes
    task_worker: type[TaskWorker] = TaskWorker
    media_client: type[MediaClient] = MediaClient
    media_storage: type[MediaStorage] = MediaStorage
    aimlapi_surface: type[AimlapiSurface] = AimlapiSurface
    aimlapi_authenticator: type[Authenticator] = Authenticator
    aimlapi_models: type[ModelShelf] = ModelShelf
    aimlapi_validator: type[AimlapiValidator] = AimlapiValidator
    aimlapi_limiter: type[AccountLimiter] = AccountLimiter
    aimlapi_requests: type[AimlapiRequestToAnthropic] = AimlapiRequestToAnthropic
    aimlapi_reply: type[AimlapiReply] = AimlapiReply
    aimlapi_stream: type[AimlapiStream] = AimlapiStream
    aimlapi_costs: type[CostReport] = CostReport
    aimlapi_tracing: type[RequestTracing] = RequestTracing
    aimlapi_errors: type[AimlapiErrorRenderer] = AimlapiErrorRenderer

    @staticmethod
    def default() -> "Components":
        """The parts of the gateway as documented."""
        return Components()
