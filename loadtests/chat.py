"""The events of a streamed chat completion: chunks, one finish_reason for each choice, `[DONE]`."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from loadtests.dialect import EventStream, excerpt

#: What this dialect calls its token counts.
USAGE = {"prompt_tokens": "prompt", "completion_tokens": "completion"}
_CONTENT = ("content", "tool_calls", "reasoning_content", "reasoning", "refusal", "function_call")


class ChatStream(EventStream):
    """A stream of POST /chat/completions.

    Attributes:
        dones, finishes: terminators, and finish_reasons by choice.
        after_done, after_finish: what came although the answer was over.
    """

    __slots__ = ("after_done", "after_finish", "dones", "finishes")
    text_key: ClassVar[re.Pattern[bytes]] = re.compile(rb'"content"\s*:\s*\Z')

    def __init__(self, expected: str | None = None) -> None:
        super().__init__(expected)
        self.dones = 0
        self.after_done = 0
        self.after_finish = 0
        self.finishes: dict[Any, int] = {}

    def parsed(self, data: bytes) -> None:
        """Take an event that is not of the learned shape."""
        if data.strip() == b"[DONE]":
            self.dones += 1
            self.ended = True
            return
        if self.dones:
            self.after_done += 1
        chunk = self.json_object(data)
        if chunk is None:
            return
        choices = chunk.get("choices")
        if chunk.get("error") and not choices:
            self.error = self.error or excerpt(data)
            return
        if chunk.get("usage"):
            self._usage(chunk["usage"])
        if not isinstance(choices, list):
            return
        found = [self._choice(choice) for choice in choices if isinstance(choice, dict)]
        if any(found):
            self.chunks += 1
            if len(choices) == 1 and not self.ended and choices[0].get("index", 0) == 0:
                text = choices[0]["delta"].get("content")
                if isinstance(text, str):
                    self.learn(data, text)

    def _usage(self, usage: Any) -> None:
        self.note_usage(usage, USAGE)
        if isinstance(usage, dict):
            self.note_usage(usage.get("prompt_tokens_details"), {"cached_tokens": "cached"})

    def _choice(self, choice: dict[str, Any]) -> bool:
        """Take one choice; whether it carried content."""
        index = choice.get("index", 0)
        delta = choice.get("delta")
        content = False
        if isinstance(delta, dict):
            content = any(delta.get(name) for name in _CONTENT)
            if content and index in self.finishes:
                self.after_finish += 1
            text = delta.get("content")
            if isinstance(text, str) and text and index == 0:
                self.text(text.encode("utf-8", "surrogatepass"))
        if choice.get("finish_reason") is not None:
            self.finishes[index] = self.finishes.get(index, 0) + 1
            self.ended = True
        return content

    @property
    def begun_ending(self) -> bool:
        """A finish_reason or a terminator was seen."""
        return bool(self.finishes or self.dones)

    @property
    def broken_ending(self) -> str | None:
        """What is wrong with finish_reason and [DONE], or None."""
        several = next((index for index, times in self.finishes.items() if times > 1), None)
        problems = (
            (not self.finishes, "[DONE] without any finish_reason"),
            (several is not None, f"choice {several} finished {self.finishes.get(several)} times"),
            (self.after_finish > 0, "content after finish_reason"),
            (self.dones == 0, "finish_reason without [DONE]"),
            (self.dones > 1, f"[DONE] {self.dones} times"),
            (self.after_done > 0, f"{self.after_done} events after [DONE]"),
            (self.unterminated, "no blank line ends the last event"),
        )
        return next((text for wrong, text in problems if wrong), None)
