"""Replies in one piece: unstreamed answers, and what a media task's endpoints say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from loadtests.chat import USAGE as CHAT_USAGE
from loadtests.connection import End
from loadtests.dialect import excerpt, status_failure, unanswered
from loadtests.messages import USAGE as MESSAGES_USAGE
from weighbridge.evidence import Ending, Headers
from weighbridge.load.figures import Failure

#: A reply larger than this is no answer of any API here.
_MAX_BODY = 16 * 1024 * 1024


class Whole:
    """Takes a reply as it is; one instance for one exchange."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.headers: Headers = ()
        self.head_at: int | None = None
        self.chunks: list[tuple[int, bytes]] = []
        self.length = 0

    def on_head(self, at: int, status: int, headers: Headers) -> None:
        """The head is there."""
        self.head_at, self.status, self.headers = at, status, headers

    def on_body(self, at: int, data: bytes) -> None:
        """A part of the body is there."""
        self.length += len(data)
        if self.length <= _MAX_BODY:
            self.chunks.append((at, data))

    def on_quick(self, _at: int, _data: bytes) -> bool:
        """Nothing here is a stream of events."""
        return False

    @property
    def body(self) -> bytes:
        """All of it."""
        return b"".join(data for _, data in self.chunks)

    def document(
        self, end: End, *, of_a_task: bool = False
    ) -> tuple[dict[str, Any] | None, Failure | None, str]:
        """The JSON object that came, or the class of failure and why.

        Args:
            end: how the exchange ended.
            of_a_task: the object has a status, so that an error in it is the task's and not the reply's.
        """
        if self.status is None:
            return None, unanswered(end.ending, end.timeout), "no response head"
        if not 200 <= self.status < 300:
            return None, status_failure(self.status), f"status {self.status}"
        broken = {
            Ending.INVALID: Failure.BAD_HTTP,
            Ending.TIMEOUT: end.timeout or Failure.TIMEOUT_TOTAL,
            Ending.RESET: Failure.RESET,
        }
        if end.ending is not Ending.COMPLETE:
            return None, broken.get(end.ending, Failure.TRUNCATED), f"after {self.length} bytes"
        body = self.body
        if not body.strip():
            return None, Failure.EMPTY, "no body"
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:
            value = None
        if not isinstance(value, dict):
            return None, Failure.MALFORMED, f"the body is {excerpt(body)}"
        if value.get("error") and not (of_a_task and isinstance(value.get("status"), str)):
            return None, Failure.ERROR_EVENT, excerpt(body)
        return value, None, ""


def _chat_text(answer: Mapping[str, Any]) -> str | None:
    choices = answer.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    if not isinstance(message, dict):
        return None
    return str(message.get("content") or "")


def _messages_text(answer: Mapping[str, Any]) -> str | None:
    content = answer.get("content")
    if not isinstance(content, list):
        return None
    return "".join(str(block.get("text", "")) for block in content if isinstance(block, dict))


def usage_of(answer: Mapping[str, Any], surface: str) -> dict[str, int]:
    """The token counts of an answer, by the words that streams use."""
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return {}
    found = {
        word: usage[name]
        for name, word in (MESSAGES_USAGE if surface == "messages" else CHAT_USAGE).items()
        if isinstance(usage.get(name), int)
    }
    details = usage.get("prompt_tokens_details")
    if isinstance(details, dict) and isinstance(details.get("cached_tokens"), int):
        found["cached"] = details["cached_tokens"]
    return found


def judge_answer(answer: Mapping[str, Any], surface: str, expected: str | None) -> tuple[Failure | None, str]:
    """Whether an unstreamed answer is one, and carries the text that the provider sent."""
    text = _messages_text(answer) if surface == "messages" else _chat_text(answer)
    if text is None:
        return Failure.MALFORMED, "an answer without choices or content"
    if expected is not None and text != expected:
        return Failure.WRONG_TEXT, f"{len(text)} characters differ from the {len(expected)} of the text"
    return None, ""
