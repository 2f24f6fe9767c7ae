"""Streams as pure, incremental translators: upstream events in, bytes for the caller out.

A translator relays content at once and keeps the ending (finish, usage, terminator) back. `progress` tells what is
known: while OPEN the reply is incomplete, from FINISHED on all content is in, TERMINATED is the upstream's own end mark.
Whoever drives it asks for `closing()` once the call is paid, so no caller sees a normal ending of an unpaid or broken
call. Anything against the grammar raises `BrokenStreamError`.
"""

from abc import ABC, abstractmethod
from enum import IntEnum
from typing import Any

from reference_gateway import usage as wire_usage
from reference_gateway.jsonwire import JsonObject, NotJsonError, decode, encode, glance
from reference_gateway.pricing import Charge, Usage
from reference_gateway.sse import DONE, SseEvent, frame
from reference_gateway.translation.passing import Likeness
from reference_gateway.translation.replies import Identity


class Progress(IntEnum):
    """How far a reply has come."""

    OPEN = 0
    FINISHED = 1
    TERMINATED = 2


class BrokenStreamError(Exception):
    """The upstream's stream reports an error, or cannot be a reply."""


class StreamTranslator(ABC):
    """One stream of one call."""

    def __init__(self, identity: Identity, *, choices: int = 1, include_usage: bool = False) -> None:
        self.identity = identity
        self.choices = choices
        self.include_usage = include_usage
        self.progress = Progress.OPEN
        self.usage: Usage | None = None
        # What the call cost, known by the time of the ending to surfaces that tell it.
        self.charge: Charge | None = None

    @abstractmethod
    def feed(self, event: SseEvent) -> bytes:
        """Take the next event; what may be sent to the caller now. Raises `BrokenStreamError`."""

    @abstractmethod
    def closing(self) -> bytes:
        """The ending of a complete reply: finish, usage where asked for, terminator."""


def read_event(event: SseEvent) -> JsonObject:
    """The JSON object of an event, to look at; an error object or something else breaks the stream.

    Whoever writes such an object out again takes `decode`, which keeps numbers by value.
    """
    try:
        value = glance(event.data)
    except NotJsonError as error:
        raise BrokenStreamError("the upstream sent an event that is not JSON") from error
    if not isinstance(value, dict):
        raise BrokenStreamError("the upstream sent an event that is not an object")
    if value.get("error") is not None or value.get("type") == "error" or event.name == "error":
        raise BrokenStreamError("the upstream reported an error")
    return value


def text_of(delta: JsonObject, name: str) -> str:
    """A text member of a delta; anything else breaks the stream."""
    value = delta.get(name)
    if not isinstance(value, str):
        raise BrokenStreamError(f"the upstream sent a delta whose {name} is not text")
    return value


class ChatStream(StreamTranslator):
    """What both chat translators share: the form of a chunk."""

    def chunk(self, choices: list[JsonObject]) -> JsonObject:
        """A chunk of the chat surface."""
        return {
            "id": self.identity.id,
            "object": "chat.completion.chunk",
            "created": self.identity.created,
            "model": self.identity.model,
            "choices": choices,
        }

    def delta(self, delta: JsonObject, finish: str | None = None) -> bytes:
        """One event of the first choice."""
        chunk = self.chunk([{"index": 0, "delta": delta, "finish_reason": finish}])
        if self.include_usage:
            chunk["usage"] = None
        return frame(encode(chunk))

    def usage_chunk(self) -> bytes:
        """The extra event that `stream_options.include_usage` asks for."""
        if not self.include_usage or self.usage is None:
            return b""
        return frame(encode({**self.chunk([]), "usage": self.shown_usage(self.usage)}))

    def shown_usage(self, usage: Usage) -> JsonObject:
        """The usage block of that event."""
        return wire_usage.to_openai(usage, details=self.identity.cache_details)

    def terminator(self) -> bytes:
        """What ends every complete stream of this surface."""
        return DONE


_NO_USAGE = b',"usage":null'
_OURS = frozenset({"id", "object", "created", "model"})


class ChatStreamFromOpenAI(ChatStream):
    """OpenAI to chat surface: chunks pass with the call's identity; a choice finishes once; usage is kept apart.

    A chunk that needs no other change passes as the bytes that came, behind a head that is written once.
    """

    def __init__(self, identity: Identity, *, choices: int = 1, include_usage: bool = False) -> None:
        super().__init__(identity, choices=choices, include_usage=include_usage)
        self._started: set[int] = set()
        self._finished: set[int] = set()
        self._held: list[bytes] = []
        self._reported: JsonObject = {}
        # What the upstream's chunks begin with, up to the choices, and what they begin with here.
        self._their_head: bytes = b""
        self._our_head: bytes = b""
        self._their_names: tuple[str, ...] = ()
        self._likeness: Likeness | None = None
        # A subclass that writes chunks in a way of its own is given all of them to write.
        self._by_head = type(self).chunk is ChatStream.chunk and not include_usage

    def feed(self, event: SseEvent) -> bytes:
        if self._likeness is not None and not event.name:
            passed = self._likeness.passed(event.data)
            if passed:
                return passed
        if self.progress is Progress.TERMINATED:
            return b""
        if event.data == b"[DONE]":
            if self.progress is Progress.OPEN:
                raise BrokenStreamError("the upstream ended before every choice was finished")
            self.progress = Progress.TERMINATED
            return b""
        chunk = read_event(event)
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            raise BrokenStreamError("the upstream sent a chunk without choices")
        if self._their_names == tuple(chunk) and choices and all(map(self._unchanged, choices)):
            passed = self._passed(event.data, unused=chunk.get("usage") is None)
            if passed:
                self._likeness = Likeness.of(event.data, passed)
                return passed
        # A choice may begin or end: what was alike before need not be any more.
        self._likeness = None
        return self._rewritten(event.data)

    def _unchanged(self, choice: Any) -> bool:
        """Whether a choice goes on as it came: begun before, not finished yet, with all its members."""
        return (
            isinstance(choice, dict)
            and choice.get("finish_reason", choice) is None
            and isinstance(choice.get("delta"), dict)
            and type(choice.get("index")) is int
            and choice["index"] in self._started
            and choice["index"] not in self._finished
        )

    def _passed(self, data: bytes, *, unused: bool) -> bytes:
        """The chunk under our head, empty when it cannot be done; `unused` says that it reports no usage."""
        if not data.startswith(self._their_head) or b"\n" in data:
            return b""
        rest = data[len(self._their_head) :]
        if "usage" in self._their_names:
            # The one that stands there is the chunk's own: inside of a text its quotes would have escapes.
            if not unused or rest.count(_NO_USAGE) != 1:
                return b""
            rest = rest.replace(_NO_USAGE, b"")
        return b"data: " + self._our_head + rest + b"\n\n"

    def _learn(self, data: bytes, names: tuple[str, ...]) -> None:
        """Remember how the upstream begins its chunks, if all that is ours to write stands ahead of the choices."""
        before, found, _ = data.partition(b'"choices":')
        ahead = names[: names.index("choices")]
        self._by_head = found != b"" and _OURS.issubset(ahead) and "usage" not in ahead
        if not self._by_head:
            return
        try:
            head = decode(before.rstrip(b" ,") + b"}")
        except NotJsonError:
            # The first "choices" is inside of a text: these chunks are written anew.
            self._by_head = False
            return
        own = encode({**head, **self.chunk([]), "choices": 0})
        self._their_head, self._our_head = before + found, own[: -len(b"0}")]
        self._their_names = names

    def _rewritten(self, data: bytes) -> bytes:
        """The chunk taken apart and written anew."""
        chunk: JsonObject = decode(data)
        names = tuple(chunk)
        usage = chunk.pop("usage", None)
        if usage is not None:
            self._reported = usage
            self.usage = wire_usage.from_openai(usage) or self.usage
        kept = [choice for choice in chunk["choices"] if self._keep(choice)]
        if not kept:
            return b""
        chunk |= self.chunk(kept)
        if self.include_usage:
            chunk["usage"] = None
        out = frame(encode(chunk))
        if self.progress is Progress.OPEN:
            if self._by_head and usage is None:
                self._learn(data, names)
            return out
        self._held.append(out)
        return b""

    def _keep(self, choice: Any) -> bool:
        if not isinstance(choice, dict) or type(choice.get("index")) is not int:
            raise BrokenStreamError("the upstream sent a choice without an index")
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            raise BrokenStreamError("the upstream sent a choice without a delta")
        index: int = choice["index"]
        if index in self._finished or not 0 <= index < self.choices:
            return False
        if index not in self._started:
            self._started.add(index)
            delta.setdefault("role", "assistant")
        # Some providers write the end that has not come yet as an empty text.
        choice["finish_reason"] = choice.get("finish_reason") or None
        if choice["finish_reason"] is not None:
            self._finished.add(index)
            if len(self._finished) == self.choices:
                self.progress = Progress.FINISHED
        return True

    def shown_usage(self, usage: Usage) -> JsonObject:
        return wire_usage.merged_openai(self._reported, usage, details=self.identity.cache_details)

    def closing(self) -> bytes:
        return b"".join(self._held) + self.usage_chunk() + self.terminator()
