"""Replies and streams of the AI/ML API, made from Anthropic's: thinking is shown, ahead of the answer, and so is the cost.

Source: public docs, sample response of the model page (message.reasoning_content, meta.usage) and its OpenAPI (chunks).
"""

from reference_gateway import usage as wire_usage
from reference_gateway.aimlapi.costs import CostReport
from reference_gateway.jsonwire import JsonObject, encode
from reference_gateway.sse import frame
from reference_gateway.translation.anthropic_streams import ChatStreamFromAnthropic
from reference_gateway.translation.replies import ChatReplyFromAnthropic, Identity
from reference_gateway.translation.streams import text_of


class AimlapiReply(ChatReplyFromAnthropic):
    """A whole reply; the cost is added once it is known."""

    def message(self, content: list[JsonObject]) -> JsonObject:
        message = super().message(content)
        return {"role": message.pop("role"), "reasoning_content": self.reasoning(content), **message}

    def reasoning(self, content: list[JsonObject]) -> str:
        """The thinking of a reply, empty without any, as in the published sample."""
        blocks = (block.get("thinking") for block in content if block.get("type") == "thinking")
        return "".join(text for text in blocks if isinstance(text, str))


class AimlapiStream(ChatStreamFromAnthropic):
    """A stream; its last chunk has the finish, the usage and the cost."""

    def __init__(
        self,
        identity: Identity,
        *,
        choices: int = 1,
        include_usage: bool = False,
        costs: CostReport | None = None,
    ) -> None:
        super().__init__(identity, choices=choices, include_usage=include_usage)
        self._costs = costs or CostReport()

    def block_start(self, block: JsonObject) -> bytes:
        out = super().block_start(block)
        if block.get("type") == "thinking" and block.get("thinking"):
            out += self.reasoning(text_of(block, "thinking"))
        return out

    def block_delta(self, delta: JsonObject) -> bytes:
        if delta.get("type") == "thinking_delta":
            return self.reasoning(text_of(delta, "thinking"))
        return super().block_delta(delta)

    def reasoning(self, text: str) -> bytes:
        """A fragment of the thinking; thinking that is not to be displayed is empty."""
        return self.delta({"reasoning_content": text}) if text else b""

    def closing(self) -> bytes:
        return frame(encode(self.last_chunk())) + self.terminator()

    def last_chunk(self) -> JsonObject:
        """Finish, usage and cost."""
        chunk = self.chunk([{"index": 0, "delta": {}, "finish_reason": self.finish}])
        if self.usage is not None:
            chunk["usage"] = wire_usage.to_openai(self.usage, details=self.identity.cache_details)
        chunk["meta"] = self._costs.meta(self.charge)
        return chunk
