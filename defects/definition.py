"""What a defect and a variant are, and the two component sets that take more than a keyword to write."""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

from reference_gateway import Components
from reference_gateway.chat_surface import Translators
from reference_gateway.config import Dialect
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


@dataclass(frozen=True, slots=True)
class Defect:
    """A gateway with one thing wrong.

    Attributes:
        id: kebab-case, unique.
        title: what the gateway does wrong, in one line.
        requirements: catalogue ids whose verdict it spoils; the first is the one it breaks.
        components: makes the parts of the gateway.
    """

    id: str
    title: str
    requirements: tuple[str, ...]
    components: Callable[[], Components]


@dataclass(frozen=True, slots=True)
class Variant:
    """A gateway that is odd but right.

    Attributes:
        id: kebab-case, unique.
        title: what is unusual about it, in one line.
        components: makes the parts of the gateway.
    """

    id: str
    title: str
    components: Callable[[], Components]


def chat_with(
    *,
    openai_reply: type[ChatReplyFromOpenAI] = ChatReplyFromOpenAI,
    openai_stream: type[ChatStreamFromOpenAI] = ChatStreamFromOpenAI,
    anthropic_reply: type[ChatReplyFromAnthropic] = ChatReplyFromAnthropic,
    anthropic_stream: type[ChatStreamFromAnthropic] = ChatStreamFromAnthropic,
) -> Components:
    """Components whose chat surface translates with other classes."""
    return Components(
        chat_translators=MappingProxyType(
            {
                Dialect.OPENAI: Translators(openai_reply, openai_stream),
                Dialect.ANTHROPIC: Translators(anthropic_reply, anthropic_stream),
            }
        )
    )


def messages_with(
    *,
    reply: type[MessagesReplyFromAnthropic] = MessagesReplyFromAnthropic,
    stream: type[MessagesStreamFromAnthropic] = MessagesStreamFromAnthropic,
) -> Components:
    """Components whose Messages surface translates native replies and streams with other classes."""
    return Components(
        messages_translators=MappingProxyType(
            {
                Dialect.OPENAI: Translators(MessagesReplyFromOpenAI, MessagesStreamFromOpenAI),
                Dialect.ANTHROPIC: Translators(reply, stream),
            }
        )
    )
