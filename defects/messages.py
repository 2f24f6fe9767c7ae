"""Answers of /v1/messages: wrong events, wrong members, wrong counters."""

import re
from abc import ABC, abstractmethod

from defects.definition import Defect, messages_with
from reference_gateway.jsonwire import JsonObject
from reference_gateway.sse import DONE, SseEvent
from reference_gateway.translation.anthropic_streams import MessagesStreamFromAnthropic
from reference_gateway.translation.replies import MessagesReplyFromAnthropic, Reply

_EVENT_LINE = re.compile(rb"event: [^\n]*\n")


class DeltaTwice(MessagesStreamFromAnthropic):
    """message_delta is relayed and then sent once more with the ending."""

    def closing(self) -> bytes:
        return b"".join(self._held) + super().closing()


class NoBlockStop(MessagesStreamFromAnthropic):
    """Blocks are opened and never closed."""

    def feed(self, event: SseEvent) -> bytes:
        out = super().feed(event)
        return b"" if event.name == "content_block_stop" else out


class DoneAfterMessageStop(MessagesStreamFromAnthropic):
    """Ends every stream with [DONE], in whichever format it is."""

    def terminator(self) -> bytes:
        return super().terminator() + DONE


class NoMessageStop(MessagesStreamFromAnthropic):
    """The stream just stops."""

    def terminator(self) -> bytes:
        return b""


class NoEventLines(MessagesStreamFromAnthropic):
    """Sends data lines only, as the other format does."""

    def feed(self, event: SseEvent) -> bytes:
        return _EVENT_LINE.sub(b"", super().feed(event))

    def closing(self) -> bytes:
        return _EVENT_LINE.sub(b"", super().closing())


class StartWithoutUsage(MessagesStreamFromAnthropic):
    """message_start has no usage, so a client does not learn what its input cost."""

    def feed(self, event: SseEvent) -> bytes:
        out = super().feed(event)
        return out.replace(b'"usage":', b'"counters":') if event.name == "message_start" else out


class StopWithoutCount(MessagesStreamFromAnthropic):
    """message_delta has no usage."""

    def closing(self) -> bytes:
        return super().closing().replace(b'"usage":', b'"counters":')


class BlocksFromOne(MessagesStreamFromAnthropic):
    """The first block has index 1."""

    def feed(self, event: SseEvent) -> bytes:
        return super().feed(event).replace(b'"index":0', b'"index":1')


class _LosesFirst(MessagesStreamFromAnthropic):
    """Loses the first event that holds a certain delta."""

    lost = b""
    _seen = False

    def feed(self, event: SseEvent) -> bytes:
        out = super().feed(event)
        if self.lost not in event.data or self._seen:
            return out
        self._seen = True
        return b""


class LosesTextPiece(_LosesFirst):
    """The first piece of text is taken for an empty one."""

    lost = b"text_delta"


class LosesInputPiece(MessagesStreamFromAnthropic):
    """The last piece of a tool's input is lost when its block ends."""

    _kept = b""

    def feed(self, event: SseEvent) -> bytes:
        out = super().feed(event)
        if b"input_json_delta" not in event.data:
            self._kept = b""
            return out
        out, self._kept = self._kept, out
        return out


class StopWordOfOtherFormat(MessagesStreamFromAnthropic):
    """A stream's stop_reason is the other format's word; an unstreamed reply's is not."""

    def closing(self) -> bytes:
        return super().closing().replace(b'"end_turn"', b'"stop"')


class _Changed(MessagesReplyFromAnthropic, ABC):
    """A reply in which some members say something else."""

    @abstractmethod
    def changed(self, body: JsonObject) -> JsonObject:
        """The body with the mistake in it."""

    def translate(self, body: JsonObject) -> Reply:
        reply = super().translate(body)
        return Reply(self.changed(reply.body), reply.usage)


class NoCacheCounters(_Changed):
    """Shows input and output only, though the cache is on the bill."""

    def changed(self, body: JsonObject) -> JsonObject:
        shown = {name: body["usage"][name] for name in ("input_tokens", "output_tokens")}
        return {**body, "usage": shown}


class UsageOfOtherFormat(_Changed):
    """Names the counters as the other format does."""

    def changed(self, body: JsonObject) -> JsonObject:
        usage = body["usage"]
        return {
            **body,
            "usage": {"prompt_tokens": usage["input_tokens"], "completion_tokens": usage["output_tokens"]},
        }


class NoStopSequence(_Changed):
    """Leaves members out that are null."""

    def changed(self, body: JsonObject) -> JsonObject:
        return {name: value for name, value in body.items() if value is not None}


class StopReasonOfOtherFormat(_Changed):
    """Ends with `stop`."""

    def changed(self, body: JsonObject) -> JsonObject:
        return {**body, "stop_reason": "stop"}


class AlwaysEndTurn(_Changed):
    """Ends with end_turn, whatever the provider said."""

    def changed(self, body: JsonObject) -> JsonObject:
        return {**body, "stop_reason": "end_turn"}


class ContentAsText(_Changed):
    """`content` is a text and not an array."""

    def changed(self, body: JsonObject) -> JsonObject:
        return {**body, "content": "".join(block.get("text", "") for block in body["content"])}


class EmptyModel(_Changed):
    """`model` is left empty."""

    def changed(self, body: JsonObject) -> JsonObject:
        return {**body, "model": ""}


DEFECTS = (
    Defect(
        "message-delta-twice",
        "message_delta is sent twice",
        ("MSTR-07",),
        lambda: messages_with(stream=DeltaTwice),
    ),
    Defect(
        "block-stop-missing",
        "Content blocks are not closed",
        ("MSTR-04",),
        lambda: messages_with(stream=NoBlockStop),
    ),
    Defect(
        "blocks-from-one",
        "The first content block has index 1",
        ("MSTR-04",),
        lambda: messages_with(stream=BlocksFromOne),
    ),
    Defect(
        "done-after-message-stop",
        "[DONE] follows message_stop",
        ("MSTR-08",),
        lambda: messages_with(stream=DoneAfterMessageStop),
    ),
    Defect(
        "message-stop-missing",
        "A stream ends without message_stop",
        ("MSTR-08",),
        lambda: messages_with(stream=NoMessageStop),
    ),
    Defect(
        "event-lines-missing",
        "Events have no event line",
        ("MSTR-02", "SURF-07"),
        lambda: messages_with(stream=NoEventLines),
    ),
    Defect(
        "message-start-without-usage",
        "message_start has no usage",
        ("MSTR-03",),
        lambda: messages_with(stream=StartWithoutUsage),
    ),
    Defect(
        "message-delta-without-usage",
        "message_delta has no usage",
        ("MSTR-07",),
        lambda: messages_with(stream=StopWithoutCount),
    ),
    Defect(
        "text-piece-lost",
        "The first piece of text is lost in a stream",
        ("MSTR-05", "PRAC-14"),
        lambda: messages_with(stream=LosesTextPiece),
    ),
    Defect(
        "tool-input-piece-lost",
        "The last piece of a tool's input is lost in a stream",
        ("MSTR-06",),
        lambda: messages_with(stream=LosesInputPiece),
    ),
    Defect(
        "stop-reason-differs-streamed",
        "A stream has another stop_reason than the unstreamed reply",
        ("PRAC-14",),
        lambda: messages_with(stream=StopWordOfOtherFormat),
    ),
    Defect(
        "cache-counters-dropped",
        "Replies do not show the cache counters",
        ("MCACHE-01", "MCACHE-02"),
        lambda: messages_with(reply=NoCacheCounters),
    ),
    Defect(
        "usage-of-other-format",
        "Usage of /v1/messages has the names of the other format",
        ("MSG-14",),
        lambda: messages_with(reply=UsageOfOtherFormat),
    ),
    Defect(
        "stop-sequence-missing",
        "Replies lack stop_sequence where it is null",
        ("MSG-13",),
        lambda: messages_with(reply=NoStopSequence),
    ),
    Defect(
        "stop-reason-of-other-format",
        "stop_reason is stop",
        ("MSG-13",),
        lambda: messages_with(reply=StopReasonOfOtherFormat),
    ),
    Defect(
        "stop-reason-always-end-turn",
        "stop_reason is end_turn also for tool use and cut answers",
        ("MSG-06", "MSG-15"),
        lambda: messages_with(reply=AlwaysEndTurn),
    ),
    Defect(
        "message-content-as-text",
        "`content` of /v1/messages is a text",
        ("MSG-01",),
        lambda: messages_with(reply=ContentAsText),
    ),
    Defect(
        "message-model-empty",
        "`model` of /v1/messages is empty",
        ("MSG-12",),
        lambda: messages_with(reply=EmptyModel),
    ),
)
