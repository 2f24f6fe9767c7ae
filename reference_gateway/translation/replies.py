"""Whole replies, from either dialect to either surface. A reply that makes no sense is the upstream's failure (500)."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from reference_gateway import usage as wire_usage
from reference_gateway.jsonwire import JsonObject, NotJsonError, decode_object, encode, kind_of
from reference_gateway.pricing import Usage
from reference_gateway.translation.words import finish_reason, stop_reason
from reference_gateway.upstream import upstream_failed


@dataclass(frozen=True, slots=True)
class Identity:
    """What a reply says about itself: the call's own id, the requested model, the Unix time of the call.

    `cache_details` shows the cached counter even at zero (public docs: claude-opus-4-8, Non-streaming).
    """

    id: str
    model: str
    created: int
    cache_details: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """A body for the caller and what it is to be billed by; no usage means that nobody knows."""

    body: JsonObject
    usage: Usage | None


class ReplyTranslator(ABC):
    """Turns one upstream reply into the caller's."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity

    @abstractmethod
    def translate(self, body: JsonObject) -> Reply:
        """Raises `GatewayError` (upstream failed) for a garbled reply."""

    def chat_usage(self, usage: Usage) -> JsonObject:
        """The usage block of the chat surface."""
        return wire_usage.to_openai(usage, details=self.identity.cache_details)


class ChatReplyFromOpenAI(ReplyTranslator):
    """OpenAI to chat surface: everything passes; id, model and the sum of the counters are set right."""

    def translate(self, body: JsonObject) -> Reply:
        choices = body.get("choices")
        if not isinstance(choices, list) or not choices or not all(map(_is_choice, choices)):
            raise garbled("choices", choices)
        result = {
            **body,
            "id": self.identity.id,
            "object": "chat.completion",
            "created": body["created"] if type(body.get("created")) is int else self.identity.created,
            "model": self.identity.model,
        }
        usage = wire_usage.from_openai(body.get("usage"))
        if usage is not None:
            result["usage"] = self.merged_usage(body["usage"], usage)
        return Reply(result, usage)

    def merged_usage(self, reported: JsonObject, usage: Usage) -> JsonObject:
        """The upstream's counters with their details; the sum is ours."""
        return wire_usage.merged_openai(reported, usage, details=self.identity.cache_details)


class ChatReplyFromAnthropic(ReplyTranslator):
    """Anthropic to chat surface."""

    def translate(self, body: JsonObject) -> Reply:
        content = body.get("content")
        if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
            raise garbled("content", content)
        message = self.message(content)
        result: JsonObject = {
            "id": self.identity.id,
            "object": "chat.completion",
            "created": self.identity.created,
            "model": self.identity.model,
            "choices": [
                {"index": 0, "message": message, "finish_reason": finish_reason(body.get("stop_reason"))}
            ],
        }
        usage = wire_usage.from_anthropic(body.get("usage"))
        if usage is not None:
            result["usage"] = self.chat_usage(usage)
        return Reply(result, usage)

    def message(self, content: list[JsonObject]) -> JsonObject:
        """The blocks of a reply as one message; thinking stays behind."""
        text = "".join(block["text"] for block in content if _is_text(block))
        calls = [self.tool_call(block) for block in content if block.get("type") == "tool_use"]
        message: JsonObject = {"role": "assistant", "content": text if text or not calls else None}
        if calls:
            message["tool_calls"] = calls
        return message

    def tool_call(self, block: JsonObject) -> JsonObject:
        """A tool_use block as a tool call, its input as JSON text."""
        if not isinstance(block.get("id"), str) or not isinstance(block.get("name"), str):
            raise garbled("tool_use", block)
        arguments = encode(block.get("input") or {}).decode()
        return {
            "id": block["id"],
            "type": "function",
            "function": {"name": block["name"], "arguments": arguments},
        }


class MessagesReplyFromAnthropic(ReplyTranslator):
    """Anthropic to Messages surface: everything passes; id and model are set right."""

    def translate(self, body: JsonObject) -> Reply:
        if body.get("type") != "message" or not isinstance(body.get("content"), list):
            raise garbled("content", body.get("content"))
        result = {"stop_sequence": None, **body, "id": self.identity.id, "model": self.identity.model}
        return Reply(result, wire_usage.from_anthropic(body.get("usage")))


class MessagesReplyFromOpenAI(ReplyTranslator):
    """OpenAI to Messages surface."""

    def translate(self, body: JsonObject) -> Reply:
        choices = body.get("choices")
        if not isinstance(choices, list) or not choices or not _is_choice(choices[0]):
            raise garbled("choices", choices)
        choice = choices[0]
        message = choice["message"]
        refusal = message.get("refusal")
        texts = [text for text in (message.get("content"), refusal) if isinstance(text, str) and text]
        blocks: list[JsonObject] = [{"type": "text", "text": text} for text in texts]
        calls = message.get("tool_calls") or []
        if not isinstance(calls, list):
            raise garbled("tool_calls", calls)
        blocks += [self.tool_use(call) for call in calls]
        usage = wire_usage.from_openai(body.get("usage"))
        return Reply(
            {
                "id": self.identity.id,
                "type": "message",
                "role": "assistant",
                "model": self.identity.model,
                "content": blocks,
                "stop_reason": stop_reason(
                    choice.get("finish_reason"), called=bool(calls), refused=bool(refusal)
                ),
                "stop_sequence": None,
                "usage": wire_usage.to_anthropic(usage or Usage(0, 0)),
            },
            usage,
        )

    def tool_use(self, call: Any) -> JsonObject:
        """A tool call as a tool_use block, its arguments parsed."""
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise garbled("tool_calls", call)
        if not isinstance(call.get("id"), str):
            raise garbled("tool_calls[].id", call.get("id"))
        return {
            "type": "tool_use",
            "id": call["id"],
            "name": function["name"],
            "input": parsed_arguments(function.get("arguments")),
        }


def parsed_arguments(arguments: Any) -> JsonObject:
    """The JSON object inside a tool call's arguments."""
    try:
        return decode_object(arguments or "{}")
    except (NotJsonError, TypeError) as error:
        raise upstream_failed("The upstream's tool call has arguments that are not JSON.") from error


def garbled(name: str, value: Any) -> Exception:
    """A reply that lacks what every reply has."""
    return upstream_failed(f"The upstream's reply makes no sense: {name} is {kind_of(value)}.")


def _is_choice(choice: Any) -> bool:
    return isinstance(choice, dict) and isinstance(choice.get("message"), dict)


def _is_text(block: JsonObject) -> bool:
    return block.get("type") == "text" and isinstance(block.get("text"), str)
