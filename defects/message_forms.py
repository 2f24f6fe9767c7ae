"""Forms of /v1/messages: requests that crash or are refused in part, and answers with a member that is off."""

import re
from abc import ABC, abstractmethod
from typing import Any

from defects.definition import Defect, messages_with
from reference_gateway import Components
from reference_gateway.errors import MessagesErrorRenderer
from reference_gateway.failures import Failure
from reference_gateway.jsonwire import JsonObject
from reference_gateway.sse import SseEvent
from reference_gateway.translation.anthropic_streams import MessagesStreamFromAnthropic
from reference_gateway.translation.replies import MessagesReplyFromAnthropic, Reply
from reference_gateway.validation.fields import invalid
from reference_gateway.validation.messages import MessagesValidator

_EVENT_LINE = re.compile(rb"event: [^\n]*\n")


class Detail(MessagesErrorRenderer):
    """The envelope of a widely used web framework."""

    def envelope(self, failure: Failure, request: str) -> JsonObject:  # noqa: ARG002 - not part of this envelope
        return {"detail": failure.message}


class SystemIsText(MessagesValidator):
    """Handles `system` as text without looking, and crashes over a list."""

    def check_system(self, system: Any) -> None:
        if system is not None and not system.strip():
            raise invalid("system", "`system` must not be empty.")


class AssistantSpeaksText(MessagesValidator):
    """Takes blocks from the user only; turns of the assistant must be text."""

    def check_messages(self, messages: list[Any]) -> None:
        super().check_messages(messages)
        for index, message in enumerate(messages):
            if message["role"] == "assistant" and isinstance(message["content"], list):
                raise invalid(f"messages[{index}].content", "Turns of the assistant must be a string.")


class _Counted(MessagesReplyFromAnthropic, ABC):
    """A reply whose usage says something else."""

    @abstractmethod
    def counted(self, usage: JsonObject) -> JsonObject:
        """The usage with the mistake in it."""

    def translate(self, body: JsonObject) -> Reply:
        reply = super().translate(body)
        return Reply({**reply.body, "usage": self.counted(reply.body["usage"])}, reply.usage)


class CountersAsText(_Counted):
    """Counters are texts, as a database of decimals returns them."""

    def counted(self, usage: JsonObject) -> JsonObject:
        return {name: str(value) if type(value) is int else value for name, value in usage.items()}


class AllInputIsRead(_Counted):
    """Counts the fresh input among the tokens that the cache had."""

    def counted(self, usage: JsonObject) -> JsonObject:
        read = usage.get("cache_read_input_tokens") or 0
        return {**usage, "cache_read_input_tokens": read + usage["input_tokens"]}


class OneEventName(MessagesStreamFromAnthropic):
    """Names every event `message`, the browsers' default."""

    def feed(self, event: SseEvent) -> bytes:
        return _EVENT_LINE.sub(b"event: message\n", super().feed(event))

    def closing(self) -> bytes:
        return _EVENT_LINE.sub(b"event: message\n", super().closing())


class StartWithNull(MessagesStreamFromAnthropic):
    """`content` of message_start is null, since there is none yet."""

    def feed(self, event: SseEvent) -> bytes:
        out = super().feed(event)
        return out.replace(b'"content":[]', b'"content":null') if event.name == "message_start" else out


class _SendsAgain(MessagesStreamFromAnthropic):
    """Sends each event that holds a certain delta twice."""

    repeated = b""

    def feed(self, event: SseEvent) -> bytes:
        out = super().feed(event)
        return out * 2 if self.repeated in event.data else out


class TextTwice(_SendsAgain):
    """Pieces of text are relayed and then sent by the translation."""

    repeated = b"text_delta"


class InputTwice(_SendsAgain):
    """Pieces of a tool's input are relayed and then sent by the translation."""

    repeated = b"input_json_delta"


DEFECTS = (
    Defect(
        "messages-error-detail",
        "Errors of /v1/messages come as {detail: ...}",
        ("MERR-02",),
        lambda: Components(messages_errors=Detail),
    ),
    Defect(
        "system-array-500",
        "`system` as an array is answered with 500",
        ("MSG-03", "MSG-04"),
        lambda: Components(messages_validator=SystemIsText),
    ),
    Defect(
        "assistant-blocks-refused",
        "Blocks in turns of the assistant are refused on /v1/messages",
        ("MSG-05", "MSG-07"),
        lambda: Components(messages_validator=AssistantSpeaksText),
    ),
    Defect(
        "message-usage-as-text",
        "Usage counters of /v1/messages are texts",
        ("MSG-14", "FUZZ-MSG-02"),
        lambda: messages_with(reply=CountersAsText),
    ),
    Defect(
        "input-shown-as-cache-reads",
        "Fresh input is counted among the tokens read from the cache",
        ("MCACHE-03",),
        lambda: messages_with(reply=AllInputIsRead),
    ),
    Defect(
        "event-lines-all-alike",
        "Every event of /v1/messages is named message",
        ("MSTR-02", "SURF-07"),
        lambda: messages_with(stream=OneEventName),
    ),
    Defect(
        "message-start-content-null",
        "`content` of message_start is null",
        ("MSTR-03",),
        lambda: messages_with(stream=StartWithNull),
    ),
    Defect(
        "text-pieces-twice",
        "Pieces of text are sent twice in a stream",
        ("MSTR-05", "PRAC-14"),
        lambda: messages_with(stream=TextTwice),
    ),
    Defect(
        "tool-input-pieces-twice",
        "Pieces of a tool's input are sent twice in a stream",
        ("MSTR-06",),
        lambda: messages_with(stream=InputTwice),
    ),
)
